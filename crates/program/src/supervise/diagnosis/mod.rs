//! Diagnosis of a lab: each fault with advice.
//!
//! A pure function of a listing: no sockets, no files. `causes` has the advice for texts of errors,
//! `logins` what is to be said of users.

mod causes;
mod logins;
mod starting;

use serde::Serialize;

use crate::host::{AlarmRow, CallRow};
use crate::supervise::control::{Listing, ProcessRow, ServiceRow};

use causes::cause;
use starting::still_starting;

pub(crate) use logins::{EndingLogin, ending_logins, warn_of_logins};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The faulty part: `daemon bench`, `this host`.
    pub(crate) subject: String,
    /// The fault, in a sentence.
    pub(crate) problem: String,
    /// The remedy, in a sentence.
    pub(crate) advice: String,
}

/// Everything that is wrong, what stops other things first.
pub(crate) fn diagnose(listing: &Listing) -> Vec<Finding> {
    let mut findings: Vec<Finding> = listing
        .troubles
        .iter()
        .map(|trouble| Finding {
            subject: "this host".to_owned(),
            problem: trouble.clone(),
            advice: cause(trouble).unwrap_or("see `ferrolab logs show --level warn`").to_owned(),
        })
        .collect();
    for (kind, row) in listing.all_processes() {
        findings.extend(process(kind.word(), row));
        findings.extend(full_pool(row));
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
    findings.extend(listing.alarms.iter().filter(|row| row.needs_somebody()).map(alarm));
    findings.extend(listing.services.iter().filter_map(stale_driver));
    findings.extend(listing.calls.iter().filter_map(|call| slow_call(call, listing)));
    findings
}

/// An alarm that fires, or has no data.
fn alarm(row: &AlarmRow) -> Finding {
    let title = row.title();
    let advice = match row.state.as_str() {
        "no data" => format!(
            "`ferrolab ps` shows whether {} answers; `ferrolab alarms ack {title}` when somebody \
             looks after it",
            row.service
        ),
        _ => format!("`ferrolab alarms ack {title}` when somebody looks after it"),
    };
    let problem = format!("{}, since {}", row.sentence(), row.since);
    Finding { subject: format!("alarm {title}"), problem, advice }
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
