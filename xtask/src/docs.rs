//! The pages that are generated from the program itself.
//!
//! Owns which page is written to which file. The program writes the text, and its own test says
//! when a file is stale.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::failure::{Failure, Outcome};
use crate::process;
use crate::workspace::Workspace;

/// The words of `ferrolab reference`, and the files.
const PAGES: [(&str, &str); 2] =
    [("configuration", "docs/configuration.md"), ("schema", "docs/config.schema.json")];
/// The same for a part of a page, between two comments with the word.
const PARTS: [(&str, &str); 1] = [("limits", "docs/servers.md")];

/// Writes all pages.
pub(crate) fn write(workspace: &Workspace) -> Outcome<()> {
    process::run(workspace.cargo().args(["build", "--package", "ferrolab"]))?;
    let binary = workspace.binary("ferrolab")?;
    for (page, file) in PAGES {
        let text = process::output(process::command(&binary).args(["reference", page]))?;
        let path = workspace.root().join(file);
        write_file(&path, &text)?;
        println!("{file}");
    }
    for (part, file) in PARTS {
        let text = process::output(process::command(&binary).args(["reference", part]))?;
        let path = workspace.root().join(file);
        let page =
            std::fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
        let page = with_part(&page, part, &text)
            .ok_or_else(|| Failure::new(format!("{file}: no comments around '{part}'")))?;
        write_file(&path, &page)?;
        println!("{file}");
    }
    Ok(())
}

fn write_file(path: &Path, text: &str) -> Outcome<()> {
    File::create(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::file("write", path, &error))
}

/// `page` with `text` between the comments of `part`; `None` where these are not there.
fn with_part(page: &str, part: &str, text: &str) -> Option<String> {
    let (begin, end) =
        (format!("<!-- {part}: from `cargo xtask docs` -->\n"), format!("<!-- end of {part} -->"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{text}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::with_part;

    #[test]
    fn a_part_of_a_page_is_replaced() {
        let page = "a\n<!-- x: from `cargo xtask docs` -->\nold\n<!-- end of x -->\nb\n";
        let written = with_part(page, "x", "new\n").unwrap();
        assert!(written.starts_with("a\n<!-- x") && written.ends_with("of x -->\nb\n"));
        assert!(written.contains("\nnew\n") && !written.contains("old"));
        assert_eq!(with_part(&written, "x", "new\n").as_deref(), Some(written.as_str()));
        assert_eq!(with_part("nothing", "x", "new"), None);
    }
}
