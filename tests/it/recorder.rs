//! The service `Recorder` of a topology: publishers wait for what reads as its node.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "topology"))]

use std::sync::Arc;
use std::time::Duration;

use mycelium::error::Code;
use mycelium::trace::{Span, SpanSink};
use mycelium::untyped::{
    Identity, LinkConfig, UntypedDelivery, UntypedError, UntypedPeer, UntypedReader,
};
use mycelium::{Context, Node, Result, Running, Start, Topology, message, service};
use mycelium_executor::Backoff;
use mycelium_tokio::Tokio;
use mycelium_transports::stream::TOPICS;

use crate::running::{start, within};
use crate::support::Directory;

#[message(topic = "ticks", id = 1)]
pub(crate) struct Tick {
    number: u64,
}

struct Feed(u64);

#[message(topic = "tocks", id = 2)]
pub(crate) struct Tock {
    number: u64,
}

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..self.0 {
            ctx.emit(Tick { number }).await?;
        }
        Ok(())
    }
}

/// Emits on another topic.
struct Other(u64);

#[service(emits(Tock))]
impl Other {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..self.0 {
            ctx.emit(Tock { number }).await?;
        }
        Ok(())
    }
}

/// Reads, and publishes nothing.
struct Reads;

#[service(reads(Tick))]
impl Reads {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while ticks.recv().await.is_some() {}
        Ok(())
    }
}

#[derive(Debug)]
struct NoSpans;

impl SpanSink for NoSpans {
    fn record(&self, _: Span) {}
}

/// Has a topic, and emits nothing.
struct Quiet;

#[service(emits(Tick as out))]
impl Quiet {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.shutdown_requested().await;
        Ok(())
    }
}

/// More than all rings on the way have room for.
const COUNT: u64 = 240_000;
/// More than arrive at one time: a process that takes as many is done with some of them.
const BATCH: u64 = 16_000;

const TOPOLOGY: &str = r#"
[node.feed]
services = ["Feed", "Other"]
[node.recorder]
services = ["Recorder"]
[topic.ticks]
capacity = 8
[recorder]
topics = ["ticks", "tocks"]
"#;

fn topology(directory: &Directory) -> Topology {
    Topology::parse("t.toml", TOPOLOGY).unwrap().in_directory(&directory.0)
}

fn feed(topology: &Topology, count: u64) -> Running {
    let builder = Node::builder("feed").topology(topology.clone());
    start(builder.service(move || Feed(count)).service(|| Other(0)))
}

/// Reads as the node of the recorder, in another process of the recorder for each `entropy`.
fn recorder(topology: &Topology, entropy: u64, topics: &[&str]) -> Vec<UntypedReader> {
    let (node, all) = topology.recorder().unwrap();
    assert_eq!((node, all), ("recorder", vec!["ticks", "tocks"]));
    peer(topology, node, entropy).read_gating(topics).unwrap()
}

/// Returns the node `feed` as `own` sees it.
fn peer(topology: &Topology, own: &str, entropy: u64) -> UntypedPeer {
    UntypedPeer {
        node: Some("feed".to_owned()),
        endpoints: topology.reach("feed", None).unwrap(),
        identity: Identity::new(own, entropy).unwrap(),
        config: LinkConfig {
            retry: Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(20) },
            ..LinkConfig::default()
        },
        executor: Arc::new(Tokio::current().unwrap()),
    }
}

/// Takes the next message, and returns its number.
async fn next(reader: &mut UntypedReader) -> Option<u64> {
    loop {
        match within(reader.recv()).await.unwrap()? {
            UntypedDelivery::Message(message) => {
                let number = u64::from_le_bytes(message.bytes.try_into().unwrap());
                assert_eq!(message.sequence, number);
                return Some(number);
            }
            UntypedDelivery::Gap { missed, .. } => panic!("{missed} missed"),
            UntypedDelivery::Ended { next, .. } => {
                assert_eq!(next, COUNT);
                return None;
            }
            _ => {}
        }
    }
}

/// Runs a process of the recorder that takes messages up to about `until`, is done with some of
/// them, and dies. Returns its first message and the one after its last.
fn killed(topology: &Topology, process: u64, until: u64) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let [mut reader, _others] =
            recorder(topology, process, &["ticks", "tocks"]).try_into().unwrap();
        let first = next(&mut reader).await.unwrap();
        let mut expected = first + 1;
        while expected < until
            && let Some(number) = next(&mut reader).await
        {
            assert_eq!(number, expected);
            expected += 1;
            if !process.is_multiple_of(3) {
                reader.done();
            }
        }
        // What it is done with is sent, or not.
        for _ in 0..process * 20 {
            tokio::task::yield_now().await;
        }
        // Its end is not sent, because the runtime ends first.
        std::mem::forget(reader);
        (first, expected)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_wait_until_the_recorder_is_done_and_its_next_process_gets_the_rest() {
    let directory = Directory::new("recorder");
    let topology = topology(&directory);
    // The recorder comes later, and misses nothing.
    let feed = feed(&topology, COUNT);
    let (mut done, mut seen) = (0, 0);
    for process in 1..12 {
        let of_process = topology.clone();
        let run = move || {
            killed(&of_process, process, if !process.is_multiple_of(3) { seen + BATCH } else { 0 })
        };
        let (first, after) = tokio::task::spawn_blocking(run).await.unwrap();
        // What the last one was not done with comes again.
        assert!((done..=seen).contains(&first), "{process}: {done} {first} {seen}");
        done = first;
        seen = seen.max(after);
    }
    let [mut last, _others] = recorder(&topology, 12, &["ticks", "tocks"]).try_into().unwrap();
    let mut expected = next(&mut last).await.unwrap();
    assert!((done..=seen).contains(&expected), "{done} {expected} {seen}");
    assert!(expected > 0 && seen < COUNT, "{expected} {seen}");
    while let Some(number) = next(&mut last).await {
        expected += 1;
        assert_eq!(number, expected);
        last.done();
    }
    assert_eq!(expected, COUNT - 1);
    last.done();
    within(feed.join()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_link_has_all_topics_and_waits_for_the_node() {
    let directory = Directory::new("recorder-topics");
    let text = format!("{TOPOLOGY}[link.default]\ntransport = \"shm\"\n");
    let topology = Topology::parse("t.toml", &text).unwrap().in_directory(&directory.0);
    let readers = recorder(&topology, 1, &["ticks", "tocks"]);
    let builder = Node::builder("feed").topology(topology);
    let feed = start(builder.service(|| Feed(COUNT)).service(|| Other(COUNT)));
    let counts = readers.into_iter().map(async |mut reader| {
        let mut count = 0;
        while let Some(number) = next(&mut reader).await {
            assert_eq!(number, count);
            count += 1;
            reader.done();
            if count == 10 {
                // An observing reader would miss what arrives now.
                tokio::time::sleep(Duration::from_millis(1300)).await;
            }
        }
        reader.done();
        assert_eq!(count, COUNT);
        reader
    });
    let readers = futures_util::future::join_all(counts).await;
    within(feed.join()).await.unwrap();
    drop(readers);
}

/// Takes the deliveries up to the end of the topic in the node, and is done with them.
async fn topic_ended(reader: &mut UntypedReader) {
    loop {
        let delivery = within(reader.recv()).await.unwrap();
        let has_ended = matches!(delivery, Some(UntypedDelivery::TopicEnded));
        reader.done();
        if has_ended {
            return;
        }
    }
}

/// A tick of another version of the program.
#[message(topic = "ticks", id = 1)]
struct LaterTick {
    number: u64,
    count: u64,
}

struct LaterFeed;

#[service(emits(LaterTick))]
impl LaterFeed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        Ok(ctx.emit(LaterTick { number: 7, count: 8 }).await?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_start_again_with_another_layout() {
    let directory = Directory::new("recorder-layout");
    let topology = topology(&directory);
    let [mut ticks, _tocks] = recorder(&topology, 1, &["ticks", "tocks"]).try_into().unwrap();
    let first = feed(&topology, 1);
    assert_eq!(next(&mut ticks).await, Some(0));
    topic_ended(&mut ticks).await;
    within(first.join()).await.unwrap();

    let builder = Node::builder("feed").topology(topology.clone());
    let later = start(builder.named_service("Feed", || LaterFeed).service(|| Other(0)));
    let mut sizes = Vec::new();
    loop {
        match within(ticks.recv()).await.unwrap().unwrap() {
            UntypedDelivery::Subscribed { layout, .. } => sizes.push(layout.size()),
            UntypedDelivery::Message(message) => {
                assert_eq!(message.bytes, [7_u64, 8].map(u64::to_le_bytes).concat());
                break;
            }
            _ => {}
        }
    }
    assert_eq!(sizes, [16]);
    topic_ended(&mut ticks).await;
    within(later.join()).await.unwrap();
}

/// A message that a link sends in parts.
#[message(topic = "notes", id = 3, max = "256 KiB")]
struct Note {
    text: String,
}

struct Author;

#[service(emits(Note))]
impl Author {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..100 {
            ctx.emit(Note { text: format!("{number:200}").repeat(1000) }).await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_are_done_once_they_are_whole() {
    let directory = Directory::new("recorder-long");
    let text = "[node.feed]\nservices = [\"Author\"]\n\
                [node.recorder]\nservices = [\"Recorder\"]\n[recorder]\ntopics = [\"notes\"]\n";
    let topology = Topology::parse("t.toml", text).unwrap().in_directory(&directory.0);
    let feed = start(Node::builder("feed").topology(topology.clone()).service(|| Author));
    let peer = peer(&topology, "recorder", 1);
    let mut notes = peer.read_gating(&["notes"]).unwrap().swap_remove(0);
    let mut expected = 0;
    loop {
        match within(notes.recv()).await.unwrap().unwrap() {
            UntypedDelivery::Message(message) => {
                assert_eq!(message.sequence, expected);
                expected += 1;
            }
            UntypedDelivery::Gap { missed, .. } => panic!("{missed} missed"),
            UntypedDelivery::Ended { next, .. } => break assert_eq!((next, expected), (100, 100)),
            _ => {}
        }
        notes.done();
    }
    notes.done();
    within(feed.join()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_its_trace() {
    let directory = Directory::new("recorder-traces");
    let topology = topology(&directory);
    for share in [0.0, 1.0] {
        let [mut ticks, _tocks] = recorder(&topology, 1, &["ticks", "tocks"]).try_into().unwrap();
        let builder = Node::builder("feed").topology(topology.clone()).traces(share, NoSpans);
        let feed = start(builder.service(|| Feed(1)).service(|| Other(0)));
        let trace = loop {
            if let Some(UntypedDelivery::Message(message)) = within(ticks.recv()).await.unwrap() {
                break message.trace;
            }
        };
        assert_eq!(trace.is_some_and(|trace| trace.is_sampled()), share > 0.0);
        topic_ended(&mut ticks).await;
        within(feed.join()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_first_holds_up_no_other() {
    let directory = Directory::new("recorder-leaves");
    let topology = topology(&directory);
    for process in 1..=100 {
        let builder = Node::builder("feed").topology(topology.clone());
        let feed = start(builder.service(|| Feed(10)).service(|| Other(0)));
        let readers = recorder(&topology, process, &["tocks", "ticks"]);
        let [first, mut second] = readers.try_into().unwrap();
        // At any step of the link, which asks for one topic after the other.
        tokio::time::sleep(Duration::from_micros(process * 50)).await;
        // The last reader of a link waits for its end.
        within(first.close()).await;
        for number in 0..10 {
            assert_eq!(next(&mut second).await, Some(number));
        }
        topic_ended(&mut second).await;
        within(second.close()).await;
        within(feed.join()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_that_leaves_is_waited_for_and_one_that_closes_is_not() {
    let directory = Directory::new("recorder-away");
    let topology = topology(&directory);
    let feed = feed(&topology, COUNT);
    for process in 0.. {
        let [mut reader, mut other] =
            recorder(&topology, process, &["ticks", "tocks"]).try_into().unwrap();
        // A batch that is not taken whole is never done.
        assert_eq!(next(&mut reader).await, Some(0));
        reader.done();
        match process {
            0 => drop((reader, other)),
            1..4 => {
                within(reader.leave()).await;
                within(other.close()).await;
            }
            // The link stays for the other topic, and nothing waits for this one.
            _ => {
                within(reader.close()).await;
                topic_ended(&mut other).await;
                within(feed.join()).await.unwrap();
                return within(other.close()).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_a_node_does_not_publish_has_ended_there() {
    let directory = Directory::new("recorder-reads");
    // The list would allow the recorder to read `ticks` from every node.
    let text = TOPOLOGY.replace("capacity = 8", "capacity = 8\nreaders = [\"rest\", \"recorder\"]");
    let text = text.replace("[node.feed]", "[node.rest]\nservices = [\"Reads\"]\n[node.feed]");
    let topology = Topology::parse("t.toml", &text).unwrap().in_directory(&directory.0);
    let build = |node: &str| {
        let builder = Node::builder(node).topology(topology.clone());
        builder.service(|| Feed(COUNT)).service(|| Other(0)).service(|| Reads)
    };
    let (rest, feed) = (start(build("rest")), start(build("feed")));
    let rest_peer = UntypedPeer {
        node: Some("rest".to_owned()),
        endpoints: topology.reach("rest", None).unwrap(),
        ..peer(&topology, "recorder", 1)
    };
    let [mut ticks, mut unknown] =
        rest_peer.read_gating(&["ticks", "others"]).unwrap().try_into().unwrap();
    topic_ended(&mut ticks).await;
    topic_ended(&mut unknown).await;
    // A node whose topology does not name the recorder refuses it.
    let mut other = peer(&topology, "stranger", 1).read_gating(&["tocks"]).unwrap().swap_remove(0);
    let refused = loop {
        match within(other.recv()).await {
            Ok(delivery) => assert!(delivery.is_some()),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, UntypedError::Forbidden { .. }), "{refused}");
    let [mut ticks_of_feed, _tocks] =
        recorder(&topology, 1, &["ticks", "tocks"]).try_into().unwrap();
    topic_ended(&mut ticks_of_feed).await;
    within(feed.join()).await.unwrap();
    within(rest.join()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_topics_than_a_link_has_room_for_are_an_error() {
    let directory = Directory::new("recorder-crowd");
    let names: Vec<String> = (0..=TOPICS).map(|number| format!("Feed-{number}")).collect();
    let text = format!("[node.feed]\nobservers = true\nservices = {names:?}\n");
    let topology = Topology::parse("t.toml", &text).unwrap().in_directory(&directory.0);
    let mut builder = Node::builder("feed").topology(topology.clone());
    let topics: Vec<String> = (0..=TOPICS).map(|number| format!("ticks-{number}")).collect();
    for (name, topic) in names.iter().zip(&topics) {
        builder = builder.named_service(name, || Quiet).bind(name, "out", topic);
    }
    let feed = start(builder);
    let peer = peer(&topology, "reader", 1);
    let topics: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
    for (count, is_error) in [(TOPICS, false), (TOPICS + 1, true)] {
        let mut readers = peer.read_many(&topics[..count], Start::Next).unwrap();
        let last = readers.last_mut().unwrap();
        let first = within(last.recv()).await;
        let found =
            first.map(|delivery| matches!(delivery, Some(UntypedDelivery::Subscribed { .. })));
        match is_error {
            false => assert_eq!(found.map_err(|error| error.to_string()), Ok(true)),
            true => assert!(matches!(found, Err(UntypedError::TooManyTopics { limit: 64, .. }))),
        }
    }
    feed.shutdown();
    within(feed.join()).await.unwrap();
}

#[test]
fn a_recorder_needs_a_node_and_topics_and_is_run_by_the_tool() {
    let parse = |text: &str| Topology::parse("t.toml", text);
    let error = parse("[recorder]\ntopics = [\"ticks\"]\n").unwrap_err().to_string();
    assert!(error.starts_with("t.toml:1:"), "{error}");
    assert!(error.contains("no node has the service `Recorder`"), "{error}");
    let none = TOPOLOGY.replace("[\"ticks\", \"tocks\"]", "[]");
    let error = parse(&none).unwrap_err().to_string();
    assert!(error.contains("expected topics that are recorded"), "{error}");
    let twice = TOPOLOGY.replace("\"tocks\"]", "\"ticks\"]");
    let error = parse(&twice).unwrap_err().to_string();
    assert!(error.starts_with("t.toml:9:20: topic `ticks` is in the list twice"), "{error}");
    let shared = TOPOLOGY.replace("[\"Recorder\"]", "[\"Recorder\", \"Other\"]");
    let shared = shared.replace(", \"Other\"]\n[node.r", "]\n[node.r");
    let error = parse(&shared).unwrap_err().to_string();
    assert!(error.starts_with("t.toml:5:25: `Other` is in the node of `Recorder`"), "{error}");
    let typo = parse(&TOPOLOGY.replace("\"tocks\"]", "\"tokcs\"]")).unwrap();
    let builder = Node::builder("feed").topology(typo).service(|| Feed(0)).service(|| Other(0));
    let error = builder.build().unwrap_err().to_string();
    assert!(error.starts_with("t.toml:9:20: unknown topic `tokcs`"), "{error}");

    let directory = Directory::new("recorder-node");
    let builder = Node::builder("recorder").topology(topology(&directory));
    let node = builder.service(|| Feed(0)).service(|| Other(0)).build().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(async { node.start(Tokio::current().unwrap()).unwrap_err() });
    assert_eq!(error.code(), Code::SERVICE_ONLY_DESCRIBED, "{error}");
}
