//! Behaviour of the supervisor with real processes: shell scripts, and this test program in other
//! roles (see `roles`).
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows them in test functions; the helpers here are tests too"
)]

mod bench;
mod crashes;
mod keeping;
mod orphans;
mod roles;
mod spawning;
mod stopping;
