//! JSON of any value, with tags for what JSON cannot hold.
//!
//! | Python | JSON |
//! |---|---|
//! | an int beyond 53 bits | `{"@type": "int", "value": "123…"}` |
//! | `nan`, `inf`, `-inf` | `{"@type": "float", "value": "nan"}` |
//! | a complex | `{"@type": "complex", "real": 1.0, "imag": 2.0}` |
//! | bytes | `{"@type": "bytes", "length": 2, "base64": "AAE="}` |
//! | a tuple, set or frozenset | `{"@type": "tuple", "items": [1, 2]}` |
//! | a dict with other keys than texts | `{"@type": "dict", "items": [[1, "one"]]}` |
//! | an object that the service hands out | `{"@type": "object", "uri": "PYRO:…"}` |
//! | many numbers | `{"@type": "array", "dtype": "float64", "shape": [500], "url": …}` |

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use remote::wire::Limits;
use remote::{Dict, Serializer, Value};

use super::array::NumberArray;
use super::kept::KeptResults;

/// The key of the tag.
const TAG: &str = "@type";
/// Ints up to here are the same in JavaScript's numbers.
const SAFE_INT: i64 = (1 << 53) - 1;
/// Bytes of a `bytes` that are in the answer itself; longer ones are downloaded.
const INLINE_BYTES: usize = 256 * 1024;
/// The class name of proxies on the wire.
const PROXY_CLASS: &str = "Pyro5.client.Proxy";

/// The JSON text of a value. Large arrays and bytes go to `kept`, which has the addresses for them;
/// without, they are written out.
///
/// # Errors
/// The value has no JSON form; in words for a person.
pub(in crate::web) fn to_json(value: Value, kept: Option<&KeptResults>) -> Result<String, String> {
    let tagged = tagged(value, kept);
    let mut text = Vec::new();
    let encoded = Serializer::Json.encode(&tagged, &mut text);
    encoded.map_err(|error| format!("the value has no JSON form: {error}"))?;
    String::from_utf8(text).map_err(|error| format!("the value has no JSON form: {error}"))
}

/// The value of a JSON text.
///
/// # Errors
/// It is no JSON, or a tag is wrong; in words for a person.
pub(in crate::web) fn from_json(text: &[u8]) -> Result<Value, String> {
    let limits = Limits::for_messages(text.len().max(1024));
    let value = Serializer::Json.decode(text, &limits);
    untagged(value.map_err(|error| format!("the body is no JSON: {error}"))?)
}

fn tag(name: &str, fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let mut dict = Dict::new();
    dict.insert(TAG, name);
    fields.into_iter().for_each(|(key, value)| drop(dict.insert(key, value)));
    Value::Dict(dict)
}

fn tagged(value: Value, kept: Option<&KeptResults>) -> Value {
    let all =
        |items: Vec<Value>| Value::List(items.into_iter().map(|item| tagged(item, kept)).collect());
    if let Some(kept) = kept
        && let Some(array) = NumberArray::of(&value)
    {
        return kept.keep_array(array);
    }
    match value {
        Value::Int(int) if (-SAFE_INT..=SAFE_INT).contains(&int) => Value::Int(int),
        Value::Int(_) | Value::BigInt(_) => tag("int", [("value", value.to_string().into())]),
        Value::Float(float) if !float.is_finite() => {
            tag("float", [("value", float.to_string().to_lowercase().into())])
        }
        Value::Complex { re, im } => {
            let part = |part| tagged(Value::Float(part), kept);
            tag("complex", [("real", part(re)), ("imag", part(im))])
        }
        Value::Bytes(bytes) => bytes_json(bytes, kept),
        Value::List(items) => all(items),
        Value::Tuple(items) => tag("tuple", [("items", all(items))]),
        Value::Set(set) => tag("set", [("items", all(set.into_vec()))]),
        Value::FrozenSet(set) => tag("frozenset", [("items", all(set.into_vec()))]),
        Value::Dict(dict) => dict_json(dict, kept),
        plain => plain,
    }
}

fn bytes_json(bytes: Vec<u8>, kept: Option<&KeptResults>) -> Value {
    match kept {
        Some(kept) if bytes.len() > INLINE_BYTES => kept.keep_bytes(bytes),
        _ => {
            let length = ("length", Value::from(bytes.len()));
            tag("bytes", [length, ("base64", STANDARD.encode(&bytes).into())])
        }
    }
}

fn dict_json(dict: Dict, kept: Option<&KeptResults>) -> Value {
    if dict.class() == Some(PROXY_CLASS)
        && let Some(uri) = dict.get("state").and_then(Value::as_list).and_then(<[_]>::first)
    {
        return tag("object", [("uri", uri.clone())]);
    }
    if dict.keys().all(|key| key.as_str().is_some()) && !dict.contains(TAG) {
        let pairs = dict.into_iter().map(|(key, value)| (key, tagged(value, kept)));
        return Value::Dict(pairs.collect());
    }
    let pair = |(key, value)| Value::List(vec![tagged(key, kept), tagged(value, kept)]);
    let items = dict.into_iter().map(pair).collect();
    tag("dict", [("items", Value::List(items))])
}

fn untagged(value: Value) -> Result<Value, String> {
    match value {
        Value::List(items) => Ok(Value::List(all_untagged(items)?)),
        Value::Dict(mut dict) => {
            let Some(name) = dict.remove(TAG) else {
                let pairs = dict.into_iter().map(|(key, value)| Ok((key, untagged(value)?)));
                return Ok(Value::Dict(pairs.collect::<Result<_, String>>()?));
            };
            let name = name.as_str().unwrap_or_default().to_owned();
            read_tag(&name, dict)
        }
        plain => Ok(plain),
    }
}

fn all_untagged(items: Vec<Value>) -> Result<Vec<Value>, String> {
    items.into_iter().map(untagged).collect()
}

fn read_tag(name: &str, mut dict: Dict) -> Result<Value, String> {
    let mut part = |key: &str| {
        dict.remove(key).ok_or_else(|| format!("`\"@type\": \"{name}\"` needs the key `{key}`"))
    };
    let wrong = || format!("this is no value of `\"@type\": \"{name}\"`");
    let items = |value: Value| match value {
        Value::List(items) => all_untagged(items),
        _ => Err(wrong()),
    };
    match name {
        "int" => {
            let text = part("value")?;
            let digits = text.as_str().unwrap_or_default().trim();
            let int = Serializer::Json.decode(digits.as_bytes(), &Limits::default());
            int.ok().filter(|value| value.type_name() == "int").ok_or_else(wrong)
        }
        "float" => {
            let text = part("value")?;
            let float = text.as_str().and_then(|text| text.trim().parse().ok()).or(text.as_f64());
            float.map(Value::Float).ok_or_else(wrong)
        }
        "complex" => {
            let (re, im) = (untagged(part("real")?)?, untagged(part("imag")?)?);
            let (re, im) = re.as_f64().zip(im.as_f64()).ok_or_else(wrong)?;
            Ok(Value::Complex { re, im })
        }
        "bytes" => {
            let text = part("base64")?;
            let bytes = text.as_str().and_then(|text| STANDARD.decode(text).ok());
            bytes.map(Value::Bytes).ok_or_else(wrong)
        }
        "tuple" => Ok(Value::Tuple(items(part("items")?)?)),
        "set" => Ok(Value::Set(items(part("items")?)?.into_iter().collect())),
        "frozenset" => Ok(Value::FrozenSet(items(part("items")?)?.into_iter().collect())),
        "dict" => {
            let mut pairs = Dict::new();
            for pair in items(part("items")?)? {
                let Value::List(pair) = pair else { return Err(wrong()) };
                let [key, value]: [Value; 2] = pair.try_into().map_err(|_| wrong())?;
                if matches!(key, Value::List(_) | Value::Dict(_) | Value::Set(_)) {
                    return Err(format!("a {} cannot be a key", key.type_name()));
                }
                pairs.insert(key, value);
            }
            Ok(Value::Dict(pairs))
        }
        other => Err(format!(
            "`@type` is not `{other}`: int, float, complex, bytes, tuple, set, frozenset or dict"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back() {
        let big = from_json(b"123456789012345678901234567890").unwrap();
        assert_eq!(big.type_name(), "int");
        let keyed = Dict::from_iter([
            (Value::from(1), Value::from("one")),
            (Value::Tuple(vec![1.into(), 2.into()]), Value::None),
        ]);
        let tagged_like = Dict::from_iter([("@type", "int")]);
        for value in [
            Value::None,
            Value::Bool(true),
            Value::Int(-5),
            Value::Int(i64::MAX),
            big,
            Value::Float(5.0),
            Value::Float(f64::INFINITY),
            Value::Float(f64::NEG_INFINITY),
            Value::Complex { re: 1.0, im: f64::INFINITY },
            Value::from("a \u{1F52C} <script>"),
            Value::bytes(b"\0\xff".as_slice()),
            Value::List(vec![Value::from(1), Value::Tuple(vec![])]),
            Value::Set([Value::from(1)].into_iter().collect()),
            Value::FrozenSet([Value::from("x")].into_iter().collect()),
            Value::Dict(keyed),
            Value::Dict(tagged_like),
            Value::Dict(Dict::from_iter([("a", 1)])),
        ] {
            let text = to_json(value.clone(), None).unwrap();
            assert_eq!(from_json(text.as_bytes()), Ok(value), "{text}");
        }
        let nan = to_json(Value::Float(f64::NAN), None).unwrap();
        assert!(nan.contains("\"nan\""), "{nan}");
        assert!(matches!(from_json(nan.as_bytes()), Ok(Value::Float(nan)) if nan.is_nan()));
    }

    #[test]
    fn wrong_tags_are_refused_in_words() {
        for (text, part) in [
            (r#"{"@type": "int"}"#, "needs the key `value`"),
            (r#"{"@type": "int", "value": "1.5"}"#, "no value of"),
            (r#"{"@type": "int", "value": "[1]"}"#, "no value of"),
            (r#"{"@type": "bytes", "base64": "?"}"#, "no value of"),
            (r#"{"@type": "dict", "items": [[1]]}"#, "no value of"),
            (r#"{"@type": "dict", "items": [[[1], 2]]}"#, "a list cannot be a key"),
            (r#"{"@type": "array"}"#, "`@type` is not `array`"),
            (r#"{"@type": 5}"#, "`@type` is not ``"),
            ("{", "the body is no JSON"),
        ] {
            let error = from_json(text.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
