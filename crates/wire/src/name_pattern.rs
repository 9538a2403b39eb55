//! Patterns of names, in which `*` stands for any text.

/// A pattern, split at its stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    first: String,
    /// The texts after each star, the last one apart; `None` for a pattern without a star.
    rest: Option<(Vec<String>, String)>,
}

impl NamePattern {
    /// The pattern of a text.
    pub fn new(text: &str) -> Self {
        let mut parts = text.split('*').map(str::to_owned);
        let first = parts.next().unwrap_or_default();
        let mut rest: Vec<String> = parts.collect();
        let last = rest.pop();
        NamePattern { first, rest: last.map(|last| (rest, last)) }
    }

    /// Whether it matches all of a name. Linear: each text between stars is taken where it comes
    /// first.
    pub fn matches(&self, name: &str) -> bool {
        let Some((between, last)) = &self.rest else { return name == self.first };
        let Some(mut left) = name.strip_prefix(self.first.as_str()) else { return false };
        for part in between {
            let Some(at) = left.find(part.as_str()) else { return false };
            left = left.get(at + part.len()..).unwrap_or_default();
        }
        left.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "lab.laser", true),
            ("lab.laser", "lab.laser", true),
            ("lab.laser", "lab.laser2", false),
            ("lab.laser*", "lab.laser", true),
            ("lab.laser*", "lab.laser2", true),
            ("*.laser", "lab.laser", true),
            ("*.laser", "laser", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "axbxc", true),
            ("a*b*c", "acb", false),
            ("*b*b", "b", false),
            ("*ab", "aab", true),
            ("a**b", "ab", true),
            ("", "", true),
            ("", "a", false),
            ("é*", "éa", true),
        ] {
            assert_eq!(NamePattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }
}
