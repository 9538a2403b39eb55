//! Parser and validator of the configuration file: PyroLab's YAML 1.0 and our keys.
//!
//! Owns YAML, the schema and the position of every problem. Must not know processes, listening
//! sockets or Pyro. The steps: `config_text` (bytes to text) → `tree` (text to positioned plain
//! data) → `walk` and `value` (check against `schema`) → `model` (core types) → `rules`
//! (references, limits and conflicts between values). Each step adds its problems to one list.

mod address;
mod advice;
mod auto;
mod bytes;
mod config_text;
mod data;
mod date;
mod duration;
mod finish;
mod hash;
mod mappings;
mod members;
mod model;
mod portable;
mod problem;
mod reference;
mod rename;
mod rules;
mod scalar;
mod schema;
mod secret;
mod stand_in;
mod surroundings;
mod text;
mod tree;
mod value;
mod walk;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::Deserialize;

pub use address::Host;
pub use advice::did_you_mean;
pub use bytes::size_text;
pub use config_text::{read, read_from};
pub use data::Data;
pub use duration::seconds_with_unit;
pub use hash::stable_hash;
pub use model::{
    Access, AccessGroup, AccessRole, Alarm, Argument, Arguments, AuditMode, AuditNeed, CallLogMode,
    Configuration, Daemon, DaemonClass, DaemonPart, Deadband, Etcd, Expose, Grant, GrantWhen,
    Health, History, InstanceMode, LAB_MARK, Member, Nameserver, Notify, OnTimeout, OtherLab,
    Portable, PortablePackages, Push, Python, ServerType, Service, SourceLine, Start, Storage,
    Supervision, Target, TlsKeys, TlsMode, ValueFacts, Web,
};
pub use portable::{PortableText, portable, unfilled};
pub use problem::{ConfigError, Severity, Warning};
pub use reference::{json_schema, markdown};
pub use rename::{RenameError, RenamedEntry, rename};
pub use secret::Secret;
pub use surroundings::{Folder, Native, Surroundings};

use config_text::{ConfigText, Place};
use problem::Findings;

/// Maximum length of a name's metadata in a nameserver, in bytes. PyroLab's daemons register whole
/// descriptions.
pub const LONGEST_TAG: usize = 16 * 1024;

impl Configuration {
    /// Reads a text under the name that its problems will give; paths stay as they are written.
    pub fn parse(
        name: &str,
        bytes: &[u8],
        surroundings: &Surroundings,
    ) -> Result<(Configuration, Vec<Warning>), ConfigError> {
        let (configuration, warnings, _) = Configuration::parse_marked(name, bytes, surroundings)?;
        Ok((configuration, warnings))
    }

    /// As [`parse`](Self::parse), with the places of all values.
    fn parse_marked(
        name: &str,
        bytes: &[u8],
        surroundings: &Surroundings,
    ) -> Result<(Configuration, Vec<Warning>, walk::Marks), ConfigError> {
        let source = match ConfigText::from_bytes(name, bytes) {
            Ok(source) => Arc::new(source),
            Err(refused) => {
                let mut findings = Findings::new(Arc::new(refused.source));
                findings.error(refused.place, "", refused.message, refused.help);
                return Err(findings.fail());
            }
        };
        let mut findings = Findings::new(Arc::clone(&source));
        let Some(root) = tree::parse(&mut findings, source.text()) else {
            return Err(findings.fail());
        };
        let root = stand_in::with_stand_ins(&root, surroundings.simulates);
        let (data, marks) = walk::walk(&mut findings, &surroundings.host, &root);
        match Configuration::deserialize(data) {
            Ok(mut configuration) => {
                configuration.simulates = surroundings.simulates;
                rules::check(&mut configuration, &marks, surroundings, &mut findings);
                let warnings = findings.finish()?;
                Ok((configuration, warnings, marks))
            }
            // The walk and the types disagree: our fault, but no reason to panic.
            Err(error) => {
                findings.error(Place::default(), "", format!("cannot be taken in: {error}"), "");
                Err(findings.fail())
            }
        }
    }
}
