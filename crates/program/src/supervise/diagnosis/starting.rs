//! Daemons that are still starting, for `ferrolab status`: a lab without its services is not well.

use crate::supervise::control::{Listing, ProcessRow};

/// Problem and advice where a daemon starts, or runs, while all of its services are starting.
pub(super) fn still_starting(row: &ProcessRow, listing: &Listing) -> Option<(String, String)> {
    let services: Vec<_> =
        listing.services.iter().filter(|service| service.daemon == row.name).collect();
    let waits = matches!(row.status.as_str(), "running" | "starting") && row.error.is_none();
    let all_start = services.iter().all(|service| service.report.status == "starting");
    if !waits || !row.wanted || !all_start || services.is_empty() {
        return None;
    }
    let problem = match services.as_slice() {
        [one] => format!("its service {} is still starting", one.name),
        all => format!("all of its {} services are still starting", all.len()),
    };
    let advice = format!(
        "wait a moment; `ferrolab logs show --entry {}` tells what it does meanwhile",
        row.name
    );
    Some((problem, advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ServiceReport;
    use crate::supervise::control::ServiceRow;

    #[test]
    fn a_daemon_whose_services_all_start_is_not_well_yet() {
        let service = |status: &str| ServiceRow {
            daemon: "a".to_owned(),
            report: ServiceReport { status: status.to_owned(), ..ServiceReport::default() },
            ..ServiceRow::default()
        };
        let cases = [
            (vec!["starting", "starting"], 1),
            (vec!["starting", "running"], 0),
            (vec!["running"], 0),
            (vec![], 0),
        ];
        for (services, findings) in cases {
            let services = services.into_iter().map(service).collect();
            let daemon = ProcessRow {
                name: "a".to_owned(),
                status: "running".to_owned(),
                wanted: true,
                ..ProcessRow::default()
            };
            let listing = Listing { services, ..Listing::default() };
            let found = still_starting(&daemon, &listing);
            assert_eq!(found.iter().count(), findings, "{listing:?}");
        }
    }
}
