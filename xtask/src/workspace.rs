//! Where things are: the workspace, its crates, its target directory and its files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Outcome};
use crate::process;

/// Folders without source files of ours, for a tree that git does not know.
const NOT_SOURCES: [&str; 5] = ["target", ".git", "__pycache__", ".pytest_cache", ".venv"];

/// The workspace that this run checks.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace that holds this crate.
    pub(crate) fn find() -> Outcome<Self> {
        // Cargo tells a moved checkout's place when it runs us; else where we were built will do.
        let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = crate_dir
            .ancestors()
            .skip(1)
            .find(|folder| folder.join("Cargo.toml").is_file())
            .ok_or_else(|| Failure::new("no workspace around this crate"))?;
        Ok(Workspace { root: root.to_owned() })
    }

    /// The workspace's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A cargo command that runs in the workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = process::command(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.current_dir(&self.root);
        cargo
    }

    /// The path of a built binary of the development profile.
    pub(crate) fn binary(&self, name: &str) -> Outcome<PathBuf> {
        self.binary_of("debug", name)
    }

    /// The path of a built binary of the profile whose folder is given.
    pub(crate) fn binary_of(&self, profile: &str, name: &str) -> Outcome<PathBuf> {
        let metadata =
            process::output(self.cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
        let target = json_string(&metadata, "target_directory")
            .ok_or_else(|| Failure::new("`cargo metadata` names no target directory"))?;
        let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        let binary = PathBuf::from(target).join(profile).join(file);
        if binary.is_file() {
            return Ok(binary);
        }
        Err(Failure::new(format!("the build left no {}", binary.display())))
    }

    /// The names of the folders in `crates/`, sorted.
    pub(crate) fn crates(&self) -> Outcome<Vec<String>> {
        let folder = self.root.join("crates");
        let entries =
            fs::read_dir(&folder).map_err(|error| Failure::file("list", &folder, &error))?;
        let mut names: Vec<_> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().join("Cargo.toml").is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    /// The name of the package in `folder`, which may differ from the folder's.
    pub(crate) fn package_name(&self, folder: &str) -> Outcome<String> {
        let path = self.root.join(folder).join("Cargo.toml");
        let text =
            fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
        let name = text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
        name.map(str::to_owned).ok_or_else(|| Failure::new(format!("{folder} has no package")))
    }

    /// The workspace's own files, relative and with `/`: those that git tracks or would track.
    pub(crate) fn files(&self) -> Outcome<Vec<String>> {
        let mut git = process::command("git");
        git.current_dir(&self.root);
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let mut files: Vec<String> = match process::output(&mut git) {
            Ok(listing) => listing.split_terminator('\0').map(str::to_owned).collect(),
            Err(_) => self.walk()?,
        };
        files.retain(|file| self.root.join(file).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }

    fn walk(&self) -> Outcome<Vec<String>> {
        let mut folders = vec![self.root.clone()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            let entries =
                fs::read_dir(&folder).map_err(|error| Failure::file("list", &folder, &error))?;
            for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if path.is_dir() && !path.is_symlink() {
                    if !NOT_SOURCES.contains(&&*name) {
                        folders.push(path);
                    }
                } else if let Ok(relative) = path.strip_prefix(&self.root) {
                    files.push(relative.to_string_lossy().replace('\\', "/"));
                }
            }
        }
        Ok(files)
    }
}

/// The value of a key that stands once in a JSON text; paths only, so escapes are `\\` and `\"`.
fn json_string(json: &str, key: &str) -> Option<String> {
    let (_, behind) = json.split_once(&format!("\"{key}\":\""))?;
    let mut value = String::new();
    let mut chars = behind.chars();
    loop {
        match chars.next()? {
            '"' => return Some(value),
            '\\' => value.push(chars.next()?),
            plain => value.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_in_json() {
        let json = r#"{"a":1,"target_directory":"C:\\x \"y\"","b":"z"}"#;
        assert_eq!(json_string(json, "target_directory").as_deref(), Some(r#"C:\x "y""#));
        assert_eq!(json_string(json, "missing"), None);
        assert_eq!(json_string(r#"{"a":"cut"#, "a"), None);
    }

    #[test]
    fn this_workspace_is_found() {
        let workspace = Workspace::find().unwrap();
        assert!(workspace.crates().unwrap().contains(&"wire".to_owned()));
        assert!(workspace.files().unwrap().contains(&"xtask/src/main.rs".to_owned()));
    }
}
