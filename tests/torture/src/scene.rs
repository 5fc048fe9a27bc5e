//! What a run consists of: a directory, a node, client processes, their histories. Methods do harm to
//! it; the scene keeps it going and brings it to its end.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use checker::{Budgets, Declaration, Fault, Line, OnClosed, Party, Phase, Route, RouteMode};
use clap::ValueEnum;
use tokio::process::Command;

use crate::book::{Book, now_us};
use crate::child::Process;
use crate::client::Role;
use crate::executions::MAILBOX;
use crate::kafka::FACTS;
use crate::node::Node;
use crate::{executions, kafka, read};

/// The directory of the histories in that of a run.
pub(crate) const HISTORIES: &str = "histories";
/// The director's number in the histories.
const DIRECTOR: u32 = 1;
/// How long clients may take for what they have begun, once they are told to stop.
const FINISH_MAX: Duration = Duration::from_secs(60);
/// How long the readers may take for the rest.
const REST_MAX: Duration = Duration::from_secs(60);

/// The route of a run: records with the key K to the workflow `mailbox-K`.
const CONFIG: &str = r#"
[[route]]
name = "facts"
topics = ["facts"]
workflow_type = "Mailbox"
workflow_id = "mailbox-{key}"
task_queue = "torture"
signal = "fact"
task_timeout = "3s"
"#;

/// temporalio-sdk-core 0.10.1 panics with these words when it should evict a run from its cache and
/// cannot (`workflow_stream.rs`), and takes the worker's process with it.
const SDK_MISTAKE: &str = "Extra buffered run should not have produced an activation";

/// See the module's page.
pub(crate) struct Scene {
    /// The node.
    pub(crate) node: Node,
    directory: PathBuf,
    book: Arc<Book>,
    clients: Vec<Client>,
    next_process: u32,
    seed: u64,
    /// When all clients were seen to run, the last time.
    watched_us: i64,
}

struct Client {
    role: Role,
    number: u32,
    process: Process,
}

impl Scene {
    /// Starts the node on `data` and the clients of these roles.
    pub(crate) async fn open(
        directory: &Path,
        data: PathBuf,
        run: String,
        seed: u64,
        roles: &[Role],
    ) -> Result<Scene> {
        let histories = directory.join(HISTORIES);
        std::fs::create_dir_all(&histories).context("the directory of the histories")?;
        let book = Arc::new(Book::create(&histories, DIRECTOR)?);
        book.put(Line::Declare(declaration(run)));
        let node = Node::new(directory, data, CONFIG)?;
        let (directory, next_process) = (directory.to_owned(), DIRECTOR + 1);
        let clients = Vec::new();
        let watched_us = now_us();
        let mut scene = Scene { node, directory, book, clients, next_process, seed, watched_us };
        scene.node.start().await?;
        kafka::create_topics(scene.node.addresses.kafka).await?;
        for role in roles {
            scene.add_client(*role)?;
        }
        Ok(scene)
    }

    /// The directory of the run.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The director's history.
    pub(crate) fn book(&self) -> Arc<Book> {
        Arc::clone(&self.book)
    }

    /// Where the histories are.
    pub(crate) fn histories(&self) -> PathBuf {
        self.directory.join(HISTORIES)
    }

    /// A fault begins; to be called before it is done.
    pub(crate) fn fault(&self, party: Party, fault: Fault) {
        self.fault_at(now_us(), party, fault);
    }

    /// A fault began at that time, as is known by now.
    pub(crate) fn fault_at(&self, at_us: i64, party: Party, fault: Fault) {
        self.book.put(Line::Fault { at_us, party, fault });
    }

    /// A party works again; to be called after that is known.
    pub(crate) fn recovered(&self, party: Party) {
        self.book.put(Line::Recovered { at_us: now_us(), party });
    }

    /// Watches everything for so long; fails if a process ends by itself.
    pub(crate) async fn watch(&mut self, time: Duration) -> Result<()> {
        self.node.watch(time).await?;
        self.watch_clients()
    }

    /// Fails if a client process has ended by itself. A worker that dies of a known mistake of the
    /// SDK is replaced, as a supervisor would.
    pub(crate) fn watch_clients(&mut self) -> Result<()> {
        let watched_us = now_us();
        for index in 0..self.clients.len() {
            let Err(ended) = self.clients[index].process.check() else { continue };
            if !self.clients[index].process.log_tail().contains(SDK_MISTAKE) {
                return Err(ended);
            }
            let client = self.clients.swap_remove(index);
            self.fault_at(self.watched_us, Party::Process(client.number), Fault::Kill);
            // It takes the last place; what has come to this one is looked at the next time.
            self.add_client(client.role)?;
        }
        self.watched_us = watched_us;
        Ok(())
    }

    /// The places of the client processes whose role is like this.
    pub(crate) fn clients(&self, which: impl Fn(Role) -> bool) -> Vec<usize> {
        let all = self.clients.iter().enumerate();
        all.filter(|(_, client)| which(client.role)).map(|(index, _)| index).collect()
    }

    /// SIGSTOP of a client process, or of the node.
    pub(crate) fn pause(&mut self, client: Option<usize>) -> Result<()> {
        self.fault(self.party(client), Fault::Pause);
        self.process(client)?.pause()
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self, client: Option<usize>) -> Result<()> {
        self.process(client)?.resume()?;
        self.recovered(self.party(client));
        Ok(())
    }

    fn party(&self, client: Option<usize>) -> Party {
        client.map_or(Party::Node, |index| Party::Process(self.clients[index].number))
    }

    fn process(&mut self, client: Option<usize>) -> Result<&mut Process> {
        match client {
            Some(index) => Ok(&mut self.clients[index].process),
            None => self.node.process(),
        }
    }

    /// How many client processes there are.
    pub(crate) fn clients_count(&self) -> usize {
        self.clients.len()
    }

    /// kill -9 of a client process; another of the same kind takes its place.
    pub(crate) async fn replace_client(&mut self, index: usize) -> Result<()> {
        let client = self.clients.swap_remove(index);
        self.fault(Party::Process(client.number), Fault::Kill);
        client.process.kill().await?;
        self.add_client(client.role)
    }

    /// Starts another client process.
    pub(crate) fn add_client(&mut self, role: Role) -> Result<()> {
        let number = self.next_process;
        self.next_process += 1;
        let name = role.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["client", &name, "--process", &number.to_string(), "--histories"])
            .arg(self.histories())
            .args(["--kafka", &self.node.addresses.kafka.to_string()])
            .args(["--temporal", &self.node.addresses.temporal.to_string()])
            .args(["--seed", &self.seed.to_string()])
            // A backtrace would push the words of a panic out of the end of the log.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let log = self.directory.join(format!("client-{number}-{name}.log"));
        let process = Process::spawn(format!("client {number} ({name})"), command, &log)?;
        self.clients.push(Client { role, number, process });
        Ok(())
    }

    /// Faults have ended: lets everything come to rest, then reads it all once more.
    pub(crate) async fn finish(&mut self) -> Result<Vec<String>> {
        self.book.put(Line::Phase { at_us: now_us(), phase: Phase::Calm });
        let kafka = self.node.addresses.kafka;
        self.end_clients(Role::begins_work).await?;
        let until = Instant::now() + REST_MAX;
        let mut open = executions::Reader::open(&self.histories(), self.node.addresses).await?;
        // Workflows publish what readers read, and the route starts workflows.
        let mut unrest = read::rest(kafka, until).await?;
        unrest.extend(open.rest().await?);
        unrest.extend(read::rest(kafka, Instant::now() + REST_MAX).await?);
        self.end_clients(|_| true).await?;
        self.book.put(Line::Phase { at_us: now_us(), phase: Phase::Final });
        read::everything(kafka, Arc::clone(&self.book)).await?;
        open.read(&self.book).await?;
        self.node.stop(FINISH_MAX).await?;
        Ok(unrest.into_iter().chain(self.node.complaints()).collect())
    }

    /// Lets these clients finish what they have begun.
    pub(crate) async fn end_clients(&mut self, which: impl Fn(Role) -> bool) -> Result<()> {
        let (ending, staying) = self.clients.drain(..).partition(|client| which(client.role));
        self.clients = staying;
        let mut ending: Vec<Client> = ending;
        for client in &mut ending {
            // All of them hear it before the first one is waited for.
            drop(client.process.child.stdin.take());
        }
        for client in ending {
            self.node.process()?.check()?;
            match client.process.join(FINISH_MAX).await {
                // It would not have done anything more.
                Err(error) if error.to_string().contains(SDK_MISTAKE) => {}
                ended => ended?,
            }
        }
        Ok(())
    }
}

/// What the judge has to know of the run.
fn declaration(run: String) -> Declaration {
    let route = Route {
        name: FACTS.to_owned(),
        topics: vec![FACTS.to_owned()],
        workflow_id_prefix: MAILBOX.to_owned(),
        signal: "fact".to_owned(),
        mode: RouteMode::SignalWithStart,
        on_closed: OnClosed::Start,
    };
    // Two cores are shared by everything: a timer may wait for its turn. One that is lost is later
    // than that by any measure.
    let budgets = Budgets { timer_late_ms: 10_000, ..Budgets::default() };
    Declaration { run, routes: vec![route], budgets, ..Declaration::default() }
}
