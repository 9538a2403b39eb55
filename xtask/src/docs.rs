//! The pages that are generated from the program itself.
//!
//! Owns which page is written to which file. The program writes the text, and its own test says
//! when a file is stale.

use std::fs::File;
use std::io::Write;

use crate::failure::{Failure, Outcome};
use crate::process;
use crate::workspace::Workspace;

/// The words of `ferrolab reference`, and the files.
const PAGES: [(&str, &str); 2] =
    [("configuration", "docs/configuration.md"), ("schema", "docs/config.schema.json")];

/// Writes all pages.
pub(crate) fn write(workspace: &Workspace) -> Outcome<()> {
    process::run(workspace.cargo().args(["build", "--package", "ferrolab"]))?;
    let binary = workspace.binary("ferrolab")?;
    for (page, file) in PAGES {
        let text = process::output(process::command(&binary).args(["reference", page]))?;
        let path = workspace.root().join(file);
        File::create(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| Failure::file("write", &path, &error))?;
        println!("{file}");
    }
    Ok(())
}
