//! Stand-ins: the keys of a service's `simulate:` section in the place of the service's own.
//!
//! Works on the tree, before the schema is looked at: the walk and the rules check a stand-in like
//! any other service, and a problem has its place in the section. Must not know types of values.

use super::scalar::{Form, Meaning, Scalar};
use super::tree::{Content, Node, Pair};

/// The key of the section.
pub(crate) const SECTION: &str = "simulate";
/// The key that has the section in force.
pub(crate) const SWITCH: &str = "simulated";
/// Keys of a service that mean nothing to a built-in service in its place.
const OF_THE_INSTRUMENT: [&str; 4] = ["module", "classname", "parameters", "arguments"];

/// The tree in which each service that has a `simulate:` section is what that says, if the service
/// has `simulated: true`, or else if `all` are to be simulated.
pub(crate) fn with_stand_ins(root: &Node, all: bool) -> Node {
    let Content::Map(sections) = &*root.content else { return root.clone() };
    let of_section = |pair: &Pair| match (pair.key.text.as_str(), &*pair.value.content) {
        ("services", Content::Map(services)) => {
            let services = services
                .iter()
                .map(|service| Pair { value: stand_in(&service.value, all), ..service.clone() });
            let value = pair.value.with_content(Content::Map(services.collect()));
            Pair { value, ..pair.clone() }
        }
        _ => pair.clone(),
    };
    root.with_content(Content::Map(sections.iter().map(of_section).collect()))
}

fn stand_in(service: &Node, all: bool) -> Node {
    let Content::Map(own) = &*service.content else { return service.clone() };
    let Some(section) = own.iter().find(|pair| pair.key.text == SECTION) else {
        return service.clone();
    };
    let Content::Map(replacing) = &*section.value.content else { return service.clone() };
    if !(all || own.iter().any(is_switched_on)) || replacing.is_empty() {
        return service.clone();
    }
    let is_native = replacing.iter().any(|pair| pair.key.text == "native");
    let is_replaced = |key: &str| {
        key == SWITCH
            || (is_native && OF_THE_INSTRUMENT.contains(&key))
            || (!is_native && key == "native")
            || replacing.iter().any(|pair| pair.key.text == key)
    };
    let mut pairs: Vec<Pair> =
        own.iter().filter(|pair| !is_replaced(&pair.key.text)).cloned().collect();
    pairs.extend(replacing.iter().cloned());
    let plain = |text: &str| Scalar { text: text.to_owned(), form: Form::Plain };
    pairs.push(Pair {
        key: plain(SWITCH),
        place: section.place,
        value: section.value.with_content(Content::Scalar(plain("true"))),
    });
    service.with_content(Content::Map(pairs))
}

/// Whether this is `simulated: true`.
pub(crate) fn is_switched_on(pair: &Pair) -> bool {
    let is_true = |scalar: &Scalar| scalar.meaning() == Some(Meaning::Bool(true));
    pair.key.text == SWITCH
        && matches!(&*pair.value.content, Content::Scalar(scalar) if is_true(scalar))
}
