//! Work queues: the server gives each message to one of the nodes that read it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use mycelium::{Context, DeadLetter, Delivery, Node, Policy, Result, Running, message, service};
use mycelium_nats::JetStream;
use mycelium_tokio::Tokio;
use mycelium_transports::local::Schema;

use crate::server::Server;
use crate::ticks::{Cable, end};

#[message(topic = "jobs", id = 2)]
#[derive(Debug)]
struct Job {
    number: u64,
}

/// Emits jobs with these numbers.
struct Desk(Range<u64>);

#[service(emits(Job))]
impl Desk {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in self.0.clone() {
            ctx.emit(Job { number }).await?;
        }
        Ok(())
    }
}

/// What was done: each job, by the nodes that have done it, in order; and how often one was begun.
#[derive(Clone, Debug, Default)]
struct Done(Arc<Mutex<BTreeMap<u64, Vec<String>>>>, Arc<AtomicU64>);

impl Done {
    /// Waits until this number of jobs was done.
    async fn all(&self, count: u64) {
        let is_done = || self.0.lock().unwrap().len() as u64 >= count;
        let waiting = async {
            while !is_done() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        assert!(waited.is_ok(), "{} of {count} jobs", self.0.lock().unwrap().len());
    }

    /// Checks that each job was done once, and returns how many each node has done.
    fn once(&self) -> BTreeMap<String, u64> {
        let mut by_node = BTreeMap::new();
        for (number, nodes) in &*self.0.lock().unwrap() {
            assert_eq!(nodes.len(), 1, "{number}: {nodes:?}");
            *by_node.entry(nodes[0].clone()).or_default() += 1;
        }
        by_node
    }
}

/// Does jobs, each of which takes some time from one on, and fails at one of them.
struct Smith {
    name: String,
    time: Duration,
    done: Done,
    slow_from: Option<u64>,
    fails_at: Option<u64>,
}

#[service(reads(Job))]
impl Smith {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut jobs = ctx.subscribe::<Job>()?;
        while let Some(delivery) = jobs.recv().await {
            let Delivery::Msg(job) = delivery else {
                panic!("a gap in a work queue: {delivery:?}")
            };
            self.done.1.fetch_add(1, Ordering::Relaxed);
            if self.fails_at == Some(job.number) {
                return Err(std::io::Error::other("this job cannot be done").into());
            }
            if !self.time.is_zero() && self.slow_from.is_none_or(|slow| job.number >= slow) {
                ctx.sleep(self.time).await?;
            }
            let mut done = self.done.0.lock().unwrap();
            done.entry(job.number).or_default().push(self.name.clone());
        }
        Ok(())
    }
}

/// The publishers and sequences of dead letters.
type Letters = Arc<Mutex<Vec<(String, u64)>>>;

/// Notes dead letters.
struct Mourner(Letters);

#[service(reads(DeadLetter))]
impl Mourner {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut letters = ctx.subscribe::<DeadLetter>()?;
        while let Some(Delivery::Msg(letter)) = letters.recv().await {
            self.0.lock().unwrap().push((letter.publisher.to_string(), letter.sequence));
        }
        Ok(())
    }
}

fn queue(url: &str) -> JetStream {
    JetStream::server(url).work_queue("jobs")
}

/// Emits jobs, and waits until all are stored.
async fn emit(url: &str, jobs: u64) {
    let node = Node::builder("desk").service(move || Desk(0..jobs));
    let node = node.transport(queue(url), &["jobs"], &[]).build().unwrap();
    node.start(Tokio::current().unwrap()).unwrap().join().await.unwrap();
}

struct Work<'a> {
    url: &'a str,
    done: &'a Done,
    time: Duration,
    slow_from: Option<u64>,
    fails_at: Option<u64>,
    letters: Option<Letters>,
}

impl Work<'_> {
    /// Starts a node that does jobs.
    fn start(&self, name: &str) -> Running {
        let Work { time, slow_from, fails_at, .. } = *self;
        let (done, of) = (self.done.clone(), name.to_owned());
        let smith =
            move || Smith { name: of.clone(), time, done: done.clone(), slow_from, fails_at };
        let node = Node::builder(name).service(smith);
        let node = node.transport(queue(self.url), &[], &["jobs"]);
        let letters = self.letters.clone();
        let node = letters
            .into_iter()
            .fold(node, |node, letters| node.service(move || Mourner(letters.clone())));
        node.build().unwrap().start(Tokio::current().unwrap()).unwrap()
    }
}

fn work<'a>(url: &'a str, done: &'a Done) -> Work<'a> {
    Work { url, done, time: Duration::ZERO, slow_from: None, fails_at: None, letters: None }
}

/// Returns how many messages a stream has.
async fn stored(url: &str, stream: &str) -> u64 {
    let context = jetstream::new(async_nats::connect(url).await.unwrap());
    context.get_stream(stream).await.unwrap().cached_info().state.messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_job_is_done_once_and_then_gone() {
    let Some(server) = Server::start().await else { return };
    let (url, done) = (server.url(), Done::default());
    emit(&url, 500).await;
    assert_eq!(stored(&url, "mycelium-stored-jobs").await, 500);
    let work = work(&url, &done);
    let nodes = ["anna", "bert", "carl"].map(|name| work.start(name));
    emit(&url, 4500).await;
    done.all(4500).await;
    for node in nodes {
        end(node).await;
    }
    let twice = done.0.lock().unwrap().values().filter(|nodes| nodes.len() == 2).count();
    assert_eq!(twice, 500, "both desks have emitted the first jobs");
    assert_eq!(stored(&url, "mycelium-stored-jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_node_holds_no_jobs_that_others_could_do() {
    let Some(server) = Server::start().await else { return };
    let (url, done) = (server.url(), Done::default());
    let quick = Work { time: Duration::from_millis(20), ..work(&url, &done) };
    let slow = Work { time: Duration::from_secs(3), ..work(&url, &done) };
    let nodes = [slow.start("slow"), quick.start("quick")];
    emit(&url, 100).await;
    done.all(100).await;
    let by_node = done.once();
    assert!(by_node["slow"] <= 2, "{by_node:?}");
    for node in nodes {
        end(node).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_come_and_go_lose_no_job_and_do_none_twice() {
    let Some(server) = Server::start().await else { return };
    let (url, done) = (server.url(), Done::default());
    let work = Work { time: Duration::from_millis(1), ..work(&url, &done) };
    let emitting = emit(&url, 3000);
    let working = async {
        let mut nodes = ["anna", "bert"].map(|name| work.start(name));
        for round in 0.. {
            done.all((200 * round).min(3000)).await;
            if 200 * round >= 3000 {
                break;
            }
            let name = ["anna", "bert"][round as usize % 2];
            let next = work.start(&format!("{name}{round}"));
            end(std::mem::replace(&mut nodes[round as usize % 2], next)).await;
        }
        for node in nodes {
            end(node).await;
        }
    };
    tokio::join!(emitting, working);
    done.once();
    assert_eq!(stored(&url, "mycelium-stored-jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_outlive_the_server_and_cut_connections() {
    let Some(mut server) = Server::start().await else { return };
    let done = Done::default();
    let cable = Cable::to(server.at);
    let (url, over) = (server.url(), format!("nats://{}", cable.at));
    let (direct, remote) = (work(&url, &done), work(&over, &done));
    let time = Duration::from_millis(1);
    let nodes = [Work { time, ..direct }.start("anna"), Work { time, ..remote }.start("bert")];
    let emitting = emit(&url, 3000);
    let breaking = async {
        for round in 1..6 {
            done.all(400 * round).await;
            server.kill();
            server.start_again().await;
            cable.cut();
            done.all(400 * round + 200).await;
            cable.mend();
        }
    };
    tokio::join!(emitting, breaking);
    done.all(3000).await;
    for node in nodes {
        end(node).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_at_which_a_service_fails_twice_is_a_dead_letter() {
    let Some(server) = Server::start().await else { return };
    let (url, done) = (server.url(), Done::default());
    let letters = Letters::default();
    let work = Work { fails_at: Some(7), letters: Some(letters.clone()), ..work(&url, &done) };
    let node = work.start("anna");
    emit(&url, 20).await;
    done.all(19).await;
    end(node).await;
    assert_eq!(letters.lock().unwrap().len(), 1);
    assert_eq!(done.once()["anna"], 19);
    assert_eq!(stored(&url, "mycelium-dead-letters").await, 1);
    assert_eq!(stored(&url, "mycelium-stored-jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_end_in_order_make_no_dead_letters() {
    let Some(server) = Server::start().await else { return };
    let (url, done) = (server.url(), Done::default());
    emit(&url, 20).await;
    // They get messages, and end in the middle of one.
    let work = Work { time: Duration::from_secs(3600), ..work(&url, &done) };
    for _ in 0..5 {
        let before = done.1.load(Ordering::Relaxed);
        let node = work.start("anna");
        while done.1.load(Ordering::Relaxed) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        end(node).await;
    }
    // Without the counts of deaths all goes on.
    let context = jetstream::new(async_nats::connect(&url).await.unwrap());
    let created = context.get_stream("mycelium-stored-jobs").await.unwrap().cached_info().created;
    let deaths = format!("mycelium-places.%queue.jobs.{}.1", created.unix_timestamp_nanos());
    let places = context.get_stream("mycelium-places").await.unwrap();
    let counted = places.get_last_raw_message_by_subject(&deaths).await.unwrap();
    assert_eq!(counted.payload, "0");
    context.delete_stream("mycelium-places").await.unwrap();
    let node = Work { time: Duration::ZERO, ..work }.start("anna");
    done.all(20).await;
    end(node).await;
    done.once();
    assert_eq!(stored(&url, "mycelium-dead-letters").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_comes_after_an_outage_is_done_once() {
    let Some(server) = Server::start().await else { return };
    let (url, done) = (server.url(), Done::default());
    // Creates the queue, of which a node is given up after a second.
    end(work(&url, &done).start("anna")).await;
    let context = jetstream::new(async_nats::connect(&url).await.unwrap());
    let stream = context.get_stream("mycelium-stored-jobs").await.unwrap();
    let workers = format!("workers-{}", Schema::of::<Job>().digest);
    let mut config = stream.consumer_info(&workers).await.unwrap().config;
    config.ack_wait = Duration::from_secs(1);
    stream.create_consumer(config).await.unwrap();
    let cable = Cable::to(server.at);
    let over = format!("nats://{}", cable.at);
    let work = Work { time: Duration::from_secs(3), ..work(&over, &done) };
    let nodes = ["anna", "bert"].map(|name| work.start(name));
    cable.cut();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // One of them takes it as soon as it is connected again, and the other one stays free.
    emit(&url, 1).await;
    cable.mend();
    done.all(1).await;
    assert_eq!(done.1.load(Ordering::Relaxed), 1, "the other one has not begun it, too");
    for node in nodes {
        end(node).await;
    }
    done.once();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quick_node_that_gets_slow_gives_jobs_to_others() {
    let Some(server) = Server::start().await else { return };
    let (url, done) = (server.url(), Done::default());
    let work = Work { slow_from: Some(500), time: Duration::from_millis(300), ..work(&url, &done) };
    let first = work.start("anna");
    emit(&url, 500).await;
    done.all(500).await;
    // Only the first one has been quick.
    let others = ["bert", "carl", "dora"].map(|name| work.start(name));
    let desk = Node::builder("desk").service(|| Desk(500..516));
    let desk = desk.transport(queue(&url), &["jobs"], &[]).build().unwrap();
    desk.start(Tokio::current().unwrap()).unwrap().join().await.unwrap();
    done.all(516).await;
    let by_node = done.once();
    assert!(by_node["anna"] <= 500 + 8, "{by_node:?}");
    for node in others.into_iter().chain([first]) {
        end(node).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_that_cannot_be_stored_hold_up_nothing() {
    let Some(server) = Server::start().await else { return };
    let (url, done) = (server.url(), Done::default());
    let context = jetstream::new(async_nats::connect(&url).await.unwrap());
    let silent = Config {
        name: "mycelium-dead-letters".to_owned(),
        subjects: vec!["mycelium-dead-letters.>".to_owned()],
        no_ack: true,
        ..Config::default()
    };
    context.create_stream(silent).await.unwrap();
    let node = work(&url, &done).start("anna");
    let digest = Schema::of::<Job>().digest;
    for sender in 0..3 {
        let subject = format!("mycelium-stored.jobs.{digest}.liar-{sender}");
        context.publish(subject, "lie".into()).await.unwrap().await.unwrap();
    }
    emit(&url, 200).await;
    done.all(200).await;
    assert_eq!(stored(&url, "mycelium-stored-jobs").await, 3);
    end(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_job_is_a_dead_letter() {
    let Some(server) = Server::start().await else { return };
    let (url, done) = (server.url(), Done::default());
    let node = work(&url, &done).start("anna");
    let liar = async_nats::connect(&url).await.unwrap();
    let digest = Schema::of::<Job>().digest.to_string();
    for sender in 0..100 {
        let lie: Vec<u8> = (0..sender as usize * 3).map(|byte| byte as u8 ^ 0xa1).collect();
        let subject = format!("mycelium-stored.jobs.{digest}.liar-{sender}");
        liar.publish(subject, lie.into()).await.unwrap();
    }
    liar.flush().await.unwrap();
    emit(&url, 100).await;
    done.all(100).await;
    end(node).await;
    done.once();
    assert_eq!(stored(&url, "mycelium-dead-letters").await, 100);
    assert_eq!(stored(&url, "mycelium-stored-jobs").await, 0);
}

/// Reads jobs, too.
struct Other;

#[service(reads(Job))]
impl Other {
    async fn run(&mut self, _: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_work_queue_is_an_error_of_the_start() {
    let Some(server) = Server::start().await else { return };
    let url = server.url();
    let reader = || Node::builder("anna").service(|| Other);
    let refused = |node: mycelium::Builder, says: &str| {
        let node = node.build().unwrap();
        let error = node.start(Tokio::current().unwrap()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    let node = reader().named_service("Another", || Other);
    refused(node.transport(queue(&url), &[], &["jobs"]), "several subscriptions in this node");
    let node = reader().service(|| Desk(0..1));
    refused(node.transport(queue(&url), &["jobs"], &["jobs"]), "is emitted in this node, too");
    let node = reader().subscription("Other", "jobs", Policy::DropOldest);
    refused(node.transport(queue(&url), &[], &["jobs"]), "expected the policy `block`");
    let node = reader().transport(queue(&url).work_queue("job"), &[], &["jobs"]);
    refused(node, "it does not carry topic `job`");
    // Somebody has set up the queue otherwise.
    end(work(&url, &Done::default()).start("anna")).await;
    let context = jetstream::new(async_nats::connect(&url).await.unwrap());
    let stream = context.get_stream("mycelium-stored-jobs").await.unwrap();
    let workers = format!("workers-{}", Schema::of::<Job>().digest);
    let mut config = stream.consumer_info(&workers).await.unwrap().config;
    config.max_deliver = 1;
    stream.create_consumer(config).await.unwrap();
    let node = reader().transport(queue(&url), &[], &["jobs"]);
    refused(node, "its `max_deliver` is not that of a work queue: expected no limit");
    // Somebody reads the topic otherwise.
    let config = Config {
        name: "mycelium-stored-jobs".to_owned(),
        subjects: vec!["mycelium-stored.jobs.>".to_owned()],
        retention: RetentionPolicy::Limits,
        ..Config::default()
    };
    context.delete_stream("mycelium-stored-jobs").await.unwrap();
    context.create_stream(config).await.unwrap();
    refused(
        reader().transport(queue(&url), &[], &["jobs"]),
        "it has the retention Limits and the subjects [\"mycelium-stored.jobs.>\"], expected WorkQueue",
    );
}

/// The server comes back with an older store, where another job gets the position of the one that a
/// node is at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_acknowledgement_is_not_that_of_another_job() {
    let Some(mut server) = Server::start().await else { return };
    let (url, done) = (server.url(), Done::default());
    let begun = |count| {
        let done = done.clone();
        async move {
            while done.1.load(Ordering::Relaxed) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    emit(&url, 0).await;
    server.kill();
    server.save_store("older");
    server.start_again().await;
    let anna = Work { time: Duration::from_secs(5), ..work(&url, &done) }.start("anna");
    emit(&url, 1).await;
    begun(1).await;
    server.kill();
    server.restore_store("older");
    server.start_again().await;
    emit(&url, 1).await;
    let bert = Work { time: Duration::from_secs(600), ..work(&url, &done) }.start("bert");
    begun(2).await;
    done.all(1).await;
    end(anna).await;
    assert_eq!(stored(&url, "mycelium-stored-jobs").await, 1, "the job that bert is at");
    let carl = work(&url, &done).start("carl");
    end(bert).await;
    begun(3).await;
    end(carl).await;
    let nodes = done.0.lock().unwrap()[&0].clone();
    assert_eq!(nodes, ["anna", "carl"]);
}
