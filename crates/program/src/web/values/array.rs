//! Large lists of numbers as arrays: packed, and written as `.npy` files (format 1.0).
//!
//! ```text
//! bytes  content
//! 6      0x93 "NUMPY"
//! 2      version: 1, 0
//! 2      length of the header, little-endian
//! …      a Python dict as text, padded with spaces to a multiple of 64 bytes in all, then "\n"
//! …      the numbers, the last axis fastest
//! ```

use remote::Value;

/// Numbers from which a list is sent as an array.
const LEAST_NUMBERS: usize = 256;
/// Axes of an array.
const MAX_AXES: usize = 8;
/// The beginning of a file.
const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// The type of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberType {
    Bool,
    Int64,
    Float64,
    Complex128,
}

/// An array of numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NumberArray {
    pub(super) kind: NumberType,
    pub(super) shape: Vec<usize>,
    /// The numbers, little-endian.
    pub(super) bytes: Vec<u8>,
}

impl NumberType {
    /// numpy's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            NumberType::Bool => "bool",
            NumberType::Int64 => "int64",
            NumberType::Float64 => "float64",
            NumberType::Complex128 => "complex128",
        }
    }

    /// The type in a file's header.
    fn code(self) -> &'static str {
        match self {
            NumberType::Bool => "|b1",
            NumberType::Int64 => "<i8",
            NumberType::Float64 => "<f8",
            NumberType::Complex128 => "<c16",
        }
    }
}

impl NumberArray {
    /// The array of nested lists that are regular, large, and have nothing but numbers.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let mut shape = Vec::new();
        let mut level = value;
        while let Value::List(items) = level {
            shape.push(items.len());
            level = items.first()?;
            if shape.len() > MAX_AXES {
                return None;
            }
        }
        let count = shape.iter().try_fold(1_usize, |count, axis| count.checked_mul(*axis))?;
        if shape.is_empty() || count < LEAST_NUMBERS {
            return None;
        }
        let kind = common_type(value, &shape, None)?;
        let mut bytes =
            Vec::with_capacity(count * if kind == NumberType::Complex128 { 16 } else { 8 });
        pack(value, kind, &mut bytes);
        Some(NumberArray { kind, shape, bytes })
    }

    /// The content of a `.npy` file.
    pub(super) fn to_npy(&self) -> Vec<u8> {
        let axes: String = self.shape.iter().map(|axis| format!("{axis}, ")).collect();
        let mut header = format!(
            "{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
            self.kind.code(),
            // A tuple of one item keeps its comma.
            if self.shape.len() == 1 { axes.trim_end() } else { axes.trim_end_matches(", ") },
        );
        let length = MAGIC.len() + 2 + header.len() + 1;
        header.push_str(&" ".repeat(length.next_multiple_of(64) - length));
        header.push('\n');
        let mut file = MAGIC.to_vec();
        // Eight axes of twenty digits fit.
        file.extend(u16::try_from(header.len()).unwrap_or(u16::MAX).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(&self.bytes);
        file
    }

    /// The numbers as floats; none of complex ones.
    pub(super) fn floats(&self) -> Option<Vec<f64>> {
        let words = || self.bytes.chunks_exact(8).filter_map(|word| word.try_into().ok());
        Some(match self.kind {
            NumberType::Bool => self.bytes.iter().map(|byte| f64::from(*byte)).collect(),
            NumberType::Int64 => words().map(|word| i64::from_le_bytes(word) as f64).collect(),
            NumberType::Float64 => words().map(f64::from_le_bytes).collect(),
            NumberType::Complex128 => return None,
        })
    }
}

/// The type that holds all numbers of nested lists with this shape.
fn common_type(value: &Value, shape: &[usize], so_far: Option<NumberType>) -> Option<NumberType> {
    let Some((axis, inner)) = shape.split_first() else {
        let own = match value {
            Value::Bool(_) => NumberType::Bool,
            Value::Int(_) => NumberType::Int64,
            Value::Float(_) => NumberType::Float64,
            Value::Complex { .. } => NumberType::Complex128,
            _ => return None,
        };
        return match so_far {
            None => Some(own),
            Some(kind) if kind == own => Some(kind),
            // A list of both is no list of numbers to numpy's users.
            Some(NumberType::Bool) => None,
            Some(_) if own == NumberType::Bool => None,
            Some(NumberType::Complex128) => Some(NumberType::Complex128),
            Some(_) if own == NumberType::Complex128 => Some(own),
            Some(_) => Some(NumberType::Float64),
        };
    };
    let Value::List(items) = value else { return None };
    if items.len() != *axis {
        return None;
    }
    let mut kind = so_far;
    for item in items {
        kind = Some(common_type(item, inner, kind)?);
    }
    kind
}

fn pack(value: &Value, kind: NumberType, bytes: &mut Vec<u8>) {
    match (value, kind) {
        (Value::List(items), _) => items.iter().for_each(|item| pack(item, kind, bytes)),
        (Value::Bool(flag), _) => bytes.push(u8::from(*flag)),
        (Value::Int(int), NumberType::Int64) => bytes.extend(int.to_le_bytes()),
        (Value::Complex { re, im }, _) => {
            bytes.extend(re.to_le_bytes());
            bytes.extend(im.to_le_bytes());
        }
        (number, kind) => {
            bytes.extend(number.as_f64().unwrap_or(f64::NAN).to_le_bytes());
            if kind == NumberType::Complex128 {
                bytes.extend(0_f64.to_le_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: impl IntoIterator<Item = impl Into<Value>>) -> Value {
        Value::List(items.into_iter().map(Into::into).collect())
    }

    #[test]
    fn regular_lists_of_numbers_are_arrays() {
        let floats = list((0..256).map(f64::from));
        let array = NumberArray::of(&floats).unwrap();
        assert_eq!((array.kind, array.shape.as_slice()), (NumberType::Float64, &[256][..]));
        assert_eq!(array.floats().unwrap()[255], 255.0);
        let image = list((0..16).map(|row| list((0..16).map(|column| row * column))));
        let array = NumberArray::of(&image).unwrap();
        assert_eq!((array.kind, array.shape.as_slice()), (NumberType::Int64, &[16, 16][..]));
        let mixed = list((0..255).map(Value::from).chain([Value::Float(0.5)]));
        assert_eq!(NumberArray::of(&mixed).unwrap().kind, NumberType::Float64);
        for other in [
            list(0..255),
            list((0..255).map(Value::from).chain([Value::from("x")])),
            list((0..255).map(Value::from).chain([Value::Bool(true)])),
            list((0..16).map(|row| list(0..16 + row))),
            list(std::iter::empty::<Value>()),
            Value::from(5),
        ] {
            assert_eq!(NumberArray::of(&other), None, "{other}");
        }
    }

    #[test]
    fn a_file_has_an_aligned_header() {
        let file = NumberArray::of(&list((0..300).map(f64::from))).unwrap().to_npy();
        let length = usize::from(u16::from_le_bytes([file[8], file[9]]));
        assert_eq!((10 + length) % 64, 0);
        let header = std::str::from_utf8(&file[10..10 + length]).unwrap();
        let expected = "{'descr': '<f8', 'fortran_order': False, 'shape': (300,), }";
        assert_eq!(header.trim_end(), expected);
        assert_eq!(file.len(), 10 + length + 300 * 8);
        let image = list((0..16).map(|_| list(0..16)));
        let file = NumberArray::of(&image).unwrap().to_npy();
        assert!(String::from_utf8_lossy(&file).contains("'shape': (16, 16), }"));
    }
}
