//! The binary of Ferrolab; [`program`] is all of it.
//!
//! It has its own package because the linker optimises the whole program as it would this
//! package: at the highest level. Most of `program` is made small instead (Cargo.toml).

use std::process::ExitCode;

fn main() -> ExitCode {
    program::main()
}
