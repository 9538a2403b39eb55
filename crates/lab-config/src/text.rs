//! Syntax rules of single texts: hosts, modules, Python names, paths, sockets.
//!
//! Owns the rules and the error messages for breaking them. Must not know keys.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::schema::Rule;

/// How a text breaks its rule.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Description of the fault.
    pub message: &'static str,
    /// The text to write instead, where that depends on the given one.
    pub help: Option<String>,
}

/// Bytes of the longest socket path that fits `sun_path` on every system.
const SOCKET_BYTES: usize = 103;

/// Bytes of the longest tag.
const TAG_BYTES: usize = 64;

impl Rule {
    /// Description of such a text, for "expected …".
    pub(crate) fn what(self) -> &'static str {
        match self {
            Rule::Any | Rule::Secret => "a text",
            Rule::Host => "a host name or an address",
            Rule::Module => "a Python module",
            Rule::Identifier => "a name in Python",
            Rule::Member => "a name in Python, or several with dots between them",
            Rule::Path => "a path",
            Rule::Socket => "a path for a Unix socket",
            Rule::Tag => "a tag",
            Rule::Package => "a package, such as `pyserial==3.5`",
        }
    }
}

/// Whether a text follows a rule.
pub(crate) fn check(rule: Rule, text: &str) -> Result<(), Fault> {
    let fault = |message| Err(Fault { message, help: None });
    match rule {
        Rule::Any | Rule::Secret => Ok(()),
        _ if text.is_empty() => fault("it is empty"),
        _ if text.contains('\0') => fault("it has a zero byte in it"),
        Rule::Path => Ok(()),
        Rule::Host => host(text),
        Rule::Module => module(text),
        Rule::Identifier if is_identifier(text) => Ok(()),
        Rule::Identifier => fault("such a name has letters, digits and `_` only"),
        Rule::Member if text.split('.').all(is_member) => Ok(()),
        Rule::Member => fault("such a name has letters, digits and `_` only, and dots inside"),
        Rule::Socket if text.contains(':') || text.contains(char::is_whitespace) => {
            fault("in a URI it can have no `:` and no spaces")
        }
        Rule::Socket if text.len() > SOCKET_BYTES => fault("it is longer than 103 bytes"),
        Rule::Socket => Ok(()),
        Rule::Tag if text.contains(|c: char| c == ',' || c.is_whitespace() || c.is_control()) => {
            fault("a tag is one word, without spaces and commas")
        }
        Rule::Tag if text.len() > TAG_BYTES => fault("it is longer than 64 bytes"),
        Rule::Tag => Ok(()),
        Rule::Package if is_package(text) => Ok(()),
        Rule::Package => fault("it is no name with a version"),
    }
}

/// Whether a text is the address of a web server: `http://HOST/PATH`.
pub(crate) fn is_web_address(text: &str) -> bool {
    let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    let is_plain = text.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
    host.is_some_and(|host| !host.is_empty()) && is_plain
}

fn host(text: &str) -> Result<(), Fault> {
    let fault = |message, help| Err(Fault { message, help });
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.split('%').next().unwrap_or(bare);
    if address.parse::<Ipv6Addr>().is_ok() {
        return Ok(());
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && !port.is_empty()
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && host(name).is_ok()
    {
        let help = format!("write `{name}` here and {port} under the key of the port");
        return fault("the port does not belong to it", Some(help));
    }
    let usable = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !text.chars().all(usable) {
        return fault("it has characters in it that no host name has", None);
    }
    // A name may end with a dot: it is complete then.
    let labels: Vec<&str> = text.strip_suffix('.').unwrap_or(text).split('.').collect();
    if labels.iter().any(|label| label.is_empty() || label.starts_with('-') || label.ends_with('-'))
    {
        return fault("no part of a host name is empty, or begins or ends with `-`", None);
    }
    let is_number = |label: &&str| label.bytes().all(|byte| byte.is_ascii_digit());
    // A single number is PyroLab's business, and the resolver's.
    if labels.len() > 1 && labels.iter().all(is_number) && text.parse::<Ipv4Addr>().is_err() {
        return fault("an IPv4 address has four numbers from 0 to 255", None);
    }
    Ok(())
}

fn module(text: &str) -> Result<(), Fault> {
    let fault = |message, help| Err(Fault { message, help });
    if text.split('.').all(is_identifier) && !text.ends_with(".py") {
        return Ok(());
    }
    let path = text.strip_suffix(".py").unwrap_or(text);
    let dotted = path.trim_matches(['.', '/']).replace(['/', '\\'], ".");
    let help = match dotted.split('.').all(is_identifier) {
        true => Some(format!("write `{dotted}`, and its directory under `python: {{path: […]}}`")),
        false => None,
    };
    fault("it is named by words with dots between them, not by a file", help)
}

/// Whether a text is a name of a package alone, or with `==` and a version. It may be pasted into a
/// shell.
fn is_package(text: &str) -> bool {
    const MAX_PACKAGE_BYTES: usize = 200;
    let (name, version) = text.split_once("==").unwrap_or((text, "0"));
    let is_word = |word: &str, also: &str| {
        word.starts_with(|c: char| c.is_ascii_alphanumeric())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
    };
    text.len() <= MAX_PACKAGE_BYTES && is_word(name, "._-") && is_word(version, "._-+!")
}

fn is_member(text: &str) -> bool {
    is_identifier(text) || !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_follow_their_rules_or_not() {
        let long = "/".repeat(104);
        let cases = [
            (
                Rule::Host,
                "localhost public 0.0.0.0 ::1 [::1] fe80::1%eth0 lab-1.example.edu a_b 5 lab1.x. 1a.2",
                true,
            ),
            (Rule::Host, "-rf 999.1.1.1 1.2.3 1.2.3.4.5 a..b .a a.-b b-.c -", false),
            (Rule::Host, "a/b a@b http://x a:9090 ::1::2 [a] a:b", false),
            (Rule::Module, "pyrolab.drivers.sample m _x.y2 módulo", true),
            (Rule::Module, "a.py a/b .a a. a..b 2a a-b", false),
            (Rule::Identifier, "Laser _x x2", true),
            (Rule::Identifier, "a.b 2a a-b a()", false),
            (Rule::Member, "ch_1 A.temperature axes.0 all.x", true),
            (Rule::Member, "a..b .a a. a-b a[0] 2a", false),
            (Rule::Socket, "/run/x.sock x", true),
            (Rule::Socket, "/run/x:y", false),
            (Rule::Socket, &long, false),
            (Rule::Tag, "optics room-2 2.OG Größe a/b", true),
            (Rule::Tag, "a,b a\u{1b}b", false),
            (Rule::Tag, &long, false),
            (Rule::Package, "pyserial==3.5 numpy a.b_c-d==1!2.0+cu118", true),
            (Rule::Package, "--index-url=x a==$(id) a>=1 a==1;id a==1==2 ==1 a== `id`", false),
        ];
        for (rule, texts, right) in cases {
            for text in texts.split(' ') {
                assert_eq!(check(rule, text).is_ok(), right, "{rule:?} {text}");
            }
        }
        for rule in
            [Rule::Host, Rule::Module, Rule::Identifier, Rule::Path, Rule::Socket, Rule::Tag]
        {
            assert!(check(rule, "").is_err());
        }
    }
}
