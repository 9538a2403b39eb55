//! The client's side: proxies for objects anywhere, and the nameserver as a client sees it.

mod calls;
pub(crate) mod connect;
mod connection;
pub(crate) mod discovery;
mod exchange;
pub(crate) mod items;
pub(crate) mod nameserver;
pub(crate) mod proxy;
