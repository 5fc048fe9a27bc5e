//! Somebody wants the demo to end: Ctrl-C, a polite kill, or a terminal that closes.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Error;

/// The signals that end a run early, with nothing left behind.
pub(crate) struct Interrupt([Signal; 3]);

impl Interrupt {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Interrupt, Error> {
        let listen = |kind| signal(kind).map_err(Error::Signal);
        let [ctrl_c, kill, hang_up] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Ok(Interrupt([listen(ctrl_c)?, listen(kill)?, listen(hang_up)?]))
    }

    /// Waits for the next one.
    pub(crate) async fn recv(&mut self) {
        let [ctrl_c, kill, hang_up] = &mut self.0;
        tokio::select! {
            _ = ctrl_c.recv() => (),
            _ = kill.recv() => (),
            _ = hang_up.recv() => (),
        }
    }
}
