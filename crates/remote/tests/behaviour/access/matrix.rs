//! The matrix: objects, roles, states of the lock, paths, and the outcome of each combination, said
//! here once more, and not by the rules.

use std::collections::HashMap;

use remote::access::{AccessGrant, AccessRules, Role, Who};

/// The objects, each with the service whose lock it has: `None` for no lock.
pub(super) const OBJECTS: [(&str, &str, bool); 5] = [
    ("free", "free", false),
    ("free.part", "free", false),
    ("locked", "locked", true),
    ("locked.part", "locked", true),
    ("thing", "locked", true),
];

/// The role of the client, as the rules give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    Whole(Option<Role>),
    /// `operate` for the member `go` alone, and nothing else.
    OnlyGo,
    /// `view`, and `operate` while it holds the lock.
    WithLock,
}

pub(super) const SCENARIOS: [Scenario; 6] = [
    Scenario::Whole(None),
    Scenario::Whole(Some(Role::View)),
    Scenario::Whole(Some(Role::Operate)),
    Scenario::Whole(Some(Role::Admin)),
    Scenario::OnlyGo,
    Scenario::WithLock,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockState {
    Free,
    Own,
    Others,
}

/// A use of an object, and the path by which it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Call(&'static str),
    Oneway(&'static str),
    /// An entry of a batch, after one that everybody with `view` may make.
    Batch(&'static str),
    OnewayBatch(&'static str),
    Blob(&'static str),
    Get,
    Set,
    /// Opens a stream, and reads an item of it.
    Stream,
    /// Reads an item of a stream that was opened while it was allowed.
    Item,
    /// Closes such a stream.
    CloseStream,
    GetMetadata,
    Registered,
    Release,
    Abort,
}

pub(super) const PATHS: [Path; 25] = [
    Path::Call("go"),
    Path::Call("look"),
    Path::Call("calibrate"),
    Path::Call("islocked"),
    Path::Call("lock_info"),
    Path::Call("lock"),
    Path::Call("unlock"),
    Path::Oneway("go"),
    Path::Oneway("look"),
    Path::Oneway("calibrate"),
    Path::Batch("go"),
    Path::Batch("look"),
    Path::Batch("calibrate"),
    Path::OnewayBatch("go"),
    Path::OnewayBatch("calibrate"),
    Path::Blob("go"),
    Path::Get,
    Path::Set,
    Path::Stream,
    Path::Item,
    Path::CloseStream,
    Path::GetMetadata,
    Path::Registered,
    Path::Release,
    Path::Abort,
];

/// The outcome that a use must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Done,
    /// A `PermissionError`.
    NotPermitted,
    /// Another exception, of the lock or of the object: it is carried out no more than that.
    Otherwise,
}

pub(super) fn rules(scenario: Scenario) -> AccessRules {
    let everybody = || vec![Who::Everybody];
    let member_roles =
        |_| HashMap::from([("look".to_owned(), Role::View), ("calibrate".to_owned(), Role::Admin)]);
    let mut rules = AccessRules {
        member_roles: ["free", "locked"].map(|id| (id.to_owned(), member_roles(id))).into(),
        ..AccessRules::default()
    };
    match scenario {
        Scenario::Whole(role) => rules.local = role,
        Scenario::OnlyGo => {
            let mut grant = AccessGrant::new(everybody(), &["*"], Role::Operate);
            grant.members = vec!["go".to_owned()];
            rules.grants.push(grant);
        }
        Scenario::WithLock => {
            rules.local = Some(Role::View);
            let mut grant = AccessGrant::new(everybody(), &["*"], Role::Operate);
            grant.with_lock = true;
            rules.grants.push(grant);
        }
    }
    rules
}

pub(super) fn admin() -> AccessRules {
    rules(Scenario::Whole(Some(Role::Admin)))
}

/// The role of a client for a member, by the words of the scenario and not by the rules.
pub(super) fn role(scenario: Scenario, member: &str, holds_lock: bool) -> Option<Role> {
    match scenario {
        Scenario::Whole(role) => role,
        Scenario::OnlyGo => (member == "go").then_some(Role::Operate),
        Scenario::WithLock if holds_lock => Some(Role::Operate),
        Scenario::WithLock => Some(Role::View),
    }
}

/// The expected outcome of a use.
pub(super) fn expected(
    scenario: Scenario,
    has_lock: bool,
    state: LockState,
    path: Path,
) -> Expected {
    let state = if has_lock { state } else { LockState::Free };
    let holds_lock = state == LockState::Own;
    let (member, needed, drives) = match path {
        Path::Call(member @ ("islocked" | "lock_info")) if has_lock => (member, None, false),
        Path::Call(member @ ("lock" | "unlock")) if has_lock => {
            // A client that may use a member, if only with the lock, may take the lock.
            let is_operator = !matches!(scenario, Scenario::Whole(None | Some(Role::View)));
            return match (is_operator, state, member) {
                (false, ..) => Expected::NotPermitted,
                (true, LockState::Others, "lock") => Expected::Otherwise,
                // Another's lock stays, and there may be none to give up.
                (true, LockState::Others, _) => Expected::Otherwise,
                (true, LockState::Free, "unlock") => Expected::Done,
                _ => Expected::Done,
            };
        }
        Path::Call(member)
        | Path::Oneway(member)
        | Path::Batch(member)
        | Path::OnewayBatch(member)
        | Path::Blob(member) => {
            let needed = match member {
                "look" => Role::View,
                "calibrate" => Role::Admin,
                _ => Role::Operate,
            };
            (member, Some(needed), member != "look")
        }
        Path::Get => ("level", Some(Role::View), true),
        Path::Set => ("level", Some(Role::Operate), true),
        Path::Stream | Path::Item | Path::CloseStream => ("scan", Some(Role::Operate), true),
        Path::GetMetadata | Path::Registered => ("", None, false),
        Path::Release => {
            let is_admin = role(scenario, "", holds_lock) == Some(Role::Admin);
            return match (is_admin || holds_lock, has_lock) {
                (false, _) => Expected::NotPermitted,
                (true, true) => Expected::Done,
                (true, false) => Expected::Otherwise,
            };
        }
        Path::Abort => {
            let role = role(scenario, "", holds_lock);
            let needed = match state {
                LockState::Others => Role::Admin,
                LockState::Free | LockState::Own => Role::Operate,
            };
            return if role >= Some(needed) { Expected::Done } else { Expected::NotPermitted };
        }
    };
    let is_permitted = match needed {
        Some(needed) => role(scenario, member, holds_lock) >= Some(needed),
        // To look is for all that may do anything.
        None => scenario != Scenario::Whole(None),
    };
    // The entry before it in a batch is `look`, which decides first.
    let is_permitted = match path {
        Path::Batch(_) | Path::OnewayBatch(_) => {
            is_permitted && role(scenario, "look", holds_lock) >= Some(Role::View)
        }
        _ => is_permitted,
    };
    if !is_permitted {
        return Expected::NotPermitted;
    }
    // A stream that others lose with the lock is ended by the lock.
    let is_kept_out = drives && state == LockState::Others && path != Path::CloseStream;
    if is_kept_out { Expected::Otherwise } else { Expected::Done }
}
