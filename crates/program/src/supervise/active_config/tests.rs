//! The configuration in force: its folder, its replacement, its last good one.

use std::fs;

use super::*;
use crate::paths::Environment;

const ONE: &str = "python: {path: [one]}\n";
const TWO: &str = "python: {path: [two]}\n";

struct Home {
    directory: tempfile::TempDir,
    paths: Paths,
}

fn home() -> Home {
    let directory = tempfile::tempdir().unwrap();
    let variable = |name: &str| (name == "FERROLAB_HOME").then(|| directory.path().into());
    let paths = Paths::new(&Environment::from_variables(variable)).unwrap();
    paths.ensure().unwrap();
    Home { directory, paths }
}

impl Home {
    /// Takes over a file of this text in a folder of this name.
    fn install(&self, folder: &str, text: &str) {
        let folder = self.directory.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("lab.yaml");
        files::replace(&file, text.as_bytes()).unwrap();
        check(&file, Severity::Warning).unwrap().install(&self.paths).unwrap();
    }

    /// Where the drivers of a configuration are, below the home.
    fn drivers(&self, configuration: Configuration) -> String {
        let path = &configuration.python.path[0];
        path.strip_prefix(self.directory.path()).unwrap().display().to_string()
    }

    fn loaded(&self) -> String {
        self.drivers(load(&self.paths).unwrap().0)
    }
}

#[test]
fn paths_mean_what_they_meant_where_the_file_was() {
    let home = home();
    files::replace(&home.paths.config_file, ONE.as_bytes()).unwrap();
    assert_eq!(home.loaded(), "one", "a file that was written here");
    home.install("a", ONE);
    assert_eq!(home.loaded(), "a/one");
    assert!(origin_file(&home.paths).unwrap().ends_with("a/lab.yaml"));
    files::replace(&home.paths.config_file, TWO.as_bytes()).unwrap();
    assert_eq!(home.loaded(), "a/two", "changed here afterwards");
    Turn::take(&home.paths).unwrap().edit(&home.paths, ONE.as_bytes()).unwrap();
    assert_eq!(home.loaded(), "a/one");
    assert_eq!(edited_origin(&home.paths), None, "only the copy was edited");
    let file = origin_file(&home.paths).unwrap();
    files::replace(&file, TWO.as_bytes()).unwrap();
    assert_eq!(edited_origin(&home.paths), Some(file.clone()));
    fs::remove_file(&file).unwrap();
    assert_eq!(edited_origin(&home.paths), None);
    reset(&home.paths).unwrap();
    assert_eq!(origin_file(&home.paths), None);
}

#[test]
fn a_replacement_that_is_broken_off_mixes_nothing() {
    let home = home();
    home.install("a", ONE);
    let before = fs::read(&home.paths.config_file).unwrap();
    home.install("b", TWO);
    let (after, mut origins) = (fs::read(&home.paths.config_file).unwrap(), Origins::default());
    let folder = |name: &str| {
        let folder = home.directory.path().join(name);
        Origin { folder, file: None, taken: None }
    };
    origins.current = Some(folder("a"));
    origins.next = Some((fingerprint_of(&after), Some(folder("b"))));
    files::replace(&home.paths.config_origin(), &serde_json::to_vec(&origins).unwrap()).unwrap();
    assert_eq!(home.loaded(), "b/two", "killed before the last step");
    files::replace(&home.paths.config_file, &before).unwrap();
    assert_eq!(home.loaded(), "a/one", "killed before the second");
    let left = home.paths.config_file.with_file_name(".config.yaml.Xy12.tmp");
    files::replace(&left, b"").unwrap();
    home.install("c", TWO);
    assert_eq!(home.loaded(), "c/two");
    assert!(!left.exists(), "what was left behind is swept away");
}

#[test]
fn the_last_good_one_keeps_its_folder() {
    let home = home();
    home.install("a", ONE);
    keep_good(&home.paths).unwrap();
    home.install("b", TWO);
    files::replace(&home.paths.config_file, b"daemons: {").unwrap();
    keep_good(&home.paths).unwrap();
    assert!(load(&home.paths).is_err());
    assert_eq!(home.drivers(load_good(&home.paths, false).unwrap()), "a/one");
}

#[test]
fn a_file_that_is_large_or_not_there_is_named() {
    let home = home();
    let large = home.directory.path().join("large.yaml");
    files::replace(&large, "# a comment that fills the disk\n".repeat(40_000).as_bytes()).unwrap();
    for (file, said) in [
        (large.as_path(), "large.yaml:1:1: the file is larger than 1024 KiB"),
        (Path::new("/nowhere/lab.yaml"), "cannot read /nowhere/lab.yaml: No such file"),
        (Path::new("/"), "cannot read /"),
    ] {
        let error = check(file, Severity::Warning).unwrap_err();
        assert!(error.plain().contains(said), "{}", error.plain());
    }
}
