//! Schema tables: each key of a configuration with its type, default and meaning.
//!
//! One table per section, and nothing else: the walk (`walk`), the reference and the JSON Schema
//! (`reference`) read them here. Must not know how a value is checked.

mod access;
mod alarm;
mod etcd;
mod health;
mod history;
mod lab;
mod member;
mod notify;
mod portable;
mod push;
mod python;
mod servers;
mod service;
mod simulate;
mod supervision;
mod tls;
mod top;
mod types;
mod web;

pub(crate) use access::{ACCESS, GRANT, ROLES};
pub(crate) use alarm::ALARM;
pub(crate) use etcd::ETCD;
pub(crate) use health::HEALTH;
pub(crate) use history::HISTORY;
pub(crate) use lab::LAB;
pub(crate) use member::{ARGUMENT, MEMBER, VALUE_KEYS};
pub(crate) use notify::NOTIFY;
pub(crate) use portable::{PACKAGES, PORTABLE};
pub(crate) use push::PUSH;
pub(crate) use python::PYTHON;
pub(crate) use servers::{DAEMON, NAMESERVER, PORT};
pub(crate) use service::SERVICE;
pub(crate) use simulate::SIMULATE;
pub(crate) use supervision::SUPERVISION;
pub(crate) use top::{AUTOLAUNCH, TOP};
pub(crate) use types::{CALL_LOG, Field, Rule, Section, ValueKind};
pub(crate) use web::WEB;

/// Every section, to say where a misplaced key belongs.
pub(crate) static SECTIONS: &[&Section] = &[
    &TOP,
    &NAMESERVER,
    &ETCD,
    &DAEMON,
    &SERVICE,
    &SIMULATE,
    &AUTOLAUNCH,
    &PYTHON,
    &SUPERVISION,
    &MEMBER,
    &ARGUMENT,
    &HEALTH,
    &NOTIFY,
    &ACCESS,
    &GRANT,
    &ALARM,
    &PUSH,
    &WEB,
    &HISTORY,
    &LAB,
    &PORTABLE,
    &PACKAGES,
];
