//! Last step of the walk: several keys become one value, as a daemon's class or a service's target.
//!
//! Must not know other entries.

use super::advice;
use super::data::Data;
use super::problem::quoted;
use super::schema::Section;
use super::stand_in;
use super::tree::{Content, Pair};
use super::walk::Walk;

/// The modules in which PyroLab's own daemon classes are found.
const MODULES: [&str; 2] = ["pyrolab.server", "pyrolab.api"];
/// The module that they were in before PyroLab 0.3, which old files name.
const OLD_MODULE: &str = "pyrolab.daemon";
/// PyroLab's daemon classes, each with our name for it.
const CLASSES: [(&str, &str); 2] = [("Daemon", "plain"), ("LockableDaemon", "lockable")];

impl Walk<'_> {
    /// Gives an entry the form of its core type.
    pub(super) fn finish(
        &mut self,
        section: &Section,
        pair: &Pair,
        fields: &mut Vec<(String, Data)>,
    ) {
        match section.key {
            "daemons" => {
                let class = self.class(pair, take(fields, "module"), take(fields, "classname"));
                fields.push(("class".to_owned(), class.into()));
            }
            "services" => {
                take(fields, stand_in::SECTION);
                self.check_switch(pair);
                let target = self.target(pair, fields);
                fields.push(("target".to_owned(), target));
                let private = take(fields, "private");
                let members = with_private(take(fields, "members"), private);
                fields.push(("members".to_owned(), members));
            }
            _ => {}
        }
    }

    fn class(&mut self, pair: &Pair, module: Data, name: Data) -> &'static str {
        let module = module.as_str().unwrap_or("");
        let name = name.as_str().unwrap_or("");
        let why = "the daemon is Ferrolab itself, so its class cannot be another program's";
        if let Some(written) = written(pair, "module")
            && module == OLD_MODULE
        {
            let message = format!("{} is the old name of `{}`", quoted(module), MODULES[0]);
            let help = format!("write `module: {}`, or remove the key", MODULES[0]);
            self.under("module", |walk| walk.warn(written.value.place, message, help));
        } else if let Some(written) = written(pair, "module")
            && !MODULES.contains(&module)
        {
            let message = format!("the module {} has no daemon class: {why}", quoted(module));
            let help =
                "remove `module`, and write `classname: Daemon` or `classname: LockableDaemon`";
            self.under("module", |walk| walk.error(written.value.place, message, help));
            return "plain";
        }
        if let Some((_, class)) = CLASSES.into_iter().find(|(known, _)| *known == name) {
            return class;
        }
        if let Some(written) = written(pair, "classname") {
            let help = match advice::did_you_mean(name, CLASSES.into_iter().map(|(known, _)| known))
            {
                Some(help) => help,
                None => "write `Daemon` or `LockableDaemon`".to_owned(),
            };
            let message = format!("{} is not a daemon class: {why}", quoted(name));
            self.under("classname", |walk| walk.error(written.value.place, message, help));
        }
        "plain"
    }

    fn check_switch(&mut self, pair: &Pair) {
        let Some(switch) = written(pair, stand_in::SWITCH) else { return };
        if stand_in::is_switched_on(switch) && written(pair, stand_in::SECTION).is_none() {
            let message = "there is no `simulate:` section that it could be simulated with";
            let help = "write `simulate: {classname: CLASS}`, or remove `simulated`";
            self.under(stand_in::SWITCH, |walk| walk.error(switch.value.place, message, help));
        }
    }

    fn target(&mut self, pair: &Pair, fields: &mut Vec<(String, Data)>) -> Data {
        let (module, classname) = (take(fields, "module"), take(fields, "classname"));
        let native = take(fields, "native");
        let Content::Map(_) = &*pair.value.content else {
            // It is no mapping at all, which was reported.
            return Data::Map(vec![("native".to_owned(), "".into())]);
        };
        if let Some(native_pair) = written(pair, "native") {
            if let Some(class) = written(pair, "module").or(written(pair, "classname")) {
                let message = "a built-in service has no `module` and `classname`";
                let help = "remove `native`, or the other two";
                let path = self.path();
                let other = ("other", class.place);
                self.findings.error_between(native_pair.place, other, &path, message, help);
            }
            let native = native.as_str().unwrap_or("");
            return Data::Map(vec![("native".to_owned(), native.into())]);
        }
        let missing: Vec<String> = ["module", "classname"]
            .into_iter()
            .filter(|key| written(pair, key).is_none())
            .map(quoted)
            .collect();
        let is_module = written(pair, "module").is_some() && written(pair, "expose").is_some();
        if !missing.is_empty() && !is_module {
            let message = format!("a service needs {}", missing.join(" and "));
            let help = match written(pair, "module") {
                Some(_) => {
                    "write `classname: CLASS`, or `expose: all` to serve the functions of \
                            the module"
                }
                None => {
                    "write `module: MODULE` and `classname: CLASS`, or `native: NAME` for a \
                         built-in service"
                }
            };
            self.error(pair.place, message, help);
        }
        let module = Data::from(module.as_str().unwrap_or(""));
        let class =
            Data::Map(vec![("module".to_owned(), module), ("classname".to_owned(), classname)]);
        Data::Map(vec![("python".to_owned(), class)])
    }
}

/// A key of an entry, if it has a value (a wrong one, too).
fn written<'a>(pair: &'a Pair, key: &str) -> Option<&'a Pair> {
    let Content::Map(pairs) = &*pair.value.content else { return None };
    pairs.iter().find(|pair| pair.key.text == key && !pair.value.is_null())
}

/// The table of members, with those of the list `private` marked as such.
fn with_private(members: Data, private: Data) -> Data {
    let Data::List(mut members) = members else { return members };
    let Data::List(private) = private else { return Data::List(members) };
    for name in private {
        let known = members.iter_mut().find_map(|member| match member {
            Data::Map(fields) if fields.contains(&("name".to_owned(), name.clone())) => {
                Some(fields)
            }
            _ => None,
        });
        let flag = ("private".to_owned(), Data::Bool(true));
        match known {
            Some(fields) => {
                fields.retain(|(key, _)| key != "private");
                fields.push(flag);
            }
            None => {
                let value = ("value".to_owned(), Data::Map(Vec::new()));
                members.push(Data::Map(vec![("name".to_owned(), name), value, flag]));
            }
        }
    }
    Data::List(members)
}

fn take(fields: &mut Vec<(String, Data)>, key: &str) -> Data {
    match fields.iter().position(|(name, _)| name == key) {
        Some(index) => fields.remove(index).1,
        None => Data::Null,
    }
}
