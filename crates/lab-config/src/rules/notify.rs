//! Targets of notifications. No message shows an address: it may have a token in it.

use super::{Rules, shown};
use crate::text::is_web_address;

impl Rules<'_> {
    pub(super) fn notify(&mut self) {
        let notify = &self.configuration.notify;
        if let (Some(url), Some(mark)) = (&notify.url, self.sound(&["notify", "url"]))
            && !is_web_address(&url.0)
        {
            let message = "this is no address of a web server";
            let help = "write `http://HOST/PATH` or `https://HOST/PATH`";
            self.findings.error(mark.value, &shown(&["notify", "url"]), message, help);
        }
        if let Some(mark) = self.sound(&["notify", "command"])
            && notify.command.first().is_some_and(String::is_empty)
        {
            let help = "write the program first: `command: [/usr/local/bin/tell-us]`";
            let path = shown(&["notify", "command"]);
            self.findings.error(mark.value, &path, "the program has no name", help);
        }
        for key in ["headers", "fields"] {
            let path = ["notify", key];
            let is_used = notify.url.is_some() || key == "fields" && !notify.command.is_empty();
            if let Some(mark) = self.sound(&path).filter(|_| !is_used) {
                let message = format!("`{key}` belong to a target, and there is none");
                self.findings.warn(mark.key, &shown(&path), message, "add `url` or `command`");
            }
        }
    }
}
