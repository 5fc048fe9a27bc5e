//! PostgreSQL for Temporal: a new cluster with `initdb`'s own settings (fsync on, synchronous_commit
//! on, wal_sync_method=fdatasync, shared_buffers 128 MB, 100 connections), reachable by TCP on
//! loopback only. What it refuses: to run as root, as PostgreSQL itself does: it becomes the system's
//! user `postgres`, else `nobody`.

use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use super::process::Process;
use super::{Start, ports};
use crate::anchors;

/// Its superuser, and with which password a client comes (none is asked for).
pub(super) const USER: &str = "temporal";
const READY_MAX: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// A cluster: its data, and who it belongs to.
pub(super) struct Cluster {
    /// What it keeps.
    pub(super) directory: TempDir,
    /// Where clients find it while it runs.
    pub(super) address: SocketAddr,
    owner: Owner,
}

impl Cluster {
    /// Makes a new one. That it is not synced spares a second; what it is told later is.
    pub(super) async fn create(options: &Start) -> Result<Cluster> {
        let directory = options.directory("postgres")?;
        let here = directory.path();
        let owner = Owner::of_cluster(here)?;
        let mut command = owner.command(&anchors::postgres::programs()?.initdb, here);
        command.args(["--pgdata", "data", "--username", USER, "--auth", "trust"]).args([
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
            "--no-sync",
        ]);
        Process::spawn("initdb", command, &here.join("initdb.log"))?.success(READY_MAX).await?;
        let [address] = ports::free()?;
        Ok(Cluster { directory, address, owner })
    }

    /// Starts its postmaster, the parent of all its backends; answers it, and when it was ready.
    pub(super) async fn start(&self) -> Result<(Process, Duration)> {
        let here = self.directory.path();
        let mut command = self.owner.command(&anchors::postgres::programs()?.postgres, here);
        command.args(["-D", "data", "-p", &self.address.port().to_string()]);
        // Shared memory in its directory: nothing is left in /dev/shm if it is killed.
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "dynamic_shared_memory_type=mmap",
        ] {
            command.args(["-c", setting]);
        }
        let mut process = Process::spawn("postgres", command, &here.join("log"))?;
        // "Immediate": its data are not needed again. Killed, it would leave a segment of the
        // system's shared memory behind.
        process.end_signal = Signal::QUIT;
        process.last_signal = Signal::QUIT;
        wait(&mut process, &here.join("data")).await?;
        let first_answer = process.began.elapsed();
        Ok((process, first_answer))
    }
}

/// The postmaster writes its state into the last line of its lock file, which `pg_ctl` reads too.
async fn wait(process: &mut Process, data: &Path) -> Result<()> {
    while process.began.elapsed() < READY_MAX {
        let state = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
            return Ok(());
        }
        process.check()?;
        tokio::time::sleep(PAUSE).await;
    }
    ensure!(false, "postgres is not ready; its log:\n{}", process.log_tail());
    Ok(())
}

/// Who a cluster belongs to: none where this program is not root and need not become someone else.
struct Owner(Option<(u32, u32)>);

impl Owner {
    /// Gives it the directory.
    fn of_cluster(directory: &Path) -> Result<Owner> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Owner(None));
        }
        let users = std::fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
        let found = user(&users, "postgres").or_else(|| user(&users, "nobody"));
        let (user, group) = found.context("there is no user `postgres` and no `nobody`")?;
        chown(directory, Some(user), Some(group)).context("the cluster's directory")?;
        Ok(Owner(Some((user, group))))
    }

    fn command(&self, program: &Path, here: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(here).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }
}

fn user(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "post:x:1:2::/:/bin/sh\npostgres:x:101:104:PostgreSQL,,,:/var:/bin/bash\n";
        assert_eq!(user(users, "postgres"), Some((101, 104)));
        assert_eq!(user(users, "nobody"), None);
    }
}
