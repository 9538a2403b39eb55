//! The text of the systemd unit and of the crontab line.

use std::path::PathBuf;

use crate::os::{self, SYSTEM, USER};

/// The unit's name.
pub(super) const NAME: &str = "ferrolab.service";
/// Keeps a lab's files in one folder.
const HOME: &str = "FERROLAB_HOME";

/// Parameters of a unit.
pub(super) struct Unit {
    /// This program.
    pub(super) program: PathBuf,
    /// `FERROLAB_HOME`, if it is set.
    pub(super) home: Option<PathBuf>,
    /// Where `python3` and what drivers need is found.
    pub(super) path: String,
    /// Other environment variables on which the interpreter's search paths depend.
    pub(super) variables: Vec<(String, String)>,
    /// Whom it runs as, for the host's service manager.
    pub(super) user: Option<String>,
}

/// Environment variables of the installing shell that go into the unit: an interpreter and its
/// drivers depend on them, or they say where the lab's files are.
pub(super) const CARRIED: [&str; 8] = [
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "LANG",
    "LC_ALL",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
];

impl Unit {
    /// The unit file.
    pub(super) fn text(&self) -> String {
        // A command's words have variables in them; those of the environment have none.
        let program = quoted(&self.program.display().to_string()).replace('$', "$$");
        let manager = if self.user.is_some() { SYSTEM } else { USER };
        let environment: String = self
            .environment()
            .chain([(os::MANAGER, manager.to_owned())])
            .map(|(name, value)| format!("Environment={}\n", quoted(&format!("{name}={value}"))))
            .collect();
        let user = match &self.user {
            Some(user) => format!("User={user}\n"),
            None => String::new(),
        };
        let target = if self.user.is_some() { "multi-user.target" } else { "default.target" };
        format!(
            "# Written by `ferrolab service install`.\n\
             [Unit]\n\
             Description=Ferrolab: remote laboratory instruments\n\
             Wants=network-online.target\n\
             After=network-online.target\n\
             # Nobody is there at night: it is tried again and again.\n\
             StartLimitIntervalSec=0\n\
             \n\
             [Service]\n\
             Type=notify\n\
             ExecStart={program} up --foreground\n\
             ExecReload={program} reload --force\n\
             {user}{environment}\
             # After `ferrolab down` it stays down.\n\
             Restart=on-failure\n\
             RestartSec=1\n\
             WatchdogSec=30\n\
             TimeoutStartSec=120\n\
             # The supervisor asks for more while entries with a longer grace come to rest.\n\
             TimeoutStopSec=60\n\
             # The supervisor stops its children itself, in order.\n\
             KillMode=mixed\n\
             \n\
             [Install]\n\
             WantedBy={target}\n"
        )
    }

    /// The line for hosts without systemd.
    pub(super) fn crontab(&self) -> String {
        let environment: String = self
            .environment()
            .map(|(name, value)| format!("{name}={} ", in_shell(&value)))
            .collect();
        let program = in_shell(&self.program.display().to_string());
        // Cron reads `%` as the end of the command.
        format!("@reboot {environment}{program} up").replace('%', "\\%")
    }

    /// A part with a control character, which could end a line of the unit or the crontab and begin
    /// another one.
    pub(super) fn unfit(&self) -> Option<&'static str> {
        let control = |text: &str| text.chars().any(char::is_control);
        let program = self.program.display().to_string();
        let variables = self.environment().map(|(name, value)| (name, control(&value)));
        if control(&program) {
            return Some("this program's path");
        }
        let mut unfit = variables.filter(|(_, unfit)| *unfit).map(|(name, _)| name);
        let unfit = unfit.next()?;
        CARRIED.into_iter().chain(["PATH", HOME]).find(|name| *name == unfit)
    }

    fn environment(&self) -> impl Iterator<Item = (&str, String)> {
        let home = self.home.as_ref().map(|home| (HOME, home.display().to_string()));
        let variables = self.variables.iter().map(|(name, value)| (name.as_str(), value.clone()));
        [("PATH", self.path.clone())].into_iter().chain(home).chain(variables)
    }
}

/// The user who runs this, as the shell knows it.
pub(super) fn user_name() -> String {
    std::env::var("USER").unwrap_or_else(|_| "$USER".to_owned())
}

/// As one word of a unit file: `%` and quotes have a meaning there.
fn quoted(text: &str) -> String {
    let mut word = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            '%' => word.extend([c, c]),
            c => word.push(c),
        }
    }
    word.push('"');
    word
}

/// The program that a unit with this text starts.
pub(super) fn program_in(text: &str) -> Option<PathBuf> {
    let word = text.lines().find_map(|line| line.strip_prefix("ExecStart=\""))?;
    let (mut program, mut letters) = (String::new(), word.chars());
    loop {
        match letters.next()? {
            '"' => return Some(program.into()),
            // Of two of the same, as of a backslash, the second one counts.
            '\\' | '%' | '$' => program.push(letters.next()?),
            letter => program.push(letter),
        }
    }
}

fn in_shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@+".contains(c);
    match text.chars().all(plain) && !text.is_empty() {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(user: Option<&str>) -> Unit {
        Unit {
            program: "/opt/my lab/ferrolab".into(),
            home: Some("/srv/100%lab".into()),
            path: "/usr/bin:/opt/it's".into(),
            variables: vec![("LANG".into(), "C.UTF-8".into())],
            user: user.map(str::to_owned),
        }
    }

    #[test]
    fn no_value_begins_a_line_of_its_own() {
        assert_eq!(unit(None).unfit(), None);
        let path = "/bin\nExecStartPre=/bin/evil".to_owned();
        assert_eq!(Unit { path, ..unit(None) }.unfit(), Some("PATH"));
    }

    #[test]
    fn special_characters_keep_their_own_meaning() {
        let text = unit(None).text();
        for line in [
            "ExecStart=\"/opt/my lab/ferrolab\" up --foreground",
            "Environment=\"FERROLAB_HOME=/srv/100%%lab\"",
            "Environment=\"LANG=C.UTF-8\"",
            "Type=notify",
            "Restart=on-failure",
            "StartLimitIntervalSec=0",
            "WantedBy=default.target",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
        assert_eq!(
            unit(None).crontab(),
            r"@reboot PATH='/usr/bin:/opt/it'\''s' FERROLAB_HOME='/srv/100\%lab' LANG=C.UTF-8 '/opt/my lab/ferrolab' up"
        );
    }

    #[test]
    fn the_program_of_a_unit_is_read_as_it_was_written() {
        for program in ["/opt/my lab/ferrolab", "/opt/$lab/100%/it's \"a\\b\"/ferrolab"] {
            let text = Unit { program: program.into(), ..unit(None) }.text();
            assert_eq!(program_in(&text), Some(program.into()), "{text}");
        }
        assert_eq!(program_in("ExecStart=/usr/bin/ferrolab up"), None);
    }

    #[test]
    fn a_dollar_is_doubled_in_commands_only() {
        let text = Unit {
            program: "/opt/$lab/ferrolab".into(),
            home: Some("/srv/$lab".into()),
            ..unit(None)
        }
        .text();
        for line in [
            "ExecStart=\"/opt/$$lab/ferrolab\" up --foreground",
            "ExecReload=\"/opt/$$lab/ferrolab\" reload --force",
            "Environment=\"FERROLAB_HOME=/srv/$lab\"",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
    }

    #[test]
    fn the_hosts_own_unit_runs_as_a_user() {
        let text = unit(Some("lab")).text();
        assert!(text.contains("\nUser=lab\n") && text.contains("WantedBy=multi-user.target"));
    }
}
