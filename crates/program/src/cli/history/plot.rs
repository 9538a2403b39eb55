//! A plot in the terminal: dots of braille letters, two by four in each.
//!
//! Each column of dots shows the range from the minimum to the maximum of its time; a gap is empty.

use jiff::{Timestamp, tz::TimeZone};
use remote::Value;

use super::answers::{Curve, SeriesName};
use crate::cli::{style, table};

/// Columns where the terminal does not say how many it has.
const USUAL_COLUMNS: usize = 80;
const FEWEST_COLUMNS: usize = 40;
const MOST_COLUMNS: usize = 200;
/// Columns of the numbers on the left.
const AXIS: usize = 12;
/// Lines of a plot.
const LINES: usize = 12;
/// Rows of the table of a series of texts, at most.
const TEXTS: usize = 20;
/// Dots of a letter: bits by column and row.
const DOTS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// Columns and lines of a plot in this terminal.
pub(super) fn size() -> (usize, usize) {
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let columns = columns.or_else(terminal_columns).unwrap_or(USUAL_COLUMNS);
    (columns.clamp(FEWEST_COLUMNS, MOST_COLUMNS) - AXIS - 2, LINES)
}

fn terminal_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Prints the plot of a curve, and a summary.
pub(super) fn print(
    name: &SeriesName,
    curve: &Curve,
    (since, until): (Timestamp, Timestamp),
    (width, height): (usize, usize),
) {
    let SeriesName { service, member } = name;
    let unit = match curve.unit.as_str() {
        "" => String::new(),
        unit => format!(" in {unit}"),
    };
    println!("{}", table::for_terminal(&format!("{service}.{member}{unit}")));
    let start = since.as_microsecond() as f64 / 1e6;
    let end = until.as_microsecond() as f64 / 1e6;
    let numbers = || curve.minima.iter().chain(&curve.maxima).copied().flatten();
    if numbers().next().is_none() {
        print_texts(curve);
    } else {
        let (low, high) = bounds(numbers());
        let lines = draw(curve, (start, end), (low, high), (width, height));
        for (row, line) in lines.iter().enumerate() {
            let label = match row {
                0 => number(high),
                row if row == height / 2 => number(low + (high - low) / 2.0),
                row if row == height - 1 => number(low),
                _ => String::new(),
            };
            println!("{label:>AXIS$} {line}");
        }
        let (from, to) = (local_time(start), local_time(end));
        let gap = width.saturating_sub(from.len() + to.len());
        println!("{:AXIS$} {from}{}{to}", "", " ".repeat(gap));
    }
    println!("{}", summary(curve));
}

/// The least and the greatest number; a flat line is in the middle of its plot.
fn bounds(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for number in numbers {
        (low, high) = (low.min(number), high.max(number));
    }
    if high - low > 0.0 {
        return (low, high);
    }
    let margin = if low == 0.0 { 1.0 } else { low.abs() / 100.0 };
    (low - margin, high + margin)
}

fn draw(
    curve: &Curve,
    (start, end): (f64, f64),
    (low, high): (f64, f64),
    (width, height): (usize, usize),
) -> Vec<String> {
    let (dots_across, dots_down) = (width * 2, height * 4);
    let mut cells = vec![vec![0_u32; width]; height];
    let across = |time: f64| {
        let share = (time - start) / (end - start).max(f64::MIN_POSITIVE);
        (share * dots_across as f64).clamp(0.0, (dots_across - 1) as f64) as usize
    };
    let down = |number: f64| {
        let share = (high - number) / (high - low);
        (share * (dots_down - 1) as f64).round().clamp(0.0, (dots_down - 1) as f64) as usize
    };
    let mut last: Option<(usize, usize)> = None;
    let rows = curve.times.iter().zip(&curve.minima).zip(&curve.maxima).zip(&curve.means);
    for (((time, minimum), maximum), mean) in rows {
        let (Some(minimum), Some(maximum), Some(mean)) = (minimum, maximum, mean) else {
            last = None;
            continue;
        };
        let column = across(*time);
        let mut mark = |column: usize, top: usize, bottom: usize| {
            for row in top..=bottom {
                cells[row / 4][column / 2] |= DOTS[column % 2][row % 4];
            }
        };
        // The value holds until the next one.
        if let Some((from, row)) = last {
            (from + 1..column).for_each(|column| mark(column, row, row));
        }
        mark(column, down(*maximum), down(*minimum));
        last = Some((column, down(*mean)));
    }
    let letter = |bits: &u32| match bits {
        0 => ' ',
        bits => char::from_u32(0x2800 + bits).unwrap_or(' '),
    };
    cells.iter().map(|row| row.iter().map(letter).collect::<String>()).collect()
}

/// The last changes of a series of texts.
fn print_texts(curve: &Curve) {
    let mut changes: Vec<(f64, String)> = Vec::new();
    for ((time, value), quality) in curve.times.iter().zip(&curve.last).zip(&curve.qualities) {
        let text = match value.as_str() {
            Some(text) => text.to_owned(),
            None if matches!(value, Value::None) => format!("({quality})"),
            None => value.to_string(),
        };
        if changes.last().is_none_or(|(_, last)| *last != text) {
            changes.push((*time, text));
        }
    }
    let surplus = changes.len().saturating_sub(TEXTS);
    for (time, text) in &changes[surplus..] {
        println!("  {}  {}", local_time(*time), table::for_terminal(text));
    }
}

/// One line: the numbers, and what is not good.
fn summary(curve: &Curve) -> String {
    let minimum = curve.minima.iter().copied().flatten().reduce(f64::min);
    let maximum = curve.maxima.iter().copied().flatten().reduce(f64::max);
    let last = curve.last.iter().rev().find(|value| !matches!(value, Value::None));
    let mut parts = Vec::new();
    if let Some((minimum, maximum)) = minimum.zip(maximum) {
        let means: Vec<f64> = curve.means.iter().copied().flatten().collect();
        let mean = means.iter().sum::<f64>() / means.len().max(1) as f64;
        parts.push(format!("min {}", number(minimum)));
        parts.push(format!("mean {}", number(mean)));
        parts.push(format!("max {}", number(maximum)));
    }
    if let Some(last) = last {
        let last = last.as_f64().map_or_else(|| table::for_terminal(&last.to_string()), number);
        parts.push(format!("last {last}"));
    }
    let count = |word: &str| curve.qualities.iter().filter(|quality| *quality == word).count();
    for word in ["stale", "locked", "error", "no data"] {
        match count(word) {
            0 => {}
            count => parts.push(style::level("WARN", &format!("{count} x {word}"))),
        }
    }
    match parts.is_empty() {
        true => "no samples in this time; `ferrolab history` says when there are".to_owned(),
        false => parts.join("   "),
    }
}

/// A number with six significant digits.
fn number(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-3..1e7).contains(&size) {
        return format!("{number:.4e}");
    }
    let digits = if size < 1.0 { 5 } else { 5 - (size.log10().floor() as usize).min(5) };
    let text = format!("{number:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A time of this host's zone, to the second.
pub(super) fn local_time(seconds: f64) -> String {
    let time = Timestamp::from_microsecond((seconds * 1e6).round() as i64);
    let zoned = time.map(|time| time.to_zoned(TimeZone::system()));
    zoned.map_or_else(|_| "-".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(rows: &[(f64, Option<f64>)]) -> Curve {
        let numbers: Vec<_> = rows.iter().map(|(_, number)| *number).collect();
        Curve {
            times: rows.iter().map(|(time, _)| *time).collect(),
            minima: numbers.clone(),
            maxima: numbers.clone(),
            means: numbers,
            ..Curve::default()
        }
    }

    #[test]
    fn a_line_goes_up_and_a_gap_is_empty() {
        let rows = [(0.0, Some(0.0)), (2.0, Some(1.0)), (4.0, None), (6.0, Some(3.0))];
        let lines = draw(&curve(&rows), (0.0, 8.0), (0.0, 3.0), (4, 1));
        assert_eq!(lines, ["⣀⠄ ⠁"]);
        let flat =
            draw(&curve(&[(0.0, Some(1.0)), (7.0, Some(1.0))]), (0.0, 8.0), (0.0, 2.0), (4, 1));
        assert_eq!(flat, ["⠤⠤⠤⠤"]);
    }

    #[test]
    fn numbers_have_the_digits_that_matter() {
        for (value, text) in [
            (0.0, "0"),
            (20.0, "20"),
            (20.123_456, "20.1235"),
            (-0.001_234_5, "-0.00123"),
            (1_234_567.0, "1234567"),
            (1e9, "1.0000e9"),
            (2.5e-7, "2.5000e-7"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(bounds([2.0, 2.0].into_iter()), (1.98, 2.02));
        assert_eq!(bounds([0.0].into_iter()), (-1.0, 1.0));
    }
}
