//! Dates and times of YAML 1.1 in ISO 8601, as Python's `fromisoformat` reads them.

/// `2024-01-31`, or `2024-01-31T10:20:30.500000+01:00` with what is there; `None` where the
/// calendar or the clock has no such time. The text has the shape of one.
pub(crate) fn iso(text: &str) -> Option<String> {
    let Some((date, time)) = text.split_once(['T', 't', ' ', '\t']) else { return iso_date(text) };
    let time = time.trim_start();
    let at = time.find(['Z', '+', '-', ' ', '\t']).unwrap_or(time.len());
    let (clock, zone) = time.split_at_checked(at)?;
    Some(format!("{}T{}{}", iso_date(date)?, iso_clock(clock)?, iso_zone(zone.trim_start())?))
}

fn iso_date(text: &str) -> Option<String> {
    let [year, month, day] = numbers(text, '-')?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let exists = year > 0 && (1..=12).contains(&month) && (1..=days).contains(&day);
    exists.then(|| format!("{year:04}-{month:02}-{day:02}"))
}

fn iso_clock(text: &str) -> Option<String> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let [hour, minute, second] = numbers(clock, ':')?;
    let clock = format!("{hour:02}:{minute:02}:{second:02}");
    let exists = hour < 24 && minute < 60 && second < 60;
    // Microseconds, as in Python: further digits are lost there too.
    let fraction: String = fraction.chars().take(6).collect();
    let fraction = if fraction.is_empty() { fraction } else { format!(".{fraction:0<6}") };
    exists.then(|| clock + &fraction)
}

fn iso_zone(text: &str) -> Option<String> {
    let (sign, offset) = match text.split_at_checked(1) {
        None => return Some(String::new()),
        Some(("Z", _)) => return Some("+00:00".to_owned()),
        Some(split) => split,
    };
    let (hours, minutes) = offset.split_once(':').unwrap_or((offset, "0"));
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then(|| format!("{sign}{hours:02}:{minutes:02}"))
}

fn numbers(text: &str, separator: char) -> Option<[u32; 3]> {
    let numbers: Vec<u32> = text.split(separator).map_while(|part| part.parse().ok()).collect();
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_python_reads_them() {
        let cases = [
            ("2024-02-29", Some("2024-02-29")),
            ("2024-2-9 1:02:03", Some("2024-02-09T01:02:03")),
            ("2024-02-29T10:00:00.5Z", Some("2024-02-29T10:00:00.500000+00:00")),
            ("2024-02-29 10:00:00.12345678 -5", Some("2024-02-29T10:00:00.123456-05:00")),
            ("2024-02-29t10:00:00 +01:30", Some("2024-02-29T10:00:00+01:30")),
            ("2023-02-29", None),
            ("2024-13-01", None),
            ("0000-01-01", None),
            ("2024-01-01 24:00:00", None),
            ("2024-01-01 10:00:00+24:00", None),
        ];
        for (text, expected) in cases {
            assert_eq!(iso(text).as_deref(), expected, "{text}");
        }
    }
}
