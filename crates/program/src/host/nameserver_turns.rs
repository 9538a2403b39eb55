//! Turns of the nameservers of one directory: when a registrar asks the next one, and whether that
//! is news.

use remote::Error;

/// Renewals that a nameserver without its registry refuses before the next one is asked again, once
/// all have said so. A new connection a second would use up the ports of a host with many daemons.
const TRIES_AT_EACH: usize = 5;

/// Failures of renewals since a nameserver has answered for the registry.
#[derive(Debug, Default)]
pub(super) struct NameserverTurns {
    /// Renewals that have failed at a nameserver which could be connected: it does not reach its
    /// registry, or does not answer.
    refusals: usize,
    /// Changes of the nameserver.
    moves: usize,
}

/// A change to the next nameserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Whether a nameserver is left that was not tried.
    pub(super) is_news: bool,
}

impl NameserverTurns {
    /// Notes a renewal at one of `all` nameservers; whether the next one is to be asked.
    pub(super) fn after(&mut self, failure: Option<&Error>, all: usize) -> Option<Turn> {
        let Some(error) = failure.filter(|error| is_away(error)) else {
            *self = NameserverTurns::default();
            return None;
        };
        // One that cannot be connected says nothing of the registry, and costs no connection.
        let is_refusal = !matches!(error, Error::Connect { .. });
        self.refusals += usize::from(is_refusal);
        let is_due =
            !is_refusal || self.refusals <= all || self.refusals.is_multiple_of(TRIES_AT_EACH);
        if all < 2 || !is_due {
            return None;
        }
        self.moves += 1;
        Some(Turn { is_news: self.moves <= all })
    }
}

/// Whether an error says nothing of the names: the nameserver is away, or does not reach what it
/// keeps them in.
fn is_away(error: &Error) -> bool {
    match error {
        Error::Remote(exception) => exception.short_class() == "CommunicationError",
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use remote::{ConnectError, Exception};

    use super::*;

    fn refusal() -> Option<Error> {
        let text = "the registry cannot be reached";
        Some(Error::Remote(Exception::new("Pyro5.errors.CommunicationError", text)))
    }

    fn no_connection() -> Option<Error> {
        let source = ConnectError::Timeout(Duration::from_secs(2));
        Some(Error::Connect { uri: "lab:9090".to_owned(), source })
    }

    fn other() -> Option<Error> {
        Some(Error::Remote(Exception::naming_error("no such name".to_owned())))
    }

    /// The renewals, by number, after which the next of `all` is asked, and those that are news.
    fn moves(all: usize, renewals: &[Option<Error>]) -> (Vec<usize>, Vec<usize>) {
        let mut turns = NameserverTurns::default();
        let (mut moves, mut news) = (Vec::new(), Vec::new());
        for (number, renewal) in (1..).zip(renewals) {
            let Some(turn) = turns.after(renewal.as_ref(), all) else { continue };
            moves.push(number);
            news.extend(turn.is_news.then_some(number));
        }
        (moves, news)
    }

    #[test]
    fn a_connection_is_kept_where_no_nameserver_reaches_the_registry() {
        let refusals = Vec::from_iter((0..11).map(|_| refusal()));
        assert_eq!(moves(1, &refusals), (vec![], vec![]));
        assert_eq!(moves(2, &refusals), (vec![1, 2, 5, 10], vec![1, 2]));
        assert_eq!(moves(3, &refusals), (vec![1, 2, 3, 5, 10], vec![1, 2, 3]));
    }

    #[test]
    fn one_that_cannot_be_connected_is_left_at_once_and_told_once() {
        let away = Vec::from_iter((0..6).map(|_| no_connection()));
        assert_eq!(moves(2, &away), (vec![1, 2, 3, 4, 5, 6], vec![1, 2]));
    }

    #[test]
    fn one_that_is_away_does_not_end_the_patience_with_one_that_refuses() {
        // The second of two is away: the first refuses, until it is left after its fifth refusal.
        let mut renewals = vec![refusal(), no_connection(), refusal(), no_connection()];
        renewals.extend([refusal(), refusal(), refusal(), no_connection(), refusal()]);
        assert_eq!(moves(2, &renewals), (vec![1, 2, 3, 4, 7, 8], vec![1, 2]));
    }

    #[test]
    fn an_answer_for_the_registry_begins_anew() {
        for answer in [None, other()] {
            let mut renewals = vec![refusal(), refusal(), refusal(), answer];
            renewals.extend([refusal(), refusal(), refusal()]);
            assert_eq!(moves(2, &renewals), (vec![1, 2, 5, 6], vec![1, 2, 5, 6]));
        }
    }
}
