//! Sizes as people write them: a number of bytes, or a number with a unit (`500MB`, `2GiB`).
//!
//! Every key that holds a size reads it here.

use crate::duration::number_with_unit;

/// Units, each with its bytes. Longer ones before those that end like them: the first that fits
/// counts.
const UNITS: [(&str, f64); 9] = [
    ("KiB", 1024.0),
    ("MiB", 1024.0 * 1024.0),
    ("GiB", 1024.0 * 1024.0 * 1024.0),
    ("TiB", 1024.0 * 1024.0 * 1024.0 * 1024.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("B", 1.0),
];

/// The pattern of a size with a unit, for the JSON Schema.
pub(crate) const PATTERN: &str = r"^[0-9]*\.?[0-9]+ ?(KiB|MiB|GiB|TiB|kB|MB|GB|TB|B)$";

/// The number of bytes of a text such as `2GiB`; `None` for any other.
pub(crate) fn bytes_with_unit(text: &str) -> Option<f64> {
    number_with_unit(text, &UNITS).map(f64::round)
}

/// A number of bytes for people: `2 GiB`, `1.5 MiB`.
pub fn size_text(bytes: u64) -> String {
    let units = UNITS[..4].iter().rev().find(|(_, factor)| bytes as f64 >= *factor);
    let Some((unit, factor)) = units else { return format!("{bytes} B") };
    let number = format!("{:.1}", bytes as f64 / factor);
    format!("{} {unit}", number.strip_suffix(".0").unwrap_or(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_that_people_write() {
        for (text, bytes) in [
            ("2GiB", Some(2_147_483_648.0)),
            ("1.5 MiB", Some(1_572_864.0)),
            ("500MB", Some(5e8)),
            ("64 kB", Some(64e3)),
            ("7B", Some(7.0)),
            ("GiB", None),
            ("-1GiB", None),
            ("1 gallon", None),
            ("1e9B", None),
        ] {
            assert_eq!(bytes_with_unit(text), bytes, "{text}");
        }
        for (bytes, text) in [(0, "0 B"), (1536, "1.5 KiB"), (1 << 31, "2 GiB"), (999, "999 B")] {
            assert_eq!(size_text(bytes), text);
        }
    }
}
