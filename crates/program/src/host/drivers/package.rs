//! The installed Python package of a file, from the folder that the installer has left beside it.
//!
//! ```text
//! site-packages/pymeasure/instruments/…          the file
//! site-packages/PyMeasure-0.14.0.dist-info/      METADATA, RECORD, top_level.txt
//! ```

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Folders of installed packages.
const INSTALLED: [&str; 2] = ["site-packages", "dist-packages"];
/// Ending of the folder with a package's metadata.
const DIST_INFO: &str = ".dist-info";
/// The largest list of a package's files that is read, in bytes.
const MAX_RECORD: u64 = 8 << 20;

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// The folder that it is installed in.
    folder: PathBuf,
}

impl Package {
    /// The package that has installed a file.
    pub(super) fn of(file: &Path) -> Option<Package> {
        let is_installed = |folder: &&Path| {
            let name = folder.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| INSTALLED.contains(&name))
        };
        let folder = file.ancestors().skip(1).find(is_installed)?;
        let inside = file.strip_prefix(folder).ok()?;
        let top = inside.components().next()?.as_os_str().to_str()?;
        let top = top.strip_suffix(".py").unwrap_or(top);
        let packages = all_in(folder);
        let by_name = packages.iter().find(|package| normalized(&package.name) == normalized(top));
        // Most packages have the name of their module. A list of files is long.
        let owner = by_name
            .or_else(|| packages.iter().find(|package| package.has(inside).unwrap_or(false)));
        owner.cloned()
    }

    /// The version that is installed now; `None` if none is.
    pub(super) fn version_now(&self) -> Option<String> {
        let mut packages = all_in(&self.folder).into_iter();
        let own = normalized(&self.name);
        packages.find(|package| normalized(&package.name) == own).map(|package| package.version)
    }

    /// Whether its list of files has this one.
    fn has(&self, file: &Path) -> Option<bool> {
        let Package { name, version, folder } = self;
        let record = folder.join(format!("{name}-{version}{DIST_INFO}")).join("RECORD");
        let mut listed = String::new();
        File::open(record).ok()?.take(MAX_RECORD).read_to_string(&mut listed).ok()?;
        let start = format!("{},", file.to_str()?);
        Some(listed.lines().any(|line| line.starts_with(&start)))
    }
}

/// All packages in a folder.
fn all_in(folder: &Path) -> Vec<Package> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let package = |name: String| {
        let (name, version) = name.strip_suffix(DIST_INFO)?.split_once('-')?;
        let (name, version) = (name.to_owned(), version.to_owned());
        Some(Package { name, version, folder: folder.to_path_buf() })
    };
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(package).collect()
}

/// A package's name as Python's installers compare it.
fn normalized(name: &str) -> String {
    name.to_lowercase().replace(['-', '.'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_of_a_file_and_its_new_version() {
        let root = tempfile::tempdir().unwrap();
        let site = root.path().join("lib/site-packages");
        let write = |path: &str, text: &str| {
            let path = site.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            crate::files::replace(&path, text.as_bytes()).unwrap();
        };
        write("PyMeasure-0.14.0.dist-info/RECORD", "");
        write("pymeasure/core.py", "");
        write("pyserial-3.5.dist-info/RECORD", "serial/__init__.py,sha256=x,1\n");
        write("serial/__init__.py", "");
        write("loose.py", "");
        let of = |path: &str| Package::of(&site.join(path));
        let named = |path: &str| of(path).map(|package| (package.name, package.version));
        let pair = |name: &str, version: &str| Some((name.to_owned(), version.to_owned()));
        assert_eq!(named("pymeasure/core.py"), pair("PyMeasure", "0.14.0"));
        assert_eq!(named("serial/__init__.py"), pair("pyserial", "3.5"));
        assert_eq!(named("loose.py"), None);
        assert_eq!(Package::of(&root.path().join("stage.py")), None);

        let package = of("pymeasure/core.py").unwrap();
        assert_eq!(package.version_now().as_deref(), Some("0.14.0"));
        let renamed = site.join("PyMeasure-0.15.dist-info");
        std::fs::rename(site.join("PyMeasure-0.14.0.dist-info"), renamed).unwrap();
        assert_eq!(package.version_now().as_deref(), Some("0.15"));
    }
}
