//! `mainstay serve`: check, start, run until told to stop, stop cleanly.
//!
//! Invariants: the data directory is opened before a port is bound, so that a port that answers
//! belongs to a node that is ready; a stop takes less than a second and loses nothing that was
//! acknowledged.

mod banner;
mod running;

use crate::cli::Serve;
use crate::config::Config;
use crate::{logging, tell};
use running::Running;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The command line or the configuration cannot be carried out.
const EXIT_UNUSABLE: u8 = 2;
/// Started, or tried to, and failed.
const EXIT_FAILED: u8 = 1;
/// More threads than this do not serve two thin fronts any faster.
const FRONT_THREADS_MAX: usize = 4;
/// For cold reads.
const BLOCKING_THREADS_MAX: usize = 16;
/// What is not finished by then is cut off: clients see a lost connection, and try again.
const STOP_MAX: Duration = Duration::from_millis(950);

/// Carries out `mainstay serve`.
pub(crate) fn run(options: &Serve) -> ExitCode {
    let config = match logging::start()
        .and_then(|()| Ok(Config::load(options.config.as_deref(), &options.overrides())?))
    {
        Ok(config) => config,
        Err(error) => return fail(&error, EXIT_UNUSABLE),
    };
    if options.check {
        tell::stdout(&banner::checked(options.config.as_deref(), &config));
        return ExitCode::SUCCESS;
    }
    // The command line is such that there is a directory unless only a check is asked for.
    let data = options.data.as_deref().unwrap_or(Path::new("."));
    match serve(data, config, options.json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, EXIT_FAILED),
    }
}

fn serve(data: &Path, config: Config, json: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    if base::planted::COMPILED_IN {
        tell::stderr(&banner::planted());
    }
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.min(FRONT_THREADS_MAX))
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let signals = running::Signals::new()?;
        let routes = banner::routes(&config);
        let running = Running::start(data, config).await?;
        tell::stderr(&banner::ready(data, &running, &routes, started.elapsed()));
        if json {
            tell::stdout(&banner::ready_json(data, &running));
        }
        running.run(signals).await
    });
    // Every connection and the node have stopped, or have had their time.
    runtime.shutdown_background();
    ended
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    tell::stderr(&format!("mainstay: {}\n", whole_story(error)));
    ExitCode::from(code)
}

/// An error and its causes, each told once: some errors tell their cause themselves.
fn whole_story(error: &anyhow::Error) -> String {
    let mut story = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !story.contains(&cause) {
            story.push_str(": ");
            story.push_str(&cause);
        }
    }
    story
}
