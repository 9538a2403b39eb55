//! Harnesses of the fuzz targets: properties that must hold for any bytes.
//!
//! A harness takes bytes and panics if a property does not hold. The bytes come from libFuzzer, or
//! from the tests of this crate, which run the seeds and mutations of them.

mod connection;
mod conversation;
mod frame;
mod serializers;

pub use connection::{check_connection, check_handshake};
pub use frame::check_frame;
pub use remote::lock::check::run_bytes as check_lock_policy;
pub use serializers::{check_arrays, check_serializer};
pub use wire::serializer::Serializer;
