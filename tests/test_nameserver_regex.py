"""Regular expressions find the names that Python's own `re.match` finds."""

import random
import re
import warnings

import Pyro5.errors
import pytest
from harness import free_port, new_lab, proxy

LAB = """\
version: "1.0"
nameservers:
  local: {host: localhost, ns_port: $port}
autolaunch: {nameservers: [local]}
"""
URI = "PYRO:object@localhost:1234"
NAMES = """
a b ab aab abab abc a.b a-b a_b a+b A AB aB Lab.Laser lab.laser lab.scope2 lab.room10.meter
room1 room12 room123 12 3.14 a{2} {} {a} [a] (a) a|b a\\b a/b a^b $a ^a é É straße Ωmega ω µ ² Ⅳ
x1 x² x٣ 字 字1 K \u212a n\u0303 ñ #a a#b ~ && -- a--b \x07 \x1c a\u00a0b Grüße🧪 b(?#)a
""".split() + ["a b", " a", "a ", "a\nb", "a\n", "a\tb", "lab laser", "# a", "a\x00b", "-", "]", "^"]

# The edges of words are Unicode's: there combining marks belong to words, and signs like ² do not.
UNALIKE = {"²", "x²", "n\u0303"}

# Supported features, one by one.
PATTERNS = r"""
a | ab | a|b | a.b | a\.b | .* | .*b$ | ^a | ^ab$ | a\Z | \Aab\Z | a+ | a+?b | a?b | a*b | (ab)+
(?:ab)+$ | a{2} | a{1,2}b | a{,2}b | a{2,}b | a{,} | a{,}b | a{2 | a{x} | a{} | {} | {a} | a{2}b
[ab]+$ | [^ab] | []a] | [^]] | [a\]] | [a-c]+$ | [-a] | [a-] | [--/] | [a&&b] | [a~~b] | [[a] | [\w-]
[\d.]+ | [^\W\d_]+$ | [\b] | [\x61] | [\u00e9] | [\U0001f9ea] | [\0] | [\7] | [\141] | [^\n]*$ | [#]
\w+$ | \W | \d+$ | \D+$ | \s | \S+$ | \w+\s\w+ | \w+\b. | a\b | a\B | \Ba | \b\w | \x61 | \u0061 | \U00000061
\141 | \0 | \07 | \060 | a\x00b | \t | a\tb | a\nb | a\n | a$ | a$|b | \a | \f | \v | \r | \. | \- | \_ | \#
\  | \/ | \é | \< | \> | \" | \@ | (?i)LAB | (?i)É | (?i)STRASSE | (?i)k$ | (?i)Ω | (?i)[a-c]+$
(?i)[^a]+$ | (?a)\w+$ | (?a)\d | (?a)\D | (?a)\s | (?a)\W | (?a)a\b | (?ai)k$ | (?ai)[k-l]$ | (?ia)é | (?u)\w+$
(?s)a.b | (?m)a$ | (?m)^a$ | (?ms)a.^b | (?m).*\n^b | (?x) a b | (?x)a # b | (?x)a\ b | (?x)[a b]+$ | (?x)a +
(?i:A)b | a(?i:B) | (?i)a(?-i:b) | (?s:a.)b | (?m:a$)\nb | (?x: a b ) | (?a:\w+)$ | (?i-s:A) | (?is)A
a(?#comment)b | (?#x)a | a(?#x)* | (?#x)(?i)A | (?P<n>a)b | (?P<n>a)(?P<m>b) | (?P<é>a) | (a|b)*$ | (|a)b | ()a
a|| | | | (a(b(c)?)?)? | ((a)) | x*?y*?z*? | (?:^a)+ | (?:a*)* | (?:a*)+b | (a{2}){1} | a\|b | \(a\) | \[a\]
lab\.\w+ | lab\.(laser|scope\d) | .*\.meter$ | (?i).*LASER | room\d{1,2}$ | room1[0-2]? | [A-Z][a-z]+\.[A-Z]
\$a | \^a | a\^b | \\ | a\\b | \{a\} | a}b | } | ] | a]|b | a\+b | $ | ^ | ^$ | a^b | a$b | (?m)a$\nb | ^^a | a$$
"""
# Patterns that Python refuses.
WRONG = r"""
( | ) | a) | (a | [ | [a | [] | [^] | [^ | [a- | * | + | ? | ^* | a** | z** | a+* | a??? | a{2}{3} | a{3,2} | {2} | |* | (*)
\ | a\ | \pL | \p{L} | \y | \e | \h | \X | \x | \x1 | \u123 | \U0011ffff | \q | [\q] | [\8] | [\x1] | [z-a] | [\d-a] | [a-\d]
\8 | \777 | [\777] | \1 | (?<n>a) | (?P<n | (?P<> | (?P<1>a) | (?P<n>a)(?P<n>b) | (?Px) | (?P | (? | (?) | (?q) | (?q:a)
a(?i)b | (?:(?i)a) | a|(?i)b | (?i | (?i-) | (?-i) | (?-:a) | (?i-i:a) | (?-a:b) | (?au)b | (?L)a | (?iq)a | (?# | \N | \Z* | \b+ | ^{2}
"""
# Features of Python's that no search in linear time has.
BEYOND = [
    "(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "(?>a)", "a++", "a*+", "a?+", "a{2}+", r"(a)\1",
    r"(?P<n>a)(?P=n)", "(a)?(?(1)b|c)", r"\N{LATIN SMALL LETTER A}",
]  # fmt: skip


def listed(text):
    return [pattern for line in text.strip("\n").split("\n") for pattern in line.split(" | ")]


def expected(pattern, names):
    """The names that Python finds; `None` where it refuses the pattern."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compiled = re.compile(pattern)
        except (re.error, ValueError, OverflowError):
            return None
        return {name for name in names if compiled.match(name)}


@pytest.fixture(scope="module")
def nameserver():
    port = free_port()
    with new_lab() as lab:
        lab.config(LAB, port=port)
        lab.up()
        with proxy(f"PYRO:Pyro.NameServer@localhost:{port}") as found:
            for name in NAMES:
                found.register(name, URI)
            yield found


def actual(nameserver, pattern):
    try:
        return set(nameserver.list(regex=pattern)) - {"Pyro.NameServer"}
    except Pyro5.errors.NamingError as error:
        assert str(error).startswith("invalid regex: "), (pattern, error)
        return None


def differences(nameserver, patterns):
    found = {}
    for pattern in filter(None, patterns):
        want, got = expected(pattern, NAMES), actual(nameserver, pattern)
        if want is not None and got is not None and r"\b" in pattern.lower():
            want, got = want - UNALIKE, got - UNALIKE
        if want != got:
            found[pattern] = (want, got)
    return found


def test_what_python_takes_is_taken_and_finds_the_same(nameserver):
    patterns = listed(PATTERNS)
    assert not [p for p in patterns if expected(p, NAMES) is None], "Python takes all of them"
    # `$` takes the new line that it stands before: nothing after it can.
    assert differences(nameserver, patterns) == {}


def test_what_python_refuses_is_refused(nameserver):
    patterns = listed(WRONG)
    assert not [p for p in patterns if expected(p, NAMES) is not None], "Python refuses all of them"
    assert differences(nameserver, patterns) == {}


@pytest.mark.parametrize("pattern", BEYOND)
def test_what_does_not_run_in_linear_time_is_refused_in_words(nameserver, pattern):
    assert expected(pattern, NAMES) is not None
    with pytest.raises(Pyro5.errors.NamingError, match="is not supported"):
        nameserver.list(regex=pattern)


# Pieces of which patterns are put together; some results are not patterns.
PIECES = [
    "a", "b", "ab", "1", ".", r"\.", r"\w", r"\d", r"\s", r"\W", "[ab]", "[^a]", "[a-z]", "[]x]", "(", ")", "(?:",
    "(?i:", "(?s:", "|", "*", "+", "?", "{2}", "{1,}", "{,2}", "{", "}", "]", "^", r"\b", r"\Z", "lab", "room", "-",
    r"\x61", "é", "#", " ", "(?#x)", "(?P<n>",
]  # fmt: skip


def test_patterns_put_together_by_chance_find_the_same(nameserver):
    chance = random.Random(5)
    patterns = {"".join(chance.choices(PIECES, k=chance.randint(1, 7))) for _ in range(3000)}
    # Possessive repeats are none of ours.
    patterns = sorted(p for p in patterns if not re.search(r"[*+?}]\+", p))
    assert sum(expected(p, NAMES) is not None for p in patterns) > 500
    assert differences(nameserver, patterns) == {}
