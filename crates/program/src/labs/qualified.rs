//! Names of another lab as this host shows them: `optics/lab.laser`.

use lab_config::OtherLab;

use crate::supervise::control::Listing;

/// The listing of another lab with its names as this host shows them.
pub(crate) fn qualify(lab: &OtherLab, mut listing: Listing) -> Listing {
    let qualify = |name: &mut String| *name = lab.qualify(name);
    let Listing { nameservers, daemons, processes, .. } = &mut listing;
    for row in nameservers.iter_mut().chain(daemons).chain(processes) {
        qualify(&mut row.name);
    }
    for row in &mut listing.services {
        qualify(&mut row.name);
        qualify(&mut row.daemon);
    }
    for call in &mut listing.calls {
        qualify(&mut call.service);
        qualify(&mut call.daemon);
    }
    for alarm in &mut listing.alarms {
        qualify(&mut alarm.service);
        qualify(&mut alarm.daemon);
    }
    for incident in &mut listing.incidents {
        incident.subject = format!("{}: {}", lab.name, incident.subject);
    }
    for trouble in &mut listing.troubles {
        *trouble = format!("{}: {trouble}", lab.name);
    }
    // The labs that it shows beside itself are its own business.
    listing.labs.clear();
    listing
}

/// Adds the rows of another listing.
pub(crate) fn merge(all: &mut Listing, more: Listing) {
    all.nameservers.extend(more.nameservers);
    all.daemons.extend(more.daemons);
    all.processes.extend(more.processes);
    all.services.extend(more.services);
    all.calls.extend(more.calls);
    all.alarms.extend(more.alarms);
    all.alarms_watched = all.alarms_watched.saturating_add(more.alarms_watched);
    all.troubles.extend(more.troubles);
    all.incidents.extend(more.incidents);
}
