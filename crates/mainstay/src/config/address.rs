//! Addresses as people write them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What is wrong with an address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Not an address to listen on.
    #[error(
        "\"{0}\" is no address to listen on; write an IP address and a port, as in \"127.0.0.1:9092\""
    )]
    Listen(String),
    /// Not an address to advertise.
    #[error(
        "\"{0}\" is no address to advertise; write a host and a port, as in \"kafka.example.org:9092\""
    )]
    Advertised(String),
    /// Anybody could connect.
    #[error(
        "[{section}] would listen on {address}, which others can reach, and there is no \
         authentication yet; say `insecure = true` (or --insecure) if that is meant"
    )]
    Public {
        /// Which front.
        section: &'static str,
        /// Where.
        address: SocketAddr,
    },
}

/// An address that Kafka clients are told to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advertised {
    /// Host name or IP address.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
}

impl Advertised {
    pub(crate) fn parse(text: &str) -> Result<Advertised, Error> {
        let wrong = || Error::Advertised(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_name = host.len() <= 253 && !host.is_empty() && host.chars().all(plain);
        if is_name || bare.parse::<std::net::Ipv6Addr>().is_ok() {
            Ok(Advertised { host: bare.to_owned(), port })
        } else {
            Err(wrong())
        }
    }
}

/// An address to listen on. Names are not looked up, because what they mean may change; only
/// `localhost` is known.
pub(crate) fn parse(text: &str) -> Result<SocketAddr, Error> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    local
        .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
        .or_else(|| text.parse().ok())
        .ok_or_else(|| Error::Listen(text.to_owned()))
}
