//! The commit of the git repository that a file is in, read from the repository's files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest file of a repository that is read, in bytes: one of packed references.
const MAX_FILE: u64 = 4 << 20;
/// Digits of a commit that are shown.
const SHOWN_DIGITS: usize = 12;

/// The commit that is checked out where a file is.
pub(super) fn commit_of(file: &Path) -> Option<String> {
    let git =
        file.ancestors().skip(1).map(|folder| folder.join(".git")).find(|git| git.exists())?;
    let git = if git.is_dir() { git } else { pointed_to(&git)? };
    let head = read(&git.join("HEAD"))?;
    let commit = match head.strip_prefix("ref: ") {
        None => head,
        Some(reference) => {
            // A further work tree shares the references of the first one.
            let shared = read(&git.join("commondir")).map(|path| git.join(path));
            let shared = shared.unwrap_or_else(|| git.clone());
            read(&git.join(reference))
                .or_else(|| read(&shared.join(reference)))
                .or_else(|| packed(&shared, reference))?
        }
    };
    let is_commit = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_commit.then(|| commit.chars().take(SHOWN_DIGITS).collect())
}

/// The folder that a `.git` file points to.
fn pointed_to(file: &Path) -> Option<PathBuf> {
    let text = read(file)?;
    let path = text.strip_prefix("gitdir: ")?;
    Some(file.parent()?.join(path))
}

fn packed(git: &Path, reference: &str) -> Option<String> {
    let text = read(&git.join("packed-refs"))?;
    let of = |line: &str| {
        let (commit, name) = line.split_once(' ')?;
        (name == reference).then(|| commit.to_owned())
    };
    text.lines().find_map(of)
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_FILE).read_to_string(&mut text).ok()?;
    Some(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_found_however_git_keeps_them() {
        let root = tempfile::tempdir().unwrap();
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            crate::files::replace(&path, text.as_bytes()).unwrap();
        };
        let branch = "ref: refs/heads/main\n";
        write("detached/.git/HEAD", &format!("{commit}\n"));
        write("loose/.git/HEAD", branch);
        write("loose/.git/refs/heads/main", &format!("{commit}\n"));
        write("packed/.git/HEAD", branch);
        write("packed/.git/packed-refs", &format!("# pack-refs\n{commit} refs/heads/main\n"));
        write("packed/.git/worktrees/two/HEAD", branch);
        write("packed/.git/worktrees/two/commondir", "../..\n");
        write("two/.git", "gitdir: ../packed/.git/worktrees/two\n");
        write("new/.git/HEAD", branch);
        write("odd/.git/HEAD", "what?");
        let found = |folder: &str| commit_of(&root.path().join(folder).join("drivers/stage.py"));
        for folder in ["detached", "loose", "packed", "two"] {
            assert_eq!(found(folder).as_deref(), Some("0123456789ab"), "{folder}");
        }
        assert_eq!([found("new"), found("odd")], [None, None]);
    }
}
