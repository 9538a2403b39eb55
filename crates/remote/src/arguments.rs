//! Argument binding for native methods, by Python's rules.
//!
//! The `TypeError`s for missing, superfluous and unknown arguments have CPython's texts, which
//! callers know.

use wire::exception::Exception;
use wire::value::Value;

use crate::object::MethodCall;

/// Parameters of a native method.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// The method's qualified name, as Python shows it: `NameServer.lookup`.
    pub name: &'static str,
    /// Names of the parameters, the required ones first.
    pub parameters: &'static [&'static str],
    /// The number of parameters without a default.
    pub required: usize,
}

impl Signature {
    /// A method without parameters.
    pub const fn empty(name: &'static str) -> Self {
        Signature { name, parameters: &[], required: 0 }
    }

    /// Assigns a call's arguments to the parameters; `None` stands for a default.
    ///
    /// # Errors
    /// `TypeError` where Python would raise one.
    pub fn bind<const N: usize>(&self, call: MethodCall) -> Result<[Option<Value>; N], Exception> {
        let mut bound: [Option<Value>; N] = std::array::from_fn(|_| None);
        self.bind_into(call, &mut bound)?;
        Ok(bound)
    }

    /// Not generic: a generic function is compiled in the crate of the service that uses it, which
    /// may be compiled for its size.
    fn bind_into(&self, call: MethodCall, bound: &mut [Option<Value>]) -> Result<(), Exception> {
        let given = call.args.len();
        if given > self.parameters.len() {
            return Err(self.too_many(given));
        }
        for (slot, value) in bound.iter_mut().zip(call.args) {
            *slot = Some(value);
        }
        for (key, value) in call.kwargs {
            let position = self.parameters.iter().position(|name| *name == key);
            match position.and_then(|position| bound.get_mut(position)) {
                None => {
                    return Err(self.error(format!("got an unexpected keyword argument '{key}'")));
                }
                Some(Some(_)) => {
                    return Err(self.error(format!("got multiple values for argument '{key}'")));
                }
                Some(slot) => *slot = Some(value),
            }
        }
        let missing: Vec<&str> = self
            .parameters
            .iter()
            .zip(bound.iter())
            .take(self.required)
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| *name)
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(self.missing(&missing)) }
    }

    fn too_many(&self, given: usize) -> Exception {
        // Python counts `self`.
        let (most, given) = (self.parameters.len() + 1, given + 1);
        let least = self.required + 1;
        let takes =
            if least == most { format!("{most}") } else { format!("from {least} to {most}") };
        let plural = if most == 1 { "" } else { "s" };
        self.error(format!("takes {takes} positional argument{plural} but {given} were given"))
    }

    fn missing(&self, names: &[&str]) -> Exception {
        let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
        let (count, plural) = (names.len(), if names.len() == 1 { "" } else { "s" });
        let listed = match quoted.as_slice() {
            [one] => one.clone(),
            [one, other] => format!("{one} and {other}"),
            [first @ .., last] => format!("{}, and {last}", first.join(", ")),
            [] => String::new(),
        };
        self.error(format!("missing {count} required positional argument{plural}: {listed}"))
    }

    fn error(&self, what: String) -> Exception {
        Exception::type_error(format!("{}() {what}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTER: Signature = Signature {
        name: "NameServer.register",
        parameters: &["name", "uri", "safe", "metadata"],
        required: 2,
    };

    fn bind(args: &[&str], kwargs: &[(&str, &str)]) -> Result<[Option<Value>; 4], String> {
        let call = MethodCall {
            method: "register".into(),
            args: args.iter().map(|text| Value::from(*text)).collect(),
            kwargs: kwargs.iter().map(|(key, text)| ((*key).into(), Value::from(*text))).collect(),
        };
        REGISTER.bind(call).map_err(|exception| exception.message())
    }

    #[test]
    fn arguments_meet_parameters_as_in_python() {
        let bound = bind(&["a"], &[("metadata", "m"), ("uri", "u")]).unwrap();
        let expected = [Some("a"), Some("u"), None, Some("m")];
        assert_eq!(bound, expected.map(|text| text.map(Value::from)));
    }

    #[test]
    fn errors_are_worded_as_cpython_words_them() {
        // Recorded from CPython 3.11.
        let cases: &[(&[&str], &[(&str, &str)], &str)] = &[
            (&["a"], &[], "missing 1 required positional argument: 'uri'"),
            (&[], &[], "missing 2 required positional arguments: 'name' and 'uri'"),
            (
                &["a", "b", "c", "d", "e"],
                &[],
                "takes from 3 to 5 positional arguments but 6 were given",
            ),
            (&["a"], &[("x", "1")], "got an unexpected keyword argument 'x'"),
            (&["a", "b"], &[("name", "1")], "got multiple values for argument 'name'"),
        ];
        for (args, kwargs, expected) in cases {
            let expected = format!("NameServer.register() {expected}");
            assert_eq!(bind(args, kwargs), Err(expected));
        }
    }
}
