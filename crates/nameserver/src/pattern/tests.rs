//! Tests of patterns and the names that they match. `tests/test_nameserver_regex.py` asks Python
//! itself about many more.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use super::*;

fn matches(pattern: &str, name: &str) -> bool {
    let pattern = Pattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    assert!(!pattern.matches(name) || name.starts_with(pattern.prefix()));
    pattern.matches(name)
}

#[test]
fn patterns_match_as_pythons() {
    // A pattern, what Python's re.match finds, what it does not.
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("lab", &["lab", "laboratory"], &["a.lab", "Lab"]),
        ("x|lab", &["lab", "x"], &["ab"]),
        (r"a$", &["a", "a\n"], &["ab", "a\n\n"]),
        (r"a\Z", &["a"], &["a\n", "ab"]),
        (r"a{2}$", &["aa"], &["a", "aaa"]),
        (r"a{,2}$", &["", "a", "aa"], &["aaa"]),
        (r"a{1,}b", &["ab", "aab"], &["b"]),
        (r"a{x}", &["a{x}"], &["a"]),
        (r"{a}", &["{a}"], &["a"]),
        (r"a}", &["a}"], &["a"]),
        (r"[[a]+$", &["[a[", "a"], &["b"]),
        (r"[a&&b]+$", &["a&b"], &["c"]),
        (r"[]a]+$", &["]a"], &["b"]),
        (r"[^]]", &["a"], &["]"]),
        (r"[a\]]+$", &["a]"], &["b"]),
        (r"\<a\>", &["<a>"], &["a"]),
        (r"\d+\.\w", &["12.é"], &["a.b"]),
        (r"(?i)LAB", &["lab"], &["x"]),
        (r"(?x) l a b  # the lab", &["lab"], &["l a b"]),
        (r"a\#b", &["a#b"], &["ab"]),
        (r"(?P<n>a)b", &["ab"], &["a"]),
        (r".*b", &["ab", "b", "xb\n"], &["a", "a\nb"]),
        (r"(?s).*b", &["a\nb"], &["a"]),
        (r".*^b", &["b"], &["ab"]),
        ("", &["", "anything"], &[]),
        (r"(?m)a$", &["a\nb", "a"], &["ab"]),
        (r"(?s)a.b", &["a\nb"], &["ab"]),
        (r"a.b", &["axb"], &["a\nb"]),
        (r"(?a)\w+$", &["abc"], &["é"]),
        (r"(?ai)[k-l]", &["K", "l"], &["\u{212a}"]),
        (r"(?i)k", &["K", "\u{212a}"], &["l"]),
        (r"(?i)i", &["I", "ı", "İ"], &["l"]),
        (r"a(?i:b)c", &["aBc"], &["aBC"]),
        (r"(?i)a(?-i:b)", &["Ab"], &["AB"]),
        (r"a(?#a comment)*b", &["aaab", "b"], &["c"]),
        (r"\0|\x41|\u0042|\U00000043|\104|[\105]", &["\0", "A", "B", "C", "D", "E"], &["F"]),
        (r"\s", &["\u{1c}", "\u{a0}"], &["a"]),
        (r"\w", &["²", "_", "字"], &["-", "\u{301}"]),
        (r"a\b.", &["a-"], &["ab"]),
        (r"[a\-z]+$", &["a-z"], &["b"]),
        (r"[\w-]+$", &["a-b"], &["."]),
        (r"a{,}$", &["", "aaa"], &["b"]),
        (r"x*?y+?z??", &["xxy"], &["z"]),
        (r"[^\W\d]+$", &["ab_"], &["a1"]),
    ];
    for (pattern, matching, others) in cases {
        for name in *matching {
            assert!(matches(pattern, name), "{pattern} does not match {name:?}");
        }
        for name in *others {
            assert!(!matches(pattern, name), "{pattern} matches {name:?}");
        }
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    let deep = format!("{}a{}", "(".repeat(500), ")".repeat(500));
    let cases = [
        ("(", "unclosed group"),
        ("a)|(b", "unbalanced"),
        ("*", "nothing to repeat at position 0"),
        ("^*", "nothing to repeat"),
        ("z**", "multiple repeat"),
        ("a{2}{3}", "multiple repeat"),
        ("a{3,2}", "the start must be <= the end"),
        ("a{5000000000}", "decimal literal invalid"),
        ("[a", "unterminated character set"),
        ("[z-a]", "bad character range"),
        (r"[\d-z]", "bad character range"),
        (r"\pL", "bad escape \\p"),
        (r"\", "bad escape"),
        (r"\xz", "incomplete escape"),
        (r"\777", "octal"),
        (r"[\8]", "bad escape"),
        ("(?<n>a)", "bad flags '?<n>a'"),
        ("(?P<n>a)(?P<n>b)", "duplicate capture group name"),
        ("(?P<1>a)", "bad character in group name"),
        ("a(?i)b", "global flags not at the start"),
        ("(?au)b", "bad flags '?au'"),
        ("(?i-i:b)", "bad flags '?i-i'"),
        ("(?q)b", "bad flags '?q'"),
        ("(?iq)b", "bad flags '?iq'"),
        ("(?#", "unterminated comment"),
        ("(?", "unknown extension"),
        ("(?=a)", "`(?=` is not supported"),
        ("(?<!a)", "`(?<!` is not supported"),
        ("(?>a)", "`(?>` is not supported"),
        ("a++", "is not supported"),
        (r"(?P<x>a)(?P=x)", "`(?P=` is not supported"),
        (r"(a)\1", "back-references"),
        (r"\N{EM DASH}", "write the character itself"),
        ("((a{500}){500}){500}", "size limit"),
        // Each letter of each name would take its time.
        (r"L\d*(?:(?:a?b?){70}){70}q", "size limit of 512 KiB"),
        (&deep, "deep"),
    ];
    for (pattern, expected) in cases {
        let error = Pattern::new(pattern).expect_err(pattern);
        assert_eq!(error.class, "Pyro5.errors.NamingError", "{pattern}");
        let message = error.message();
        assert!(
            message.starts_with("invalid regex: ") && message.contains(expected),
            "{pattern}: {message}"
        );
    }
    assert!(Pattern::new(&"a".repeat(5000)).is_err());
}

#[test]
fn what_all_matches_begin_with_is_known() {
    let cases = [
        (r"lab\.room007\.x..", "lab.room007.x"),
        (r"^lab", "lab"),
        (r"lab\.(one|other)", "lab."),
        (r"laba*", "lab"),
        (r"é|è", ""),
        (r"(?i)lab", ""),
        (r".*lab", ""),
        ("", ""),
    ];
    for (pattern, expected) in cases {
        assert_eq!(Pattern::new(pattern).unwrap().prefix(), expected, "{pattern}");
    }
}

#[test]
fn what_people_write_is_not_too_large() {
    for pattern in [r"\w+\.\w+\.\w+\.\w+$", r"\w{1,10}", r"(?i)lab\.\w+", r"[^.]+\.camera\d{1,4}"] {
        assert!(Pattern::new(pattern).is_ok(), "{pattern}");
    }
}
