//! Arrays as lists of lists, as numpy's `tolist` makes them: what clients get that know no arrays.

use super::dtype::DTypeForm;
use super::{Array, ArrayOrder, DType, Element};
use crate::value::Value;

/// Lists and elements of a list of lists for each byte of the array: empty texts, and dimensions of
/// length 1, would take memory without any data.
const MAX_VALUES_PER_BYTE: usize = 4;
/// Lists and elements beyond that.
const MAX_EMPTY_VALUES: usize = 1 << 16;
/// Most lists and elements of a list of lists: 128 MiB of values, which no budget counts.
const MAX_LIST_VALUES: usize = 1 << 22;

impl Array {
    /// The array as a list of lists, or as a plain value where it has no dimensions. Masked
    /// elements become None.
    ///
    /// # Errors
    /// Elements that have no plain form.
    pub fn to_list(&self) -> Result<Value, &'static str> {
        self.check_list_form()?;
        let strides = self.strides();
        self.nested(0, 0, 0, &strides)
    }

    /// Checks that the list of lists, with the values inside its elements, is not too large.
    fn check_list_form(&self) -> Result<(), &'static str> {
        let values = value_count(self.shape(), self.dtype().value_count());
        let of_bytes = self.data().len().saturating_mul(MAX_VALUES_PER_BYTE);
        if values > of_bytes.saturating_add(MAX_EMPTY_VALUES) {
            return Err("an array with so many empty elements or dimensions has no form as a list");
        }
        if values > MAX_LIST_VALUES {
            return Err("an array of so many elements has no form as a list");
        }
        Ok(())
    }

    /// The elements as plain data, in the order of memory, masked ones included.
    pub fn elements(&self) -> impl Iterator<Item = Result<Value, &'static str>> {
        let of_one = self.dtype().value_count();
        let most = self.dtype().item_bytes().saturating_mul(MAX_VALUES_PER_BYTE);
        let refused = (of_one > most.saturating_add(MAX_VALUES_PER_BYTE))
            .then_some(Err("an array with so many empty elements cannot be checked"));
        let chunks = self.data().chunks(self.dtype().item_bytes().max(1));
        refused.into_iter().chain(chunks.map(|bytes| self.dtype().item(bytes)))
    }

    /// The distance in elements between neighbours in each dimension: of the data, of the mask.
    fn strides(&self) -> (Vec<usize>, Vec<usize>) {
        let of = |order| strides_of(self.shape(), order);
        (of(self.order()), of(self.mask().map_or(ArrayOrder::C, |mask| mask.order)))
    }

    fn nested(
        &self,
        dimension: usize,
        at: usize,
        mask_at: usize,
        strides: &(Vec<usize>, Vec<usize>),
    ) -> Result<Value, &'static str> {
        let step = |of: &[usize]| of.get(dimension).copied().unwrap_or(0);
        let Some(length) = self.shape().get(dimension) else {
            return self.element(at, mask_at);
        };
        let (data, mask) = (step(&strides.0), step(&strides.1));
        let items = (0..*length).map(|index| {
            self.nested(dimension + 1, at + index * data, mask_at + index * mask, strides)
        });
        items.collect::<Result<_, _>>().map(Value::List)
    }

    fn element(&self, at: usize, mask_at: usize) -> Result<Value, &'static str> {
        if let Some(mask) = self.mask() {
            if self.dtype().mask_bytes() != 1 {
                return Err("a masked array with fields has no form as a list");
            }
            if mask.flags.get(mask_at).is_some_and(|flag| *flag != 0) {
                return Ok(Value::None);
            }
        }
        self.dtype().item(self.bytes_of(at))
    }

    fn bytes_of(&self, at: usize) -> &[u8] {
        let size = self.dtype().item_bytes();
        self.data().get(at * size..(at + 1) * size).unwrap_or_default()
    }

    /// Calls `visit` with the bytes of each element, in C order.
    pub(super) fn visit_in_c_order(&self, mut visit: impl FnMut(&[u8])) {
        let (strides, _) = self.strides();
        self.visit_from(0, 0, &strides, &mut visit);
    }

    fn visit_from(
        &self,
        dimension: usize,
        at: usize,
        strides: &[usize],
        visit: &mut impl FnMut(&[u8]),
    ) {
        let Some(length) = self.shape().get(dimension) else { return visit(self.bytes_of(at)) };
        let step = strides.get(dimension).copied().unwrap_or(0);
        for index in 0..*length {
            self.visit_from(dimension + 1, at + index * step, strides, visit);
        }
    }
}

/// Elements of a type that stand in an element of an array, in C order.
fn repeated(dtype: &DType, shape: &[usize], bytes: &[u8]) -> Result<Value, &'static str> {
    let Some((length, inner)) = shape.split_first() else { return dtype.item(bytes) };
    let size = bytes.len() / (*length).max(1);
    let item = |index: usize| {
        let begin = index * size;
        repeated(dtype, inner, bytes.get(begin..begin + size).unwrap_or_default())
    };
    (0..*length).map(item).collect::<Result<_, _>>().map(Value::List)
}

/// The number of lists and values in a list of lists whose elements have so many each.
fn value_count(shape: &[usize], of_element: usize) -> usize {
    let (mut values, mut of_dimension) = (1usize, 1usize);
    for length in shape {
        of_dimension = of_dimension.saturating_mul(*length);
        values = values.saturating_add(of_dimension);
    }
    values.saturating_add(of_dimension.saturating_mul(of_element.saturating_sub(1)))
}

fn strides_of(shape: &[usize], order: ArrayOrder) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1usize;
    let mut set = |(stride, length): (&mut usize, &usize)| {
        *stride = step;
        step = step.saturating_mul(*length);
    };
    match order {
        ArrayOrder::C => strides.iter_mut().zip(shape).rev().for_each(&mut set),
        ArrayOrder::Fortran => strides.iter_mut().zip(shape).for_each(&mut set),
    }
    strides
}

impl DType {
    /// Whether the elements are `T`, and then whether they are big-endian.
    pub(super) fn is_of<T: Element>(&self) -> Option<bool> {
        match &self.form {
            DTypeForm::Simple { text, is_big_endian, .. } => {
                (text.get(1..) == T::DTYPE.get(1..)).then_some(*is_big_endian)
            }
            _ => None,
        }
    }

    /// The number of values in an element as plain data.
    fn value_count(&self) -> usize {
        match &self.form {
            DTypeForm::Simple { .. } => 1,
            DTypeForm::Fields(fields) => {
                let counts = fields.iter().map(|field| field.dtype.value_count());
                counts.fold(1, usize::saturating_add)
            }
            DTypeForm::Repeated(dtype, shape) => value_count(shape, dtype.value_count()),
        }
    }

    /// An element as plain data.
    fn item(&self, bytes: &[u8]) -> Result<Value, &'static str> {
        match &self.form {
            DTypeForm::Simple { kind, is_big_endian, .. } => number(*kind, bytes, *is_big_endian)
                .map_or_else(|| other(*kind, bytes, *is_big_endian), Ok),
            DTypeForm::Fields(fields) => {
                let field = |field: &super::dtype::Field| {
                    let end = field.offset + field.dtype.item_bytes();
                    field.dtype.item(bytes.get(field.offset..end).unwrap_or_default())
                };
                fields.iter().map(field).collect::<Result<_, _>>().map(Value::Tuple)
            }
            DTypeForm::Repeated(dtype, shape) => repeated(dtype, shape, bytes),
        }
    }
}

/// The bytes of a number with the lowest byte first; `None` for another number of bytes.
pub(super) fn fixed<const N: usize>(bytes: &[u8], is_big_endian: bool) -> Option<[u8; N]> {
    let mut bytes: [u8; N] = bytes.try_into().ok()?;
    if is_big_endian {
        bytes.reverse();
    }
    Some(bytes)
}

fn number(kind: u8, bytes: &[u8], big: bool) -> Option<Value> {
    let float = |bytes: &[u8]| match bytes.len() {
        2 => fixed(bytes, big).map(|half| half_float(u16::from_le_bytes(half))),
        4 => f32::read(bytes, big).map(f64::from),
        8 => f64::read(bytes, big),
        _ => None,
    };
    Some(match (kind, bytes.len()) {
        (b'b', 1) => Value::Bool(bytes != [0]),
        (b'i', 1) => i8::read(bytes, big)?.into(),
        (b'i', 2) => i16::read(bytes, big)?.into(),
        (b'i', 4) => i32::read(bytes, big)?.into(),
        (b'i', 8) => i64::read(bytes, big)?.into(),
        (b'u', 1) => u8::read(bytes, big)?.into(),
        (b'u', 2) => u16::read(bytes, big)?.into(),
        (b'u', 4) => u32::read(bytes, big)?.into(),
        (b'u', 8) => u64::read(bytes, big)?.into(),
        (b'f', _) => Value::Float(float(bytes)?),
        (b'c', size) => {
            let (re, im) = bytes.split_at_checked(size / 2)?;
            Value::Complex { re: float(re)?, im: float(im)? }
        }
        _ => return None,
    })
}

fn other(kind: u8, bytes: &[u8], big: bool) -> Result<Value, &'static str> {
    match kind {
        b'V' => Ok(Value::bytes(bytes)),
        b'S' => {
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            Ok(Value::bytes(bytes.get(..used).unwrap_or_default()))
        }
        b'U' => {
            let codes = bytes.as_chunks::<4>().0.iter();
            let codes = codes.map(|code| fixed(code, big).map_or(0, u32::from_le_bytes));
            let text: Option<String> = codes.map(char::from_u32).collect();
            let text =
                text.ok_or("an array with text that is not Unicode has no form as a list")?;
            Ok(Value::from(text.trim_end_matches('\0')))
        }
        b'M' | b'm' => Err("an array of times has no form as a list"),
        _ => Err("an array of numbers of more than 64 bits has no form as a list"),
    }
}

/// The number of a float of 16 bits.
fn half_float(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let number = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { number } else { -number }
}
