//! Values of Python as JSON, and back.
//!
//! An object with the key `@type` stands for what JSON cannot hold; large arrays are kept for a
//! while and downloaded.

mod array;
mod coerce;
mod kept;
mod png;
mod tagged;

pub(super) use coerce::coerce;
pub(super) use kept::{KEPT_FOR, KeptResults};
pub(super) use tagged::{from_json, to_json};
