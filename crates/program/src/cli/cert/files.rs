//! Files of the `cert` commands: the authority's, and paths as words for a shell.

use std::path::Path;

use crate::authority::AuthorityFiles;
use crate::paths::Paths;

/// The files of the lab's authority.
pub(super) fn authority(paths: &Paths) -> AuthorityFiles {
    AuthorityFiles::in_folder(paths.access_folder())
}

/// A path as a word for a shell.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-@:".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
