//! Numpy arrays as values: element type, shape, order, and the bytes of their elements.
//!
//! An array travels as packed bytes between parties that know them ([`packed`](crate::packed)); to
//! everybody else it is a list of lists, as Pyro5 sends it ([`Array::to_list`]). An array is
//! checked when it is made: its bytes are as many as its type and shape need.

mod dtype;
mod element;
mod list;

use std::fmt;

pub use dtype::DType;
pub(crate) use dtype::{read_shape, shape_value};
pub use element::Element;

use crate::value::Value;

/// Most dimensions of an array: those of numpy 2.
const MAX_DIMENSIONS: usize = 64;
/// Most bytes of an array, whose dimensions of length 0 count as 1: numpy's limit.
const MAX_BYTES: usize = isize::MAX.unsigned_abs();
const TOO_LARGE: &str = "an array has a shape that is too large";

/// An array of numpy's.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    dtype: DType,
    shape: Vec<usize>,
    order: ArrayOrder,
    data: Vec<u8>,
    mask: Option<Box<Mask>>,
}

/// The order of an array's elements in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayOrder {
    /// The last index changes fastest.
    C,
    /// The first index changes fastest.
    Fortran,
}

/// The masked elements of numpy's masked array.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mask {
    pub(crate) order: ArrayOrder,
    /// A bool for each element, or for each field of each element.
    pub(crate) flags: Vec<u8>,
    /// The element that stands for masked ones.
    pub(crate) fill: Vec<u8>,
}

impl Array {
    /// An array of these values, in C order.
    ///
    /// # Errors
    /// The shape has another number of elements.
    pub fn from_values<T: Element>(shape: &[usize], values: &[T]) -> Result<Array, &'static str> {
        let dtype = DType::of_element::<T>();
        let mut data = Vec::with_capacity(values.len().saturating_mul(T::BYTES));
        values.iter().for_each(|value| value.append(&mut data));
        Array::new(dtype, shape.to_vec(), ArrayOrder::C, data)
    }

    /// An array of elements of this type, in this order, with their bytes.
    ///
    /// # Errors
    /// The bytes are more or fewer than the shape needs.
    pub fn new(
        dtype: DType,
        shape: Vec<usize>,
        order: ArrayOrder,
        data: Vec<u8>,
    ) -> Result<Array, &'static str> {
        if element_count(&shape)?.checked_mul(dtype.item_bytes()) != Some(data.len()) {
            return Err("an array has another number of bytes than its shape needs");
        }
        let bytes = nonzero_product(&shape)?.checked_mul(dtype.item_bytes());
        if bytes.is_none_or(|bytes| bytes > MAX_BYTES) {
            return Err(TOO_LARGE);
        }
        Ok(Array { dtype, shape, order, data, mask: None })
    }

    pub(crate) fn with_mask(mut self, mask: Mask) -> Result<Array, &'static str> {
        let flags = element_count(&self.shape)?.checked_mul(self.dtype.mask_bytes());
        if flags != Some(mask.flags.len()) || mask.fill.len() != self.dtype.item_bytes() {
            return Err("the mask of an array has another number of bytes than its shape needs");
        }
        self.mask = Some(Box::new(mask));
        Ok(self)
    }

    /// The type of the elements.
    pub fn dtype(&self) -> &DType {
        &self.dtype
    }

    /// The number of elements in each dimension; none for an array of a single element.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The order of the elements in memory.
    pub fn order(&self) -> ArrayOrder {
        self.order
    }

    /// The bytes of the elements.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The bytes of the elements, without the array.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    pub(crate) fn mask(&self) -> Option<&Mask> {
        self.mask.as_deref()
    }

    /// Whether some elements are masked or may be.
    pub fn is_masked(&self) -> bool {
        self.mask.is_some()
    }

    /// Bytes of memory that the array takes.
    pub fn memory(&self) -> usize {
        let mask = self.mask.as_ref().map_or(0, |mask| mask.flags.len() + mask.fill.len());
        size_of::<Array>() + self.data.len() + mask
    }

    /// The parts of an array that are sent as raw bytes.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let mask = self.mask.iter().flat_map(|mask| [mask.flags.as_slice(), &mask.fill]);
        std::iter::once(self.data.as_slice()).chain(mask)
    }
}

/// The number of elements of a shape.
fn element_count(shape: &[usize]) -> Result<usize, &'static str> {
    let product = nonzero_product(shape)?;
    Ok(if shape.contains(&0) { 0 } else { product })
}

/// The product of the lengths that are not 0. numpy too refuses a shape by it.
fn nonzero_product(shape: &[usize]) -> Result<usize, &'static str> {
    if shape.len() > MAX_DIMENSIONS {
        return Err("an array has more than 64 dimensions");
    }
    let mut nonzero = shape.iter().copied().filter(|length| *length > 0);
    let product = nonzero.try_fold(1, usize::checked_mul);
    product.filter(|product| *product <= MAX_BYTES).ok_or(TOO_LARGE)
}

impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape: Vec<String> = self.shape.iter().map(ToString::to_string).collect();
        write!(f, "<array of {} elements of {}>", shape.join(" x "), self.dtype)
    }
}

impl From<Array> for Value {
    fn from(array: Array) -> Self {
        Value::Array(std::sync::Arc::new(array))
    }
}

#[cfg(test)]
mod tests;
