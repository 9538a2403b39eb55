//! Conversion of `members` in the configuration to facts for the service card.

use lab_config::{Deadband, Service, ValueFacts};
use remote::card::{MemberFacts, SeriesFacts, Type, ValueInfo};

use crate::host::parameters;

/// The facts about the members of a service.
pub(super) fn of(service: &Service) -> Vec<MemberFacts> {
    let members = service.members.iter().map(|member| MemberFacts {
        series: member.has_series().then(|| SeriesFacts {
            poll: member.poll.map(|poll| poll.as_secs_f64()),
            keep: member.keep.map(|keep| keep.as_secs_f64()),
            deadband: member.deadband.map(|deadband| match deadband {
                Deadband::Absolute(width) => width.to_string(),
                Deadband::Percent(percent) => format!("{percent}%"),
            }),
        }),
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
        series: None,
    }
}
