//! Conversion of `access` in the configuration to the rules that daemons and nameservers apply.

use std::collections::{HashMap, HashSet};

use lab_config::{Access, AccessRole, Grant, GrantWhen, Service};
use remote::access::{AccessGrant, AccessRules, Role, Who};

/// The rules of a lab with these services.
pub(crate) fn rules<'a>(
    access: &Access,
    services: impl IntoIterator<Item = &'a Service>,
) -> AccessRules {
    let groups = access.groups.iter().map(|group| {
        let people: HashSet<String> = group.people.iter().cloned().collect();
        (group.name.clone(), people)
    });
    let (mut member_roles, mut reads) = (HashMap::new(), HashMap::new());
    for service in services {
        // A role that the configuration gives a member comes before what follows from a list.
        let said = service.members.iter().filter_map(|member| {
            let role = member.role.and_then(role)?;
            Some((member.name.clone(), role))
        });
        let said: HashMap<String, Role> = said.collect();
        if !said.is_empty() {
            member_roles.insert(service.name.clone(), said);
        }
        if !service.read_while_locked.is_empty() {
            let members = service.read_while_locked.iter().cloned().collect();
            reads.insert(service.name.clone(), members);
        }
    }
    AccessRules {
        local: role(access.localhost),
        network: role(access.network),
        groups: groups.collect(),
        grants: access.grants.iter().filter_map(grant).collect(),
        member_roles,
        reads,
    }
}

/// The rules for an object of the lab itself whose methods only read.
pub(crate) fn reading_rules(
    access: &Access,
    object: &str,
    methods: impl IntoIterator<Item = String>,
) -> AccessRules {
    let roles = methods.into_iter().map(|method| (method, Role::View)).collect();
    let mut rules = rules(access, []);
    rules.member_roles.insert(object.to_owned(), roles);
    rules
}

/// A grant. `None` for no role, which the configuration does not accept.
fn grant(grant: &Grant) -> Option<AccessGrant> {
    let who = grant.who.iter().map(|text| Who::from_text(text)).collect();
    let mut rule = AccessGrant::new(who, &grant.what, role(grant.role)?);
    rule.members.clone_from(&grant.members);
    rule.with_lock = grant.when == GrantWhen::Locked;
    Some(rule)
}

fn role(role: AccessRole) -> Option<Role> {
    match role {
        AccessRole::None => None,
        AccessRole::View => Some(Role::View),
        AccessRole::Operate => Some(Role::Operate),
        AccessRole::Admin => Some(Role::Admin),
    }
}
