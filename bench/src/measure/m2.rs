//! M2: processor time of the broker for a produce request, on a disk that does nothing.
//!
//! Decides about the codec and the buffers; red is more than 15 us a request. The same requests go
//! by three ways, so that their differences say what each layer costs: asked of the node directly,
//! through the Kafka front over a pipe in memory, and through a socket. The client sends the same
//! bytes again and again; its thread is not counted.

mod client;
mod request;

use super::Found;
use super::null_disk::NullDisk;
use super::sample_node;
use super::table::Table;
use super::threads::Threads;
use crate::cli::say;
use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use node::Handle;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

const BATCH_BYTES: [usize; 3] = [1 << 10, 16 << 10, 1 << 20];
/// What librdkafka keeps in flight on a connection when it is idempotent.
pub(crate) const IN_FLIGHT: usize = 5;
/// The pipe's buffer in each direction.
const PIPE_BYTES: usize = 256 << 10;
/// Not more than this is produced in a cell: what the node remembers of batches is in memory.
const CELL_BYTES_MAX: u64 = 4 << 30;
const CELL_REQUESTS_MAX: u64 = 200_000;

/// Options of M2.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Seconds for each cell; as long again goes before to warm up.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Only batches of so many bytes, whatever their size: for a profile.
    #[arg(long)]
    batch_bytes: Option<usize>,
    /// Only this way: for a profile.
    #[arg(long)]
    way: Option<Way>,
}

/// Which way a request takes.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    Handle,
    Pipe,
    Socket,
}

/// How long requests are sent, and what is noted meanwhile.
pub(crate) struct Course {
    warm_up: Duration,
    window: Duration,
    requests_max: u64,
}

/// What a window has come to.
pub(crate) struct Window {
    pub(crate) requests: u64,
    pub(crate) wall: Duration,
    before: Threads,
    after: Threads,
}

/// Takes the measurement.
pub(crate) fn run(options: &Options) -> Result<Found> {
    let head =
        ["batch", "way", "requests/s", "us a request", "front", "writer", "committer", "MB/s"];
    let mut table = Table::new(head);
    let sizes = options.batch_bytes.map_or(BATCH_BYTES.to_vec(), |bytes| vec![bytes]);
    let ways = options.way.map_or(Way::value_variants().to_vec(), |way| vec![way]);
    for batch_bytes in sizes {
        for way in &ways {
            say(&format!("m2: {}, {way:?}\n", super::files::size(batch_bytes)));
            table.row(cell(options, batch_bytes, *way)?);
        }
    }
    let remark = format!(
        "Processor time of all threads but the client's, in microseconds. {IN_FLIGHT} requests in \
         flight on one connection; records of 1 KiB, not compressed. Red: over 15 us a request."
    );
    Ok(Found { tables: vec![table], remarks: vec![remark] })
}

fn cell(options: &Options, batch_bytes: usize, way: Way) -> Result<Vec<String>> {
    let threads = std::thread::available_parallelism()?.get().min(4);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(threads).thread_name("front").enable_all().build()?;
    let course = Course {
        warm_up: Duration::from_secs_f64(options.seconds),
        window: Duration::from_secs_f64(options.seconds),
        requests_max: CELL_REQUESTS_MAX.min(CELL_BYTES_MAX / batch_bytes as u64),
    };
    let (handle, guard) = runtime.block_on(sample_node::open(NullDisk::default()))?;
    let window = match way {
        Way::Handle => runtime.block_on(client::ask(&handle, batch_bytes, &course))?,
        Way::Pipe => through_pipe(&runtime, handle, batch_bytes, &course)?,
        Way::Socket => through_socket(&runtime, handle, batch_bytes, &course)?,
    };
    runtime.block_on(guard.stop());
    let requests = window.requests.max(1) as f64;
    let each = |name: &str| window.after.since(&window.before, name).as_secs_f64() * 1e6 / requests;
    let (front, writer, committer) = (each("front"), each("writer"), each("committer"));
    let prepare = each("journal-prepare");
    let rate = requests / window.wall.as_secs_f64();
    let figures = [rate, front + writer + committer + prepare, front, writer, committer];
    let name = [super::files::size(batch_bytes), format!("{way:?}").to_lowercase()];
    let mut row: Vec<String> = name.into();
    row.extend(figures.iter().zip([0, 2, 2, 2, 2]).map(|(it, digits)| format!("{it:.digits$}")));
    row.push(format!("{:.0}", rate * batch_bytes as f64 / 1e6));
    Ok(row)
}

fn through_pipe(
    runtime: &Runtime,
    handle: Handle,
    batch_bytes: usize,
    course: &Course,
) -> Result<Window> {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let front = kafka::Front::new(handle, kafka::Options::default());
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let addresses = kafka::Addresses { local: nobody, peer: nobody };
    let (stop, stopped) = watch::channel(false);
    let serving = runtime.spawn(front.serve(tokio::io::split(theirs), addresses, stopped));
    let window = on_own_thread(|| {
        let own = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        own.block_on(client::send(ours, batch_bytes, course))
    })?;
    stop.send_replace(true);
    runtime.block_on(serving)?;
    Ok(window)
}

fn through_socket(
    runtime: &Runtime,
    handle: Handle,
    batch_bytes: usize,
    course: &Course,
) -> Result<Window> {
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = runtime.spawn(kafka::serve(listener, handle, kafka::Options::default(), async {
        // Dropped or sent: both mean to stop.
        let _ = stopped.await;
    }));
    let window = on_own_thread(|| {
        let own = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        own.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            client::send(stream, batch_bytes, course).await
        })
    })?;
    drop(stop);
    runtime.block_on(serving)?;
    Ok(window)
}

/// Runs `client` on a thread whose processor time is nobody's.
fn on_own_thread(client: impl FnOnce() -> Result<Window> + Send) -> Result<Window> {
    std::thread::scope(|scope| {
        let named = std::thread::Builder::new().name("client".to_owned());
        let thread = named.spawn_scoped(scope, client).context("a thread")?;
        thread.join().map_err(|_panic| anyhow!("the client has panicked"))?
    })
}

/// Counts requests from the end of the warm-up on.
pub(crate) struct Counting<'a> {
    course: &'a Course,
    begin: Instant,
    opened: Option<(Instant, u64, Threads)>,
    requests: u64,
}

impl<'a> Counting<'a> {
    pub(crate) fn new(course: &'a Course) -> Counting<'a> {
        Counting { course, begin: Instant::now(), opened: None, requests: 0 }
    }

    /// One more request was answered; the window, when it is over.
    pub(crate) fn answered(&mut self) -> Result<Option<Window>> {
        self.requests += 1;
        let over = self.requests >= self.course.requests_max;
        match &self.opened {
            None if self.begin.elapsed() >= self.course.warm_up
                || self.requests * 2 >= self.course.requests_max =>
            {
                self.opened = Some((Instant::now(), self.requests, Threads::now()?));
            }
            Some((begin, ..)) if over || begin.elapsed() >= self.course.window => {
                return self.close().map(Some);
            }
            _ => {}
        }
        Ok(None)
    }

    fn close(&mut self) -> Result<Window> {
        let (begin, at, before) = self.opened.take().context("the window was opened before")?;
        let wall = begin.elapsed();
        Ok(Window { requests: self.requests - at, wall, before, after: Threads::now()? })
    }
}
