//! The worker's program.
//!
//! Owns the sources of `python/ferrolab/`, which are part of this library, and how they get into an
//! interpreter: its command line reads the first two frames of the control socket. Nothing is
//! written to the disk, and nothing has to be installed.

use wire::EncodeError;
use wire::value::{Dict, Value};

use crate::frames;

/// What the interpreter is given with `-c`. It reads a frame, which is a program that reads the
/// next one; see `boot.py`.
pub(crate) const BOOTSTRAP: &str = "\
import os,marshal
def read(n,b=b''):
 while len(b)<n:b+=os.read(0,n-len(b))or os._exit(3)
 return b
exec(compile(marshal.loads(read(int.from_bytes(read(4),'big'))),'<ferrolab>/boot.py','exec'))
";

const BOOT: &str = include_str!("../../../python/ferrolab/boot.py");

macro_rules! sources {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../../python/ferrolab/", $name, ".py")))),*]
    };
}

const SOURCES: &[(&str, &str)] = sources! {
    "__init__" "boot" "calls" "convert" "daemon" "ending" "exceptions" "exposure" "framing" "main_thread" "output" "own_class" "pyro" "records" "services" "spawned" "worker" "written"
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
    use super::*;

    #[test]
    fn every_source_is_embedded() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../python/ferrolab");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .filter_map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .into_string()
                    .unwrap()
                    .strip_suffix(".py")
                    .map(str::to_owned)
            })
            .collect();
        files.sort();
        let embedded: Vec<&str> = SOURCES.iter().map(|(name, _)| *name).collect();
        assert_eq!(files, embedded);
    }
}
