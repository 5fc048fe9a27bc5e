//! Ports for a node that is started many times.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Result, bail};

/// Below the range from which systems give out ports for outgoing connections: a client that tries
/// to reach a node which is down must not find itself.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// Two free ports of this machine.
pub(crate) fn two() -> Result<(SocketAddr, SocketAddr)> {
    let address = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    // Two runs at once start their search at different ports.
    let span = u32::from(LAST - FIRST);
    let first = FIRST + (std::process::id().wrapping_mul(37) % span) as u16;
    let mut free = (first..LAST)
        .chain(FIRST..first)
        .map(address)
        .filter(|address| TcpListener::bind(address).is_ok());
    match (free.next(), free.next()) {
        (Some(kafka), Some(temporal)) => Ok((kafka, temporal)),
        _ => bail!("no two free ports between {FIRST} and {LAST}"),
    }
}
