//! Rust's numbers as elements of arrays.

use super::list::fixed;
use super::{Array, ArrayOrder};

/// A number of Rust's that can be the element of an array.
pub trait Element: Copy {
    /// numpy's text for the type.
    const DTYPE: &'static str;
    /// Bytes of an element.
    const BYTES: usize;

    /// Appends the element's bytes.
    fn append(self, out: &mut Vec<u8>);

    /// Reads an element; `None` for another number of bytes.
    fn read(bytes: &[u8], is_big_endian: bool) -> Option<Self>;
}

macro_rules! elements {
    ($($type:ty = $text:literal;)*) => {$(
        impl Element for $type {
            const DTYPE: &'static str = $text;
            const BYTES: usize = size_of::<$type>();

            fn append(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn read(bytes: &[u8], is_big_endian: bool) -> Option<Self> {
                fixed(bytes, is_big_endian).map(<$type>::from_le_bytes)
            }
        }
    )*};
}

elements! {
    i8 = "|i1";
    u8 = "|u1";
    i16 = "<i2";
    u16 = "<u2";
    i32 = "<i4";
    u32 = "<u4";
    i64 = "<i8";
    u64 = "<u8";
    f32 = "<f4";
    f64 = "<f8";
}

impl Array {
    /// The elements in C order; `None` if they have another type, or some may be masked.
    pub fn values<T: Element>(&self) -> Option<Vec<T>> {
        let is_big_endian = self.dtype().is_of::<T>()?;
        if self.is_masked() {
            return None;
        }
        if self.order() == ArrayOrder::C || self.shape().len() < 2 {
            let items = self.data().chunks_exact(T::BYTES);
            return items.map(|bytes| T::read(bytes, is_big_endian)).collect();
        }
        let mut values = Vec::with_capacity(self.data().len() / T::BYTES);
        let mut all_there = true;
        self.visit_in_c_order(|bytes| match T::read(bytes, is_big_endian) {
            Some(value) => values.push(value),
            None => all_there = false,
        });
        all_there.then_some(values)
    }
}
