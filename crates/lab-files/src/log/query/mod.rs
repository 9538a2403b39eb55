//! Reading the log back: which lines, from which files, in order.
//!
//! Owns the filters and the order of the rotated files. Refuses to know how a line is shown, and
//! who writes it. A log may be large: nothing here holds more of it than a line.

mod snapshot;
mod tail;

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

pub use snapshot::{Place, Snapshot, files};
pub use tail::Tail;

/// A longer line is not one of ours; it is read in parts of this length.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// How bad a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Each step, for who mends Ferrolab.
    Trace,
    /// Decisions that matter to nobody while all is well.
    Debug,
    /// Events of a lab that runs well.
    Info,
    /// Something that should not be so.
    Warn,
    /// Something that does not work.
    Error,
}

/// Which lines are wanted; an empty filter wants all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Lines of any of these entries: `daemon bench`, or `bench` alone.
    pub entries: Vec<String>,
    /// Lines about any of these services.
    pub services: Vec<String>,
    /// Lines that are at least so bad.
    pub level: Option<Level>,
    /// Lines from then on.
    pub since: Option<Timestamp>,
    /// Lines up to then.
    pub until: Option<Timestamp>,
    /// Lines in which this is found, in the message or any other field.
    pub text: Option<Regex>,
}

/// A line of the log.
#[derive(Clone, Debug)]
pub struct Line {
    /// As it is in the file.
    pub raw: String,
    /// The parsed line. One that a full disk or a power cut has torn is a message.
    pub record: Value,
}

impl Level {
    /// All of them, from the mildest.
    pub const ALL: [(&'static str, Level); 5] = [
        ("trace", Level::Trace),
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("warn", Level::Warn),
        ("error", Level::Error),
    ];

    /// The level of that name, in letters of any case.
    pub fn from_name(name: &str) -> Option<Level> {
        Level::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, l)| *l)
    }
}

impl Line {
    /// Reads a line of the file, with its end or without.
    fn from_bytes(bytes: &[u8]) -> Line {
        let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
        let text = bytes.get(..end.map_or(0, |end| end + 1)).unwrap_or_default();
        Line::parse(String::from_utf8_lossy(text).into_owned())
    }

    fn parse(raw: String) -> Line {
        let record = match serde_json::from_str::<Value>(&raw) {
            Ok(record @ Value::Object(_)) => record,
            _ => serde_json::json!({ "level": "WARN", "message": raw }),
        };
        Line { raw, record }
    }

    /// A field that is text.
    pub fn text(&self, key: &str) -> &str {
        self.record.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// The record with its time as `t`, in Unix seconds, too.
    pub fn with_unix_time(self) -> Value {
        let time = self.time().map(|time| time.as_millisecond() as f64 / 1000.0);
        let mut record = self.record;
        if let Value::Object(fields) = &mut record {
            fields.insert("t".to_owned(), time.into());
        }
        record
    }

    fn time(&self) -> Option<Timestamp> {
        self.text("timestamp").parse().ok()
    }
}

impl Filter {
    /// Whether a line is wanted.
    pub fn wants(&self, line: &Line) -> bool {
        let entry = line.text("entry");
        let name = entry.split_once(' ').map_or(entry, |(_, name)| name);
        let among = |names: &[String], found: &[&str]| {
            names.is_empty() || names.iter().any(|name| found.contains(&name.as_str()))
        };
        among(&self.entries, &[entry, name])
            && among(&self.services, &[line.text("service")])
            && self.level.is_none_or(|least| {
                Level::from_name(line.text("level")).is_none_or(|level| level >= least)
            })
            // A line without a time is as old as its neighbours; better too many than too few.
            && self.since.is_none_or(|since| line.time().is_none_or(|time| time >= since))
            && self.until.is_none_or(|until| line.time().is_none_or(|time| time <= until))
            && self.text.as_ref().is_none_or(|text| text.is_match(&line.raw))
    }
}

/// A time as people write it: `10m`, `2h`, `3d` ago, a date, or a date and a time (of this
/// host's zone, unless it names another).
pub fn moment(text: &str, now: &jiff::Zoned) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Ok(time) = text.parse::<jiff::civil::DateTime>() {
        return Some(time.to_zoned(now.time_zone().clone()).ok()?.timestamp());
    }
    if let Ok(time) = text.parse::<jiff::civil::Time>() {
        return Some(now.with().time(time).build().ok()?.timestamp());
    }
    let (unit, seconds) = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)]
        .into_iter()
        .find(|(unit, _)| text.ends_with(*unit))?;
    let count: f64 = text.strip_suffix(unit)?.trim().parse().ok().filter(|count| *count >= 0.0)?;
    let ago = jiff::SignedDuration::try_from_secs_f64(count * f64::from(seconds)).ok()?;
    now.timestamp().checked_sub(ago).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line::parse(text.to_owned())
    }

    #[test]
    fn each_filter_alone() {
        let warned = line(
            r#"{"entry":"daemon bench","service":"lab.laser","level":"WARN",
            "timestamp":"2026-05-01T10:00:00Z","message":"Door is open"}"#,
        );
        let at = |text: &str| text.parse::<Timestamp>().ok();
        let all = Filter::default();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let cases = [
            (Filter { entries: names(&["bench"]), ..all.clone() }, true),
            (Filter { entries: names(&["x", "daemon bench"]), ..all.clone() }, true),
            (Filter { entries: names(&["daemon"]), ..all.clone() }, false),
            (Filter { services: names(&["lab.laser"]), ..all.clone() }, true),
            (Filter { services: names(&["lab"]), ..all.clone() }, false),
            (Filter { level: Some(Level::Warn), ..all.clone() }, true),
            (Filter { level: Some(Level::Error), ..all.clone() }, false),
            (Filter { since: at("2026-05-01T10:00:00Z"), ..all.clone() }, true),
            (Filter { since: at("2026-05-01T10:00:01Z"), ..all.clone() }, false),
            (Filter { until: at("2026-05-01T09:59:59Z"), ..all.clone() }, false),
            (Filter { text: Regex::new("(?i)door").ok(), ..all.clone() }, true),
            (Filter { text: Regex::new("window").ok(), ..all.clone() }, false),
            (all, true),
        ];
        for (filter, wanted) in cases {
            assert_eq!(filter.wants(&warned), wanted, "{filter:?}");
        }
    }

    #[test]
    fn a_torn_line_is_a_message() {
        let torn = line("{\"entry\":\"daemon b");
        assert_eq!(torn.text("message"), "{\"entry\":\"daemon b");
        assert!(Filter { level: Some(Level::Warn), ..Filter::default() }.wants(&torn));
    }

    #[test]
    fn moments() {
        let now: jiff::Zoned = "2026-05-01T12:00:00+02:00[Europe/Berlin]".parse().unwrap();
        let cases = [
            ("10m", "2026-05-01T09:50:00Z"),
            ("1.5h", "2026-05-01T08:30:00Z"),
            ("2d", "2026-04-29T10:00:00Z"),
            ("2026-05-01T10:00:00Z", "2026-05-01T10:00:00Z"),
            ("2026-05-01 11:00", "2026-05-01T09:00:00Z"),
            ("2026-05-01", "2026-04-30T22:00:00Z"),
            ("11:30", "2026-05-01T09:30:00Z"),
        ];
        for (text, expected) in cases {
            let found = moment(text, &now).map(|time| time.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{text}");
        }
        for text in ["", "yesterday", "-5m", "m", "1e400h", "5"] {
            assert_eq!(moment(text, &now), None, "{text}");
        }
    }
}
