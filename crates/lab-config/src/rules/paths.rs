//! Files and folders that a configuration names, looked for on this host.
//!
//! Skipped where the surroundings give no folder: a lab that boots before a disk is mounted comes
//! up with the rest.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Rules, shown};
use crate::Folder;
use crate::config_text::Place;
use crate::model::{Python, Storage, Target, TlsKeys, TlsMode};
use crate::problem::{Severity, shortened};

/// The interpreter of a service that names none.
const DEFAULT_PYTHON: &str = "python3";

impl Rules<'_> {
    pub(super) fn paths(&mut self, folder: Option<&Folder>) {
        let Some(folder) = folder else { return };
        let configuration = self.configuration;
        self.python(folder, &[], &configuration.python);
        for nameserver in &configuration.nameservers {
            if let Storage::Sql(Some(file)) = &nameserver.storage {
                let path = ["nameservers", nameserver.name.as_str(), "storage"];
                self.parent(folder, &path, file);
            }
            self.certificate_files(folder, &["nameservers", &nameserver.name], nameserver.tls());
            let name = nameserver.name.as_str();
            if let Some(etcd) = &nameserver.etcd {
                let files = [("cacert", &etcd.cacert), ("cert", &etcd.cert), ("key", &etcd.key)];
                for (key, file) in files {
                    let path = ["nameservers", name, "etcd", key];
                    self.existing(folder, &path, file.as_deref());
                }
            }
            let shown = [
                ("ssl_clientcert", &nameserver.ssl_clientcert),
                ("ssl_clientkey", &nameserver.ssl_clientkey),
            ];
            for (key, file) in shown {
                self.existing(folder, &["nameservers", name, key], file.as_deref());
            }
        }
        for lab in &configuration.labs {
            for (key, file) in [
                ("ssl_cacerts", &lab.ssl_cacerts),
                ("ssl_clientcert", &lab.ssl_clientcert),
                ("ssl_clientkey", &lab.ssl_clientkey),
            ] {
                self.existing(folder, &["labs", lab.name.as_str(), key], file.as_deref());
            }
        }
        for daemon in &configuration.daemons {
            let entry = ["daemons", daemon.name.as_str()];
            self.python(folder, &entry, &daemon.python);
            self.certificate_files(folder, &entry, daemon.tls());
            if let Some(socket) = &daemon.unixsocket {
                self.parent(folder, &[entry[0], entry[1], "unixsocket"], socket);
            }
        }
        if let Some(web) = &configuration.web {
            self.certificate_files(folder, &["web"], web.tls());
        }
        let mut has_told = false;
        for service in &configuration.services {
            self.python(folder, &["services", service.name.as_str()], &service.python);
            let names_none = configuration.python_for(service).executable.is_none();
            let is_python = matches!(service.target, Target::Python { .. });
            if is_python && names_none && !has_told && !is_in_path(Path::new(DEFAULT_PYTHON)) {
                has_told = true;
                let path = ["services", service.name.as_str()];
                let message = format!("there is no `{DEFAULT_PYTHON}` in PATH to run it");
                let help = "name an interpreter: `python: {executable: …}`";
                if let Some(mark) = self.sound(&path) {
                    self.found(mark.key, &path, message, help);
                }
            }
        }
    }

    /// The certificates and keys of an entry that speaks TLS.
    fn certificate_files(&mut self, folder: &Folder, entry: &[&str], tls: TlsKeys<'_>) {
        if tls.mode == TlsMode::Off {
            return;
        }
        let files = [
            ("ssl_servercert", tls.servercert),
            ("ssl_serverkey", tls.serverkey),
            ("ssl_cacerts", tls.cacerts),
        ];
        for (key, file) in files {
            self.existing(folder, &[entry, &[key]].concat(), file);
        }
    }

    /// A file that must be there, if it is named.
    fn existing(&mut self, folder: &Folder, path: &[&str], file: Option<&Path>) {
        let Some(file) = file.map(|file| folder.place(file)) else { return };
        if !file.exists() {
            self.missing(path, &file, "there is no such file");
        }
    }

    /// The paths of one `python` group, which may be the file's, a daemon's or a service's.
    fn python(&mut self, folder: &Folder, entry: &[&str], python: &Python) {
        let at = |rest: &[&str]| -> Vec<String> {
            let keys = entry.iter().chain(["python"].iter()).chain(rest);
            keys.map(|key| (*key).to_owned()).collect()
        };
        if let Some(executable) = &python.executable {
            let file = folder.place_program(executable);
            let path = at(&["executable"]);
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            if executable.components().count() == 1 {
                if !is_in_path(executable) {
                    self.missing(&path, executable, "there is no such program in PATH");
                }
            } else if !file.is_file() {
                self.missing(&path, &file, "there is no such file");
            } else if !is_executable(&file) {
                self.missing(&path, &file, "it is not an executable file");
            }
        }
        for (index, directory) in python.path.iter().enumerate() {
            let place = folder.place(directory);
            // An archive of modules is searched too.
            if !place.exists() {
                let path = at(&["path", &index.to_string()]);
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                self.missing(&path, &place, "there is no such folder");
            }
        }
    }

    /// A file that is made when it is needed; its folder is not.
    fn parent(&mut self, folder: &Folder, path: &[&str], file: &Path) {
        let file = folder.place(file);
        if let Some(parent) = file.parent().filter(|parent| !parent.is_dir()) {
            self.missing(path, parent, "there is no such folder");
        }
    }

    fn missing(&mut self, path: &[&str], file: &Path, fault: &str) {
        let Some(mark) = self.sound(path) else { return };
        let message = format!("{fault}: {}", shortened(&file.display().to_string()));
        let help =
            "correct the path, or make what it names; relative ones begin at the file's folder";
        self.found(mark.value, path, message, help);
    }

    pub(super) fn found(
        &mut self,
        place: Place,
        path: &[&str],
        message: String,
        help: &'static str,
    ) {
        match self.unready {
            Severity::Error => self.findings.error(place, &shown(path), message, help),
            Severity::Warning => self.findings.warn(place, &shown(path), message, help),
        }
    }
}

fn is_in_path(program: &Path) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| is_executable(&folder.join(program)))
}

fn is_executable(file: &Path) -> bool {
    let metadata = file.metadata();
    metadata.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}
