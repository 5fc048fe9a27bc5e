//! Free ports for peers.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// Below the range from which systems give out ports for outgoing connections: a client that tries
/// to reach a peer which is not up yet must not find itself.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// How many ports this program has tried: none is given out twice, so that a peer may be told its
/// ports before it opens them.
static TRIED: AtomicU16 = AtomicU16::new(0);

/// `COUNT` free ports of this machine.
pub(crate) fn free<const COUNT: usize>() -> Result<[SocketAddr; COUNT]> {
    let span = LAST - FIRST;
    // Two runs at once start their search at different ports.
    let first = (std::process::id().wrapping_mul(53) % u32::from(span)) as u16;
    let mut found = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); COUNT];
    for place in &mut found {
        *place = loop {
            let tried = TRIED.fetch_add(1, Ordering::Relaxed);
            if tried >= span {
                bail!("no free port between {FIRST} and {LAST}");
            }
            let port = FIRST + (first + tried) % span;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if TcpListener::bind(address).is_ok() {
                break address;
            }
        };
    }
    Ok(found)
}
