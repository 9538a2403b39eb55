//! Other labs beside this one: read at their nameservers' ports, each by itself.
//!
//! A nameserver process serves the object `ferrolab.Lab` ([`object`]), which shows its lab to
//! clients of other hosts: the supervisor's listing and the latest values, as far as the rules of
//! access let a client look. [`reader`] reads that object of several labs side by side; one that
//! does not answer within a deadline is away, and costs the others nothing. Nothing here changes
//! a lab.

mod data;
mod object;
mod qualified;
mod reader;
mod source;

pub(crate) use object::{LAB_OBJECT, LabObject};
pub(crate) use qualified::{merge, qualify};
pub(crate) use reader::{
    ClockDifference, DEADLINE, LabReader, LabValues, ReaderMaking, ask_all, location, reason_of,
};
pub(crate) use source::LabSource;
