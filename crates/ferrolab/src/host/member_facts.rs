//! Conversion of `members` in the configuration to facts for the service card.

use lab_config::{Service, ValueFacts};
use remote::card::{MemberFacts, Type, ValueInfo};

use crate::host::parameters;

/// The facts about the members of a service.
pub(super) fn of(service: &Service) -> Vec<MemberFacts> {
    let members = service.members.iter().map(|member| MemberFacts {
        arguments: member.arguments.iter().map(|one| facts(&one.name, &one.value)).collect(),
        ..facts(&member.name, &member.value)
    });
    members.collect()
}

fn facts(name: &str, value: &ValueFacts) -> MemberFacts {
    let ValueFacts { type_word, unit, minimum, maximum, choices, doc } = value.clone();
    let choices = choices.map(|choices| choices.iter().map(parameters::value).collect());
    MemberFacts {
        name: name.to_owned(),
        kind: type_word.as_deref().map(Type::from_word),
        value: ValueInfo { unit, minimum, maximum, choices, ..ValueInfo::default() },
        doc,
        arguments: Vec::new(),
    }
}
