//! A daemon's settings: from the configuration's words to those of `remote`.
//!
//! Owns the reading of certificates at a daemon's start. What a setting may be is `config`'s.

use lab_config::{self, Secret};
use remote::{DaemonConfig, Identity, Limits, ServerTls, StreamLimits};

/// Answers that clients have not read yet may be so many of the largest before those go who hardly
/// read.
const UNREAD: usize = 4;

/// The daemon's settings as `remote` takes them.
///
/// # Errors
/// A certificate or key cannot be used; the text names the file.
pub(super) fn settings(config: &lab_config::Daemon) -> Result<DaemonConfig, String> {
    let defaults = DaemonConfig::default();
    let limits = Limits::for_messages(config.max_message_size);
    Ok(DaemonConfig {
        name: config.name.clone(),
        server_type: match config.servertype {
            lab_config::ServerType::Thread => remote::ServerType::Thread,
            lab_config::ServerType::Multiplex => remote::ServerType::Multiplex,
        },
        threadpool_size: config.threadpool_size as usize,
        comm_timeout: config.commtimeout,
        compression: config.compression,
        streams: StreamLimits {
            lifetime: config.iter_stream_lifetime,
            linger: config.iter_stream_linger.unwrap_or_default(),
            ..defaults.streams
        },
        answer_memory: Some(limits.message.saturating_mul(UNREAD)),
        request_memory: limits.memory.max(defaults.request_memory),
        limits,
        nat: config.nathost.as_ref().map(|host| (host.resolve(), config.natport)),
        tls: tls(config)?,
        ..defaults
    })
}

fn tls(config: &lab_config::Daemon) -> Result<Option<ServerTls>, String> {
    let Some(certificate) = config.ssl_servercert.as_ref().filter(|_| config.ssl) else {
        return Ok(None);
    };
    let identity = Identity {
        certificate: certificate.clone(),
        key: config.ssl_serverkey.clone(),
        password: config.ssl_serverkeypasswd.as_ref().map(|Secret(text)| text.clone()),
    };
    let clients = config.ssl_cacerts.as_deref().filter(|_| config.ssl_requireclientcert);
    let loaded = ServerTls::load(&identity, clients);
    loaded.map(Some).map_err(|error| format!("daemon '{}' cannot use TLS: {error}", config.name))
}
