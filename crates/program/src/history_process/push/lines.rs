//! InfluxDB's line protocol: one line for each sample.
//!
//! ```text
//! ferrolab,host=HOST,member=MEMBER,service=SERVICE,unit=UNIT value=1.5 NANOSECONDS
//! ```
//!
//! Numbers and booleans (as 0 and 1) are the field `value`, always a float: databases refuse a
//! field whose type changes. Texts are the field `text`. A sample without a good value has no line:
//! a gap stays a gap.

use history::{Quality, Reading, Sample};

/// The name of the measurement.
const MEASUREMENT: &str = "ferrolab";

/// The names of a series, escaped.
#[derive(Clone, Debug)]
pub(super) struct LineStart(String);

impl LineStart {
    pub(super) fn new(host: &str, service: &str, member: &str, unit: &str) -> Self {
        let mut start = MEASUREMENT.to_owned();
        // Sorted, as databases like them best; none may be empty.
        for (key, value) in
            [("host", host), ("member", member), ("service", service), ("unit", unit)]
        {
            if !value.is_empty() {
                start.push_str(&format!(",{key}="));
                escape(&mut start, value, &[',', '=', ' ', '\\']);
            }
        }
        LineStart(start)
    }

    /// Adds the line of a sample; nothing without a good value.
    pub(super) fn add(&self, sample: &Sample, lines: &mut String) -> bool {
        if sample.quality != Quality::Good {
            return false;
        }
        let field = match &sample.reading {
            Reading::Nothing => return false,
            Reading::Text(text) => {
                let mut field = "text=\"".to_owned();
                escape(&mut field, text, &['"', '\\']);
                field.push('"');
                field
            }
            reading => match reading.number() {
                Some(number) => format!("value={number}"),
                None => return false,
            },
        };
        let nanoseconds = i128::from(sample.time) * 1000;
        lines.push_str(&format!("{} {field} {nanoseconds}\n", self.0));
        true
    }
}

/// Adds a text with a backslash before each of these characters. A line has no control characters.
fn escape(line: &mut String, text: &str, special: &[char]) {
    for letter in text.chars() {
        if special.contains(&letter) {
            line.push('\\');
        }
        line.push(if letter.is_control() { ' ' } else { letter });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_value_has_its_line() {
        let start = LineStart::new("lab pc", "lab.a=b", "pos.x", "");
        let names = "ferrolab,host=lab\\ pc,member=pos.x,service=lab.a\\=b";
        for (reading, quality, expected) in [
            (Reading::Float(1.5), Quality::Good, "value=1.5"),
            (Reading::Float(1e300), Quality::Good, &format!("value={}", 1e300)),
            (Reading::Int(-3), Quality::Good, "value=-3"),
            (Reading::Bool(true), Quality::Good, "value=1"),
            (Reading::Text("a \"b\"\n\\".into()), Quality::Good, "text=\"a \\\"b\\\" \\\\\""),
            (Reading::Float(f64::NAN), Quality::Good, ""),
            (Reading::Float(1.5), Quality::Stale, ""),
            (Reading::Nothing, Quality::NoData, ""),
        ] {
            let mut lines = String::new();
            start.add(&Sample { time: 1_780_000_000_123_456, reading, quality }, &mut lines);
            let expected = match expected {
                "" => String::new(),
                field => format!("{names} {field} 1780000000123456000\n"),
            };
            assert_eq!(lines, expected);
        }
    }
}
