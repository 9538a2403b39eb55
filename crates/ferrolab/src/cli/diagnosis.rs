//! Diagnosis of a lab: each fault with advice.
//!
//! A pure function of a listing: no sockets, no files. A question that people ask more than once
//! gets a row in the table of causes.

use serde::Serialize;

use super::starting::still_starting;
use crate::host::CallRow;
use crate::supervise::control::{Listing, ProcessRow, ServiceRow};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The faulty part: `daemon bench`, `this host`.
    pub(super) subject: String,
    /// The fault, in a sentence.
    pub(super) problem: String,
    /// The remedy, in a sentence.
    pub(super) advice: String,
}

/// Parts of errors, and what to do about them; the first that is found counts.
const CAUSES: &[(&[&str], &str)] = &[
    (
        // Before all others: what an old interpreter stumbles over reads like a driver's error.
        &["3.8 or later is needed"],
        "name a Python of version 3.8 or later with `python: {executable: …}`; its `--version` says \
         what it is",
    ),
    (
        &["does not move since"],
        "`kill -CONT PID` lets a stopped process go on; `ferrolab restart SERVICE --force` ends one \
         that hangs in C code, and `watchdog: SECONDS` of the service does so by itself",
    ),
    (
        &["already in use", "Address in use"],
        "another program listens there: `ss -ltnp` shows which; stop it, or give this one another \
         port in the configuration",
    ),
    (
        &["belongs to another lab"],
        "give one of the two labs another `ns_port`, then `ferrolab reload`",
    ),
    (
        &["no such address", "AddrNotAvailable"],
        "`host` must be an address of this machine: `ip address` lists them; `public` is all of \
         them",
    ),
    (
        &["No module named", "ModuleNotFoundError"],
        "the driver's Python lacks that module: install it there (`PYTHON -m pip install …`), or \
         name its folder under `python: {path: […]}`; `ferrolab info` shows which Python that is",
    ),
    (
        &["no such program in PATH", "No such file or directory (os error 2)", "no such file"],
        "check the path that it names; a Python is chosen with `python: {executable: …}`",
    ),
    (
        &["has no class"],
        "check `classname` (and `module`) of the service against the driver's source",
    ),
    (
        &["has no attribute", "cannot import name"],
        "correct the line that it names, or install the version of the library that the driver was \
         written for",
    ),
    (
        &["exposes nothing", "nothing reads the `parameters`"],
        "change the service in the configuration, then `ferrolab reload`",
    ),
    (
        &["is it an executable file?"],
        "the lab's user must be able to run that Python, and to enter each folder above it: \
         `namei -l` on its path shows who may; `python: {executable: …}` chooses another",
    ),
    (
        &["cannot listen"],
        "ports below 1024 are the system's, and a Unix socket needs a folder that the lab's user may \
         write into: choose another in the configuration",
    ),
    (
        &["ermission denied", "PermissionError", "EACCES"],
        "this user may not use that: for a serial or USB device, add the user to the device's \
         group (`ls -l` on the device shows it) and log in again",
    ),
    (
        &["VisaIOError", "VI_ERROR", "SerialException", "could not open port"],
        "the instrument does not answer: check its power, its cable and its address in \
         `parameters`",
    ),
    (
        &["it hangs", "nobody listens"],
        "it was killed and started again; if that goes on, look for what blocks it in its log",
    ),
    (
        &["killed by signal 9", "SIGKILL", "signal: 9"],
        "somebody or the kernel has killed it; `dmesg` tells if memory ran out",
    ),
    (
        &["has not answered yet", "not registered with nameserver"],
        "its services work under their URIs, not yet under their names: start that nameserver, or \
         check its `host` and `ns_port`; the names come by themselves",
    ),
    (
        &["is wanted by two running processes"],
        "rename one of the two in its configuration, or stop it: clients reach the one that keeps the \
         name",
    ),
    (
        &["names of processes that have ended"],
        "start that nameserver again, or check its `host` and `ns_port`; clients that look such a \
         name up find nobody",
    ),
    (
        &["hangs: a write to its disk"],
        "services go on; look at the disk of the logs folder, which may be a network drive that is \
         away",
    ),
    (
        &["notifications to "],
        "`ferrolab notify test` tries each target; those that wait are sent when it is back",
    ),
    (
        &["No space left on device", "os error 28", "Disk quota"],
        "make room on that disk: services go on, but what they would write is lost",
    ),
    (
        &["its URIs have changed"],
        "`ferrolab ps` shows the new ones; a `port` in the configuration keeps them the same",
    ),
    (
        &["the state file "],
        "nothing else is lost; look at what was set aside, and remove it when you need it no longer",
    ),
    (
        &["last good configuration"],
        "`ferrolab config check` on the file that it names shows the problems; then `ferrolab \
         reload`",
    ),
    (&["Read-only file system"], "the disk is mounted read-only: repair or remount it"),
    (
        &["hangs in a device's driver"],
        "not even SIGKILL ends it: unplug the device that it talks to, or restart the host",
    ),
];

/// Everything that is wrong, what stops other things first.
pub(super) fn diagnose(listing: &Listing) -> Vec<Finding> {
    let mut findings: Vec<Finding> = listing
        .troubles
        .iter()
        .map(|trouble| Finding {
            subject: "this host".to_owned(),
            problem: trouble.clone(),
            advice: cause(trouble).unwrap_or("see `ferrolab logs show --level warn`").to_owned(),
        })
        .collect();
    let processes = [("nameserver", &listing.nameservers), ("daemon", &listing.daemons)];
    for (kind, rows) in processes {
        findings.extend(rows.iter().filter_map(|row| process(kind, row)));
        findings.extend(rows.iter().filter_map(full_pool));
    }
    let runs = |service: &ServiceRow| {
        let daemon = listing.daemons.iter().find(|row| row.name == service.daemon);
        daemon.is_some_and(|row| row.status == "running")
    };
    // A service whose daemon does not run is not at fault itself.
    findings.extend(listing.services.iter().filter(|row| runs(row)).filter_map(service));
    findings.extend(listing.daemons.iter().filter_map(|row| {
        let (problem, advice) = still_starting(row, listing)?;
        Some(Finding { subject: format!("daemon {}", row.name), problem, advice })
    }));
    findings.extend(listing.services.iter().filter_map(stale_driver));
    findings.extend(listing.calls.iter().filter_map(|call| slow_call(call, listing)));
    findings
}

/// A daemon that refuses further connections.
fn full_pool(row: &ProcessRow) -> Option<Finding> {
    let full = row.full.as_ref()?;
    let problem = format!(
        "it has {} connections, as many as it may, and refuses others: {}",
        full.connections,
        full.holders()
    );
    let advice = "end clients that are no longer needed; `threadpool_size` of the daemon allows \
                  more connections, and `connections_per_address` leaves some to other addresses";
    let subject = format!("daemon {}", row.name);
    Some(Finding { subject, problem, advice: advice.to_owned() })
}

/// A driver whose files or package have changed since they were imported.
fn stale_driver(row: &ServiceRow) -> Option<Finding> {
    let stale = row.report.driver.as_ref()?.stale.as_ref()?;
    Some(Finding {
        subject: format!("service {}", row.name),
        problem: format!("its driver is not the newest: {stale}"),
        advice: format!("`ferrolab restart {}` takes it up, when nobody needs it", row.name),
    })
}

/// Calls that wait after another are named up to this number.
const WAITING_NAMED: usize = 3;

/// A call that waits for itself, or runs longer than `slow_call`.
fn slow_call(call: &CallRow, listing: &Listing) -> Option<Finding> {
    let (title, since) = (call.title(), &call.since);
    if call.waits_for_itself {
        let running = listing.calls.iter().find(|other| {
            other.daemon == call.daemon && other.waits_for.is_none() && other.kind != "oneway"
        });
        let running =
            running.map_or_else(String::new, |other| format!(", as {} runs", other.title()));
        let problem = format!(
            "it waits for a call to itself since {since}: {title}, its own driver, waits for its \
             turn{running}"
        );
        let advice = "in a `multiplex` daemon a driver must not wait for a service of the same \
                      daemon: serve one of them from another daemon, or use `servertype: thread`";
        let subject = format!("daemon {}", call.daemon);
        return Some(Finding { subject, problem, advice: advice.to_owned() });
    }
    // A client may wait for a lock for as long as it likes.
    if !call.is_slow || call.waits_for.is_some() {
        return None;
    }
    let subject = format!("service {}", call.service);
    let after: Vec<&CallRow> = listing
        .calls
        .iter()
        .filter(|other| other.daemon == call.daemon && other.waits_for.is_some())
        .filter(|other| match other.waits_for.as_deref() {
            Some("its turn") => true,
            _ => other.service == call.service,
        })
        .collect();
    let named: Vec<String> = after.iter().take(WAITING_NAMED).map(|other| other.title()).collect();
    let waiting = match after.len() {
        0 => String::new(),
        count if count <= WAITING_NAMED => format!("; after it waits: {}", named.join(", ")),
        count => {
            format!("; after it wait {count} calls, the first: {}", named.join(", "))
        }
    };
    let overdue = if call.is_overdue { " and is overdue (`call_timeout`)" } else { "" };
    let problem = format!("{title} runs since {since}{overdue}{waiting}");
    // A part or a built-in service restarts with its daemon.
    let has_worker = |row: &&ServiceRow| row.name == call.service && row.report.python.is_some();
    let restarts = match listing.services.iter().find(has_worker) {
        Some(row) => row.name.clone(),
        None => format!("daemon {}", call.daemon),
    };
    let advice = format!(
        "look at the instrument; `ferrolab restart {restarts} --force` ends the call (`slow_call` of \
         the daemon says how long a call may take)"
    );
    Some(Finding { subject, problem, advice })
}

fn process(kind: &str, row: &ProcessRow) -> Option<Finding> {
    let subject = format!("{kind} {}", row.name);
    let error = row.error.as_deref();
    let log = format!("`ferrolab logs show --entry {}`", row.name);
    let again = format!("`ferrolab restart {kind} {}`", row.name);
    let known = error.and_then(cause);
    let (problem, advice) = match (row.status.as_str(), error) {
        ("failed", error) => {
            let error = error.unwrap_or("it does not say why");
            let problem = format!("it has crashed too often and was given up: {error}");
            let first = known.map_or_else(|| format!("see {log} for the cause"), str::to_owned);
            (problem, format!("{first}; then {again}"))
        }
        ("restarting", error) => {
            let error = error.unwrap_or("it does not say why");
            let problem = format!("it has crashed and will be started again: {error}");
            (problem, known.map_or_else(|| format!("see {log} for the cause"), str::to_owned))
        }
        ("running", Some(warning)) => {
            (warning.to_owned(), known.map_or_else(|| format!("see {log}"), str::to_owned))
        }
        ("stopped", _) if row.autolaunch && !row.wanted => {
            let problem = "it was stopped by hand, although it starts with the lab".to_owned();
            (problem, format!("`ferrolab start {kind} {}` when it may run again", row.name))
        }
        ("stopped", _) if row.wanted => ("it should run and does not".to_owned(), again),
        ("starting", Some(error)) => {
            let problem = format!("it is being started again; the last time: {error}");
            (problem, known.map_or_else(|| format!("see {log}"), str::to_owned))
        }
        _ => return None,
    };
    Some(Finding { subject, problem, advice })
}

fn service(row: &ServiceRow) -> Option<Finding> {
    if row.report.status == "running" && row.report.error.is_none() {
        return None;
    }
    let error = row.report.error.as_deref();
    if row.report.status == "starting" && error.is_none() {
        return None;
    }
    let problem = match error {
        Some(error) if row.report.status == "hangs" => format!("it hangs: {error}"),
        Some(error) => format!("it is {}: {error}", row.report.status),
        None => format!("it is {}", row.report.status),
    };
    let log = format!("see `ferrolab logs show --service {}`", row.name);
    let advice = error.and_then(cause).map_or(log, |advice| match row.address_key.as_str() {
        "" => advice.to_owned(),
        key => advice.replace("`parameters`", &format!("`{key}`")),
    });
    Some(Finding { subject: format!("service {}", row.name), problem, advice })
}

/// Beginnings of errors that say how a process ended. Its last output follows after a colon.
const ENDS: [&str; 2] = ["killed by ", "exited with code "];

fn cause(error: &str) -> Option<&'static str> {
    // Its end is certain. Its output may be older, and about something else.
    let end = ENDS.iter().any(|end| error.starts_with(end)).then(|| error.split(": ").next());
    end.flatten().and_then(cause_in).or_else(|| cause_in(error))
}

fn cause_in(error: &str) -> Option<&'static str> {
    let found = |parts: &&[&str]| parts.iter().any(|part| error.contains(part));
    CAUSES.iter().find(|(parts, _)| found(parts)).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ServiceReport;

    fn row(name: &str, status: &str, error: Option<&str>) -> ProcessRow {
        ProcessRow {
            name: name.to_owned(),
            status: status.to_owned(),
            error: error.map(str::to_owned),
            autolaunch: true,
            wanted: true,
            ..ProcessRow::default()
        }
    }

    #[test]
    fn a_lab_that_is_well_has_no_findings() {
        let listing = Listing { daemons: vec![row("a", "running", None)], ..Listing::default() };
        assert_eq!(diagnose(&listing), []);
    }

    #[test]
    fn each_fault_has_its_words() {
        let port = "cannot listen on localhost port 9090: it is already in use";
        let stopped = ProcessRow { wanted: false, ..row("b", "stopped", None) };
        let cases = [
            (row("a", "failed", Some(port)), "given up", "ss -ltnp"),
            (row("a", "failed", Some("what?")), "given up: what?", "restart daemon a"),
            (row("a", "restarting", Some("exited with code 3")), "started again", "--entry a"),
            (row("a", "running", Some("nameserver x has not answered yet")), "x", "names come"),
            (stopped, "stopped by hand", "ferrolab start daemon b"),
        ];
        for (row, problem, advice) in cases {
            let listing = Listing { daemons: vec![row], ..Listing::default() };
            let findings = diagnose(&listing);
            let [finding] = findings.as_slice() else { panic!("{findings:?}") };
            assert!(finding.problem.contains(problem), "{finding:?}");
            assert!(finding.advice.contains(advice), "{finding:?}");
        }
    }

    #[test]
    fn slow_calls_are_named_with_those_that_wait_after_them() {
        let call = |member: &str, waits_for: Option<&str>| CallRow {
            service: "x".to_owned(),
            member: member.to_owned(),
            daemon: "d".to_owned(),
            caller: "10.0.0.3:4711".to_owned(),
            user: (member == "move").then(|| "ada".to_owned()),
            since: "2026-01-01T00:00:00Z".to_owned(),
            waits_for: waits_for.map(str::to_owned),
            ..CallRow::default()
        };
        let runs = CallRow { is_slow: true, ..call("move", None) };
        let turn = Some("its turn");
        let itself = CallRow { waits_for_itself: true, ..call("read", turn) };
        let cases = [
            (vec![call("move", None), call("read", turn)], vec![]),
            (
                vec![runs.clone(), call("read", turn)],
                vec![
                    "move of x by ada at 10.0.0.3:4711 runs since 2026-01-01T00:00:00Z; after it \
                      waits: read of x by 10.0.0.3:4711",
                ],
            ),
            (
                vec![call("move", None), itself],
                vec![
                    "it waits for a call to itself since 2026-01-01T00:00:00Z: read of x by \
                      10.0.0.3:4711, its own driver, waits for its turn, as move of x by ada at \
                      10.0.0.3:4711 runs",
                ],
            ),
        ];
        for (calls, expected) in cases {
            let listing = Listing { calls, ..Listing::default() };
            let found: Vec<String> = diagnose(&listing).into_iter().map(|f| f.problem).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn an_interpreter_that_is_too_old_is_no_fault_of_the_driver() {
        let error = "python2.7 exited with code 1 before its worker was up (AttributeError: type \
                     object 'int' has no attribute 'from_bytes'); Python 3.8 or later is needed";
        assert!(cause(error).unwrap().contains("python: {executable"), "{:?}", cause(error));
    }

    #[test]
    fn how_a_process_ended_counts_more_than_what_it_printed() {
        let cases = [
            ("killed by SIGKILL: PermissionError: [Errno 13] /dev/ttyUSB0", "dmesg"),
            ("killed by SIGKILL", "dmesg"),
            ("exited with code 1: PermissionError: [Errno 13] /dev/ttyUSB0", "device's group"),
        ];
        for (error, advice) in cases {
            assert!(cause(error).unwrap().contains(advice), "{error}: {:?}", cause(error));
        }
    }

    #[test]
    fn what_is_not_permitted_is_told_apart() {
        let cases = [
            ("cannot start /x/python: permission denied (is it an executable file?)", "namei"),
            ("cannot listen on localhost port 80: permission denied", "below 1024"),
            ("PermissionError: [Errno 13] /dev/ttyUSB0", "device's group"),
        ];
        for (error, advice) in cases {
            assert!(cause(error).unwrap().contains(advice), "{error}: {:?}", cause(error));
        }
    }

    #[test]
    fn the_advice_names_the_key_that_the_service_uses() {
        for (key, advice) in [("arguments", "in `arguments`"), ("parameters", "in `parameters`")] {
            let row = ServiceRow {
                address_key: key.to_owned(),
                report: ServiceReport {
                    status: "failed".to_owned(),
                    error: Some("VisaIOError: VI_ERROR_TMO".to_owned()),
                    ..ServiceReport::default()
                },
                ..ServiceRow::default()
            };
            assert!(service(&row).unwrap().advice.contains(advice));
        }
    }

    #[test]
    fn a_service_is_blamed_only_for_its_own_fault() {
        let service = |daemon: &str| ServiceRow {
            name: "x".to_owned(),
            daemon: daemon.to_owned(),
            report: ServiceReport {
                status: "failed".to_owned(),
                error: Some("ModuleNotFoundError: No module named 'y'".to_owned()),
                ..ServiceReport::default()
            },
            ..ServiceRow::default()
        };
        let listing = Listing {
            daemons: vec![row("up", "running", None), row("down", "failed", None)],
            services: vec![service("up"), service("down")],
            troubles: vec!["the log cannot be written: No space left on device".to_owned()],
            ..Listing::default()
        };
        let found: Vec<_> = diagnose(&listing).into_iter().map(|f| f.subject).collect();
        assert_eq!(found, ["this host", "daemon down", "service x"]);
    }
}
