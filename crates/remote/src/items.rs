//! What an item stream is to those who serve one.
//!
//! Owns the trait and its items. Whose a stream is, and for how long, is the daemon's.

use std::sync::Arc;

use wire::exception::Exception;
use wire::message::Annotations;
use wire::value::Value;

use crate::object::{BoxFuture, Context};
use crate::session::Session;

/// An iterator on the server's side of an item stream.
pub trait ItemStream: Send + 'static {
    /// The next item; `None` behind the last one.
    fn next(&mut self) -> BoxFuture<Result<Option<Value>, Exception>>;

    /// The next item as the answer to a request of `session`, for iterators that care who asks and
    /// what came along: under Pyro5 the body of a generator sees the context of each item's request,
    /// and may send annotations with each item.
    fn next_for(
        &mut self,
        _session: &Arc<Session>,
        _context: Context,
    ) -> BoxFuture<Result<Option<Item>, Exception>> {
        let next = self.next();
        Box::pin(async move { Ok(next.await?.map(Item::from)) })
    }

    /// Does what the iterator has to do at its end, where somebody waits for that. It may be dropped
    /// without.
    fn close(&mut self) -> BoxFuture<()> {
        Box::pin(async {})
    }
}

/// An item of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What the caller gets.
    pub value: Value,
    /// Annotations to send along.
    pub annotations: Annotations,
}

impl From<Value> for Item {
    fn from(value: Value) -> Self {
        Item { value, annotations: Annotations::new() }
    }
}
