//! The worker's program.
//!
//! Owns the sources of `python/ferrolab/`, which are part of this library, and how they get into an
//! interpreter: its command line reads the first two frames of the control socket. Nothing is
//! written to the disk, and nothing has to be installed.

use wire::EncodeError;
use wire::value::{Dict, Value};

use crate::frames;

/// Program that the interpreter runs with `-c`. It reads a frame, which is a program that reads the
/// next one; see `boot.py`.
pub(crate) const BOOTSTRAP: &str = "\
import os,marshal
def read(n,b=b''):
 while len(b)<n:b+=os.read(0,n-len(b))or os._exit(3)
 return b
exec(compile(marshal.loads(read(int.from_bytes(read(4),'big'))),'<ferrolab>/worker/boot.py','exec'))
";

const BOOT: &str = include_str!("../python/worker/boot.py");

macro_rules! sources {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../python/", $name, ".py")))),*]
    };
}

const SOURCES: &[(&str, &str)] = sources! {
    "__init__" "client/__init__" "client/arrays" "client/decorators" "client/incoming_arrays" "client/quantities" "worker/__init__"
    "worker/allocator" "worker/annotations" "worker/auto_proxy" "worker/boot" "worker/calls"
    "worker/channel_threads" "worker/class_copy" "worker/complaints" "worker/convert"
    "worker/daemon" "worker/describe" "worker/driver_sources" "worker/exception_log"
    "worker/exceptions" "worker/exposure" "worker/fast_encode" "worker/first_look"
    "worker/frame_kinds" "worker/framing" "worker/health" "worker/import_watch" "worker/loading"
    "worker/logging_bridge" "worker/main_thread" "worker/objects_by_id" "worker/oneways"
    "worker/packed_rules" "worker/part_table"
    "worker/parts" "worker/process" "worker/pyro" "worker/rules" "worker/serpent_rules"
    "worker/served_part" "worker/service_loads" "worker/services" "worker/shutdown"
    "worker/spawned" "worker/starting" "worker/static_look" "worker/stdio" "worker/streams"
    "worker/unread_parameters"
};

/// The frames that make a worker of an interpreter.
pub(crate) fn frames() -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    frames::append(&mut out, &Value::from(BOOT))?;
    let sources: Dict =
        SOURCES.iter().map(|(name, text)| (Value::from(*name), Value::from(*text))).collect();
    frames::append(&mut out, &Value::Dict(sources))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_source_of_workers_is_embedded() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/python"));
        let mut files = Vec::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "py") {
                    let name = path.strip_prefix(root).unwrap().with_extension("");
                    let name = name.to_str().unwrap().to_owned();
                    // A worker has the decorators of the client's room, and arrays.
                    if !name.starts_with("client/") || SOURCES.iter().any(|(own, _)| *own == name) {
                        files.push(name);
                    }
                }
            }
        }
        files.sort();
        let embedded: Vec<&str> = SOURCES.iter().map(|(name, _)| *name).collect();
        assert_eq!(files, embedded);
    }
}
