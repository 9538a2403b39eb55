use super::*;

#[test]
fn good_uris_print_as_pyro_prints_them() {
    let cases = [
        ("PYRO:obj@host:55", "PYRO:obj@host:55"),
        ("pyro:obj@host:55", "PYRO:obj@host:55"),
        ("PYRO:obj.a@b@host:55", "PYRO:obj.a@b@host:55"),
        ("PYRO:obj@127.0.0.1:0", "PYRO:obj@127.0.0.1:0"),
        ("PYRO:@@host:1", "PYRO:@@host:1"),
        ("PYRO:a:b@host:1", "PYRO:a:b@host:1"),
        ("PYRO:obj@host:55\n", "PYRO:obj@host:55"),
        ("PYRO:obj@[::1]:55", "PYRO:obj@[::1]:55"),
        ("PYRO:obj@[fe80::1%2]:55", "PYRO:obj@[fe80::1%2]:55"),
        ("PYRO:obj@./u:/tmp/a b.sock", "PYRO:obj@./u:/tmp/a b.sock"),
        ("PYRONAME:name", "PYRONAME:name"),
        ("PYRONAME:name@", "PYRONAME:name@"),
        ("PYRONAME:name@host", "PYRONAME:name@host:9090"),
        ("PYRONAME:name@host:", "PYRONAME:name@host:9090"),
        ("PYRONAME:name@[::1]", "PYRONAME:name@[::1]:9090"),
        ("PYRONAME:name@./u:ns", "PYRONAME:name@./u:ns"),
        ("PYROMETA:a,b,a@host:1", "PYROMETA:a,b@host:1"),
        ("PyroMeta:a", "PYROMETA:a"),
    ];
    for (text, printed) in cases {
        let uri: Uri = text.parse().unwrap();
        assert_eq!(uri.to_string(), printed);
        assert_eq!(Uri::from_value(&uri.to_value()), Some(uri));
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let cases = [
        ("", "must begin with a protocol"),
        ("obj@host:1", "must begin with a protocol"),
        ("HTTP:obj@host:1", "must begin with a protocol"),
        ("PYRO1:obj@host:1", "must begin with a protocol"),
        ("PYROLOC:obj@host:1", "unknown protocol PYROLOC"),
        ("PYRO:", "object's name is missing"),
        ("PYRO:a b@host:1", "white space"),
        ("PYRO:obj", "PYRO:obj@host:port; to look the name up, use PYRONAME:obj"),
        ("PYRO:obj@", "needs a location"),
        ("PYRO:@host:1", "needs a location"),
        ("PYRO:obj@host", "has no port; write host:port"),
        ("PYRO:obj@host:", "has no port; write host:port"),
        ("PYRO:obj@:1", "has no host"),
        ("PYRO:obj@host:abc", "the port 'abc' must be a number"),
        ("PYRO:obj@host:65536", "0 to 65535"),
        ("PYRO:obj@host:-1", "0 to 65535"),
        ("PYRO:obj@fe80::1:1", "[::1]:9090"),
        ("PYRO:obj@[[::1]]:1", "too many brackets"),
        ("PYRO:obj@[host]:1", "numeric IPv6"),
        ("PYRO:obj@[::1]x:1", "numeric IPv6"),
        ("PYRO:obj@[::1:1", "numeric IPv6"),
        ("PYRO:obj@./u:", "neither empty"),
        ("PYRO:obj@./u:a:b", "nor contain a colon"),
        ("PYRO:obj@ho\nst:1", "line breaks"),
    ];
    for (text, words) in cases {
        let error = text.parse::<Uri>().unwrap_err().to_string();
        assert!(error.contains(words), "{text:?}: {error}");
    }
}

#[test]
fn the_class_dict_is_pyros() {
    let printed = |text: &str| text.parse::<Uri>().unwrap().to_value().to_string();
    assert_eq!(
        printed("PYRO:obj@host:55"),
        "{'__class__': 'Pyro5.core.URI', 'state': ('PYRO', 'obj', None, 'host', 55)}"
    );
    assert_eq!(
        printed("PYRONAME:obj@./u:sock"),
        "{'__class__': 'Pyro5.core.URI', 'state': ('PYRONAME', 'obj', 'sock', None, None)}"
    );
    assert_eq!(
        printed("PYROMETA:tag"),
        "{'__class__': 'Pyro5.core.URI', 'state': ('PYROMETA', {'tag'}, None, None, None)}"
    );
}

#[test]
fn all_addresses_of_a_host_become_the_one_that_a_client_uses() {
    let cases = [
        ("PYRO:o@0.0.0.0:5", "192.0.2.7", "PYRO:o@192.0.2.7:5"),
        ("PYRO:o@[::]:5", "192.0.2.7", "PYRO:o@192.0.2.7:5"),
        ("PYRO:o@0.0.0.0:5", "fd00::7", "PYRO:o@[fd00::7]:5"),
        ("PYRONAME:o@0.0.0.0:5", "192.0.2.7", "PYRONAME:o@192.0.2.7:5"),
        ("PYRO:o@localhost:5", "192.0.2.7", "PYRO:o@localhost:5"),
        ("PYRO:o@./u:/run/x", "192.0.2.7", "PYRO:o@./u:/run/x"),
    ];
    for (text, host, expected) in cases {
        let uri: Uri = text.parse().unwrap();
        assert_eq!(uri.reached_at(host.parse().unwrap()).to_string(), expected, "{text}");
    }
    let uri: Uri = "PYRO:o@192.0.2.7:5".parse().unwrap();
    assert!(!uri.is_everywhere() && uri.everywhere().is_everywhere());
}
