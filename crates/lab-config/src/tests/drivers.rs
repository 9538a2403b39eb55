//! Warnings from the sources of drivers, which are read and not imported.

use super::*;

const DRIVER: &str = "import abc\n\n\nclass Base(abc.ABC):\n    def read(self):\n        return 1\n\n\n\
                      class Real(Base):\n    def write(self): ...\n\n\nclass Empty:\n    pass\n\n\n\
                      class Foreign(abc.Other):\n    pass\n";
const MARKED: &str =
    "from Pyro5.api import expose\n\n\nclass Real:\n    @expose\n    def read(self): ...\n";
const PYROLAB: &str = "class Real:\n    def autoconnect(self): ...\n";

#[test]
fn settings_without_an_effect_are_warnings() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("package")).unwrap();
    for (name, text) in [("driver.py", DRIVER), ("marked.py", MARKED), ("package/deep.py", PYROLAB)]
    {
        use std::io::Write;
        let mut file = std::fs::File::create(folder.path().join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
    let cases = [
        ("module: driver, classname: Real", Some("`Real` has no member marked with @expose")),
        ("module: driver, classname: Real, expose: all", None),
        ("module: driver, classname: Real, expose: [read]", None),
        ("module: driver, classname: Empty, expose: all", Some("`Empty` has no members")),
        ("module: driver, classname: Foreign", None),
        ("module: driver, classname: Missing", None),
        ("module: driver, expose: all", None),
        ("module: nowhere, classname: Real", None),
        ("module: marked, classname: Real", None),
        ("module: package.deep, classname: Real, expose: all, parameters: {a: 1}", None),
        ("module: marked, classname: Real, parameters: {}", None),
        (
            "module: driver, classname: Real, expose: all, parameters: {port: 1}",
            Some("nothing reads the `parameters`"),
        ),
    ];
    for (keys, expected) in cases {
        let text = format!(
            "daemons: {{default: {{}}}}\nservices:\n  s: {{{keys}, instancemode: single}}\n"
        );
        let folder = Some(Folder { base: folder.path().to_path_buf(), home: None });
        let surroundings = Surroundings { folder, ..surroundings() };
        let parsed = Configuration::parse("lab.yaml", text.as_bytes(), &surroundings);
        let (_, warnings) = parsed.unwrap_or_else(|error| panic!("{text}{}", error.plain()));
        let found: Vec<String> = warnings.iter().map(plain).collect();
        let is_right = match expected {
            Some(part) => found.len() == 1 && found[0].contains(part),
            None => found.is_empty(),
        };
        assert!(is_right, "{text}{found:?}");
    }
}
