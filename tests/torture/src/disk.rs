//! A disk whose power can be cut: ext4 in an image file on a RAM disk, in a mount namespace of its
//! own. A cut copies the image: the copy has what reached the device, and nothing of what the
//! kernel still had in memory.
//!
//! Invariant: no write completes while the image is copied, so that a copy is the disk of one moment.
//! Where the kernel can slow the node's writes down (cgroup v1, blkio), cuts fall into the middle of
//! syncs as well; elsewhere they fall between them.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::machine;

/// What the image may grow to, and the RAM disk with two of them.
const IMAGE_BYTES: u64 = 3 << 30;
const RAM_BYTES: u64 = 7 << 30;
/// Writes that the node may make in a second: a slow disk, with syncs of some milliseconds.
const WRITES_PER_SECOND: u32 = 400;
/// While a copy is made.
const FROZEN: u32 = 1;
/// Zero means no limit.
const THAWED: u32 = 0;
/// A copy during which something was written is made again, so often at most.
const COPIES: u32 = 20;
const BLOCK_BYTES: u64 = 4 << 10;
const CONTROL: &[u8] = &[b'x'; 64 << 10];

/// Programs that are needed.
const PROGRAMS: [&str; 5] = ["unshare", "mount", "umount", "mkfs.ext4", "cp"];

/// Why this machine has no such disk, if it has none.
pub(crate) fn hindrance() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("mounting needs root".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("there are no loop devices".to_owned());
    }
    machine::missing(&PROGRAMS)
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Disk {
    ram: PathBuf,
    mount: PathBuf,
    /// Which image is mounted.
    generation: u32,
    brake: Option<Brake>,
}

impl Disk {
    /// A new, empty disk below `directory`.
    pub(crate) fn create(directory: &Path) -> Result<Disk> {
        let (ram, mount) = (directory.join("ram"), directory.join("disk"));
        std::fs::create_dir(&ram)?;
        std::fs::create_dir(&mount)?;
        let size = format!("size={RAM_BYTES}");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "torture"]).arg(&ram))?;
        let brake = Brake::create()?;
        let disk = Disk { ram, mount, generation: 0, brake };
        File::create(disk.image(0))?.set_len(IMAGE_BYTES)?;
        run(Command::new("mkfs.ext4").args(["-q", "-E", "lazy_itable_init=0"]).arg(disk.image(0)))?;
        disk.mount(0)?;
        Ok(disk)
    }

    /// Where the node may keep its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.mount.join("data")
    }

    /// Whether the node's writes are slowed down.
    pub(crate) fn is_slow(&self) -> bool {
        self.brake.is_some()
    }

    /// From now on this process writes to a slow disk.
    pub(crate) fn slow_down(&self, process: u32) -> Result<()> {
        let Some(brake) = &self.brake else { return Ok(()) };
        brake.hold(process)?;
        brake.limit(self.device()?, WRITES_PER_SECOND)
    }

    /// Writes two files: what is synced must be in the copy, what is not must not be.
    pub(crate) fn write_controls(&self) -> Result<()> {
        let mut synced = File::create(self.mount.join("synced"))?;
        synced.write_all(&self.generation.to_le_bytes())?;
        synced.sync_all()?;
        File::open(&self.mount)?.sync_all()?;
        let name = format!("unsynced-{}", self.generation);
        File::create(self.mount.join(name))?.write_all(CONTROL)?;
        Ok(())
    }

    /// Copies the disk as it is at this moment. The node must stand still.
    pub(crate) fn copy(&self) -> Result<()> {
        let device = self.device()?;
        if let Some(brake) = &self.brake {
            brake.limit(device, FROZEN)?;
        }
        let copied = self.copy_at_rest(device);
        if let Some(brake) = &self.brake {
            // What waits may be written now, or the node could not be ended.
            brake.limit(device, THAWED)?;
        }
        copied
    }

    fn copy_at_rest(&self, device: u64) -> Result<()> {
        for _ in 0..COPIES {
            let before = writes(device)?;
            let (from, to) = (self.image(self.generation), self.image(self.generation + 1));
            run(Command::new("cp").arg("--sparse=always").args([from, to]))?;
            if writes(device)? == before {
                return Ok(());
            }
        }
        bail!("the disk does not come to rest")
    }

    /// Takes the disk away and puts its copy in its place. The node must be gone.
    pub(crate) fn switch(&mut self) -> Result<()> {
        run(Command::new("umount").arg(&self.mount))?;
        self.generation += 1;
        self.mount(self.generation)?;
        std::fs::remove_file(self.image(self.generation - 1))?;
        let mut found = Vec::new();
        File::open(self.mount.join("synced"))
            .and_then(|mut file| file.read_to_end(&mut found))
            .context("control: a synced file is gone")?;
        let last = self.generation - 1;
        ensure!(found == last.to_le_bytes(), "control: a synced file has {found:?}");
        let unsynced = std::fs::read(self.mount.join(format!("unsynced-{last}")));
        let survived = unsynced.is_ok_and(|found| found == CONTROL);
        ensure!(!survived, "control: a file that was never synced is there: nothing was cut");
        Ok(())
    }

    /// Takes all the room that is left, so that not a block is free.
    pub(crate) fn fill(&self) -> Result<()> {
        let file = File::create(self.ballast())?;
        let (mut end, mut step) = (0, IMAGE_BYTES);
        while step >= BLOCK_BYTES {
            match fallocate(&file, FallocateFlags::empty(), end, step) {
                Ok(()) => end += step,
                Err(Errno::NOSPC) => step /= 2,
                Err(error) => return Err(error).context("filling the disk"),
            }
        }
        ensure!(end > 0, "the disk was full before");
        Ok(())
    }

    /// Gives it back.
    pub(crate) fn make_room(&self) -> Result<()> {
        std::fs::remove_file(self.ballast()).context("making room")
    }

    fn ballast(&self) -> PathBuf {
        self.mount.join("ballast")
    }

    /// Copies the image to a place where it outlives the run.
    pub(crate) fn keep(&self, directory: &Path) -> Result<()> {
        let image = self.image(self.generation);
        run(Command::new("cp").arg("--sparse=always").arg(image).arg(directory.join("disk.img")))
    }

    fn image(&self, generation: u32) -> PathBuf {
        self.ram.join(format!("{generation}.img"))
    }

    /// Five minutes without a commit of ext4's own: what is not synced stays in memory.
    fn mount(&self, generation: u32) -> Result<()> {
        let mut command = Command::new("mount");
        command.args(["-t", "ext4", "-o", "loop,noatime,commit=300"]);
        run(command.arg(self.image(generation)).arg(&self.mount))
    }

    /// The block device that the files are on.
    fn device(&self) -> Result<u64> {
        Ok(self.mount.metadata()?.dev())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Both end with the namespace as well.
        for place in [&self.mount, &self.ram] {
            let _ = run(Command::new("umount").arg("--lazy").arg(place));
        }
    }
}

/// Slows down the writes of one process: a control group of its own.
#[derive(Debug)]
struct Brake(PathBuf);

impl Brake {
    /// None where the kernel does not offer it.
    fn create() -> Result<Option<Brake>> {
        let root = Path::new("/sys/fs/cgroup/blkio");
        if !root.join("blkio.throttle.write_iops_device").exists() {
            return Ok(None);
        }
        let group = tempfile::Builder::new().prefix("torture-").tempdir_in(root);
        Ok(group.ok().map(|group| Brake(group.keep())))
    }

    fn hold(&self, process: u32) -> Result<()> {
        let path = self.0.join("cgroup.procs");
        std::fs::write(&path, process.to_string()).context("a process into its control group")
    }

    fn limit(&self, device: u64, writes_per_second: u32) -> Result<()> {
        let (major, minor) = numbers(device);
        let path = self.0.join("blkio.throttle.write_iops_device");
        std::fs::write(path, format!("{major}:{minor} {writes_per_second}")).context("a limit")
    }
}

impl Drop for Brake {
    fn drop(&mut self) {
        // It is empty: the node has ended.
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn numbers(device: u64) -> (u32, u32) {
    (rustix::fs::major(device), rustix::fs::minor(device))
}

/// Writes that a device has completed.
fn writes(device: u64) -> Result<u64> {
    let (major, minor) = numbers(device);
    let path = format!("/sys/dev/block/{major}:{minor}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let completed = text.split_whitespace().nth(4).and_then(|field| field.parse().ok());
    completed.with_context(|| format!("{path}: {text}"))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {said}", output.status);
    Ok(())
}
