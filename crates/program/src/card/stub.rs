//! Stub file (`.pyi`) of a service for type checkers, clean under their strict modes.
//!
//! A class with the members of the service, as a proxy has them. Names of types are written so that
//! no member of the same name hides them.

use remote::Value;
use remote::card::{Member, MemberKind, Parameter, ParameterKind, Type};

use super::described::DescribedService;

/// Words that cannot be names in Python.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

/// Special methods that every object has with another signature.
const OF_OBJECTS: [&str; 4] = ["__eq__", "__ne__", "__hash__", "__bool__"];

/// The name of the module with the stub of a service: `lab_laser` for `lab.laser`.
pub(crate) fn module_name(service: &str) -> String {
    identifier(service)
}

/// The text of the stub file.
pub(crate) fn stub(service: &DescribedService) -> String {
    let card = &service.card;
    let class = match card.class.as_str() {
        "" => "Service".to_owned(),
        class => identifier(class),
    };
    let mut body = String::new();
    if !card.doc.is_empty() {
        body.push_str(&docstring(&card.doc, "    "));
    }
    for member in &card.members {
        if is_name(&member.name) && !OF_OBJECTS.contains(&member.name.as_str()) {
            body.push_str(&match member.kind {
                MemberKind::Property => property(member),
                MemberKind::Method | MemberKind::Stream => method(member),
            });
        }
    }
    if body.is_empty() {
        body.push_str("    ...\n");
    }
    // A strict checker refuses an import that is not used.
    let modules = ["builtins", "typing"];
    let used = modules.iter().filter(|module| body.contains(&format!("_{module}.")));
    let imports: String = used.map(|module| format!("import {module} as _{module}\n")).collect();
    let (name, version) = (one_line(&service.name), &card.version);
    format!(
        "# Written by `ferrolab stubs` from the service card of {name}, version {version}.\n\
         {imports}\nclass {class}:\n{body}"
    )
}

fn property(member: &Member) -> String {
    let (name, kind) = (&member.name, type_text(&member.value.kind));
    let mut text = format!("    @_builtins.property\n    def {name}(self) -> {kind}:");
    text.push_str(&body(&member.doc));
    if member.writable {
        text.push_str(&format!(
            "    @{name}.setter\n    def {name}(self, value: {kind}) -> None: ...\n"
        ));
    }
    text
}

fn method(member: &Member) -> String {
    let result = match (member.kind, member.oneway) {
        (MemberKind::Stream, _) => {
            format!("_typing.Iterator[{}]", type_text(&member.value.kind))
        }
        (_, true) => "None".to_owned(),
        (_, false) => type_text(&member.value.kind),
    };
    let mut parts = vec!["self".to_owned()];
    match &member.parameters {
        None => parts.extend(["*args: _typing.Any".into(), "**kwargs: _typing.Any".into()]),
        Some(parameters) => parts.extend(parameter_parts(parameters)),
    }
    let (name, parts) = (&member.name, parts.join(", "));
    format!("    def {name}({parts}) -> {result}:{}", body(&member.doc))
}

fn parameter_parts(parameters: &[Parameter]) -> Vec<String> {
    // A name that Python does not allow can only be given by its place.
    let by_place_only = |parameter: &Parameter| {
        parameter.kind == ParameterKind::Positional
            || parameter.kind == ParameterKind::Either && !is_name(&parameter.name)
    };
    let last_by_place = parameters.iter().rposition(by_place_only);
    let mut parts = Vec::new();
    let mut is_starred = false;
    let mut is_optional = false;
    for (index, parameter) in parameters.iter().enumerate() {
        let kind = type_text(&parameter.value.kind);
        // Not the first one of the stub's own.
        let name = match parameter.name.as_str() {
            "self" => "self_".to_owned(),
            name => identifier(name),
        };
        is_optional |= !parameter.required;
        let default = if is_optional { " = ..." } else { "" };
        match parameter.kind {
            ParameterKind::Variadic => parts.push(format!("*{name}: {kind}")),
            ParameterKind::Keywords => parts.push(format!("**{name}: {kind}")),
            ParameterKind::Keyword if !is_name(&parameter.name) => continue,
            ParameterKind::Keyword => {
                if !is_starred {
                    parts.push("*".to_owned());
                }
                let default = if parameter.required { "" } else { " = ..." };
                parts.push(format!("{name}: {kind}{default}"));
            }
            ParameterKind::Either | ParameterKind::Positional => {
                parts.push(format!("{name}: {kind}{default}"));
            }
        }
        is_starred |= matches!(parameter.kind, ParameterKind::Variadic | ParameterKind::Keyword);
        if last_by_place == Some(index) {
            parts.push("/".to_owned());
        }
    }
    parts
}

/// A type as an annotation.
fn type_text(kind: &Type) -> String {
    let all = |types: &[Type]| types.iter().map(type_text).collect::<Vec<_>>().join(", ");
    match kind {
        Type::Any | Type::Array => "_typing.Any".to_owned(),
        Type::None => "None".to_owned(),
        Type::Bool => "_builtins.bool".to_owned(),
        Type::Int => "_builtins.int".to_owned(),
        Type::Float => "_builtins.float".to_owned(),
        Type::Complex => "_builtins.complex".to_owned(),
        Type::Str => "_builtins.str".to_owned(),
        Type::Bytes => "_builtins.bytes".to_owned(),
        Type::List(item) => format!("_builtins.list[{}]", type_text(item)),
        Type::Set(item) => format!("_builtins.set[{}]", type_text(item)),
        Type::Tuple(items) if items.is_empty() => "_builtins.tuple[()]".to_owned(),
        Type::Tuple(items) => format!("_builtins.tuple[{}]", all(items)),
        Type::TupleOf(item) => format!("_builtins.tuple[{}, ...]", type_text(item)),
        Type::Dict(pair) => {
            format!("_builtins.dict[{}, {}]", type_text(&pair.0), type_text(&pair.1))
        }
        Type::Enum(values) => literal(values),
        Type::Union(types) => format!("_typing.Union[{}]", all(types)),
    }
}

/// One of a few values; of numbers that `Literal` does not take, their type.
fn literal(values: &[Value]) -> String {
    if values.is_empty() || values.iter().any(|value| matches!(value, Value::Float(_))) {
        return "_typing.Any".to_owned();
    }
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    format!("_typing.Literal[{}]", values.join(", "))
}

fn body(doc: &str) -> String {
    match doc {
        "" => " ...\n".to_owned(),
        doc => format!("\n{}        ...\n", docstring(doc, "        ")),
    }
}

fn docstring(doc: &str, indent: &str) -> String {
    let text = doc.replace('\\', "\\\\").replace("\"\"\"", "\\\"\\\"\\\"");
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let line: String = line.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        match (lines.is_empty(), line.trim_end()) {
            (true, line) => lines.push(format!("{indent}\"\"\"{line}")),
            (false, "") => lines.push(String::new()),
            (false, line) => lines.push(format!("{indent}{line}")),
        }
    }
    // A quotation mark at the end would join those that end the text.
    let space = if text.ends_with('"') { " " } else { "" };
    format!("{}{space}\"\"\"\n", lines.join("\n"))
}

fn is_name(text: &str) -> bool {
    identifier(text) == text
}

/// A text as a name in Python.
fn identifier(text: &str) -> String {
    let usable = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '_' };
    let mut name: String = text.chars().map(usable).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_numeric()) {
        name.insert(0, '_');
    }
    if KEYWORDS.contains(&name.as_str()) {
        name.push('_');
    }
    name
}

fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
