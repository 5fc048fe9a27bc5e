//! Runs one target: the corpus, then mutations of it, until the time is over or an input fails.
//!
//! Each input is written to a file before it is run, so that one that ends the process (a stack
//! that overflows, an absurd allocation, a hang) is known as well as one that panics.

use crate::meter::{self, Taken};
use crate::mutate::Mutator;
use crate::{INPUT_BYTES_MAX, Target};
use anyhow::{Context, bail};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// After so long without an end, on a machine that may be busy, the process is ended.
const HANG_MAX: Duration = Duration::from_secs(30);
/// What takes longer is run as it is, and not mutated: a few bombs would take all the time.
const QUICK_TIME_MAX: Duration = Duration::from_millis(20);
/// A single allocation from this size on is reported, although it may be within the bound.
const LARGE_ALLOCATION_BYTES: usize = 20 << 20;

/// The inputs that have been begun; the watchdog looks at it.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) corpus_count: usize,
    pub(crate) understood_count: usize,
    pub(crate) mutations_count: u64,
    pub(crate) peak_bytes: usize,
    pub(crate) largest_bytes: usize,
    pub(crate) slowest: Duration,
}

/// Where the corpus of a target is.
pub(crate) fn corpus_folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// The corpus of a target, by name.
pub(crate) fn corpus(target: &Target) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = corpus_folder(target);
    let entries = fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))?;
    let mut paths = entries.map(|it| it.map(|it| it.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    paths.into_iter().map(|path| Ok((path.clone(), fs::read(&path)?))).collect()
}

/// Runs the corpus of a target, and mutations of it for so long.
pub(crate) fn run(
    target: &Target,
    seed: u64,
    time: Duration,
    artifacts: &Path,
) -> anyhow::Result<Figures> {
    let corpus = corpus(target)?;
    let mut runner = Runner::new(target, artifacts)?;
    let mut quick = Vec::new();
    for (path, input) in corpus {
        let ran = runner.input(&input).with_context(|| format!("{}", path.display()))?;
        runner.figures.understood_count += usize::from(ran.understood);
        runner.figures.corpus_count += 1;
        if ran.taken.time < QUICK_TIME_MAX {
            quick.push(input);
        }
    }
    let mut mutator = Mutator::new(seed, quick);
    let begun = Instant::now();
    while begun.elapsed() < time {
        let input = mutator.next();
        runner.input(&input).with_context(|| format!("seed {seed}"))?;
        runner.figures.mutations_count += 1;
    }
    fs::remove_file(&runner.current)?;
    Ok(runner.figures)
}

/// Runs one input.
pub(crate) fn replay(target: &Target, input: &[u8], artifacts: &Path) -> anyhow::Result<Figures> {
    let mut runner = Runner::new(target, artifacts)?;
    runner.figures.understood_count = usize::from(runner.input(input)?.understood);
    fs::remove_file(&runner.current)?;
    Ok(runner.figures)
}

/// An input that is within its bounds.
struct Ran {
    understood: bool,
    taken: Taken,
}

struct Runner<'a> {
    target: &'a Target,
    artifacts: &'a Path,
    /// Where the input under way is written.
    current: PathBuf,
    file: File,
    figures: Figures,
}

impl Runner<'_> {
    fn new<'a>(target: &'a Target, artifacts: &'a Path) -> anyhow::Result<Runner<'a>> {
        fs::create_dir_all(artifacts)?;
        let current = artifacts.join(format!("{}-under-way", target.name));
        let file = File::create(&current)?;
        let figures = Figures {
            corpus_count: 0,
            understood_count: 0,
            mutations_count: 0,
            peak_bytes: 0,
            largest_bytes: 0,
            slowest: Duration::ZERO,
        };
        std::thread::Builder::new().spawn(watch)?;
        meter::start();
        Ok(Runner { target, artifacts, current, file, figures })
    }

    /// Runs one input within its bounds.
    fn input(&mut self, input: &[u8]) -> anyhow::Result<Ran> {
        if input.len() > INPUT_BYTES_MAX {
            bail!("the input has {} bytes, {INPUT_BYTES_MAX} are allowed", input.len());
        }
        self.file.set_len(0)?;
        self.file.write_all_at(input, 0)?;
        BEGUN.fetch_add(1, Relaxed);
        let (outcome, taken) =
            meter::measure(|| catch_unwind(AssertUnwindSafe(|| (self.target.run)(input))));
        self.note(taken);
        let problem = match (outcome, taken.excess()) {
            (Err(_), _) => "it panics".to_owned(),
            (_, Some(excess)) => excess,
            (Ok(understood), None) => return Ok(Ran { understood, taken }),
        };
        let kept =
            self.artifacts.join(format!("{}-{:08x}", self.target.name, base::hash::crc32c(input)));
        fs::write(&kept, input)?;
        let name = self.target.name;
        bail!("{problem}; cargo run -p fuzz-targets -- replay {name} {}", kept.display())
    }

    fn note(&mut self, taken: Taken) {
        let figures = &mut self.figures;
        figures.peak_bytes = figures.peak_bytes.max(taken.peak_bytes);
        figures.slowest = figures.slowest.max(taken.time);
        if taken.largest_bytes > figures.largest_bytes.max(LARGE_ALLOCATION_BYTES) {
            eprintln!("{}: an allocation of {} bytes", self.target.name, taken.largest_bytes);
        }
        figures.largest_bytes = figures.largest_bytes.max(taken.largest_bytes);
    }
}

/// Ends the process when an input does not end.
fn watch() {
    loop {
        let before = BEGUN.load(Relaxed);
        let since = Instant::now();
        while since.elapsed() < HANG_MAX {
            std::thread::park_timeout(HANG_MAX - since.elapsed());
        }
        if before > 0 && BEGUN.load(Relaxed) == before {
            eprintln!("an input has not ended after {HANG_MAX:?}");
            std::process::abort();
        }
    }
}
