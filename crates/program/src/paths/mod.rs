//! Where Ferrolab keeps its files, for one user on one host.
//!
//! Owns the names of files and directories and who may enter them. It refuses to know what is in
//! them, and reads the environment only through [`Environment`], which its caller hands in.

mod environment;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use lab_config::{History, stable_hash};
use serde::{Deserialize, Serialize};

use crate::audit::AuditPlace;
use crate::log::{call_log, lock_log};
use crate::os::user_id;
pub(crate) use environment::Environment;

/// The control socket's name.
const SOCKET: &str = "control.sock";
/// The longest path for the control socket: `sun_path` holds 104 bytes on macOS, 108 on Linux.
const SOCKET_PATH_BYTES: usize = 100;

/// The layout could not be settled or made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PathsError {
    /// No home directory and no `FERROLAB_HOME`.
    #[error("this user has no home directory: set FERROLAB_HOME to the directory to use")]
    NoHome,
    /// A directory could not be made or examined.
    #[error("cannot {operation} the {what} directory {}", path.display())]
    Directory {
        /// The failed operation, as a verb.
        operation: &'static str,
        /// Which directory: "state", "log".
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A directory that must be private is not.
    #[error("the {what} directory {} {fault}: remove it, or make it yours with mode 700", path.display())]
    Unsafe {
        /// Which directory.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// The fault, in words.
        fault: String,
    },
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Paths {
    /// The configuration in force.
    pub(crate) config_file: PathBuf,
    /// Files that must survive a reboot: last ports, nameserver databases, decisions by hand.
    pub(crate) state_dir: PathBuf,
    /// Files that need not: the control socket.
    pub(crate) runtime_dir: PathBuf,
    /// Logs.
    pub(crate) log_dir: PathBuf,
    /// `FERROLAB_HOME`, if that is what put everything in one place.
    pub(crate) home: Option<PathBuf>,
    temporary: PathBuf,
}

impl Paths {
    /// Settles the layout. Makes nothing.
    pub(crate) fn new(environment: &Environment) -> Result<Paths, PathsError> {
        let temporary = environment.temporary.clone();
        if let Some(home) = &environment.home {
            // Children run in other directories, so a relative path is settled here and now.
            let home = std::path::absolute(home).map_err(|source| PathsError::Directory {
                operation: "find",
                what: "FERROLAB_HOME",
                path: home.clone(),
                source,
            })?;
            return Ok(Paths {
                config_file: home.join("config.yaml"),
                state_dir: home.join("state"),
                runtime_dir: home.join("run"),
                log_dir: home.join("logs"),
                home: Some(home),
                temporary,
            });
        }
        let platform = environment.platform.as_ref().ok_or(PathsError::NoHome)?;
        let state_dir = platform.state.clone();
        let lasting = state_dir.join("run");
        let runtime_dir = match &environment.runtime {
            // A supervisor that was started without a login is found by those who have logged in.
            Some(runtime) if !lasting.join(SOCKET).exists() => runtime.join("ferrolab"),
            _ => lasting,
        };
        Ok(Paths {
            config_file: platform.config.join("config.yaml"),
            log_dir: state_dir.join("logs"),
            state_dir,
            runtime_dir,
            home: None,
            temporary,
        })
    }

    /// Makes the directories, each for its owner only.
    pub(crate) fn ensure(&self) -> Result<(), PathsError> {
        if let Some(parent) = self.config_file.parent() {
            make("configuration", parent)?;
        }
        make("state", &self.state_dir)?;
        make("runtime", &self.runtime_dir)?;
        make("log", &self.log_dir)?;
        // The control socket is here: every user who may enter may stop the instruments.
        check_private("runtime", &self.runtime_dir)
    }

    /// Where the supervisor listens for the CLI.
    ///
    /// A socket's path has a small fixed size. Where the runtime directory is too deep, the socket
    /// is in a private directory under the temporary one, named by the user and a hash of the
    /// runtime directory; that directory is made here, and checked, since others may have made it.
    pub(crate) fn control_socket(&self) -> Result<PathBuf, PathsError> {
        let socket = self.runtime_dir.join(SOCKET);
        if fits_a_socket(&socket) {
            return Ok(socket);
        }
        let what = "control socket";
        let real = fs::canonicalize(&self.runtime_dir).unwrap_or(self.runtime_dir.clone());
        let name = format!("{:016x}.sock", stable_hash(real.as_os_str().as_bytes()));
        let private = format!("ferrolab-{}", user_id());
        let mut directory = self.temporary.join(&private);
        if !fits_a_socket(&directory.join(&name)) {
            directory = Path::new("/tmp").join(&private);
        }
        make(what, &directory)?;
        check_private(what, &directory)?;
        Ok(directory.join(name))
    }

    /// Where a process of which a lab has one (`history`, `web`) listens for this host.
    ///
    /// Its path is no longer than the control socket's may be, and beside it.
    pub(crate) fn process_socket(&self, process: &str) -> Result<PathBuf, PathsError> {
        let control = self.control_socket()?;
        let is_beside = control.file_name().is_some_and(|name| name == SOCKET);
        Ok(match is_beside {
            true => control.with_file_name(format!("{process}.sock")),
            false => control.with_extension(process),
        })
    }

    /// The samples of the history, where the configuration names no folder.
    pub(crate) fn history(&self) -> PathBuf {
        self.state_dir.join(History::FOLDER)
    }

    /// The file whose lock makes a supervisor the only one of this state directory.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.state_dir.join("supervisor.lock")
    }

    /// The supervisor's log, into which its children's logs go too.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.log_dir.join("ferrolab.log")
    }

    /// Where it is kept which file the configuration was taken from.
    pub(crate) fn config_origin(&self) -> PathBuf {
        self.state_dir.join("config-origin.json")
    }

    /// The file that is locked while the configuration is replaced.
    pub(crate) fn config_lock(&self) -> PathBuf {
        self.state_dir.join("config.lock")
    }

    /// The last configuration that was in force, for a start with a file that has problems.
    pub(crate) fn last_good(&self) -> PathBuf {
        self.state_dir.join("config-good.json")
    }

    /// Where it is kept what was started and stopped by hand.
    pub(crate) fn by_hand(&self) -> PathBuf {
        self.state_dir.join("by-hand.json")
    }

    /// The logins of this user in labs.
    pub(crate) fn logins(&self) -> PathBuf {
        self.config_file.with_file_name("logins")
    }

    /// The login in the lab whose nameserver is there.
    pub(crate) fn login(&self, host: &str, port: u16) -> PathBuf {
        self.logins().join(file_name(&format!("{host}_{port}")))
    }

    /// Where a daemon's last port is kept.
    pub(crate) fn daemon_state(&self, daemon: &str) -> PathBuf {
        self.state_dir.join(format!("daemon-{}.json", file_name(daemon)))
    }

    /// Where the last port of a process is kept of which a lab has one.
    pub(crate) fn process_state(&self, name: &str) -> PathBuf {
        self.state_dir.join(format!("process-{}.json", file_name(name)))
    }

    /// The copy of the program that ran before the last upgrade.
    pub(crate) fn program_before_upgrade(&self) -> PathBuf {
        self.state_dir.join("program-before-upgrade")
    }

    /// The file that 0.1.0 locks while it removes names that a daemon has left.
    pub(crate) fn daemon_names_gate(&self, daemon: &str) -> PathBuf {
        self.state_dir.join(format!("daemon-{}.names", file_name(daemon)))
    }

    /// Where 0.1.0 keeps which names are still to be removed from nameservers.
    pub(crate) fn left_names(&self) -> PathBuf {
        self.state_dir.join("left-names.json")
    }

    /// The files of a daemon's locks.
    pub(crate) fn lock_files(&self, daemon: &str) -> LockFiles {
        let name = file_name(daemon);
        LockFiles {
            state: self.state_dir.join(format!("locks-{name}.json")),
            log: lock_log::file(&self.log_dir, &name),
        }
    }

    /// The call log of a daemon.
    pub(crate) fn call_log(&self, daemon: &str) -> PathBuf {
        call_log::file(&self.log_dir, &file_name(daemon))
    }

    /// Where the states of a daemon's alarms are kept.
    pub(crate) fn alarms(&self, daemon: &str) -> PathBuf {
        self.state_dir.join(format!("alarms-{}.json", file_name(daemon)))
    }

    /// The folder of the lab's certificate authority and its users.
    pub(crate) fn access_folder(&self) -> PathBuf {
        self.state_dir.join("access")
    }

    /// The folder of the audit, beside that of the logs.
    pub(crate) fn audit_dir(&self) -> PathBuf {
        self.log_dir.with_file_name("audit")
    }

    /// The place of the supervisor's audit.
    pub(crate) fn audit_of_supervisor(&self) -> AuditPlace {
        AuditPlace::new(self.audit_dir(), &self.state_dir, String::new())
    }

    /// The place of a daemon's audit.
    pub(crate) fn audit_of_daemon(&self, daemon: &str) -> AuditPlace {
        AuditPlace::new(self.audit_dir(), &self.state_dir, file_name(daemon))
    }

    /// The place of a nameserver's audit. No daemon's name has a `%` and a small letter in file
    /// names.
    pub(crate) fn audit_of_nameserver(&self, nameserver: &str) -> AuditPlace {
        let writer = format!("%ns-{}", file_name(nameserver));
        AuditPlace::new(self.audit_dir(), &self.state_dir, writer)
    }

    /// The place of the audit of what the command line does with users.
    pub(crate) fn audit_of_users(&self) -> AuditPlace {
        AuditPlace::new(self.audit_dir(), &self.state_dir, "%users".to_owned())
    }

    /// The place of the page's audit.
    pub(crate) fn audit_of_page(&self) -> AuditPlace {
        AuditPlace::new(self.audit_dir(), &self.state_dir, "%web".to_owned())
    }

    /// Database of a nameserver with `storage: sql` and no file.
    pub(crate) fn nameserver_database(&self, nameserver: &str) -> PathBuf {
        self.state_dir.join(format!("nameserver-{}.sql", file_name(nameserver)))
    }
}

/// File with the last known names of a nameserver on etcd, beside the `database` it would have with
/// `storage: sql`.
pub(crate) fn last_known_names(database: &Path) -> PathBuf {
    database.with_extension("names.gz")
}

/// The files of a daemon's locks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LockFiles {
    /// Counter of lives, which makes epochs rise over restarts.
    pub(crate) state: PathBuf,
    /// The lock log.
    pub(crate) log: PathBuf,
}

/// A file name for a name that may hold anything: other than plain letters, digits, `-`, `_` and
/// inner dots are written as `%XX`; what would be too long for a file is cut and told apart by
/// a hash.
pub(crate) fn file_name(name: &str) -> String {
    let mut encoded = String::new();
    for (index, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(byte.into()),
            b'.' if index > 0 => encoded.push('.'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    if encoded.len() > 150 {
        encoded.truncate(150);
        encoded.push_str(&format!("~{:016x}", stable_hash(name.as_bytes())));
    }
    encoded
}

fn fits_a_socket(path: &Path) -> bool {
    path.as_os_str().len() <= SOCKET_PATH_BYTES
}

fn make(what: &'static str, path: &Path) -> Result<(), PathsError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| {
        PathsError::Directory { operation: "make", what, path: path.to_path_buf(), source }
    })
}

/// Refuses a directory that is a link, is another user's, or that others may enter.
fn check_private(what: &'static str, path: &Path) -> Result<(), PathsError> {
    let metadata = fs::symlink_metadata(path).map_err(|source| PathsError::Directory {
        operation: "examine",
        what,
        path: path.to_path_buf(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    let fault = if !metadata.is_dir() {
        "is not a directory".to_owned()
    } else if metadata.uid() != user_id() {
        format!("belongs to another user (uid {})", metadata.uid())
    } else if mode & 0o077 != 0 {
        format!("is open to others (mode {mode:03o}, not 700)")
    } else {
        return Ok(());
    };
    Err(PathsError::Unsafe { what, path: path.to_path_buf(), fault })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::environment::Platform;
    use super::*;
    use crate::os::User;

    fn at(home: &Path) -> Environment {
        Environment {
            home: Some(home.to_path_buf()),
            runtime: None,
            platform: None,
            temporary: home.join("tmp"),
        }
    }

    #[test]
    fn ferrolab_home_holds_everything() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("lab");
        let paths = Paths::new(&at(&home)).unwrap();
        paths.ensure().unwrap();
        paths.ensure().unwrap();
        assert_eq!(paths.config_file, home.join("config.yaml"));
        assert_eq!(paths.control_socket().unwrap(), home.join("run/control.sock"));
        assert_eq!(paths.home.as_deref(), Some(home.as_path()));
        for made in [&paths.state_dir, &paths.runtime_dir, &paths.log_dir, &home] {
            assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn without_it_the_platform_decides() {
        let nobody = Environment { home: None, ..at(Path::new("/nowhere")) };
        assert!(matches!(Paths::new(&nobody), Err(PathsError::NoHome)));

        let somebody = Environment { platform: Platform::of_this_user(), ..nobody };
        let paths = Paths::new(&somebody).unwrap();
        assert_eq!(paths.runtime_dir, paths.state_dir.join("run"));
        let logged_in = Environment { runtime: Some("/run/user/7".into()), ..somebody };
        let paths = Paths::new(&logged_in).unwrap();
        assert_eq!(paths.runtime_dir, Path::new("/run/user/7/ferrolab"));
        assert_eq!(paths.home, None);
    }

    #[test]
    fn a_service_of_the_host_is_found_by_its_user_whoever_logs_in_and_out() {
        let home = tempfile::tempdir().unwrap();
        let lab = User { name: "lab".into(), id: 7, home: home.path().to_path_buf() };
        let service = Environment { home: None, ..Environment::of_service(&lab) };
        let logged_in = Environment { runtime: Some("/run/user/7".into()), ..service.clone() };
        let paths = Paths::new(&service).unwrap();
        assert_eq!(paths.config_file, home.path().join(".config/ferrolab/config.yaml"));
        assert_eq!(paths.runtime_dir, home.path().join(".local/state/ferrolab/run"));
        assert_ne!(Paths::new(&logged_in).unwrap(), paths, "it does not run");
        paths.ensure().unwrap();
        crate::files::replace(&paths.control_socket().unwrap(), b"").unwrap();
        assert_eq!(Paths::new(&logged_in).unwrap(), paths);
    }

    #[test]
    fn an_empty_variable_counts_as_absent() {
        let environment = Environment::from_variables(|_| Some(OsString::new()));
        assert_eq!(environment.home, None);
        assert_eq!(environment.temporary, Path::new("/tmp"));
    }

    #[test]
    fn a_deep_runtime_directory_gets_a_short_socket_in_a_private_directory() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("d".repeat(120));
        let environment = Environment { temporary: directory.path().into(), ..at(&home) };
        let paths = Paths::new(&environment).unwrap();
        let socket = paths.control_socket().unwrap();
        assert!(fits_a_socket(&socket));
        assert_eq!(socket, paths.control_socket().unwrap());
        let private = socket.parent().unwrap();
        assert_eq!(private.parent().unwrap(), directory.path());

        fs::set_permissions(private, fs::Permissions::from_mode(0o755)).unwrap();
        let error = paths.control_socket().unwrap_err().to_string();
        assert!(error.contains("is open to others (mode 755"), "{error}");

        fs::remove_dir(private).unwrap();
        std::os::unix::fs::symlink(&home, private).unwrap();
        fs::create_dir(&home).unwrap();
        let error = paths.control_socket().unwrap_err().to_string();
        assert!(error.contains("is not a directory"), "{error}");
    }

    #[test]
    fn an_error_says_which_directory() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("file");
        crate::files::replace(&home, b"").unwrap();
        let error = Paths::new(&at(&home)).unwrap().ensure().unwrap_err().to_string();
        assert!(error.starts_with("cannot make the configuration directory /"), "{error}");
    }

    #[test]
    fn a_name_becomes_a_file_name_of_its_own() {
        let long = "é".repeat(200);
        let cases =
            [("bench", "bench"), ("a/b", "a%2Fb"), ("..", "%2E."), ("a.b", "a.b"), ("é", "%C3%A9")];
        for (name, expected) in cases {
            assert_eq!(file_name(name), expected);
        }
        assert!(file_name(&long).len() < 200);
        assert_ne!(file_name(&long), file_name(&format!("{long}é")));
    }
}
