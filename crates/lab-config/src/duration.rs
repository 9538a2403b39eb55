//! Durations as people write them: a number of seconds, or a number with a unit (`200ms`, `5m`).
//!
//! Every key and option that holds a duration reads it here.

/// Units, each with its length in seconds. `ms` before `m` and `s`: the first that fits counts.
const UNITS: [(&str, f64); 5] =
    [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];

/// The pattern of a duration with a unit, for the JSON Schema.
pub(crate) const PATTERN: &str = r"^[0-9]*\.?[0-9]+ ?(ms|s|m|h|d)$";

/// The number of seconds of a text such as `200ms`, `1.5 h` or `30d`; `None` for any other.
pub fn seconds_with_unit(text: &str) -> Option<f64> {
    number_with_unit(text, &UNITS)
}

/// The value of a number with one of these units, each with its factor; `None` for any other text.
pub(crate) fn number_with_unit(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    let number = number.trim_end();
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = Some(number).filter(|number| is_plain && !number.is_empty())?.parse().ok()?;
    Some(number * factor).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_that_people_write() {
        let cases = [
            ("200ms", Some(0.2)),
            ("1s", Some(1.0)),
            ("5m", Some(300.0)),
            ("1.5 h", Some(5400.0)),
            (" 30d ", Some(2_592_000.0)),
            ("0s", Some(0.0)),
            ("5", None),
            ("s", None),
            (".s", None),
            ("-5s", None),
            ("5min", None),
            ("1e3s", None),
            ("5S", None),
            ("1h30m", None),
            ("infs", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(seconds_with_unit(text), seconds, "{text}");
        }
    }
}
