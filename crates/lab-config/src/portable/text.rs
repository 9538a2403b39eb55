//! The text of a portable configuration, and what its reader is to know.

use super::yaml;
use crate::model::Portable;

/// A configuration for another host, and what its reader is to know.
#[derive(Clone, Debug, Default)]
pub struct PortableText {
    /// The YAML text, without the section `portable`.
    pub body: String,
    /// Keys whose secret values are not in the text.
    pub left_out: Vec<String>,
    /// Keys of addresses that have lost a user, a password or a query.
    pub shortened: Vec<String>,
    /// Keys with paths outside the lab's folder, as they are written now.
    pub outside: Vec<(String, String)>,
    /// Keys with values that belong to this host.
    pub of_host: Vec<(String, String)>,
}

impl PortableText {
    /// The whole text, with what it says about itself at the end.
    pub fn with_section(&self, portable: &Portable) -> String {
        let list = |items: &[String]| {
            let items: Vec<String> = items.iter().map(|item| yaml::quoted(item)).collect();
            format!("[{}]", items.join(", "))
        };
        // A map without keys is written as one line, which no other follows.
        let mut text = if self.body == "{}\n" { String::new() } else { self.body.clone() };
        text.push_str("portable:\n");
        let mut line = |indent: &str, key: &str, value: &str| {
            text.push_str(format!("{indent}{key}: {value}").trim_end());
            text.push('\n');
        };
        let Portable { host, folder, release, left_out, shortened, packages } = portable;
        for (key, value) in [("host", host), ("folder", folder), ("release", release)] {
            if let Some(value) = value {
                line("  ", key, &yaml::quoted(value));
            }
        }
        line("  ", "left_out", &list(left_out));
        line("  ", "shortened", &list(shortened));
        if packages.is_empty() {
            line("  ", "packages", "[]");
            return text;
        }
        line("  ", "packages", "");
        for packages in packages {
            line("    - ", "services", &list(&packages.services));
            for (key, value) in [("python", &packages.python), ("version", &packages.version)] {
                if let Some(value) = value {
                    line("      ", key, &yaml::quoted(value));
                }
            }
            line("      ", "needs", &list(&packages.needs));
        }
        text
    }
}

/// The path of a key below another one.
pub(super) fn below(path: &str, key: &str) -> String {
    match path.is_empty() || key.starts_with('[') {
        true => format!("{path}{key}"),
        false => format!("{path}.{key}"),
    }
}
