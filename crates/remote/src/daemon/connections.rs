//! Connections that a daemon serves, for its operator: how many, and from where.

use std::net::IpAddr;

use tokio::sync::Semaphore;

use crate::admission::slots::{Address, Slots};

/// Connections that a daemon serves now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionsStatus {
    /// How many there are.
    pub served: usize,
    /// How many there may be; no limit if absent.
    pub limit: Option<usize>,
    /// How many come from each address, most first; those of Unix sockets have none.
    pub by_address: Vec<(Option<IpAddr>, usize)>,
}

impl ConnectionsStatus {
    pub(super) fn of(pool: &Slots<Address>) -> Self {
        ConnectionsStatus {
            served: pool.taken(),
            limit: Some(pool.limit()).filter(|limit| *limit < Semaphore::MAX_PERMITS),
            by_address: pool.holders(),
        }
    }

    /// Whether a further client is refused.
    pub fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.served >= limit)
    }
}
