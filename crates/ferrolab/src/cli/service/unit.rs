//! The text of the systemd unit and of the crontab line.

use std::path::PathBuf;

/// The unit's name.
pub(super) const NAME: &str = "ferrolab.service";

/// What a unit depends on.
pub(super) struct Unit {
    /// This program.
    pub(super) program: PathBuf,
    /// `FERROLAB_HOME`, if it is set.
    pub(super) home: Option<PathBuf>,
    /// Where `python3` and what drivers need is found.
    pub(super) path: String,
    /// Whom it runs as, for the host's service manager.
    pub(super) user: Option<String>,
}

impl Unit {
    /// The unit file.
    pub(super) fn text(&self) -> String {
        let program = quoted(&self.program.display().to_string());
        let mut environment = format!("Environment={}\n", quoted(&format!("PATH={}", self.path)));
        if let Some(home) = &self.home {
            let home = format!("FERROLAB_HOME={}", home.display());
            environment.push_str(&format!("Environment={}\n", quoted(&home)));
        }
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
             \n\
             [Service]\n\
             Type=notify\n\
             ExecStart={program} up --foreground\n\
             ExecReload={program} reload\n\
             {user}{environment}\
             Restart=always\n\
             RestartSec=1\n\
             WatchdogSec=30\n\
             TimeoutStartSec=120\n\
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
        let home = match &self.home {
            Some(home) => format!("FERROLAB_HOME={} ", in_shell(&home.display().to_string())),
            None => String::new(),
        };
        // Cron reads `%` as the end of the command.
        let line = format!(
            "@reboot PATH={} {home}{} up",
            in_shell(&self.path),
            in_shell(&self.program.display().to_string())
        );
        line.replace('%', "\\%")
    }
}

/// The user who runs this, as the shell knows it.
pub(super) fn user_name() -> String {
    std::env::var("USER").unwrap_or_else(|_| "$USER".to_owned())
}

/// As one word of a unit file: `%`, `$` and quotes have a meaning there.
fn quoted(text: &str) -> String {
    let mut word = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            '%' | '$' => word.extend([c, c]),
            c => word.push(c),
        }
    }
    word.push('"');
    word
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
            user: user.map(str::to_owned),
        }
    }

    #[test]
    fn special_characters_keep_their_own_meaning() {
        let text = unit(None).text();
        for line in [
            "ExecStart=\"/opt/my lab/ferrolab\" up --foreground",
            "Environment=\"FERROLAB_HOME=/srv/100%%lab\"",
            "Type=notify",
            "WantedBy=default.target",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
        assert_eq!(
            unit(None).crontab(),
            r"@reboot PATH='/usr/bin:/opt/it'\''s' FERROLAB_HOME='/srv/100\%lab' '/opt/my lab/ferrolab' up"
        );
    }

    #[test]
    fn the_hosts_own_unit_runs_as_a_user() {
        let text = unit(Some("lab")).text();
        assert!(text.contains("\nUser=lab\n") && text.contains("WantedBy=multi-user.target"));
    }
}
