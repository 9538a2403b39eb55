//! The rules of a lab, and what they give one caller on one object.

use std::collections::{HashMap, HashSet};

use wire::name_pattern::NamePattern;

use super::{AccessCaller, AccessKind, Decision, Role};

/// People that a grant names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Every client.
    Everybody,
    /// Clients that have not proved a name.
    Anonymous,
    /// The members of a group.
    Group(String),
    /// One user.
    User(String),
}

impl Who {
    /// As the configuration writes it: a name, `group:NAME`, `anonymous` or `*`.
    pub fn from_text(text: &str) -> Self {
        match text.strip_prefix("group:") {
            Some(group) => Who::Group(group.to_owned()),
            None if text == "*" => Who::Everybody,
            None if text == "anonymous" => Who::Anonymous,
            None => Who::User(text.to_owned()),
        }
    }
}

/// One line of the rules.
#[derive(Clone, Debug)]
pub struct AccessGrant {
    /// Its people; one is enough.
    pub who: Vec<Who>,
    /// Patterns of services; one is enough.
    what: Vec<NamePattern>,
    /// The role.
    pub role: Role,
    /// The only members that it is for; all if empty. After the path of a part and a dot where it
    /// is for that part only.
    pub members: Vec<String>,
    /// Whether it counts only while the caller holds the lock of the service.
    pub with_lock: bool,
}

impl AccessGrant {
    /// A grant without conditions, for services that match one of the patterns.
    pub fn new(who: Vec<Who>, what: &[impl AsRef<str>], role: Role) -> Self {
        let what = what.iter().map(|pattern| NamePattern::new(pattern.as_ref())).collect();
        AccessGrant { who, what, role, members: Vec::new(), with_lock: false }
    }
}

/// The rules of a lab.
#[derive(Clone, Debug, Default)]
pub struct AccessRules {
    /// The role of every client on this host.
    pub local: Option<Role>,
    /// The role of every client elsewhere.
    pub network: Option<Role>,
    /// People by group.
    pub groups: HashMap<String, HashSet<String>>,
    /// Grants; all that apply count.
    pub grants: Vec<AccessGrant>,
    /// Roles that members need, by service: those that differ from the usual.
    pub member_roles: HashMap<String, HashMap<String, Role>>,
    /// Members that `view` may call, by service. To set one needs the usual role.
    pub reads: HashMap<String, HashSet<String>>,
}

/// The line that gives a caller its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// That of clients on this host.
    Local,
    /// That of clients elsewhere.
    Network,
    /// The grant of this number, from 0.
    Grant(usize),
}

/// A decision with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// The role that is needed.
    pub wanted: Role,
    /// The role that the caller has here, and the line that gives it; with the lock, where only
    /// that gives enough.
    pub has: Option<(Role, Basis)>,
}

/// Roles of a caller on one member of an object, without and with the lock of its service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Roles {
    always: Option<Role>,
    with_lock: Option<Role>,
}

/// Roles that the rules give one caller on one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// On all members.
    whole: Roles,
    /// On members that grants name, where that is more.
    members: HashMap<String, Roles>,
    /// The roles that members need, where these are not the usual ones.
    needs: HashMap<String, Role>,
    /// The members that `view` may call.
    reads: HashSet<String>,
    /// The greatest role with the lock on any member: to use one is to lock the service.
    any_with_lock: Option<Role>,
    /// The greatest role on any member: to use one is to see the service.
    any: Option<Role>,
}

/// An object of a daemon, as the rules know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessObject<'a> {
    /// The service.
    pub service: &'a str,
    /// The path of a part below it; empty for the service itself.
    pub part: &'a str,
}

impl<'a> AccessObject<'a> {
    /// A service itself.
    pub fn service(service: &'a str) -> Self {
        AccessObject { service, part: "" }
    }

    /// The object `id`: the service itself, a part of it, or an object that its driver registers.
    pub fn of(id: &'a str, service: &'a str) -> Self {
        let part = id.strip_prefix(service).and_then(|rest| rest.strip_prefix('.'));
        AccessObject { service, part: part.unwrap_or_default() }
    }

    /// The member of this object that `name`, which counts for the service and its parts, means
    /// here; `None` if it is another part's.
    fn member(self, name: &str) -> Option<&str> {
        if !name.contains('.') {
            return Some(name);
        }
        name.strip_prefix(self.part)?.strip_prefix('.').filter(|name| !name.contains('.'))
    }
}

impl AccessRules {
    /// The rights of a caller on an object.
    pub fn rights(&self, caller: AccessCaller<'_>, object: AccessObject<'_>) -> Rights {
        let mut rights = Rights::default();
        let default = if caller.is_local { self.local } else { self.network };
        rights.whole = Roles { always: default, with_lock: default };
        let grants = || self.grants.iter().filter(|grant| self.applies(grant, caller, object));
        for grant in grants().filter(|grant| grant.members.is_empty()) {
            rights.whole.add(grant);
        }
        for grant in grants() {
            for member in grant.members.iter().filter_map(|name| object.member(name)) {
                let whole = rights.whole;
                rights.members.entry(member.to_owned()).or_insert(whole).add(grant);
            }
        }
        let all = || rights.members.values().chain([&rights.whole]);
        rights.any = all().map(|roles| roles.always.max(roles.with_lock)).max().flatten();
        rights.any_with_lock = all().map(|roles| roles.with_lock).max().flatten();
        let needs = self.member_roles.get(object.service).into_iter().flatten();
        // A name with the part's path comes before the one that counts for all parts.
        let mut needs: Vec<(&String, &Role)> = needs.collect();
        needs.sort_by_key(|(name, _)| name.contains('.'));
        let needs =
            needs.into_iter().filter_map(|(name, role)| Some((object.member(name)?, *role)));
        rights.needs = needs.map(|(name, role)| (name.to_owned(), role)).collect();
        let reads = self.reads.get(object.service).into_iter().flatten();
        rights.reads = reads.filter_map(|name| object.member(name)).map(str::to_owned).collect();
        rights
    }

    /// The decision with the line that it comes from.
    pub fn explain(
        &self,
        caller: AccessCaller<'_>,
        object: AccessObject<'_>,
        member: &str,
        kind: AccessKind,
    ) -> Explanation {
        let rights = self.rights(caller, object);
        let decision = rights.decide(member, kind);
        let default = match caller.is_local {
            true => (self.local, Basis::Local),
            false => (self.network, Basis::Network),
        };
        // A caller that may use a single member, if only with the lock, may find the service.
        let is_about_any = matches!(kind, AccessKind::Describe | AccessKind::Lock);
        let with_lock = is_about_any || decision != Decision::Allowed;
        let names_it = |grant: &AccessGrant| {
            grant.members.iter().any(|name| object.member(name) == Some(member))
        };
        let grants = self.grants.iter().enumerate().filter(|(_, grant)| {
            (with_lock || !grant.with_lock)
                && (grant.members.is_empty()
                    || is_about_any
                    || kind.is_about_member() && names_it(grant))
                && self.applies(grant, caller, object)
        });
        let grants = grants.map(|(index, grant)| (grant.role, Basis::Grant(index)));
        let default = default.0.map(|role| (role, default.1));
        // Of several that give as much, the first is shown.
        let has = default
            .into_iter()
            .chain(grants)
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        Explanation { decision, wanted: rights.wanted(member, kind), has }
    }

    fn applies(
        &self,
        grant: &AccessGrant,
        caller: AccessCaller<'_>,
        object: AccessObject<'_>,
    ) -> bool {
        let is_meant = |who: &Who| match who {
            Who::Everybody => true,
            Who::Anonymous => caller.name.is_none(),
            Who::User(name) => caller.name == Some(name),
            Who::Group(group) => caller.name.is_some_and(|name| {
                caller.groups.contains(group)
                    || self.groups.get(group).is_some_and(|people| people.contains(name))
            }),
        };
        grant.who.iter().any(is_meant)
            && grant.what.iter().any(|pattern| pattern.matches(object.service))
    }
}

impl Roles {
    fn add(&mut self, grant: &AccessGrant) {
        let role = Some(grant.role);
        self.with_lock = self.with_lock.max(role);
        if !grant.with_lock {
            self.always = self.always.max(role);
        }
    }
}

impl Rights {
    /// Decides about one use of a member.
    pub fn decide(&self, member: &str, kind: AccessKind) -> Decision {
        let wanted = self.wanted(member, kind);
        let roles = match kind {
            // A caller that may use a single member must be able to find and lock the service.
            AccessKind::Describe => Roles { always: self.any, with_lock: self.any },
            AccessKind::Lock => Roles { always: self.any_with_lock, with_lock: self.any_with_lock },
            _ if self.members.is_empty() || !kind.is_about_member() => self.whole,
            _ => self.members.get(member).copied().unwrap_or(self.whole),
        };
        if roles.always >= Some(wanted) {
            Decision::Allowed
        } else if roles.with_lock >= Some(wanted) {
            Decision::WithLock
        } else {
            Decision::Refused { wanted }
        }
    }

    /// The role that a use of a member needs.
    fn wanted(&self, member: &str, kind: AccessKind) -> Role {
        let usual = kind.usual_role();
        match kind {
            AccessKind::Call | AccessKind::Set => match self.needs.get(member) {
                Some(role) => *role,
                None if kind == AccessKind::Call && self.reads.contains(member) => Role::View,
                None => usual,
            },
            _ => usual,
        }
    }
}
