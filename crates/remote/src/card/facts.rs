//! Facts about members from the configuration, which come on top of what the driver says.

use super::{Card, Member, MemberKind, Parameter, ParameterKind, SeriesFacts, Type, ValueInfo};

/// Facts about a member or an argument. The driver's own stay where a fact is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberFacts {
    /// The name; of a member of one part only, after the part's path and a dot.
    pub name: String,
    /// The type.
    pub kind: Option<Type>,
    /// Unit and limits; the type there does not count.
    pub value: ValueInfo,
    /// The documentation.
    pub doc: Option<String>,
    /// Facts about the arguments of a method, by name.
    pub arguments: Vec<MemberFacts>,
    /// How its values make a series.
    pub series: Option<SeriesFacts>,
}

impl Card {
    /// Lays facts over the members that they name.
    #[must_use]
    pub fn with_facts<'a>(mut self, facts: impl IntoIterator<Item = &'a MemberFacts>) -> Self {
        for fact in facts {
            if let Some(member) = self.members.iter_mut().find(|member| member.name == fact.name) {
                fact.lay_over(member);
            }
        }
        self
    }
}

impl MemberFacts {
    /// The facts about the object of an id, under its own names: those of its service, and after
    /// them those of the part with the path `part`.
    pub fn of_part(facts: &[MemberFacts], part: Option<&str>) -> Vec<MemberFacts> {
        let own = |fact: &MemberFacts| !fact.name.contains('.');
        let mut found: Vec<MemberFacts> = facts.iter().filter(|fact| own(fact)).cloned().collect();
        if part.is_some() {
            // A member of the service that is read is not read of each part.
            found.iter_mut().for_each(|fact| fact.series = None);
        }
        for fact in facts.iter().filter(|fact| !own(fact)) {
            let name = part.and_then(|part| fact.name.strip_prefix(part)?.strip_prefix('.'));
            if let Some(name) = name.filter(|name| !name.contains('.')) {
                found.push(MemberFacts { name: name.to_owned(), ..fact.clone() });
            }
        }
        found
    }

    fn lay_over(&self, member: &mut Member) {
        if let Some(doc) = &self.doc {
            member.doc.clone_from(doc);
        }
        if self.series.is_some() {
            member.series.clone_from(&self.series);
        }
        let takes_arguments = member.kind != MemberKind::Property
            && member.parameters.as_ref().is_none_or(|parameters| !parameters.is_empty());
        if takes_arguments && self.value.is_limited() {
            let parameters = member.parameters.get_or_insert_with(unknown_parameters);
            // Where nobody knows which is the first one, it may be any.
            let is_known = parameters.first().is_some_and(Parameter::is_single);
            let count = if is_known { 1 } else { parameters.len() };
            for parameter in parameters.iter_mut().take(count) {
                self.lay_over_value(&mut parameter.value);
            }
        } else {
            self.lay_over_value(&mut member.value);
        }
        for fact in &self.arguments {
            if let Some(parameter) = named_parameter(member, &fact.name) {
                fact.lay_over_value(&mut parameter.value);
                if let Some(doc) = &fact.doc {
                    parameter.doc.clone_from(doc);
                }
            }
        }
    }

    fn lay_over_value(&self, value: &mut ValueInfo) {
        let ValueInfo { unit, minimum, maximum, choices, .. } = self.value.clone();
        if let Some(kind) = &self.kind {
            value.kind = kind.clone();
        }
        value.unit = unit.or(value.unit.take());
        value.minimum = minimum.or(value.minimum);
        value.maximum = maximum.or(value.maximum);
        value.choices = choices.or(value.choices.take());
    }
}

fn named_parameter<'a>(member: &'a mut Member, name: &str) -> Option<&'a mut Parameter> {
    let is_known = member.parameters.is_some();
    let parameters = member.parameters.get_or_insert_with(unknown_parameters);
    let others = |parameter: &Parameter| parameter.kind == ParameterKind::Keywords;
    match parameters.iter().position(|parameter| parameter.name == name) {
        Some(index) => parameters.get_mut(index),
        // `**kwargs` takes it.
        None if !is_known || parameters.iter().any(others) => {
            let named = Parameter {
                name: name.to_owned(),
                kind: ParameterKind::Keyword,
                ..Parameter::default()
            };
            let at = parameters.iter().position(others).unwrap_or(parameters.len());
            parameters.insert(at, named);
            parameters.get_mut(at)
        }
        None => None,
    }
}

/// The parameters of a method that shows none: any.
fn unknown_parameters() -> Vec<Parameter> {
    let any = |name: &str, kind| Parameter { name: name.into(), kind, ..Parameter::default() };
    vec![any("args", ParameterKind::Variadic), any("kwargs", ParameterKind::Keywords)]
}
