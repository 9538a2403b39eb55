//! Targets of `push`. No message shows an address: it may have a password in it.

use super::{Rules, shown};
use crate::text::is_web_address;

impl Rules<'_> {
    pub(super) fn push(&mut self) {
        if let Some(mark) = self.sound(&["push"])
            && !self.configuration.push.is_empty()
            && self.configuration.history.is_none()
        {
            let message = "it sends what the history records, and there is no history";
            self.findings.error(mark.key, "push", message, "write `history: {}`");
        }
        for (number, push) in self.configuration.push.iter().enumerate() {
            let (index, text) = (format!("[{number}]"), number.to_string());
            let places = [
                (vec!["push", index.as_str()], vec!["push", text.as_str()]),
                (vec!["push"], vec!["push"]),
            ];
            let entry = places.into_iter().find(|(keys, _)| self.sound(keys).is_some());
            let Some((keys, mut path)) = entry else { continue };
            let of_url: Vec<&str> = keys.iter().copied().chain(["url"]).collect();
            let mark = match self.marks.get(&of_url) {
                // Its problem was reported.
                Some(mark) if !mark.sound => continue,
                Some(mark) => {
                    path.push("url");
                    Some(mark)
                }
                None => self.sound(&keys),
            };
            let Some(mark) = mark.filter(|_| !is_web_address(&push.url.0)) else { continue };
            let message = match push.url.0.is_empty() {
                true => "it has no `url`",
                false => "this is no address of a web server",
            };
            let help = "write `url: \"http://HOST/PATH\"` or `url: \"https://HOST/PATH\"`";
            self.findings.error(mark.value, &shown(&path), message, help);
        }
    }
}
