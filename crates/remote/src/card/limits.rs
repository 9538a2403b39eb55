//! Limits of values that clients set or pass: the check of one call against its card.
//!
//! Limits hold for everybody. A value that might become a number out of range in the driver (a
//! text, a `Decimal`) is refused like one: nobody may get around a limit.

use std::collections::HashMap;

use wire::exception::Exception;
use wire::value::Value;

use super::{Card, Member, MemberFacts, MemberKind, Parameter, ParameterKind, ValueInfo};
use crate::value_text::ValueText;

/// Bytes of a refused value that its error shows.
const MAX_SHOWN: usize = 60;

/// The limits of a service's members.
#[derive(Clone, Debug)]
pub struct ValueLimits {
    service: String,
    members: HashMap<String, MemberLimits>,
}

#[derive(Clone, Debug, Default)]
struct MemberLimits {
    /// Of a property's value.
    value: Option<Limit>,
    /// Of a method's arguments.
    parameters: Vec<ParameterLimit>,
}

#[derive(Clone, Debug)]
struct ParameterLimit {
    name: String,
    kind: ParameterKind,
    limit: Option<Limit>,
}

/// The limit of one value.
#[derive(Clone, Debug)]
struct Limit {
    minimum: Option<f64>,
    maximum: Option<f64>,
    choices: Option<Vec<Value>>,
    unit: String,
    allows_none: bool,
}

impl ValueLimits {
    /// The limits on the card of a service, and those of `facts` about members that it does not
    /// have: an object may have more members than it shows. `None` where there are no limits.
    pub fn of(service: &str, card: &Card, facts: &[MemberFacts]) -> Option<ValueLimits> {
        let limited = |member: &Member| Some((member.name.clone(), MemberLimits::of(member)?));
        let mut members: HashMap<_, _> = card.members.iter().filter_map(limited).collect();
        for fact in facts.iter().filter(|fact| card.member(&fact.name).is_none()) {
            let either = MemberLimits::of_either_kind(fact);
            members.extend(either.map(|limits| (fact.name.clone(), limits)));
        }
        (!members.is_empty()).then(|| ValueLimits { service: service.to_owned(), members })
    }

    /// Whether a member has limits.
    pub fn has(&self, member: &str) -> bool {
        self.members.contains_key(member)
    }

    /// Checks the value for a property.
    ///
    /// # Errors
    /// `ValueError` with limit, unit, member and service.
    pub fn check_set(&self, name: &str, value: &Value) -> Result<(), Exception> {
        match self.members.get(name) {
            Some(MemberLimits { value: Some(limit), .. }) => {
                limit.check(value).map_err(|text| self.error(name, "", &text))
            }
            _ => Ok(()),
        }
    }

    /// Checks the arguments of a call.
    ///
    /// # Errors
    /// `ValueError` with limit, unit, argument, member and service.
    pub fn check_call(
        &self,
        method: &str,
        args: &[Value],
        kwargs: &[(String, Value)],
    ) -> Result<(), Exception> {
        let Some(MemberLimits { parameters, .. }) = self.members.get(method) else {
            return Ok(());
        };
        let rest = |kind| {
            parameters.iter().find(move |parameter: &&ParameterLimit| parameter.kind == kind)
        };
        let by_place = |parameter: &&ParameterLimit| {
            matches!(parameter.kind, ParameterKind::Either | ParameterKind::Positional)
        };
        let mut places = parameters.iter().filter(by_place);
        for value in args {
            let parameter = places.next().or_else(|| rest(ParameterKind::Variadic));
            let Some(parameter) = parameter else { continue };
            if let Some(hidden) = hidden_place(parameters, parameter) {
                let place = format!("() argument '{}'", hidden.name);
                let text = "has a limit, and its place is not known: give it by its name";
                return Err(self.error(method, &place, text));
            }
            self.check_argument(method, &parameter.name, parameter, value)?;
        }
        for (name, value) in kwargs {
            let named = |parameter: &&ParameterLimit| {
                parameter.name == *name
                    && matches!(parameter.kind, ParameterKind::Either | ParameterKind::Keyword)
            };
            let parameter = parameters.iter().find(named).or_else(|| rest(ParameterKind::Keywords));
            if let Some(parameter) = parameter {
                self.check_argument(method, name, parameter, value)?;
            }
        }
        Ok(())
    }

    fn check_argument(
        &self,
        method: &str,
        name: &str,
        parameter: &ParameterLimit,
        value: &Value,
    ) -> Result<(), Exception> {
        let Some(limit) = &parameter.limit else { return Ok(()) };
        limit.check(value).map_err(|text| {
            let place = match name {
                "" | "args" => "() argument".to_owned(),
                name => format!("() argument '{name}'"),
            };
            self.error(method, &place, &text)
        })
    }

    fn error(&self, member: &str, place: &str, text: &str) -> Exception {
        Exception::value_error(format!("{}.{member}{place} {text}", self.service))
    }
}

/// The limited parameter that an argument in the place of `*args` may be meant for: a method with
/// `*args` and `**kwargs` may pass both on.
fn hidden_place<'a>(
    parameters: &'a [ParameterLimit],
    taken_by: &ParameterLimit,
) -> Option<&'a ParameterLimit> {
    let passes_on = taken_by.kind == ParameterKind::Variadic
        && taken_by.limit.is_none()
        && parameters.iter().any(|parameter| parameter.kind == ParameterKind::Keywords);
    let is_hidden = |parameter: &&ParameterLimit| {
        parameter.kind == ParameterKind::Keyword && parameter.limit.is_some()
    };
    parameters.iter().filter(|_| passes_on).find(is_hidden)
}

impl MemberLimits {
    fn of(member: &Member) -> Option<Self> {
        let is_property = member.kind == MemberKind::Property;
        let value = is_property.then(|| Limit::of(&member.value, false, None)).flatten();
        // An argument with a limit and no unit has the member's.
        let unit = member.value.unit.as_deref();
        let parameter = |parameter: &Parameter| ParameterLimit {
            name: parameter.name.clone(),
            kind: parameter.kind,
            limit: Limit::of(&parameter.value, parameter.default == Some(Value::None), unit),
        };
        let mut parameters: Vec<_> = member.parameters.iter().flatten().map(parameter).collect();
        if value.is_some() && parameters.is_empty() {
            // Where `__getattr__` gives the value, it may be a function that sets it.
            let any = |kind| ParameterLimit { name: String::new(), kind, limit: value.clone() };
            parameters.extend([ParameterKind::Variadic, ParameterKind::Keywords].map(any));
        }
        let is_limited = parameters.iter().any(|parameter| parameter.limit.is_some());
        (is_limited || value.is_some()).then_some(MemberLimits { value, parameters })
    }

    /// The limits of a member of which nobody knows whether it is a property or a method.
    fn of_either_kind(fact: &MemberFacts) -> Option<Self> {
        let of = |kind| {
            let member = Member { name: fact.name.clone(), kind, ..Member::default() };
            let card = Card { members: vec![member], ..Card::default() }.with_facts([fact]);
            card.members.first().and_then(MemberLimits::of)
        };
        let (property, method) = (of(MemberKind::Property), of(MemberKind::Method));
        if property.is_none() && method.is_none() {
            return None;
        }
        let value = property.and_then(|property| property.value);
        Some(MemberLimits { value, ..method.unwrap_or_default() })
    }
}

impl Limit {
    /// The limit of a value; `None` where everything is allowed.
    fn of(info: &ValueInfo, is_optional: bool, unit: Option<&str>) -> Option<Limit> {
        info.is_limited().then(|| Limit {
            minimum: info.minimum,
            maximum: info.maximum,
            choices: info.choices.clone(),
            unit: info.unit.as_deref().or(unit).unwrap_or_default().to_owned(),
            allows_none: is_optional || info.kind.allows_none(),
        })
    }

    /// Checks a value: a number, or each number of a list or an array.
    fn check(&self, value: &Value) -> Result<(), String> {
        let is_allowed = match value {
            Value::None => self.allows_none,
            Value::List(items) | Value::Tuple(items) => {
                return items.iter().try_for_each(|item| self.check(item));
            }
            Value::Set(items) | Value::FrozenSet(items) => {
                return items.iter().try_for_each(|item| self.check(item));
            }
            // Masked elements too: a driver may read them.
            Value::Array(array) => {
                return array.elements().try_for_each(|item| self.check(&item?));
            }
            value => self.is_chosen(value) && self.is_within(value),
        };
        if is_allowed { Ok(()) } else { Err(self.refusal(value)) }
    }

    fn is_chosen(&self, value: &Value) -> bool {
        let Some(choices) = &self.choices else { return true };
        let number = value.as_f64();
        choices.iter().any(|choice| match number {
            Some(number) => choice.as_f64() == Some(number),
            None => choice == value,
        })
    }

    fn is_within(&self, value: &Value) -> bool {
        if self.minimum.is_none() && self.maximum.is_none() {
            return true;
        }
        // Not-a-number is not within anything.
        value.as_f64().is_some_and(|number| {
            number >= self.minimum.unwrap_or(f64::NEG_INFINITY)
                && number <= self.maximum.unwrap_or(f64::INFINITY)
        })
    }

    fn refusal(&self, value: &Value) -> String {
        let shown = ValueText::of(value, MAX_SHOWN);
        let kind = match (&self.choices, value.as_f64()) {
            (None, None) => "a number, ",
            _ => "",
        };
        format!("must be {kind}{}, not {shown}", self.text())
    }

    /// The limit in words: `0 to 30 V`.
    fn text(&self) -> String {
        let range = match (&self.choices, self.minimum, self.maximum) {
            (Some(choices), ..) => {
                let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
                format!("one of {}", choices.join(", "))
            }
            (None, Some(minimum), Some(maximum)) => format!("{minimum} to {maximum}"),
            (None, Some(minimum), None) => format!("at least {minimum}"),
            (None, None, Some(maximum)) => format!("at most {maximum}"),
            (None, None, None) => "anything".to_owned(),
        };
        if self.unit.is_empty() { range } else { format!("{range} {}", self.unit) }
    }
}

#[cfg(test)]
mod tests {
    use wire::Limits;
    use wire::serializer::Serializer;

    use super::*;
    use crate::card::Type;

    fn value(text: &str) -> Value {
        Serializer::Serpent.decode(text.as_bytes(), &Limits::default()).unwrap()
    }

    fn facts(name: &str, minimum: f64, maximum: f64) -> MemberFacts {
        let (minimum, maximum) = (Some(minimum), Some(maximum));
        let value = ValueInfo { minimum, maximum, unit: Some("V".into()), ..ValueInfo::default() };
        MemberFacts { name: name.into(), value, ..MemberFacts::default() }
    }

    fn parameter(name: &str, kind: ParameterKind) -> Parameter {
        Parameter { name: name.into(), kind, ..Parameter::default() }
    }

    /// A method `m` with parameters, and facts about it.
    fn limits(parameters: Option<Vec<Parameter>>, facts: MemberFacts) -> ValueLimits {
        let member = Member { name: "m".into(), parameters, ..Member::default() };
        let card = Card { members: vec![member], ..Card::default() }.with_facts([&facts]);
        ValueLimits::of("lab.s", &card, &[]).unwrap()
    }

    fn property(info: ValueInfo) -> ValueLimits {
        let kind = MemberKind::Property;
        let member = Member { name: "p".into(), kind, value: info, ..Member::default() };
        let card = Card { members: vec![member], ..Card::default() };
        ValueLimits::of("lab.s", &card, &[]).unwrap()
    }

    #[test]
    fn values_of_a_property_are_checked() {
        let volts = facts("p", 0.0, 30.0).value;
        let number = "must be a number, 0 to 30 V, not";
        let cases = [
            ("0", ""),
            ("30.0", ""),
            ("True", ""),
            ("[1, (2, 3.5)]", ""),
            ("31", "must be 0 to 30 V, not 31"),
            ("-0.1", "must be 0 to 30 V, not -0.1"),
            ("1e400", "must be 0 to 30 V, not"),
            ("100000000000000000000000000", "must be 0 to 30 V, not"),
            ("[1, 31]", "must be 0 to 30 V, not 31"),
            ("{5, 31}", "must be 0 to 30 V, not 31"),
            ("'5'", number),
            ("None", number),
            ("(1+2j)", number),
            ("{'__class__': 'decimal.Decimal', 'value': '5'}", number),
        ];
        for (text, expected) in cases {
            let told = property(volts.clone()).check_set("p", &value(text));
            match told {
                Ok(()) => assert_eq!(expected, "", "{text}"),
                Err(error) => {
                    let told = error.to_string();
                    assert!(!expected.is_empty() && told.contains(expected), "{text}: {told}");
                    assert!(told.starts_with("ValueError: lab.s.p must be"), "{told}");
                }
            }
        }
        let called = property(volts.clone());
        assert!(called.check_call("p", &[31.into()], &[]).is_err());
        assert!(called.check_call("p", &[], &[("volts".into(), 31.into())]).is_err());
        assert!(called.check_call("p", &[30.into()], &[]).is_ok());
        let nan = property(volts.clone()).check_set("p", &Value::Float(f64::NAN));
        assert!(nan.unwrap_err().to_string().contains("must be 0 to 30 V, not"));
        let optional = ValueInfo { kind: Type::Float.or_none(), ..volts };
        assert!(property(optional).check_set("p", &Value::None).is_ok());
        let choices = Some(vec![1.into(), "low".into()]);
        let chosen = property(ValueInfo { choices, ..ValueInfo::default() });
        for (text, allowed) in [("1.0", true), ("'low'", true), ("2", false), ("'1'", false)] {
            assert_eq!(chosen.check_set("p", &value(text)).is_ok(), allowed, "{text}");
        }
    }

    #[test]
    fn arguments_are_checked_however_they_are_given() {
        use ParameterKind::{Either, Keyword, Keywords, Positional, Variadic};
        let named = |name: &str| MemberFacts {
            name: "m".into(),
            arguments: vec![facts(name, 0.0, 5.0)],
            ..MemberFacts::default()
        };
        let two = || Some(vec![parameter("a", Either), parameter("x", Either)]);
        let wild = || Some(vec![parameter("args", Variadic), parameter("kwargs", Keywords)]);
        let short = || facts("m", 0.0, 5.0);
        // Parameters, facts, positional arguments, whether x=9 is given, and the error.
        let cases = [
            (two(), named("x"), "[9, 1]", false, ""),
            (two(), named("x"), "[9, 9]", false, "lab.s.m() argument 'x' must be 0 to 5 V, not 9"),
            (two(), named("x"), "[9]", true, "argument 'x' must be"),
            (two(), short(), "[9]", false, "argument 'a' must be"),
            (two(), short(), "[1]", true, ""),
            (
                Some(vec![parameter("a", Positional), parameter("x", Keyword)]),
                named("x"),
                "[9]",
                true,
                "argument 'x' must be",
            ),
            (None, short(), "[9]", false, "argument must be"),
            (None, short(), "[]", true, "argument 'x' must be"),
            (wild(), short(), "[1, 9]", false, "argument must be"),
            (None, named("x"), "[]", true, "argument 'x' must be"),
            (
                None,
                named("x"),
                "[1]",
                false,
                "argument 'x' has a limit, and its place is not known",
            ),
            (wild(), named("x"), "[1]", false, "its place is not known"),
        ];
        for (parameters, facts, args, gives_x, expected) in cases {
            let shown = format!("{parameters:?} {facts:?}");
            let limits = limits(parameters, facts);
            let kwargs: Vec<_> =
                gives_x.then(|| ("x".to_owned(), Value::from(9))).into_iter().collect();
            let args = value(args);
            match limits.check_call("m", args.as_list().unwrap(), &kwargs) {
                Ok(()) => assert_eq!(expected, "", "{shown}"),
                Err(error) => {
                    let told = error.to_string();
                    assert!(!expected.is_empty() && told.contains(expected), "{shown}: {told}");
                }
            }
            assert!(limits.check_call("other", &[9.into()], &[]).is_ok());
        }
        let card = Card::default();
        let unlisted = ValueLimits::of("lab.s", &card, &[facts("m", 0.0, 5.0)]).unwrap();
        assert!(unlisted.check_set("m", &9.into()).is_err());
        assert!(unlisted.check_call("m", &[9.into()], &[]).is_err());
        assert!(unlisted.check_call("m", &[], &[("x".into(), 9.into())]).is_err());
    }
}
