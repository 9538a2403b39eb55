//! Comparison of URIs with Pyro5 and of exception texts with Python.

use wire::exception::Exception;
use wire::serializer::Serializer;
use wire::uri::Uri;
use wire::value::Value;

use crate::notation::canonical;
use crate::peer::{self, Ask, ask};

#[test]
fn uris_are_read_as_by_pyro() {
    let texts = [
        "",
        "PYRO",
        "PYRO:",
        "PYRO:obj",
        "PYRO:obj@",
        "PYRO:@h:1",
        "PYRO:obj@h",
        "PYRO:obj@h:",
        "PYRO:obj@h:1",
        "pyro:obj@h:1",
        "PyRo:obj@h:1",
        "xPYRO:obj@h:1",
        "PYROX:obj@h:1",
        "PYRO1:obj@h:1",
        "PYRO :obj@h:1",
        "PYRO:a b@h:1",
        "PYRO:a@b@h:1",
        "PYRO:@@h:1",
        "PYRO:é€@h:1",
        "PYRO:obj@h:1\n",
        "PYRO:obj@h\n:1",
        "PYRO:obj@h:x",
        "PYRO:obj@h: 5 ",
        "PYRO:obj@h:1:2",
        "PYRO:a:b:c@h:1",
        "PYRO:obj@[::1]:5",
        "PYRO:obj@[::1]",
        "PYRO:obj@[[::1]]:5",
        "PYRO:obj@[fe80::1%25]:5",
        "PYRO:obj@[host]:5",
        "PYRO:obj@[]:5",
        "PYRO:obj@[::1",
        "PYRO:obj@::1:5",
        "PYRO:obj@./u:sock",
        "PYRO:obj@./u:",
        "PYRO:obj@./u:a:b",
        "PYRO:obj@./u:/a b/c",
        "PYRO:obj@h:0",
        "PYRO:obj@h:65535",
        "PYRO:obj@ h:1",
        "PYRO:Pyro.Daemon@h:1",
        "PYRO:o@h:007",
        "PYRONAME:n",
        "PYRONAME:n@",
        "PYRONAME:n@h",
        "PYRONAME:n@h:",
        "PYRONAME:n@h:1",
        "PYRONAME:n@[::1]",
        "PYRONAME:n@./u:s",
        "PYRONAME:",
        "PYRONAME:a b",
        "PYRONAME:n@h:x",
        "pyroname:n",
        "PYROMETA:a",
        "PYROMETA:a,b",
        "PYROMETA:a,b,a@h:1",
        "PYROMETA:,",
        "PYROMETA:a,@h",
        "PYROLOC:x@h:1",
    ];
    let asks = texts.map(|text| Ask::bytes('u', Serializer::Serpent, text.as_bytes()));
    for (text, theirs) in texts.iter().zip(ask(&asks)) {
        match (text.parse::<Uri>(), peer::value(&theirs)) {
            (Ok(uri), Ok(theirs)) => {
                assert_eq!(canonical(&shown(&uri)), canonical(&theirs), "{text:?}")
            }
            (Err(_), Err(_)) => {}
            (ours, theirs) => panic!("{text:?}: we read {ours:?}, Pyro5 {theirs:?}"),
        }
    }
}

/// Pyro5 accepts these and fails later, when it connects.
#[test]
fn uris_that_no_client_could_connect_to_are_refused() {
    let texts =
        ["PYRO:obj@:1", "PYRO:obj@h:65536", "PYRO:obj@h:-1", "PYRO:obj@h:1_0", "PYRONAME:n@[::1]x"];
    let asks = texts.map(|text| Ask::bytes('u', Serializer::Serpent, text.as_bytes()));
    for (text, theirs) in texts.iter().zip(ask(&asks)) {
        assert!(theirs.is_ok(), "{text:?}");
        assert!(text.parse::<Uri>().is_err(), "{text:?}");
    }
}

/// A URI as peer.py shows it: its text, unless that has a set, and its state.
fn shown(uri: &Uri) -> Value {
    let value = uri.to_value();
    let state =
        value.as_dict().and_then(|dict| dict.get("state")).and_then(Value::as_list).unwrap();
    let mut parts = state.to_vec();
    if !matches!(uri, Uri::PyroMeta { .. }) {
        parts.insert(0, uri.to_string().into());
    }
    Value::Tuple(parts)
}

#[test]
fn exceptions_have_the_text_of_python() {
    let list = |items: &[&str]| items.iter().map(|item| Value::from(*item)).collect::<Vec<_>>();
    let mut cases = Vec::new();
    for class in [
        "ValueError",
        "KeyError",
        "IndexError",
        "ZeroDivisionError",
        "StopIteration",
        "RuntimeError",
        "AttributeError",
        "NotImplementedError",
        "AssertionError",
        "LookupError",
        "ArithmeticError",
    ] {
        for args in [vec![], list(&["it's"]), list(&["a", "b"]), vec![5.into()], vec![Value::None]]
        {
            cases.push((format!("builtins.{class}"), args));
        }
    }
    for class in [
        "OSError",
        "IOError",
        "FileNotFoundError",
        "PermissionError",
        "ConnectionRefusedError",
        "ConnectionResetError",
        "BrokenPipeError",
        "TimeoutError",
        "BlockingIOError",
        "InterruptedError",
    ] {
        for args in [vec![], list(&["text"]), vec![2.into(), "No such".into()], list(&["a", "b"])] {
            cases.push((format!("builtins.{class}"), args));
        }
    }
    for class in ["PyroError", "NamingError", "TimeoutError", "SerializeError", "DaemonError"] {
        for args in [vec![], list(&["text"]), vec![2.into(), "text".into()]] {
            cases.push((format!("Pyro5.errors.{class}"), args));
        }
    }
    let exceptions: Vec<Exception> = cases
        .into_iter()
        .map(|(class, args)| Exception { args, ..Exception::new(class, "") })
        .collect();
    let asks: Vec<Ask> =
        exceptions.iter().map(|e| Ask::value('x', Serializer::Serpent, &e.to_value())).collect();
    for (exception, theirs) in exceptions.iter().zip(ask(&asks)) {
        let theirs = theirs.map(|text| String::from_utf8(text).unwrap());
        assert_eq!(Ok(exception.message()), theirs, "{exception:?}");
    }
}
