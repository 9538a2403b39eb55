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

/// A text without users and passwords in the addresses in it; `None` if it has none.
pub(super) fn without_user(text: &str) -> Option<String> {
    let mut rest = text;
    let mut kept = String::new();
    let mut is_changed = false;
    while let Some((before, after)) = rest.split_once("://") {
        kept.push_str(before);
        kept.push_str("://");
        let is_end = |c: char| c.is_whitespace() || "/?#\"'".contains(c);
        let end = after.find(is_end).unwrap_or(after.len());
        let (host, behind) = after.split_at(end);
        kept.push_str(match host.rsplit_once('@') {
            Some((_, host)) => {
                is_changed = true;
                host
            }
            None => host,
        });
        rest = behind;
    }
    kept.push_str(rest);
    is_changed.then_some(kept)
}

/// An address without its query and fragment; `None` if it has none.
pub(super) fn without_query(text: &str) -> Option<String> {
    text.find(['?', '#']).and_then(|end| text.get(..end)).map(str::to_owned)
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
    fn addresses_lose_their_users() {
        for (text, expected) in [
            ("http://ada:pw@h:1/x?u=a", Some("http://h:1/x?u=a")),
            ("mqtt://ada@h", Some("mqtt://h")),
            ("a http://h/@x b ftp://u:p@w@h/y", Some("a http://h/@x b ftp://h/y")),
            ("ada@h", None),
            ("http://h/x@y", None),
        ] {
            assert_eq!(without_user(text).as_deref(), expected, "{text}");
        }
        assert_eq!(without_query("http://h/w?u=a&p=b").as_deref(), Some("http://h/w"));
        assert_eq!(without_query("http://h/w"), None);
    }
}
