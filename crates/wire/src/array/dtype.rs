//! Element types of arrays (numpy's dtypes), read from what a peer sends: texts such as `<f8`, or
//! the fields of a structured type.
//!
//! Only types of plain bytes are known. Objects would be addresses in the sender's memory, and are
//! refused like every text that is not in the table.
//!
//! ```text
//! text        one of < > |, a letter, a number, and for M and m perhaps a unit: <M8[ns]
//! letters     b bool  i int  u unsigned  f float  c complex  S bytes  U text  V raw bytes
//!             M datetime64  m timedelta64
//! structured  (names, types, offsets, bytes of an element)
//! repeated    (type, shape): a field that is an array itself
//! ```

use std::fmt;

use super::element::Element;
use super::element_count;
use crate::value::Value;

/// Most fields of a structured type, nested ones included.
const MAX_FIELDS: usize = 4096;
/// Deepest nesting of structured types, in levels.
const MAX_DEPTH: usize = 16;
/// Most bytes of an element: numpy's own limit.
const MAX_ITEM_BYTES: usize = i32::MAX as usize;
/// Units of datetime64 and timedelta64.
const UNITS: [&str; 13] = ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"];

/// The type of an array's elements.
#[derive(Clone, Debug, PartialEq)]
pub struct DType {
    item_bytes: usize,
    pub(super) form: DTypeForm,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum DTypeForm {
    Simple { text: String, kind: u8, is_big_endian: bool },
    Fields(Vec<Field>),
    Repeated(Box<DType>, Vec<usize>),
}

/// A field of a structured type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    name: String,
    pub(super) dtype: DType,
    pub(super) offset: usize,
}

impl DType {
    pub(super) fn of_element<T: Element>() -> DType {
        let text = T::DTYPE.to_owned();
        let kind = text.as_bytes().get(1).copied().unwrap_or(b'V');
        let form = DTypeForm::Simple { text, kind, is_big_endian: false };
        DType { item_bytes: T::BYTES, form }
    }

    /// The type with numpy's text for it, such as `<f8` or `>u2`.
    ///
    /// # Errors
    /// No type of plain bytes has that text.
    pub fn of_text(text: &str) -> Result<DType, &'static str> {
        const UNKNOWN: &str = "the dtype of an array is not one of plain bytes";
        let (order, rest) = text.split_at_checked(1).ok_or(UNKNOWN)?;
        let (letter, rest) = rest.split_at_checked(1).ok_or(UNKNOWN)?;
        let kind = letter.bytes().next().ok_or(UNKNOWN)?;
        let (digits, unit) = match rest.split_once('[') {
            Some((digits, unit)) => (digits, Some(unit.strip_suffix(']').ok_or(UNKNOWN)?)),
            None => (rest, None),
        };
        let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        let size: usize = digits.parse().ok().filter(|_| is_number).ok_or(UNKNOWN)?;
        let (sizes, has_order): (&[usize], bool) = match kind {
            b'b' => (&[1], false),
            b'i' | b'u' => (&[1, 2, 4, 8], size > 1),
            b'f' => (&[2, 4, 8, 12, 16], true),
            b'c' => (&[8, 16, 24, 32], true),
            b'M' | b'm' => (&[8], true),
            b'S' | b'V' => (&[], false),
            b'U' => (&[], true),
            _ => return Err(UNKNOWN),
        };
        let is_known = (sizes.is_empty() || sizes.contains(&size))
            && (if has_order { order == "<" || order == ">" } else { order == "|" })
            && unit.is_none_or(|unit| matches!(kind, b'M' | b'm') && is_unit(unit));
        if !is_known {
            return Err(UNKNOWN);
        }
        let item_bytes = if kind == b'U' { size.saturating_mul(4) } else { size };
        if item_bytes > MAX_ITEM_BYTES {
            return Err("an element of an array has too many bytes");
        }
        let text = text.to_owned();
        let is_big_endian = order == ">";
        Ok(DType { item_bytes, form: DTypeForm::Simple { text, kind, is_big_endian } })
    }

    /// Reads a type as a peer describes it.
    pub(crate) fn from_value(value: Value) -> Result<DType, &'static str> {
        DType::read(value, MAX_DEPTH, &mut MAX_FIELDS.clone())
    }

    fn read(value: Value, depth: usize, fields_left: &mut usize) -> Result<DType, &'static str> {
        const MALFORMED: &str = "the dtype of an array is malformed";
        let depth = depth.checked_sub(1).ok_or("the dtype of an array is nested too deeply")?;
        let (Value::Tuple(parts) | Value::List(parts)) = value else {
            return match value {
                Value::Str(text) => DType::of_text(&text),
                _ => Err(MALFORMED),
            };
        };
        let parts = match <[Value; 2]>::try_from(parts) {
            Ok([dtype, shape]) => {
                let dtype = DType::read(dtype, depth, fields_left)?;
                let shape = read_shape(shape)?;
                let bytes = element_count(&shape)?.checked_mul(dtype.item_bytes);
                let item_bytes = bytes.filter(|bytes| *bytes <= MAX_ITEM_BYTES);
                let item_bytes = item_bytes.ok_or("an element of an array has too many bytes")?;
                return Ok(DType { item_bytes, form: DTypeForm::Repeated(Box::new(dtype), shape) });
            }
            Err(parts) => parts,
        };
        let [names, types, offsets, size] = <[Value; 4]>::try_from(parts).map_err(|_| MALFORMED)?;
        let (names, types, offsets) = (items(names)?, items(types)?, items(offsets)?);
        let item_bytes = read_size(&size).filter(|size| *size <= MAX_ITEM_BYTES);
        let item_bytes = item_bytes.ok_or(MALFORMED)?;
        let count = names.len();
        if count != types.len() || count != offsets.len() {
            return Err(MALFORMED);
        }
        *fields_left = fields_left.checked_sub(count).ok_or("a dtype has too many fields")?;
        let mut fields: Vec<Field> = Vec::with_capacity(count);
        for ((name, dtype), offset) in names.into_iter().zip(types).zip(offsets) {
            let Value::Str(name) = name else { return Err(MALFORMED) };
            let dtype = DType::read(dtype, depth, fields_left)?;
            let offset = read_size(&offset).ok_or(MALFORMED)?;
            let end = offset.checked_add(dtype.item_bytes);
            if end.is_none_or(|end| end > item_bytes) {
                return Err("a field of an array reaches beyond its element");
            }
            fields.push(Field { name, dtype, offset });
        }
        Ok(DType { item_bytes, form: DTypeForm::Fields(fields) })
    }

    /// The description of the type for a peer.
    pub(crate) fn to_value(&self) -> Value {
        match &self.form {
            DTypeForm::Simple { text, .. } => Value::from(text),
            DTypeForm::Fields(fields) => {
                let list =
                    |part: fn(&Field) -> Value| Value::List(fields.iter().map(part).collect());
                Value::Tuple(vec![
                    list(|field| Value::from(&field.name)),
                    list(|field| field.dtype.to_value()),
                    list(|field| field.offset.into()),
                    self.item_bytes.into(),
                ])
            }
            DTypeForm::Repeated(dtype, shape) => {
                Value::Tuple(vec![dtype.to_value(), shape_value(shape)])
            }
        }
    }

    /// Bytes of an element.
    pub fn item_bytes(&self) -> usize {
        self.item_bytes
    }

    /// Bytes of an element of the mask: a bool for each value.
    pub(super) fn mask_bytes(&self) -> usize {
        match &self.form {
            DTypeForm::Simple { .. } => 1,
            DTypeForm::Fields(fields) => {
                fields.iter().fold(0, |sum, field| sum.saturating_add(field.dtype.mask_bytes()))
            }
            DTypeForm::Repeated(dtype, shape) => {
                element_count(shape).unwrap_or(usize::MAX).saturating_mul(dtype.mask_bytes())
            }
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.form {
            DTypeForm::Simple { text, .. } => f.write_str(text),
            DTypeForm::Fields(fields) => {
                let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
                write!(f, "fields {}", names.join(", "))
            }
            DTypeForm::Repeated(dtype, _) => dtype.fmt(f),
        }
    }
}

/// Whether a text is a unit of time: letters, perhaps with a number before them.
fn is_unit(text: &str) -> bool {
    let letters = text.trim_start_matches(|c: char| c.is_ascii_digit());
    text.len() - letters.len() < 10 && UNITS.contains(&letters)
}

fn items(value: Value) -> Result<Vec<Value>, &'static str> {
    match value {
        Value::List(items) | Value::Tuple(items) => Ok(items),
        _ => Err("the dtype of an array is malformed"),
    }
}

fn read_size(value: &Value) -> Option<usize> {
    match value {
        Value::Int(size) => usize::try_from(*size).ok(),
        _ => None,
    }
}

/// The shape that a peer has sent.
pub(crate) fn read_shape(value: Value) -> Result<Vec<usize>, &'static str> {
    const MALFORMED: &str = "the shape of an array is malformed";
    let (Value::Tuple(lengths) | Value::List(lengths)) = value else { return Err(MALFORMED) };
    lengths.iter().map(|length| read_size(length).ok_or(MALFORMED)).collect()
}

/// The shape for a peer.
pub(crate) fn shape_value(shape: &[usize]) -> Value {
    Value::Tuple(shape.iter().map(|length| Value::from(*length)).collect())
}
