//! Readers and publishers in processes of their own, which are killed.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream;
use mycelium::subscribe::SubscribeOptions;
use mycelium::{Context, Delivery, Node, Policy, Result, service};
use mycelium_nats::JetStream;
use mycelium_tokio::Tokio;
use mycelium_transports::local::{Schema, Start};

use crate::server::Server;
use crate::stored::reading;
use crate::ticks::{Found, Tick, Ticking};

/// The variables with the address of the server, with the file of a reader, and with the number of a
/// tick of which it dies.
const SERVER: &str = "MYCELIUM_NATS_SERVER";
const FILE: &str = "MYCELIUM_NATS_FILE";
const POISON: &str = "MYCELIUM_NATS_POISON";

/// Writes each tick to a file.
struct Ledger(fs::File);

#[service(reads(Tick))]
impl Ledger {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(delivery) = ticks.recv().await {
            match delivery {
                Delivery::Msg(tick) => {
                    if std::env::var(POISON).is_ok_and(|poison| poison == tick.number.to_string()) {
                        std::process::abort();
                    }
                    let mark = if tick.redelivered() { "again" } else { "new" };
                    // At once: others write there, too.
                    let line = format!("{} {mark}\n", tick.number);
                    self.0.write_all(line.as_bytes()).unwrap();
                }
                Delivery::Gap(gap) => writeln!(self.0, "{gap} gap").unwrap(),
            }
        }
        Ok(())
    }
}

/// A role: reads until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a role of other tests"]
async fn role_read() {
    read(JetStream::server(&std::env::var(SERVER).unwrap()), Start::Oldest).await;
}

/// A role: takes ticks from a work queue until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a role of other tests"]
async fn role_work() {
    let server = JetStream::server(&std::env::var(SERVER).unwrap());
    read(server.work_queue("ticks"), Start::Next).await;
}

async fn read(server: JetStream, start: Start) {
    let file = PathBuf::from(std::env::var_os(FILE).unwrap());
    let open = move || {
        let mut file = OpenOptions::new().create(true).append(true).open(&file).unwrap();
        writeln!(file, "start").unwrap();
        Ledger(file)
    };
    let node = Node::builder("there").service(open);
    let options = SubscribeOptions::new(Policy::Block, start);
    let node = node.subscription("Ledger", "ticks", options);
    let node = node.transport(server, &[], &["ticks"]).build().unwrap();
    node.start(Tokio::current().unwrap()).unwrap().join().await.unwrap();
}

/// A role: publishes until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a role of other tests"]
async fn role_publish() {
    let clock = Ticking::start(JetStream::server(&std::env::var(SERVER).unwrap()));
    std::future::pending::<()>().await;
    clock.end().await;
}

fn role(name: &str, server: &Server, file: &Path) -> Child {
    command(name, server, file).spawn().unwrap()
}

/// Starts a process that takes ticks from a work queue, and dies of the one with the number 7.
fn poisoned(server: &Server, file: &Path) -> Child {
    command("role_work", server, file).env(POISON, "7").spawn().unwrap()
}

fn command(name: &str, server: &Server, file: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("processes::{name}"), "--ignored", "--nocapture"]);
    command.env(SERVER, server.url()).env(FILE, file).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn lines(file: &Path) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().count()
}

/// Returns the marks of each tick in a file.
fn done(file: &Path) -> BTreeMap<u64, Vec<String>> {
    let mut done = BTreeMap::<u64, Vec<String>>::new();
    for line in fs::read_to_string(file).unwrap_or_default().lines() {
        if let Some((number, mark)) = line.split_once(' ') {
            done.entry(number.parse().unwrap()).or_default().push(mark.to_owned());
        }
    }
    done
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(40), waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_killed_gets_each_message_and_twice_only_with_a_mark() {
    let Some(server) = Server::start().await else { return };
    let file = server.directory().join("ledger");
    let clock = Ticking::start(JetStream::server(&server.url()));
    for round in 0..10 {
        let reader = role("role_read", &server, &file);
        let before = lines(&file);
        until(|| lines(&file) > before + 50 + 37 * round).await;
        kill(reader);
    }
    let reader = role("role_read", &server, &file);
    let sent = clock.end().await;
    let last = [format!("{} new", sent - 1), format!("{} again", sent - 1)];
    until(|| last.contains(&fs::read_to_string(&file).unwrap().lines().last().unwrap().into()))
        .await;
    kill(reader);
    // The next tick, if the process has not just started, and the first one that never came before.
    let (mut next, mut new) = (None, 0);
    for line in fs::read_to_string(&file).unwrap().lines() {
        if line == "start" {
            next = None;
            continue;
        }
        let (number, mark) = line.rsplit_once(' ').unwrap();
        let number: u64 = number.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(number <= new && next.is_none_or(|next| number == next), "{line} after {next:?}");
        assert!(number == new || mark == "again", "{line} before {new}");
        (next, new) = (Some(number + 1), new.max(number + 1));
    }
    assert_eq!(new, sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_is_killed_ends_when_its_next_process_has_stored_messages() {
    let Some(server) = Server::start().await else { return };
    let found = Found::default();
    let there = reading(&found, &server.url());
    let file = server.directory().join("none");
    let first = role("role_publish", &server, &file);
    found.more(100).await;
    kill(first);
    let second = role("role_publish", &server, &file);
    found.until(|found| found.inexact.load(Ordering::Relaxed) == 1).await;
    assert_eq!(found.missed.load(Ordering::Relaxed), 0);
    kill(second);
    crate::ticks::end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_had_of_a_work_queue_goes_to_another() {
    let Some(server) = Server::start().await else { return };
    let file = server.directory().join("ledger");
    let clock = Ticking::start(JetStream::server(&server.url()).work_queue("ticks"));
    let mut workers = [(); 2].map(|()| role("role_work", &server, &file));
    for round in 0..6 {
        let before = lines(&file);
        until(|| lines(&file) > before + 100).await;
        kill(std::mem::replace(&mut workers[round % 2], role("role_work", &server, &file)));
    }
    let sent = clock.end().await;
    until(|| done(&file).len() as u64 == sent).await;
    workers.into_iter().for_each(kill);
    for (number, marks) in done(&file) {
        let again = marks.iter().filter(|mark| *mark == "again").count();
        assert!(again + 1 >= marks.len(), "{number}: {marks:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_which_three_processes_die_is_a_dead_letter_and_no_other() {
    let Some(server) = Server::start().await else { return };
    let file = server.directory().join("ledger");
    let clock = Ticking::start(JetStream::server(&server.url()).work_queue("ticks"));
    until(|| clock.sent.load(Ordering::Relaxed) >= 200).await;
    let sent = clock.end().await;
    // The server gives what a process had to the next one after a second.
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let stream = context.get_stream("mycelium-stored-ticks").await.unwrap();
    let digest = Schema::of::<Tick>().digest;
    let config = jetstream::consumer::pull::Config {
        durable_name: Some(format!("workers-{digest}")),
        ack_policy: jetstream::consumer::AckPolicy::Explicit,
        ack_wait: Duration::from_secs(1),
        filter_subject: format!("mycelium-stored.ticks.{digest}.>"),
        ..Default::default()
    };
    stream.create_consumer(config).await.unwrap();
    let (mut worker, mut deaths) = (poisoned(&server, &file), 0);
    while done(&file).len() as u64 + 1 < sent {
        if worker.try_wait().unwrap().is_some() {
            (worker, deaths) = (poisoned(&server, &file), deaths + 1);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let letters = || async {
        context.get_stream("mycelium-dead-letters").await.unwrap().cached_info().state.messages
    };
    while letters().await == 0 {
        if worker.try_wait().unwrap().is_some() {
            (worker, deaths) = (poisoned(&server, &file), deaths + 1);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((letters().await, deaths), (1, 3));
    assert!(!done(&file).contains_key(&7));
    kill(worker);
}
