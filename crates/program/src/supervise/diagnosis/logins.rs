//! Logins whose certificate ends or has ended, for `status`: a pure function of the users.
//!
//! Ferrolab's clients renew the certificate of a login in its last 30 days. One that has come to
//! its last week is of a client that nobody uses, or of a stock client, whose work ends with it. It
//! is no fault of the lab, so that it is a warning.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::Finding;
use crate::access::{User, Users};
use crate::authority::EXPIRY_WARNING;

/// Time after its end from which nobody misses it any longer: thirty days.
const LONG_OVER: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Users are named up to this number.
const USERS_NAMED: usize = 3;

/// A user whose last certificate ends soon, or has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct EndingLogin {
    pub(crate) user: String,
    /// The end of the certificate that lasts longest.
    pub(crate) until: Timestamp,
    #[serde(skip)]
    has_ended: bool,
}

/// The users whose last certificate ends soon or has ended: the next to end first, then those that
/// have ended, the last one first.
pub(crate) fn ending_logins(users: &Users, now: Timestamp) -> Vec<EndingLogin> {
    let ending = |(user, known): (&String, &User)| {
        // A browser has no certificate. A machine that is laid aside keeps its login for ever.
        let machines = known.logins.iter().filter(|login| !login.is_browser);
        let until = machines.map(|login| login.until).max()?;
        let left = until.duration_since(now);
        let has_ended = !left.is_positive();
        (left < EXPIRY_WARNING && left > -LONG_OVER).then(|| EndingLogin {
            user: user.clone(),
            until,
            has_ended,
        })
    };
    let mut found: Vec<EndingLogin> = users.users.iter().filter_map(ending).collect();
    found.sort_by_key(|login| (login.has_ended, login.until.duration_since(now).abs()));
    found
}

/// The warning of such users; `at` is where they log in.
pub(crate) fn warn_of_logins(ending: &[EndingLogin], at: &str) -> Finding {
    let text = |EndingLogin { user, until, has_ended }: &EndingLogin| {
        let verb = if *has_ended { "has ended" } else { "ends" };
        format!("that of {user} {verb} on {}", until.strftime("%Y-%m-%d"))
    };
    let mut named: Vec<String> = ending.iter().take(USERS_NAMED).map(text).collect();
    if let Some(more @ 1..) = ending.len().checked_sub(USERS_NAMED) {
        named.push(format!("and {more} more (`ferrolab user list`)"));
    }
    Finding {
        subject: "users".to_owned(),
        problem: format!("certificates of logins were not renewed: {}", named.join(", ")),
        advice: format!(
            "`ferrolab login {at}` on the user's machine renews it, also afterwards; Ferrolab's \
             clients do it by themselves when they are used"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::access::Login;

    /// Users with the ends of their logins' certificates.
    type Rows<'a> = &'a [(&'a str, &'a [&'a str])];

    fn users(rows: Rows<'_>) -> Users {
        let mut users = Users::default();
        for (name, ends) in rows {
            let login = |end: &&str| Login {
                token: String::new(),
                certificate: String::new(),
                key: None,
                renewed: None,
                since: Timestamp::UNIX_EPOCH,
                until: end.trim_start_matches("browser ").parse().unwrap(),
                from: "10.0.0.3".to_owned(),
                is_browser: end.starts_with("browser "),
            };
            let logins = ends.iter().map(login).collect();
            let user = User { groups: BTreeSet::new(), since: Timestamp::UNIX_EPOCH, logins };
            users.users.insert((*name).to_owned(), user);
        }
        users
    }

    #[test]
    fn users_are_named_from_the_last_week_on() {
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let cases: [(Rows<'_>, &str); 8] = [
            (&[("ada", &[])], ""),
            (&[("ada", &["2026-12-07T12:00:01Z"])], ""),
            (&[("ada", &["2026-12-07T11:59:59Z"])], "that of ada ends on 2026-12-07"),
            (&[("ada", &["2026-11-30T12:00:00Z"])], "that of ada has ended on 2026-11-30"),
            // Somebody who does not come back is not named for ever.
            (&[("ada", &["2026-10-31T12:00:00Z"])], ""),
            // The machine in use counts, and not one before it.
            (&[("ada", &["2026-11-29T12:00:00Z", "2027-02-28T12:00:00Z"])], ""),
            (&[("ada", &["browser 2026-12-01T12:00:00Z"])], ""),
            (
                &[
                    ("ada", &["2026-11-25T12:00:00Z"]),
                    ("bob", &["2026-12-05T12:00:00Z"]),
                    ("eve", &["2026-11-28T12:00:00Z"]),
                    ("ida", &["2026-12-02T12:00:00Z"]),
                    ("uma", &["2026-11-20T12:00:00Z"]),
                ],
                "that of ida ends on 2026-12-02, that of bob ends on 2026-12-05, that of eve has \
                 ended on 2026-11-28, and 2 more (`ferrolab user list`)",
            ),
        ];
        for (rows, expected) in cases {
            let ending = ending_logins(&users(rows), now);
            assert_eq!(ending.is_empty(), expected.is_empty(), "{rows:?}");
            let Finding { problem, .. } = warn_of_logins(&ending, "lab7.example");
            assert_eq!(problem, format!("certificates of logins were not renewed: {expected}"));
        }
    }
}
