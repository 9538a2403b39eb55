//! What must hold whatever bytes arrive: the harnesses of the fuzz targets.
//!
//! Owns the claims. A harness panics where one does not hold. Where the bytes come from is the
//! fuzzer's business, or that of the tests beside this crate, which run seeds and mutations of them.

mod connection;
mod conversation;
mod frame;
mod serializers;

pub use connection::{connection, handshake};
pub use frame::frame;
pub use remote::lock::check::run_bytes as lock_policy;
pub use serializers::serializer;
pub use wire::serializer::Serializer;
