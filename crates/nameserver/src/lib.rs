//! Pyro5's nameserver: a directory of names, served as the object `Pyro.NameServer`.
//!
//! Owns the rules of names, their storage ([`Store`]), the object that clients call
//! ([`NameServerObject`]), leases, autoclean, discovery by broadcast, and the replica of a
//! directory that several nameservers share (`registry` is the interface to it). Must not know
//! configuration files, command lines and the process that it runs in.

mod arguments;
pub mod autoclean;
pub mod broadcast;
mod change_log;
mod directory;
pub mod leases;
mod limits;
mod liveness;
mod methods;
mod object;
mod owner;
mod pattern;
pub mod registry;
mod search;
mod store;

pub use directory::register;
pub use limits::{MAX_TAG_BYTES, limits};
pub use object::NameServerObject;
pub use store::{Store, taken_by_others};
