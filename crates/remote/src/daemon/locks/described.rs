//! The methods that a lock adds, as the service card describes them.

use wire::value::Value;

use crate::card::{Member, Parameter, ParameterKind, Type, ValueInfo};

/// Descriptions of [`METHODS`](super::methods::METHODS).
pub(crate) fn members() -> Vec<Member> {
    let text = || Type::Str.or_none();
    let seconds = || ValueInfo {
        kind: Type::Float.or_none(),
        unit: Some("s".to_owned()),
        minimum: None,
        maximum: None,
        choices: None,
    };
    let token = || Parameter {
        kind: ParameterKind::Keyword,
        ..optional("token", text().into(), Value::None)
    };
    let user = optional("user", Type::Str.into(), "".into());
    let wait = optional("wait", seconds(), Value::None);
    let lock_token = optional("token", text().into(), Value::None);
    let ttl = optional("ttl", seconds(), Value::None);
    let info = Type::Dict(Box::new((Type::Str, Type::Any)));
    vec![
        method(
            "lock",
            Type::Bool,
            vec![user, wait, lock_token, ttl],
            "Locks the service for this connection; false where it stays another's for `wait` \
             seconds.",
        ),
        method("unlock", Type::Bool, vec![token()], "Ends the lock of this connection."),
        method("islocked", Type::Bool, Vec::new(), "Whether somebody has the lock."),
        method("lock_info", info, vec![token()], "The owner of the lock, and the queue for it."),
    ]
}

fn method(name: &str, result: Type, parameters: Vec<Parameter>, doc: &str) -> Member {
    Member {
        name: name.to_owned(),
        doc: doc.to_owned(),
        value: result.into(),
        parameters: Some(parameters),
        ..Member::default()
    }
}

fn optional(name: &str, value: ValueInfo, default: Value) -> Parameter {
    Parameter { name: name.to_owned(), value, default: Some(default), ..Parameter::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::locks::methods::METHODS;

    #[test]
    fn each_method_of_a_lock_is_described() {
        let names: Vec<String> = members().into_iter().map(|member| member.name).collect();
        assert_eq!(names, METHODS);
    }
}
