//! Day numbers and seconds since 1970 as ISO text, as Python's `isoformat` writes it.

/// Python's ordinal of 1970-01-01; day 1 is 0001-01-01.
const EPOCH_ORDINAL: i64 = 719_163;
/// Python's ordinal of 9999-12-31.
const LAST_ORDINAL: i64 = 3_652_059;
const SECONDS_A_DAY: i64 = 86_400;

/// The date with Python's ordinal number; `None` outside the years 1 to 9999.
pub(super) fn date(ordinal: i64) -> Option<String> {
    if !(1..=LAST_ORDINAL).contains(&ordinal) {
        return None;
    }
    let (year, month, day) = civil(ordinal - EPOCH_ORDINAL);
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// The instant so many seconds after 1970 in UTC; `None` outside the years 1 to 9999.
pub(super) fn datetime(timestamp: f64) -> Option<String> {
    // A day beyond either end, so that the conversion below is exact; also refuses nan.
    if !(-6.3e10..2.6e11).contains(&timestamp) {
        return None;
    }
    // To the microsecond, ties to even, from the fraction alone: as Python rounds.
    let mut seconds = timestamp.trunc() as i64;
    let mut micros = (timestamp.fract() * 1e6).round_ties_even() as i64;
    seconds += micros.div_euclid(1_000_000);
    micros = micros.rem_euclid(1_000_000);

    let date = date(seconds.div_euclid(SECONDS_A_DAY) + EPOCH_ORDINAL)?;
    let second = seconds.rem_euclid(SECONDS_A_DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Some(match micros {
        0 => format!("{date}T{hour:02}:{minute:02}:{second:02}+00:00"),
        _ => format!("{date}T{hour:02}:{minute:02}:{second:02}.{micros:06}+00:00"),
    })
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years are taken to begin in March, so that the leap day is their last; eras have 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_print_as_in_python() {
        let cases = [
            (1, Some("0001-01-01")),
            (719_163, Some("1970-01-01")),
            (738_945, Some("2024-02-29")),
            (738_946, Some("2024-03-01")),
            (693_655, Some("1900-03-01")),
            (LAST_ORDINAL, Some("9999-12-31")),
            (0, None),
            (LAST_ORDINAL + 1, None),
            (i64::MIN, None),
            (i64::MAX, None),
        ];
        for (ordinal, text) in cases {
            assert_eq!(date(ordinal).as_deref(), text, "{ordinal}");
        }
    }

    #[test]
    fn datetimes_print_as_in_python() {
        let cases = [
            (0.0, Some("1970-01-01T00:00:00+00:00")),
            (1_714_557_600.25, Some("2024-05-01T10:00:00.250000+00:00")),
            (-0.5, Some("1969-12-31T23:59:59.500000+00:00")),
            (0.999_999_9, Some("1970-01-01T00:00:01+00:00")),
            (-62_135_596_800.0, Some("0001-01-01T00:00:00+00:00")),
            (-62_135_596_801.0, None),
            (253_402_300_799.0, Some("9999-12-31T23:59:59+00:00")),
            (253_402_300_800.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (-1e300, None),
        ];
        for (timestamp, text) in cases {
            assert_eq!(datetime(timestamp).as_deref(), text, "{timestamp}");
        }
    }
}
