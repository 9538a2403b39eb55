//! Lines for people: each member with its types, units and limits.

use remote::card::{Member, MemberKind, Parameter, ParameterKind, Type, ValueInfo};

use super::described::{DescribedService, first_line};

/// The service in a line, and its documentation.
pub(crate) fn heading(service: &DescribedService) -> String {
    let card = &service.card;
    let mut text = service.name.clone();
    if !card.class.is_empty() {
        text.push_str(&format!(": {}", card.class));
    }
    if !card.doc.is_empty() {
        text.push_str(&format!("\n\n{}", card.doc));
    }
    text
}

/// A member, its value and its documentation, for each member that people use.
pub(crate) fn rows(service: &DescribedService) -> Vec<[String; 3]> {
    // Nobody types the methods that Python itself calls.
    let members = || service.card.members.iter().filter(|member| !member.name.starts_with('_'));
    let of = |kind| members().filter(move |member| member.kind == kind);
    let kinds = [MemberKind::Property, MemberKind::Method, MemberKind::Stream];
    kinds.into_iter().flat_map(of).map(row).collect()
}

fn row(member: &Member) -> [String; 3] {
    let value = match member.kind {
        MemberKind::Property => {
            let access = match (member.readable, member.writable) {
                (true, false) => " (read only)",
                (false, true) => " (write only)",
                _ => "",
            };
            format!("{}{access}", info_text(&member.value))
        }
        MemberKind::Method if member.oneway => "(not waited for)".to_owned(),
        MemberKind::Method if member.value.kind == Type::None => String::new(),
        MemberKind::Method => info_text(&member.value),
        MemberKind::Stream => format!("{} (items)", info_text(&member.value)),
    };
    let name = match member.kind {
        MemberKind::Property => member.name.clone(),
        MemberKind::Method | MemberKind::Stream => {
            format!("{}({})", member.name, parameters_text(member.parameters.as_deref()))
        }
    };
    [name, value.trim().to_owned(), first_line(&member.doc).to_owned()]
}

fn parameters_text(parameters: Option<&[Parameter]>) -> String {
    let Some(parameters) = parameters else { return "...".to_owned() };
    let mut texts = Vec::new();
    let mut is_starred = false;
    for parameter in parameters {
        if parameter.kind == ParameterKind::Keyword && !is_starred {
            texts.push("*".to_owned());
        }
        is_starred |= matches!(parameter.kind, ParameterKind::Keyword | ParameterKind::Variadic);
        texts.push(parameter_text(parameter));
    }
    texts.join(", ")
}

fn parameter_text(parameter: &Parameter) -> String {
    let stars = match parameter.kind {
        ParameterKind::Variadic => "*",
        ParameterKind::Keywords => "**",
        _ => "",
    };
    let mut text = format!("{stars}{}", parameter.name);
    let (kind, limits) = info_parts(&parameter.value);
    if !kind.is_empty() {
        text.push_str(&format!(": {kind}"));
    }
    // In brackets: between parameters there are commas.
    if !limits.is_empty() {
        text.push_str(&format!(" [{limits}]"));
    }
    match &parameter.default {
        Some(default) => text.push_str(&format!(" = {default}")),
        None if !parameter.required && stars.is_empty() => text.push_str(" = ..."),
        None => {}
    }
    text
}

/// A type, a unit and limits: `float V, 0 to 30`.
fn info_text(info: &ValueInfo) -> String {
    let (kind, limits) = info_parts(info);
    let separator = if info.unit.is_some() || kind.is_empty() { " " } else { ", " };
    if limits.is_empty() { kind } else { format!("{kind}{separator}{limits}").trim().to_owned() }
}

/// A type; and a unit and limits: `V, 0 to 30`.
fn info_parts(info: &ValueInfo) -> (String, String) {
    let kind = match info.kind {
        Type::Any => String::new(),
        ref kind => kind.to_string(),
    };
    let unit = info.unit.clone().unwrap_or_default();
    let limits = match (&info.choices, info.minimum, info.maximum) {
        (Some(choices), ..) => {
            let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
            format!("one of {}", choices.join(", "))
        }
        (None, Some(minimum), Some(maximum)) => format!("{minimum} to {maximum}"),
        (None, Some(minimum), None) => format!("at least {minimum}"),
        (None, None, Some(maximum)) => format!("at most {maximum}"),
        (None, None, None) => return (kind, unit),
    };
    (kind, if unit.is_empty() { limits } else { format!("{unit}, {limits}") })
}
