//! Limit of one notification a minute for each subject.
//!
//! Of those in between, the last one follows at the end of the minute, with their number: a part
//! that fails again and again sends few, and its last state always arrives. Knows no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Notification;

/// Time between two notifications of one subject.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// The subjects that were notified of within the last while.
#[derive(Debug, Default)]
pub(crate) struct RateLimit(BTreeMap<String, Recent>);

#[derive(Debug)]
struct Recent {
    sent: Instant,
    held: Option<(Notification, u32)>,
}

impl RateLimit {
    /// The notification, if it is to be sent now.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        notification: Notification,
    ) -> Option<Notification> {
        match self.0.get_mut(&notification.subject) {
            Some(recent) if now < recent.sent + RATE_WINDOW => {
                let before = recent.held.take().map_or(0, |(_, count)| count);
                recent.held = Some((notification, before + 1));
                None
            }
            _ => {
                let recent = Recent { sent: now, held: None };
                self.0.insert(notification.subject.clone(), recent);
                Some(notification)
            }
        }
    }

    /// Those that were held and are to be sent now.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Notification> {
        let mut due = Vec::new();
        self.0.retain(|_, recent| {
            if now < recent.sent + RATE_WINDOW {
                return true;
            }
            let Some((mut notification, count)) = recent.held.take() else { return false };
            if count > 1 {
                notification.text.push_str(&format!(" ({count} changes within a minute)"));
            }
            due.push(notification);
            recent.sent = now;
            true
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Notification {
        Notification { event: "e", subject: "s".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn the_last_of_many_follows_with_their_number() {
        let (mut limit, start) = (RateLimit::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(limit.admit(at(0), of("down")), Some(of("down")));
        assert_eq!(limit.admit(at(1), of("up")), None);
        assert_eq!(limit.admit(at(2), of("down")), None);
        assert_eq!(limit.due(at(59)), []);
        assert_eq!(limit.due(at(60)), [of("down (2 changes within a minute)")]);
        assert_eq!(limit.admit(at(61), of("up")), None);
        assert_eq!(limit.due(at(120)), [of("up")]);
        assert_eq!(limit.due(at(180)), []);
        assert_eq!(limit.admit(at(181), of("down")), Some(of("down")));
    }
}
