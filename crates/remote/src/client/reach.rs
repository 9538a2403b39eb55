//! Limit on the hosts that a connection may lead to.
//!
//! An address that another host has named may lead to this one: a name of its owner's choice, or an
//! address of this host. Here it would mean another object, which takes this host's clients for its
//! own. The connection itself says where it leads; a name could be resolved otherwise before it.

use tokio::net::TcpStream;

use crate::error::ConnectError;
use crate::net;

/// Where connections may lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    #[default]
    AnyHost,
    /// Not to this host, whatever its name or address.
    OtherHosts,
}

impl Reach {
    /// Connects to `host`; nothing is sent where that is refused.
    pub(crate) async fn connect(self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let stream = net::connect_tcp(host, port).await?;
        match self {
            Reach::OtherHosts if net::leads_here(&stream)? => Err(ConnectError::ThisHost),
            _ => Ok(stream),
        }
    }
}
