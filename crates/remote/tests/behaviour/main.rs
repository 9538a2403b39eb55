//! The crate from outside, over real sockets: daemons with objects, proxies against
//! them and against Pyro5's daemon, and peers that mean no good.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on says so by panicking; and some start Python and openssl"
)]

mod abandoned;
mod access;
mod breaking;
mod certificates;
mod common;
mod features;
mod large;
mod locking;
mod mutations;
mod native;
mod peers;
mod python;
mod python_daemon;
mod python_nameserver;
mod reach;
mod reserve;
mod serving;
mod threads;
mod tls;
mod users;
