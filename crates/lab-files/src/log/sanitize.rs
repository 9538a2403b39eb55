//! Texts of clients, drivers and nameservers, made safe for a terminal.
//!
//! Replaces characters that would move the cursor, begin a line, or reverse the order of letters.
//! Output for machines (`--json`, the log file) stays as it is.

/// The text on one line, with nothing in it that a terminal obeys.
pub fn line(given: &str) -> String {
    let mut line = String::with_capacity(given.len());
    for letter in given.chars() {
        match letter {
            '\n' => line.push_str("\\n"),
            '\t' => line.push(' '),
            letter if letter.is_control() || turns_around(letter) => line.push('\u{fffd}'),
            letter => line.push(letter),
        }
    }
    line
}

/// The text over its lines, the further ones behind `indent`: none can pass for a line of ours.
/// Nothing in it is obeyed by a terminal.
pub fn lines(given: &str, indent: &str) -> String {
    split_lines(given).map(line).collect::<Vec<_>>().join(&format!("\n{indent}"))
}

/// The lines of a text, without blanks at its end.
pub fn split_lines(given: &str) -> impl Iterator<Item = &str> {
    given.trim_end().split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line))
}

/// Marks that change the direction of the letters after them, and characters that some terminals
/// take for the end of a line.
fn turns_around(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_on_its_line() {
        for (given, shown) in [
            ("Ünïcode Ω 10 µm", "Ünïcode Ω 10 µm"),
            ("a\n12:00:00 INFO  forged", "a\\n12:00:00 INFO  forged"),
            ("a\tb\r\n", "a b\u{fffd}\\n"),
            ("\u{1b}[2J\u{7}\u{9b}1A", "\u{fffd}[2J\u{fffd}\u{fffd}1A"),
            ("lab.\u{202e}resal\u{2066}\u{2028}", "lab.\u{fffd}resal\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(line(given), shown);
        }
    }

    #[test]
    fn further_lines_are_indented() {
        for (given, shown) in [
            ("one\n", "one"),
            ("one\r\n\ttwo\n\nfour\n\n", "one\n> two\n>\n>four"),
            ("x\n12:00:00 INFO  forged\u{1b}[2J", "x\n>12:00:00 INFO  forged\u{fffd}[2J"),
        ] {
            assert_eq!(lines(given, ">"), shown);
        }
    }
}
