//! Conversion of a daemon's configuration to `remote::DaemonConfig`, certificates included.
//!
//! Also the table of limits in docs/servers.md. The allowed values of a setting are `lab_config`'s.

use lab_config::Host;
use remote::{DaemonConfig, Limits, StreamLimits};

use crate::authority::AuthorityFiles;
use crate::host::address::address_of;
use crate::tls::{self, PortTls};

/// Memory for answers that clients have not read yet, as a number of answers of the largest size.
const LARGEST_ANSWERS_IN_MEMORY: usize = 4;

/// The daemon's settings as `remote` takes them, and TLS of its port.
///
/// # Errors
/// A certificate or key cannot be used; the text names the file.
pub(super) fn settings(
    config: &lab_config::Daemon,
    authority: &AuthorityFiles,
) -> Result<(DaemonConfig, Option<PortTls>), String> {
    let hosts = [Some(&config.host), config.nathost.as_ref()].into_iter().flatten();
    let hosts: Vec<String> = hosts.filter_map(named_host).collect();
    let defaults = DaemonConfig::default();
    let limits = Limits::for_messages(config.max_message_size);
    let port_tls = tls::of_port(config.tls(), authority, &hosts)?;
    let settings = DaemonConfig {
        name: config.name.clone(),
        server_type: match config.servertype {
            lab_config::ServerType::Thread => remote::ServerType::Thread,
            lab_config::ServerType::Multiplex => remote::ServerType::Multiplex,
        },
        threadpool_size: config.threadpool_size as usize,
        connections_per_address: match config.connections_per_address {
            0 => None,
            most => Some(most as usize),
        },
        oneway_threaded: config.oneway_threaded,
        comm_timeout: config.commtimeout,
        compression: config.compression,
        streams: StreamLimits {
            lifetime: config.iter_stream_lifetime,
            linger: config.iter_stream_linger.unwrap_or_default(),
            ..defaults.streams
        },
        answer_memory: Some(answer_memory(&limits)),
        request_memory: limits.memory.max(defaults.request_memory),
        limits,
        nat: config.nathost.as_ref().map(|host| (address_of(host), config.natport)),
        tls: port_tls.as_ref().map(PortTls::server),
        ..defaults
    };
    Ok((settings, port_tls))
}

fn answer_memory(limits: &Limits) -> usize {
    limits.message.saturating_mul(LARGEST_ANSWERS_IN_MEMORY)
}

/// The limits of a daemon without settings, as the table in docs/servers.md.
pub(crate) fn limits_page() -> String {
    let defaults = DaemonConfig::default();
    let config = DaemonConfig { answer_memory: Some(answer_memory(&defaults.limits)), ..defaults };
    let mut page = String::from(
        "| limit | default | protects | what a client sees at the limit |\n|---|---|---|---|\n",
    );
    let rows = remote::limits(&config).into_iter().chain(nameserver::limits());
    for remote::Limit { name, default, protects, client_sees } in rows {
        page.push_str(&format!("| {name} | {default} | {protects} | {client_sees} |\n"));
    }
    page
}

/// The host as a certificate may name it.
pub(crate) fn named_host(host: &Host) -> Option<String> {
    match host {
        Host::Named(name) => Some(name.clone()),
        Host::Public => None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_of_limits_is_fresh() {
        let page = include_str!("../../../../docs/servers.md");
        let stale = "docs/servers.md is stale: run `cargo xtask docs`";
        assert!(page.contains(&super::limits_page()), "{stale}");
    }
}
