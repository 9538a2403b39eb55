//! Client side: proxies of remote objects, and a client of the nameserver.

mod calls;
pub(crate) mod connect;
mod connection;
pub(crate) mod discovery;
mod exchange;
pub(crate) mod items;
pub(crate) mod leases;
pub(crate) mod login;
pub(crate) mod nameserver;
pub(crate) mod proxy;
mod reach;

pub use calls::Called;
