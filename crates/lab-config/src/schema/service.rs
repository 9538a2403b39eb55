//! The table of services.

use super::{CALL_LOG, Field, HEALTH, MEMBER, PYTHON, Rule, SIMULATE, Section, ValueKind};

/// A service.
pub(crate) static SERVICE: Section = Section {
    key: "services",
    one: "a service",
    doc: "A named object that clients call: a Python class, or a built-in service.",
    fields: &[
        Field {
            key: "module",
            kind: ValueKind::Text(Rule::Module),
            default: "null",
            example: "pyrolab.drivers.sample",
            doc: "The Python module that has the class.",
        },
        Field {
            key: "classname",
            kind: ValueKind::Text(Rule::Identifier),
            default: "null",
            example: "SampleService",
            doc: "The class; or an object in the module, or a function that is called with \
                  `arguments` and returns one, which is then one for all clients. Without it, and \
                  with `expose`, the functions of the module itself are served.",
        },
        Field {
            key: "native",
            kind: ValueKind::Text(Rule::Any),
            default: "null",
            example: "demo.thermometer",
            doc: "A built-in service, instead of `module` and `classname`.",
        },
        Field {
            key: "parameters",
            kind: ValueKind::Parameters,
            default: "{}",
            example: "{address: COM4}",
            doc: "What the instrument is connected with: keyword arguments of its `connect()`.",
        },
        Field {
            key: "arguments",
            kind: ValueKind::Arguments,
            default: "[]",
            example: "{simulate: true}",
            doc: "What the class is made with: a list of arguments, or a mapping of keyword ones.",
        },
        Field {
            key: "simulate",
            kind: ValueKind::Group(&SIMULATE),
            default: "{}",
            example: "{classname: FakeStage}",
            doc: "A stand-in for the instrument: these keys count in the place of the service's own \
                  when it is simulated, by `ferrolab up --simulate` or `simulated: true`.",
        },
        Field {
            key: "simulated",
            kind: ValueKind::Flag,
            default: "false",
            example: "true",
            doc: "Whether its `simulate` section is in force without `--simulate`, too.",
        },
        Field {
            key: "description",
            kind: ValueKind::Text(Rule::Any),
            default: "\"\"",
            example: "Rotational motion",
            doc: "What people read in the nameserver.",
        },
        Field {
            key: "tags",
            kind: ValueKind::List(Rule::Tag),
            default: "[]",
            example: "[optics, cryo]",
            doc: "Words by which people group and find it, in `ferrolab ps --tag` and on the page.",
        },
        Field {
            key: "instancemode",
            kind: ValueKind::Choice(&["session", "single", "percall", "class"]),
            default: "session",
            example: "single",
            doc: "One instance per connection (`session`), per daemon (`single`) or per call \
                  (`percall`); `class` leaves it to the class's own `@behavior`, which counts for \
                  nothing otherwise, as in PyroLab.",
        },
        Field {
            key: "daemon",
            kind: ValueKind::Name,
            default: "default",
            example: "bench",
            doc: "The daemon that hosts it.",
        },
        Field {
            key: "nameservers",
            kind: ValueKind::Names,
            default: "[]",
            example: "[local]",
            doc: "Where it is registered.",
        },
        Field {
            key: "expose",
            kind: ValueKind::Expose,
            default: "null",
            example: "all",
            doc: "`all`, or a list of members, for a class without Pyro's decorators; \
                  `[all, x]` is all and `x`.",
        },
        Field {
            key: "except",
            kind: ValueKind::List(Rule::Identifier),
            default: "[]",
            example: "[reset, adapter]",
            doc: "Members that are not exposed, although `expose` or a decorator says so.",
        },
        Field {
            key: "parts",
            kind: ValueKind::Parts,
            default: "[]",
            example: "[ch_1, ch_2]",
            doc: "Objects that hang on the instrument (channels, parameters, axes) and are served \
                  under a name below it: `all`, or a list such as `[ch_1, A.temperature]`. Needs \
                  `instancemode: single`.",
        },
        Field {
            key: "members",
            kind: ValueKind::Members(&MEMBER),
            default: "{}",
            example: "{voltage: {minimum: 0, maximum: 30, unit: V}}",
            doc: "Types, units and limits of single members.",
        },
        Field {
            key: "start",
            kind: ValueKind::Choice(&["lazy", "eager"]),
            default: "lazy",
            example: "eager",
            doc: "When the instance is made: with the first call (`lazy`), or when the daemon \
                  starts (`eager`), again and again while that fails. Needs one instance for all, \
                  `instancemode: single`.",
        },
        Field {
            key: "health",
            kind: ValueKind::GroupOrText { section: &HEALTH, key: "method" },
            default: "null",
            example: "{method: identify, every: 30s, replace: true}",
            doc: "A method to call now and then: while it fails, the service is `unwell`. A text \
                  is the method alone. Needs one instance for all, `instancemode: single`.",
        },
        Field {
            key: "isolate",
            kind: ValueKind::Flag,
            default: "false",
            example: "true",
            doc: "Whether it has a Python process of its own.",
        },
        Field {
            key: "watchdog",
            kind: ValueKind::Seconds { zero: false },
            default: "null",
            example: "30",
            doc: "Restart its Python process when it gives no sign of life for so many seconds.",
        },
        Field {
            key: "call_timeout",
            kind: ValueKind::Seconds { zero: true },
            default: "0.0",
            example: "300.0",
            doc: "The longest time of a call, in seconds; 0 for no limit. Then its caller gets a \
                  `TimeoutError`, and the call goes on.",
        },
        Field {
            key: "on_timeout",
            kind: ValueKind::Choice(&["report", "restart"]),
            default: "report",
            example: "restart",
            doc: "`report`: a call that takes too long is shown; `restart`: its Python process is \
                  restarted, too, which ends it.",
        },
        Field {
            key: "call_log",
            kind: CALL_LOG,
            default: "null",
            example: "changes",
            doc: "Which of its calls are in the call log; the daemon's `call_log` if absent.",
        },
        Field {
            key: "audit",
            kind: ValueKind::Choice(&["refusals", "calls"]),
            default: "refusals",
            example: "calls",
            doc: "What the audit has of it: refused calls and broken locks (`refusals`), or its calls \
                  and property sets too (`calls`).",
        },
        Field {
            key: "private",
            kind: ValueKind::List(Rule::Member),
            default: "[]",
            example: "[password]",
            doc: "Members whose arguments are kept out of the call log: short for `private: true` in \
                  `members`.",
        },
        Field {
            key: "read_while_locked",
            kind: ValueKind::List(Rule::Identifier),
            default: "[]",
            example: "[status, temperature]",
            doc: "Members that others may use while it is locked.",
        },
        Field {
            key: "abort",
            kind: ValueKind::List(Rule::Identifier),
            default: "[]",
            example: "[stop]",
            doc: "Methods to call beside a running call, to end it: when its client has gone, its lock is broken, `call_timeout` passes, or by `ferrolab abort`.",
        },
        Field {
            key: "on_disconnect",
            kind: ValueKind::List(Rule::Identifier),
            default: "[]",
            example: "[off, close_shutter]",
            doc: "Methods to call when the session that held it ends: a safe state.",
        },
        Field {
            key: "lock_max_wait",
            kind: ValueKind::Seconds { zero: true },
            default: "86400.0",
            example: "3600.0",
            doc: "The longest time that a client may wait for its lock, in seconds; 0 for none.",
        },
        Field {
            key: "lock_max_ttl",
            kind: ValueKind::Seconds { zero: true },
            default: "86400.0",
            example: "3600.0",
            doc: "The longest time that its lock may outlive its owner's connection; 0 for none.",
        },
        Field {
            key: "lock_idle",
            kind: ValueKind::Seconds { zero: false },
            default: "null",
            example: "10m",
            doc: "An owner that makes no call for so long loses its lock, never during a call; \
                  without it a lock stays its owner's.",
        },
        Field {
            key: "python",
            kind: ValueKind::Group(&PYTHON),
            default: "{}",
            example: "{path: [/opt/lab/drivers]}",
            doc: "The Python it runs in.",
        },
    ],
    renamed: &[
        ("server", "daemon"),
        ("class", "classname"),
        ("instance_mode", "instancemode"),
        ("params", "parameters"),
        ("args", "arguments"),
        ("kwargs", "arguments"),
        ("nameserver", "nameservers"),
        ("module_name", "module"),
    ],
};
