//! The run itself: starts everything, lets the orders flow, waits for rest, has everything checked
//! and told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tempfile::TempDir;
use temporalio_client::Client;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};

use crate::book::Book;
use crate::checker::{self, Violation};
use crate::child::Process;
use crate::error::Error;
use crate::figures::{Figures, Run};
use crate::interrupt::Interrupt;
use crate::keeper::{Keeper, Phase, Report};
use crate::ledger::Ledger;
use crate::node::Place;
use crate::plan::{Plan, PlannedOrder};
use crate::producer::{Faults, Shop};
use crate::random::Random;
use crate::settle::{self, AtRest};
use crate::{Options, Plant, client, consumer, temporal, topics};

/// Without any progress for so long, what is missing will not come any more.
const STALL: Duration = Duration::from_secs(30);
const STALL_CHAOS: Duration = Duration::from_secs(60);
/// With a planted fault something is always missing.
const STALL_PLANTED: Duration = Duration::from_secs(8);
const SETTLE: Duration = Duration::from_secs(30);
const SETTLE_PLANTED: Duration = Duration::from_secs(3);
/// Questions that wait for their turn.
const QUESTIONS: usize = 64;
/// How often the run is looked at.
const TICK: Duration = Duration::from_millis(50);

/// What a run left.
pub(crate) struct Ended {
    /// What it came to.
    pub(crate) figures: Figures,
    /// Where it was.
    pub(crate) directory: TempDir,
}

/// Runs the demo; an interrupt ends it early, with nothing left behind.
pub(crate) async fn run(options: &Options) -> Result<Ended, Error> {
    let mut interrupt = Interrupt::listen()?;
    let directory = tempfile::Builder::new()
        .prefix("mainstay-demo-")
        .tempdir()
        .map_err(|source| Error::File { path: std::env::temp_dir(), source })?;
    let mut show = tokio::select! {
        show = Show::open(options, &directory) => show?,
        () = interrupt.recv() => return Err(Error::Interrupted),
    };
    let course = tokio::select! {
        course = show.course(options) => course,
        () = interrupt.recv() => Err(Error::Interrupted),
    };
    let report = show.close(&mut interrupt).await;
    // What broke the run says more than what that did to its end.
    let course = course?;
    let figures = show.judge(options, course, report?);
    Ok(Ended { figures, directory })
}

/// Everything that belongs to one run.
struct Show {
    place: Place,
    plan: Arc<Plan>,
    book: Arc<Book>,
    ledger: Arc<Ledger>,
    client: Client,
    phase: watch::Sender<Phase>,
    keeper: JoinHandle<Result<Report, Error>>,
    /// The consumer of outcomes.
    reader: JoinHandle<()>,
    /// Ends with the run: the worker's life hangs on it.
    _ledger: JoinSet<()>,
}

/// How the run went.
struct Course {
    flow: Duration,
    rest: AtRest,
}

impl Show {
    async fn open(options: &Options, directory: &TempDir) -> Result<Self, Error> {
        let plan = Arc::new(Plan::draw(options.orders, options.seed));
        let book = Arc::new(Book::new(plan.orders.clone()));
        let place = Place::prepare(directory.path())?;
        let node = place.start().await?;
        topics::create(place.kafka).await?;
        let mut ledger_task = JoinSet::new();
        let (ledger, ledger_address) = open_ledger(&mut ledger_task).await?;
        let worker = start_worker(&place, ledger_address)?;
        let client = client::connect(place.temporal).await?;
        let reader = consumer::subscribe(place.kafka)?;
        let reader = tokio::spawn(consumer::read(reader, Arc::clone(&book)));
        let chaos = options.chaos.then(|| Random::new(!options.seed));
        let kill_every = Duration::from_millis(options.kill_every_ms);
        let (orders, home) = (options.orders, place.clone());
        let keeper = Keeper { place: home, node, worker, chaos, kill_every, orders };
        let phase = watch::Sender::new(Phase::Settle);
        let keeper = tokio::spawn(keeper.keep(Arc::clone(&book), phase.subscribe()));
        let _ledger = ledger_task;
        Ok(Self { place, plan, book, ledger, client, phase, keeper, reader, _ledger })
    }

    async fn course(&mut self, options: &Options) -> Result<Course, Error> {
        let mut tasks = self.start_tasks(options)?;
        let started = Instant::now();
        self.phase.send_replace(Phase::Flow);
        let flow = self.flow(options, &mut tasks).await?.unwrap_or_else(|| started.elapsed());
        // Whatever is still under way here is stuck.
        tasks.shutdown().await;
        self.phase.send_replace(Phase::Settle);
        let limit = if options.plant.is_some() { SETTLE_PLANTED } else { SETTLE };
        let until = Instant::now() + limit;
        let rest = settle::settle(self.place.kafka, &self.client, &self.plan, &self.book, until);
        Ok(Course { flow, rest: rest.await? })
    }

    fn start_tasks(&self, options: &Options) -> Result<JoinSet<Result<(), Error>>, Error> {
        let (plan, book) = (Arc::clone(&self.plan), Arc::clone(&self.book));
        let (ask, asked) = mpsc::channel(QUESTIONS);
        let faults = Faults::choose(options.plant, &plan);
        let shop = Shop::open(self.place.kafka, plan, book, ask, faults)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(shop.sell());
        let (plan, book) = (Arc::clone(&self.plan), Arc::clone(&self.book));
        let questions = temporal::ask_sagas(self.client.clone(), plan, book, asked);
        tasks.spawn(async move {
            questions.await;
            Ok(())
        });
        if options.plant == Some(Plant::DoubledSignal) {
            let (client, book) = (self.client.clone(), Arc::clone(&self.book));
            let first = self.plan.orders.first().cloned();
            tasks.spawn(async move {
                double_first(client, book, first).await;
                Ok(())
            });
        }
        Ok(tasks)
    }

    /// Lets the orders flow until all have ended and all tasks are done; answers how long the orders
    /// took. Answers none where nothing moves any more: what is missing is left to the checker.
    async fn flow(
        &mut self,
        options: &Options,
        tasks: &mut JoinSet<Result<(), Error>>,
    ) -> Result<Option<Duration>, Error> {
        let bar = progress_bar(options);
        let started = Instant::now();
        let mut stall = Stall::new(options);
        let mut all_ended = None;
        let mut tick = tokio::time::interval(TICK);
        while !(tasks.is_empty() && all_ended.is_some()) {
            tokio::select! {
                Some(task) = tasks.join_next() => task.map_err(Error::Task)??,
                keeper = &mut self.keeper => return Err(ended_early(keeper)),
                _ = tick.tick() => {}
            }
            let progress = *self.book.progress().borrow();
            bar.set_position(progress.ended as u64);
            if progress.ended == self.plan.orders.len() && all_ended.is_none() {
                all_ended = Some(started.elapsed());
                // What is left, a late repeat or an answer, is no flow of orders: chaos ends here.
                self.phase.send_replace(Phase::Settle);
            }
            if stall.is_reached((progress.delivered, progress.ended, self.ledger.count())) {
                break;
            }
        }
        bar.finish_and_clear();
        Ok(all_ended)
    }

    /// Ends the children; a second interrupt does not wait for them.
    async fn close(&mut self, interrupt: &mut Interrupt) -> Result<Report, Error> {
        // The consumer leaves its group while there is somebody to take leave of.
        self.reader.abort();
        let _ = (&mut self.reader).await;
        self.phase.send_replace(Phase::Stop);
        if self.keeper.is_finished() {
            return Ok(Report::default());
        }
        tokio::select! {
            keeper = &mut self.keeper => keeper.map_err(Error::Task)?,
            () = interrupt.recv() => Err(Error::Interrupted),
        }
    }

    fn judge(&self, options: &Options, course: Course, report: Report) -> Figures {
        let mut history = self.book.history();
        history.effects = self.ledger.effects();
        let lag = course.rest.lag.clone();
        course.rest.complete(&mut history);
        let mut violations = checker::check(&history);
        violations.extend(lag.into_iter().map(Violation::stuck));
        let latencies = self.book.latencies();
        let run = Run {
            seed: options.seed,
            chaos: options.chaos,
            flow: course.flow,
            latencies: &latencies,
            report,
        };
        Figures::count(&run, &history, &violations)
    }
}

/// Notices when nothing moves any more.
struct Stall {
    limit: Duration,
    seen: (usize, usize, usize),
    moved: Instant,
}

impl Stall {
    fn new(options: &Options) -> Self {
        let limit = match (options.plant, options.chaos) {
            (Some(_), _) => STALL_PLANTED,
            (None, true) => STALL_CHAOS,
            (None, false) => STALL,
        };
        Self { limit, seen: (0, 0, 0), moved: Instant::now() }
    }

    fn is_reached(&mut self, now: (usize, usize, usize)) -> bool {
        if now != self.seen {
            (self.seen, self.moved) = (now, Instant::now());
        }
        self.moved.elapsed() > self.limit
    }
}

fn ended_early(keeper: Result<Result<Report, Error>, JoinError>) -> Error {
    match keeper {
        Ok(Err(error)) => error,
        Ok(Ok(_)) => Error::Interrupted,
        Err(error) => Error::Task(error),
    }
}

async fn open_ledger(servants: &mut JoinSet<()>) -> Result<(Arc<Ledger>, SocketAddr), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Error::Ledger)?;
    let address = listener.local_addr().map_err(Error::Ledger)?;
    let ledger = Arc::new(Ledger::new());
    servants.spawn(Arc::clone(&ledger).serve(listener));
    Ok((ledger, address))
}

fn start_worker(place: &Place, ledger: SocketAddr) -> Result<Process, Error> {
    let (temporal, ledger) = (place.temporal.to_string(), ledger.to_string());
    let arguments = ["demo", "--worker", "--temporal", &temporal, "--ledger", &ledger];
    let arguments = arguments.into_iter().map(str::to_owned).collect();
    Process::start("worker", arguments, place.directory.join("worker.log"))
}

/// The planted doubled signal: the first order's record again, once it is known where it is.
async fn double_first(client: Client, book: Arc<Book>, first: Option<PlannedOrder>) {
    let mut progress = book.progress();
    // An error means that the run is over.
    let _ = progress.wait_for(|_| book.landed(0).is_some()).await;
    if let (Some(order), Some(record)) = (first, book.landed(0)) {
        temporal::double_signal(client, order, record).await;
    }
}

fn progress_bar(options: &Options) -> ProgressBar {
    let target =
        if options.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(options.orders as u64), target);
    let style = ProgressStyle::with_template("  {bar:40} {pos}/{len} orders  {per_sec}  {elapsed}");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
