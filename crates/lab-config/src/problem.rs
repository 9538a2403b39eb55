//! Report of a configuration file's problems: each with its position and a help text.
//!
//! Owns the three forms of a report: snippets for a terminal (miette), plain lines for a log and
//! JSON for a script. Must not know the schema.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, SourceCode};
use serde::Serialize;
use serde_json::json;

use super::config_text::{ConfigText, Place};

/// Number of problems that one report shows; further ones are only counted.
const MAX_PROBLEMS: usize = 100;

/// An error in the file, or a setting without the effect that it seems to have.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The keys that lead there: `daemons.bench.port`; empty for the whole file.
    pub path: String,
    /// The mistake and what was expected instead.
    pub message: String,
    /// The text to write instead.
    pub help: Option<String>,
    /// Whether the file is refused for it.
    pub severity: Severity,
    place: Place,
    other: Option<(&'static str, Place)>,
    source: Arc<ConfigText>,
}

/// A problem for which the file is not refused.
pub type Warning = Problem;

/// Whether a problem keeps a file from being loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does.
    Error,
    /// It does not.
    #[default]
    Warning,
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The file could not be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file has problems.
    Invalid(Report),
}

/// All problems of one file, in the order of their positions.
#[derive(Debug)]
pub struct Report {
    /// The file's name.
    pub file: String,
    /// The reasons for which it is refused.
    pub problems: Vec<Problem>,
    /// Oddities for which it is not refused.
    pub warnings: Vec<Warning>,
    /// How many more problems there are.
    pub omitted: usize,
}

/// Collects problems, each place and message once (an alias leads to one place many times).
#[derive(Debug)]
pub(crate) struct Findings {
    source: Arc<ConfigText>,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
    omitted: usize,
    seen: HashSet<(usize, String)>,
}

impl Findings {
    /// None yet.
    pub(crate) fn new(source: Arc<ConfigText>) -> Findings {
        let (problems, warnings) = (Vec::new(), Vec::new());
        Findings { source, problems, warnings, omitted: 0, seen: HashSet::new() }
    }

    /// Adds a problem; an empty `help` means no help.
    pub(crate) fn error(
        &mut self,
        place: Place,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Error, place, None, path, message.into(), help.into());
    }

    /// Adds a problem between two places; the other one has a name ("first") for the message.
    pub(crate) fn error_between(
        &mut self,
        place: Place,
        (name, other): (&'static str, Place),
        path: &str,
        message: &str,
        help: impl Into<String>,
    ) {
        self.between(Severity::Error, place, (name, other), path, message, help);
    }

    /// Adds a problem or a warning between two places.
    pub(crate) fn between(
        &mut self,
        severity: Severity,
        place: Place,
        (name, other): (&'static str, Place),
        path: &str,
        message: &str,
        help: impl Into<String>,
    ) {
        let (line, column) = self.source.position(other.offset);
        let message = format!("{message} (the {name} is at {line}:{column})");
        self.add(severity, place, Some((name, other)), path, message, help.into());
    }

    /// Adds a problem or a warning.
    pub(crate) fn add_as(
        &mut self,
        severity: Severity,
        place: Place,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(severity, place, None, path, message.into(), help.into());
    }

    /// The line of a place, from 1.
    pub(crate) fn line(&self, place: Place) -> usize {
        self.source.position(place.offset).0
    }

    /// Adds a warning.
    pub(crate) fn warn(
        &mut self,
        place: Place,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Warning, place, None, path, message.into(), help.into());
    }

    /// Whether there are problems already, beside warnings.
    pub(crate) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Whether further problems are only counted, so that their help need not be computed.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    /// The warnings, if there are no problems.
    pub(crate) fn finish(mut self) -> Result<Vec<Warning>, ConfigError> {
        if !self.problems.is_empty() {
            return Err(self.fail());
        }
        self.warnings.sort_by_key(|problem| problem.place);
        Ok(self.warnings)
    }

    /// The refusal of the file.
    pub(crate) fn fail(mut self) -> ConfigError {
        self.problems.sort_by_key(|problem| problem.place);
        self.warnings.sort_by_key(|problem| problem.place);
        ConfigError::Invalid(Report {
            file: self.source.name().to_owned(),
            problems: self.problems,
            warnings: self.warnings,
            omitted: self.omitted,
        })
    }

    fn add(
        &mut self,
        severity: Severity,
        place: Place,
        other: Option<(&'static str, Place)>,
        path: &str,
        message: String,
        help: String,
    ) {
        let list = match severity {
            Severity::Error => &mut self.problems,
            Severity::Warning => &mut self.warnings,
        };
        if list.len() >= MAX_PROBLEMS {
            self.omitted += usize::from(severity == Severity::Error);
            return;
        }
        if !self.seen.insert((place.offset, message.clone())) {
            return;
        }
        let (line, column) = self.source.position(place.offset);
        let help = Some(help).filter(|help| !help.is_empty());
        let path = path.to_owned();
        let source = Arc::clone(&self.source);
        list.push(Problem { line, column, path, message, help, severity, place, other, source });
    }
}

impl Problem {
    /// One line for a log: `FILE:LINE:COLUMN: PATH: MESSAGE (HELP)`.
    pub fn plain(&self) -> String {
        let place = format!("{}:{}:{}", self.source.name(), self.line, self.column);
        let mut text = format!("{place}: {}", self.described());
        if let Some(help) = &self.help {
            text.push_str(&format!(" ({help})"));
        }
        text
    }

    /// For scripts.
    pub fn to_json(&self) -> serde_json::Value {
        let other = self.other.map(|(_, place)| {
            let (line, column) = self.source.position(place.offset);
            json!({"line": line, "column": column})
        });
        json!({
            "severity": self.severity, "file": self.source.name(),
            "line": self.line, "column": self.column, "path": self.path,
            "message": self.message, "help": self.help, "other": other,
        })
    }

    fn described(&self) -> String {
        match self.path.as_str() {
            "" => self.message.clone(),
            path => format!("{path}: {}", self.message),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The snippet gives the position; where none can be shown, the text must.
        if !self.source.can_show(self.place.offset) {
            write!(f, "{}:{}:{}: ", self.source.name(), self.line, self.column)?;
        }
        f.write_str(&self.described())
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.can_show(self.place.offset).then_some(&*self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let here = (self.place.offset, self.source.on_one_line(self.place));
        let here = LabeledSpan::new_primary_with_span(None, here);
        let other = self.other.filter(|(_, place)| self.source.can_show(place.offset));
        let other = other.map(|(name, place)| {
            let span = (place.offset, self.source.on_one_line(place));
            LabeledSpan::new_with_span(Some(format!("the {name}")), span)
        });
        Some(Box::new(other.into_iter().chain([here])))
    }
}

impl ConfigError {
    /// Every problem, one a line.
    pub fn plain(&self) -> String {
        let mut text = self.to_string();
        match self {
            ConfigError::Unreadable { source, .. } => text.push_str(&format!(": {source}")),
            ConfigError::Invalid(report) => {
                for problem in report.problems.iter().chain(&report.warnings) {
                    text.push_str(&format!("\n{}", problem.plain()));
                }
            }
        }
        text
    }

    /// For scripts: the message, the file, and the problems.
    pub fn to_json(&self) -> serde_json::Value {
        let list =
            |problems: &[Problem]| -> Vec<_> { problems.iter().map(Problem::to_json).collect() };
        match self {
            ConfigError::Unreadable { path, source } => json!({
                "error": format!("{self}: {source}"), "file": path.display().to_string(),
                "problems": [], "warnings": [], "omitted": 0,
            }),
            ConfigError::Invalid(report) => json!({
                "error": self.to_string(), "file": report.file,
                "problems": list(&report.problems), "warnings": list(&report.warnings),
                "omitted": report.omitted,
            }),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Unreadable { path, .. } => write!(f, "cannot read {}", path.display()),
            ConfigError::Invalid(report) => {
                let total = report.problems.len() + report.omitted;
                let plural = if total == 1 { "" } else { "s" };
                write!(f, "{total} problem{plural} in {}", report.file)?;
                if report.omitted > 0 {
                    write!(f, ", of which the first {}", report.problems.len())?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConfigError::Unreadable { source, .. } => Some(source),
            ConfigError::Invalid(_) => None,
        }
    }
}

impl Diagnostic for ConfigError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        match self {
            ConfigError::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some(Box::new("check the path, or write the file first"))
            }
            _ => None,
        }
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        match self {
            ConfigError::Unreadable { .. } => None,
            ConfigError::Invalid(report) => {
                let all = report.problems.iter().chain(&report.warnings);
                Some(Box::new(all.map(|problem| problem as &dyn Diagnostic)))
            }
        }
    }
}

/// A text for a message: in backquotes, on one line, not too long.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", shortened(text))
}

/// A text on one line, cut to a length that a message can hold.
pub(crate) fn shortened(text: &str) -> String {
    const MAX_CHARACTERS: usize = 60;
    let mut short = String::new();
    for c in text.chars().take(MAX_CHARACTERS) {
        match c.is_control() {
            true => short.extend(c.escape_default()),
            false => short.push(c),
        }
    }
    if text.chars().nth(MAX_CHARACTERS).is_some() {
        short.push('…');
    }
    short
}
