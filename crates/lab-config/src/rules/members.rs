//! Rules for `members`: limits that contradict each other, and members that cannot exist.
//!
//! The members of a Python class are known only when a worker loads it, which then reports the
//! others.

use super::{Rules, shown};
use crate::model::{Member, Service, Target, ValueFacts};
use crate::problem::quoted;
use crate::{Native, advice};

/// Types whose values have an order.
const NUMBERS: [&str; 4] = ["any", "int", "float", "array"];

impl Rules<'_> {
    pub(super) fn members(&mut self, natives: Option<&[Native]>) {
        for service in &self.configuration.services {
            for member in &service.members {
                let path = ["services", service.name.as_str(), "members", member.name.as_str()];
                self.limits(&path, &member.value);
                for argument in &member.arguments {
                    let path: Vec<&str> =
                        path.into_iter().chain(["arguments", argument.name.as_str()]).collect();
                    self.limits(&path, &argument.value);
                }
                if service.except.contains(&member.name)
                    && let Some(mark) = self.sound(&path)
                {
                    let message = format!("{} is in `except`", quoted(&member.name));
                    let help = "remove it here or there";
                    self.findings.error(mark.key, &shown(&path), message, help);
                }
            }
            if let (Target::Native(name), Some(natives)) = (&service.target, natives)
                && let Some(native) = natives.iter().find(|native| native.name == *name)
            {
                self.known_members(service, native);
            }
        }
    }

    fn limits(&mut self, path: &[&str], facts: &ValueFacts) {
        let at = |key| path.iter().copied().chain([key]).collect::<Vec<&str>>();
        let number = |path: &[&str]| match path.last() {
            Some(&"minimum") => facts.minimum,
            _ => facts.maximum,
        };
        if let (Some(minimum), Some(maximum)) = (facts.minimum, facts.maximum)
            && minimum > maximum
            && let Some(mark) = self.sound(&at("minimum"))
        {
            let message = format!("{minimum} is above `maximum`, which is {maximum}");
            let help = "exchange the two, or correct one";
            self.findings.error(mark.value, &shown(&at("minimum")), message, help);
        }
        let Some(word) = facts.type_word.as_deref() else { return };
        for path in [at("minimum"), at("maximum")] {
            if !NUMBERS.contains(&word)
                && number(&path).is_some()
                && let Some(mark) = self.sound(&path)
            {
                let message = format!("a limit is for numbers, and `type` is {}", quoted(word));
                let help = "write `type: float`, or remove the limit";
                self.findings.error(mark.key, &shown(&path), message, help);
            }
        }
    }

    fn known_arguments(&mut self, path: &[&str], native: &Native, member: &Member) {
        let of_method = |(method, _): &&(String, Vec<String>)| *method == member.name;
        let known = native.arguments.iter().find(of_method).map(|(_, names)| names.as_slice());
        let known = || known.unwrap_or_default().iter().map(String::as_str);
        for argument in &member.arguments {
            let name = argument.name.as_str();
            let path: Vec<&str> = path.iter().copied().chain(["arguments", name]).collect();
            let Some(mark) = self.sound(&path).filter(|_| !known().any(|known| known == name))
            else {
                continue;
            };
            let message = format!("{} has no argument {}", quoted(&member.name), quoted(name));
            let help = match (advice::did_you_mean(name, known()), known().next()) {
                (Some(help), _) => help,
                (None, None) => "it has none".to_owned(),
                (None, Some(_)) => {
                    format!("its arguments are {}", known().collect::<Vec<_>>().join(", "))
                }
            };
            self.findings.error(mark.key, &shown(&path), message, help);
        }
    }

    fn known_members(&mut self, service: &Service, native: &Native) {
        let known = || native.methods.iter().chain(&native.attrs).map(String::as_str);
        for member in &service.members {
            let name = member.name.as_str();
            let path = ["services", service.name.as_str(), "members", name];
            if known().any(|known| known == name) {
                self.known_arguments(&path, native, member);
                continue;
            }
            let Some(mark) = self.sound(&path) else { continue };
            let message = format!("{} has no member {}", quoted(&native.name), quoted(name));
            let help = match advice::did_you_mean(name, known()) {
                Some(help) => help,
                None => format!("its members are {}", known().collect::<Vec<_>>().join(", ")),
            };
            self.findings.error(mark.key, &shown(&path), message, help);
        }
    }
}
