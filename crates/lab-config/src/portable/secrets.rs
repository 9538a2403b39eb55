//! Secrets where no key of ours says that there is one: in a driver's parameters, in variables, in
//! the user and the password of an address.

/// Parts of names of parameters and variables that hold secrets, in small letters.
const SECRET_WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "credential",
    "apikey",
    "api_key",
    "private_key",
    "access_key",
    "authorization",
];
/// Whole names of such.
const SECRET_NAMES: [&str; 3] = ["pass", "pwd", "auth"];

/// Whether what has this name is probably a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase().replace('-', "_");
    let ends = |word: &str| name.strip_suffix(word).is_some_and(|rest| rest.ends_with('_'));
    SECRET_WORDS.iter().any(|word| name.contains(word))
        || SECRET_NAMES.iter().any(|word| name == *word || ends(word))
}

/// A text without users, passwords, queries and fragments in the addresses in it; `None` if it has
/// none of them. A text that is one address may have quotes in it; in others they end an address.
pub(super) fn shortened(text: &str) -> Option<String> {
    let is_address = text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    });
    let is_whole = is_address && !text.contains(char::is_whitespace);
    let is_end = move |letter: char| !is_whole && is_end_of_address(letter);
    let short = without_user(text, is_end);
    without_queries(short.as_deref().unwrap_or(text), is_end).or(short)
}

/// A text without users and passwords in the addresses in it; `None` if it has none.
///
/// A password may have been written as it is, with a `/`: what looks like a host and a port ends at
/// the last `@` then. An address that has one in its path loses more than it should.
fn without_user(text: &str, is_end: impl Fn(char) -> bool) -> Option<String> {
    let mut rest = text;
    let mut kept = String::new();
    let mut is_changed = false;
    while let Some((before, after)) = rest.split_once("://") {
        kept.push_str(before);
        kept.push_str("://");
        let word = after.split(&is_end).next().unwrap_or_default();
        let host = word.split(['/', '?', '#']).next().unwrap_or_default();
        let is_cut = !host.contains('@') && host.contains(':') && !host.starts_with('[');
        let end = host.rfind('@').or_else(|| word.rfind('@').filter(|_| is_cut));
        is_changed |= end.is_some();
        rest = end.and_then(|end| after.get(end + 1..)).unwrap_or(after);
    }
    kept.push_str(rest);
    is_changed.then_some(kept)
}

/// A text without the queries and the fragments of the addresses in it; `None` if it has none.
fn without_queries(text: &str, is_end: impl Fn(char) -> bool) -> Option<String> {
    let mut kept = String::new();
    for piece in text.split_inclusive(&is_end) {
        let word = piece.strip_suffix(&is_end).unwrap_or(piece);
        let address = word.split_once("://").map_or("", |(_, address)| address);
        let cut: usize = address.find(['?', '#']).map_or(0, |end| address.len() - end);
        kept.push_str(word.get(..word.len() - cut).unwrap_or_default());
        kept.push_str(piece.get(word.len()..).unwrap_or_default());
    }
    (kept.len() < text.len()).then_some(kept)
}

fn is_end_of_address(letter: char) -> bool {
    letter.is_whitespace() || "\"'".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in
            ["password", "API-Key", "db_passwd", "LAB_TOKEN", "clientSecret", "pwd", "my_pass"]
        {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["port", "key", "pin", "bypass", "compass", "address", "author"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn addresses_lose_their_users_and_queries() {
        for (text, expected) in [
            ("http://ada:pw@h:1/x?u=a", Some("http://h:1/x")),
            ("http://ada:p/w@h:1/x", Some("http://h:1/x")),
            ("http://ada:p?w#@h", Some("http://h")),
            ("http://ada:1/2@3@h/y b", Some("http://h/y b")),
            ("http://[::1]/x@y", None),
            ("http://h:1/x", None),
            ("http://h/w?u=a&p=b", Some("http://h/w")),
            ("what? 'http://h/w#u' or ftp://u@h/?p=b!", Some("what? 'http://h/w' or ftp://h/")),
            ("http://proxy/http://ada:pw@h/x", Some("http://proxy/http://h/x")),
            ("is it h/w?u=a", None),
            ("mqtt://ada@h", Some("mqtt://h")),
            ("a http://h/@x b ftp://u:p@w@h/y", Some("a http://h/@x b ftp://h/y")),
            ("ada@h", None),
            ("http://h/x@y", None),
            ("http://h/write?db=o'lab&p=SECRET", Some("http://h/write")),
            ("http://ada:o'SECRET@h/x", Some("http://h/x")),
        ] {
            assert_eq!(shortened(text).as_deref(), expected, "{text}");
        }
    }
}
