//! A service with its card.

use remote::Uri;
use remote::card::Card;

/// A service with its card.
pub(crate) struct DescribedService {
    /// The name that it was asked for by.
    pub(crate) name: String,
    /// The URI of its object.
    pub(crate) uri: Uri,
    pub(crate) card: Card,
}

/// The first line of a documentation.
pub(super) fn first_line(doc: &str) -> &str {
    doc.lines().next().unwrap_or_default()
}
