//! Tables of rules, callers and what they may do.

use super::*;

const ADA: AccessCaller<'_> = AccessCaller { name: Some("ada"), groups: &[], is_local: false };
const BOB: AccessCaller<'_> = AccessCaller { name: Some("bob"), groups: &[], is_local: false };
const NOBODY: AccessCaller<'_> = AccessCaller { name: None, groups: &[], is_local: false };
const HERE: AccessCaller<'_> = AccessCaller { name: None, groups: &[], is_local: true };

const KINDS: [AccessKind; 8] = [
    AccessKind::Describe,
    AccessKind::Read,
    AccessKind::Call,
    AccessKind::Set,
    AccessKind::Lock,
    AccessKind::Register,
    AccessKind::Break,
    AccessKind::Administer,
];

fn grant(who: &[&str], what: &[&str], role: Role) -> AccessGrant {
    AccessGrant::new(who.iter().map(|text| Who::from_text(text)).collect(), what, role)
}

fn rules(grants: Vec<AccessGrant>) -> AccessRules {
    AccessRules {
        network: Some(Role::View),
        local: Some(Role::Admin),
        grants,
        ..Default::default()
    }
}

/// The decisions about all kinds of use, a letter for each: allowed, with the lock, refused.
fn decisions(rules: &AccessRules, caller: AccessCaller<'_>, object: &str, member: &str) -> String {
    let service = object.split_once('/').map_or(object, |(service, _)| service);
    let id = object.replace('/', ".");
    let object = AccessObject::of(&id, service);
    let rights = rules.rights(caller, object);
    let letter = |kind: &AccessKind| {
        let decision = rights.decide(member, *kind);
        let explained = rules.explain(caller, object, member, *kind);
        assert_eq!(explained.decision, decision, "{caller:?} {id} {member} {kind:?}");
        let has = explained.has.map(|(role, _)| role);
        let is_enough = has >= Some(explained.wanted);
        let refused = matches!(decision, Decision::Refused { .. });
        assert_eq!(is_enough, !refused, "{caller:?} {id} {member} {kind:?}: {explained:?}");
        match decision {
            Decision::Allowed => 'a',
            Decision::WithLock => 'l',
            Decision::Refused { .. } => '-',
        }
    };
    KINDS.iter().map(letter).collect()
}

#[test]
fn each_role_may_do_what_the_one_before_may_and_more() {
    //                        describe, read, call, set, lock, register, break, administer
    for (role, expected) in [
        (None, "--------"),
        (Some(Role::View), "aa------"),
        (Some(Role::Operate), "aaaaaa--"),
        (Some(Role::Admin), "aaaaaaaa"),
    ] {
        let by_default = AccessRules { network: role, ..AccessRules::default() };
        let mut granted = AccessRules::default();
        granted.grants.extend(role.map(|role| grant(&["*"], &["*"], role)));
        for rules in [by_default, granted] {
            assert_eq!(decisions(&rules, NOBODY, "lab.laser", "power"), expected, "{role:?}");
        }
    }
}

#[test]
fn the_greatest_role_of_all_lines_that_apply_counts() {
    let mut lab = rules(vec![
        grant(&["group:optics"], &["lab.laser*"], Role::Operate),
        grant(&["bob"], &["lab.psu", "lab.cam"], Role::Operate),
        grant(&["ada"], &["lab.laser"], Role::View),
        grant(&["ada"], &["lab.cam"], Role::Admin),
        grant(&["anonymous"], &["demo.*"], Role::Operate),
    ]);
    lab.groups.insert("optics".into(), ["ada".to_owned(), "grace".to_owned()].into());
    let (view, operate, admin) = ("aa------", "aaaaaa--", "aaaaaaaa");
    let eves = ["optics".to_owned()];
    for (caller, object, expected) in [
        (ADA, "lab.laser", operate),
        (ADA, "lab.laser2", operate),
        (ADA, "lab.psu", view),
        (ADA, "lab.cam", admin),
        (ADA, "demo.sine", view),
        (BOB, "lab.laser", view),
        (BOB, "lab.psu", operate),
        (BOB, "lab.cam", operate),
        (NOBODY, "lab.laser", view),
        (NOBODY, "demo.sine", operate),
        (NOBODY, "demo", view),
        (HERE, "lab.laser", admin),
        (AccessCaller { name: Some("anonymous"), groups: &[], is_local: false }, "demo.sine", view),
        (
            AccessCaller { name: Some("group:optics"), groups: &[], is_local: false },
            "lab.laser",
            view,
        ),
        (AccessCaller { name: Some("*"), groups: &[], is_local: false }, "lab.laser", view),
        (AccessCaller { name: Some("bob"), groups: &[], is_local: true }, "lab.laser", admin),
        (AccessCaller { name: Some("eve"), groups: &eves, is_local: false }, "lab.laser", operate),
        (AccessCaller { name: Some("eve"), groups: &eves, is_local: false }, "lab.psu", view),
        (AccessCaller { name: None, groups: &eves, is_local: false }, "lab.laser", view),
    ] {
        assert_eq!(decisions(&lab, caller, object, "power"), expected, "{caller:?} {object}");
        // A part has the roles of its service.
        let part = format!("{object}/ch_1");
        assert_eq!(decisions(&lab, caller, &part, "power"), expected, "{caller:?} {part}");
    }
}

#[test]
fn a_grant_for_members_is_for_these_alone() {
    let mut by_member = grant(&["ada"], &["lab.psu"], Role::Operate);
    by_member.members = vec!["on".into(), "ch_1.voltage".into()];
    let lab = rules(vec![by_member]);
    for (object, member, expected) in [
        ("lab.psu", "on", "aaaaa---"),
        ("lab.psu", "off", "aa--a---"),
        ("lab.psu", "voltage", "aa--a---"),
        ("lab.psu/ch_1", "on", "aaaaa---"),
        ("lab.psu/ch_1", "voltage", "aaaaa---"),
        ("lab.psu/ch_2", "voltage", "aa--a---"),
        ("lab.psu/ch_2", "on", "aaaaa---"),
        ("lab.laser", "on", "aa------"),
    ] {
        assert_eq!(decisions(&lab, ADA, object, member), expected, "{object} {member}");
    }
    let closed = AccessRules { network: None, ..lab };
    assert_eq!(decisions(&closed, ADA, "lab.psu", "on"), "aaaaa---");
    assert_eq!(decisions(&closed, ADA, "lab.psu", "off"), "a---a---");
    assert_eq!(decisions(&closed, BOB, "lab.psu", "on"), "--------");
}

#[test]
fn a_grant_with_the_lock_lets_lock_first() {
    let mut with_lock = grant(&["ada"], &["lab.psu"], Role::Operate);
    with_lock.with_lock = true;
    let lab = rules(vec![with_lock.clone()]);
    assert_eq!(decisions(&lab, ADA, "lab.psu", "on"), "aallal--");
    assert_eq!(decisions(&lab, BOB, "lab.psu", "on"), "aa------");
    let closed = AccessRules { network: None, ..lab };
    assert_eq!(decisions(&closed, ADA, "lab.psu", "on"), "alllal--");
    with_lock.members = vec!["on".into()];
    let lab = rules(vec![with_lock, grant(&["ada"], &["lab.*"], Role::View)]);
    assert_eq!(decisions(&lab, ADA, "lab.psu", "on"), "aalla---");
    assert_eq!(decisions(&lab, ADA, "lab.psu", "off"), "aa--a---");
}

#[test]
fn a_member_may_need_another_role_than_usual() {
    let mut lab = rules(vec![grant(&["ada"], &["*"], Role::Operate)]);
    let roles = [
        ("idn", Role::View),
        ("calibrate", Role::Admin),
        ("level", Role::Admin),
        ("ch_1.level", Role::View),
    ];
    let roles = roles.map(|(name, role)| (name.to_owned(), role));
    lab.member_roles.insert("lab.psu".into(), roles.into());
    for (caller, object, member, expected) in [
        (NOBODY, "lab.psu", "idn", "aaaa----"),
        (NOBODY, "lab.psu", "on", "aa------"),
        (ADA, "lab.psu", "calibrate", "aa--aa--"),
        (ADA, "lab.psu/ch_2", "calibrate", "aa--aa--"),
        (ADA, "lab.psu", "level", "aa--aa--"),
        (ADA, "lab.psu/ch_1", "level", "aaaaaa--"),
        (NOBODY, "lab.psu/ch_1", "level", "aaaa----"),
        (NOBODY, "lab.laser", "idn", "aa------"),
        (HERE, "lab.psu", "calibrate", "aaaaaaaa"),
    ] {
        assert_eq!(decisions(&lab, caller, object, member), expected, "{object} {member}");
    }
    let closed = AccessRules { network: None, ..lab };
    assert_eq!(decisions(&closed, NOBODY, "lab.psu", "idn"), "--------");
}

#[test]
fn a_member_that_view_may_call_is_set_with_the_usual_role() {
    let mut lab = rules(vec![grant(&["ada"], &["lab.psu"], Role::Operate)]);
    let reads = ["level", "calibrate", "ch_1.idn"].map(str::to_owned);
    lab.reads.insert("lab.psu".into(), reads.into());
    lab.member_roles.insert("lab.psu".into(), [("calibrate".to_owned(), Role::Admin)].into());
    for (caller, object, member, expected) in [
        (NOBODY, "lab.psu", "level", "aaa-----"),
        (NOBODY, "lab.psu/ch_1", "level", "aaa-----"),
        (NOBODY, "lab.psu", "idn", "aa------"),
        (NOBODY, "lab.psu/ch_1", "idn", "aaa-----"),
        (NOBODY, "lab.laser", "level", "aa------"),
        (ADA, "lab.psu", "level", "aaaaaa--"),
        // A role that the configuration gives a member comes first.
        (ADA, "lab.psu", "calibrate", "aa--aa--"),
    ] {
        assert_eq!(decisions(&lab, caller, object, member), expected, "{object} {member}");
    }
    let closed = AccessRules { network: None, ..lab };
    assert_eq!(decisions(&closed, NOBODY, "lab.psu", "level"), "--------");
}

#[test]
fn an_explanation_names_the_line() {
    let lab = rules(vec![
        grant(&["ada"], &["lab.*"], Role::View),
        grant(&["ada"], &["lab.psu"], Role::Operate),
        grant(&["*"], &["lab.psu"], Role::Operate),
    ]);
    let object = AccessObject::service("lab.psu");
    let basis = |caller, kind| lab.explain(caller, object, "on", kind).has;
    assert_eq!(basis(ADA, AccessKind::Call), Some((Role::Operate, Basis::Grant(1))));
    assert_eq!(basis(BOB, AccessKind::Break), Some((Role::Operate, Basis::Grant(2))));
    assert_eq!(basis(HERE, AccessKind::Call), Some((Role::Admin, Basis::Local)));
    let object = AccessObject::service("demo.sine");
    let explained = lab.explain(NOBODY, object, "on", AccessKind::Call);
    assert_eq!(explained.has, Some((Role::View, Basis::Network)));
    assert_eq!(explained.decision, Decision::Refused { wanted: Role::Operate });
}

#[test]
fn a_refusal_says_who_what_and_what_to_do() {
    let refusal = |decision, is_anonymous, kind, member| {
        let who = if is_anonymous { "anonymous@10.0.0.7" } else { "ada" };
        let object = "lab.psu";
        AccessRefusal { who, is_anonymous, object, member, kind, decision }.exception()
    };
    let refused = Decision::Refused { wanted: Role::Operate };
    for (exception, expected) in [
        (
            refusal(refused, false, AccessKind::Call, "on"),
            "ada may not call lab.psu.on: that needs the role operate; ask the person who runs the \
             lab for it (`access` in its configuration)",
        ),
        (
            refusal(refused, true, AccessKind::Set, "volts"),
            "anonymous@10.0.0.7 may not set lab.psu.volts: that needs the role operate; log in with \
             `ferrolab login`, or ask the person who runs the lab for it (`access` in its \
             configuration)",
        ),
        (
            refusal(Decision::WithLock, false, AccessKind::Call, "on"),
            "ada may call lab.psu.on only while holding the lock of lab.psu: call lock() first",
        ),
        (
            refusal(Decision::Refused { wanted: Role::Admin }, false, AccessKind::Break, ""),
            "ada may not break the lock of lab.psu: that needs the role admin; ask the person who \
             runs the lab for it (`access` in its configuration)",
        ),
    ] {
        assert_eq!(exception.class, "builtins.PermissionError");
        assert_eq!(exception.message(), expected);
    }
}

/// Prints the cost of a check (`cargo test --release -p ferrolab-remote --lib -- --ignored
/// --nocapture cost`).
#[test]
#[ignore = "a measurement"]
fn cost_of_a_check() {
    let mut many: Vec<AccessGrant> = (0..100)
        .map(|number| grant(&[&format!("u{number}")], &[&format!("lab.s{number}*")], Role::View))
        .collect();
    many.push(grant(&["group:optics"], &["lab.*"], Role::Operate));
    let mut lab = rules(many);
    lab.groups.insert("optics".into(), (0..1000).map(|number| format!("u{number}")).collect());
    let caller = AccessCaller { name: Some("u7"), groups: &[], is_local: false };
    let cache = AccessCache::default();
    let rounds = 1_000_000_u32;
    let begin = std::time::Instant::now();
    for _ in 0..rounds {
        let object = std::hint::black_box("lab.laser");
        let rights = cache.get(1, object, || lab.rights(caller, AccessObject::service(object)));
        assert_eq!(
            rights.decide(std::hint::black_box("power"), AccessKind::Call),
            Decision::Allowed
        );
    }
    println!("a check that is cached: {} ns", begin.elapsed().as_nanos() / u128::from(rounds));
    let rounds = 1000_u32;
    let begin = std::time::Instant::now();
    for _ in 0..rounds {
        std::hint::black_box(lab.rights(caller, AccessObject::service("lab.laser")));
    }
    println!("the first one: {} ns", begin.elapsed().as_nanos() / u128::from(rounds));
}
