//! Messages that the server stores for readers.
#![expect(clippy::disallowed_methods, reason = "NATS has real time")]

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use mycelium::subscribe::SubscribeOptions;
use mycelium::{Context, Node, Policy, Result, Running, Topology, service};
use mycelium_nats::JetStream;
use mycelium_tokio::Tokio;
use mycelium_transports::local::{Schema, Start};

use crate::server::Server;
use crate::ticks::{Cable, Found, Reader, Tick, Ticking, end};

fn try_reading(
    found: &Found,
    server: &str,
    options: SubscribeOptions,
) -> std::result::Result<Running, String> {
    let found = found.clone();
    let node = Node::builder("there").service(move || Reader(found.clone()));
    let node = node.subscription("Reader", "ticks", options);
    let node = node.transport(JetStream::server(server), &[], &["ticks"]).build().unwrap();
    node.start(Tokio::current().unwrap()).map_err(|error| error.to_string())
}

/// Starts a node whose reader takes each message, from the oldest on.
pub(crate) fn reading(found: &Found, server: &str) -> Running {
    let options = SubscribeOptions::new(Policy::Block, Start::Oldest);
    try_reading(found, server, options).unwrap()
}

fn ticking(server: &Server) -> Ticking {
    Ticking::start(JetStream::server(&server.url()))
}

/// Checks that all of these messages have arrived, each once.
async fn assert_all(found: &Found, sent: u64) {
    found.until(|found| found.next.load(Ordering::Relaxed) == sent).await;
    assert_eq!(found.messages(), sent, "{found:?}");
    assert_eq!(found.missed.load(Ordering::Relaxed), 0);
    assert_eq!(found.inexact.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_get_all_messages_also_those_from_before_their_start() {
    let Some(server) = Server::start().await else { return };
    let clock = ticking(&server);
    let found = Found::default();
    let there = reading(&found, &server.url());
    found.more(300).await;
    let sent = clock.end().await;
    assert_all(&found, sent).await;
    end(there).await;
    // The stream outlives both nodes. A reader that drops messages has no place in it.
    for _ in 0..2 {
        let found = Found::default();
        let options = SubscribeOptions::new(Policy::DropOldest, Start::Oldest);
        let there = try_reading(&found, &server.url(), options).unwrap();
        assert_all(&found, sent).await;
        end(there).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_may_begin_at_a_time_or_a_position() {
    let Some(server) = Server::start().await else { return };
    let clock = ticking(&server);
    let sent = || clock.sent.load(Ordering::Relaxed);
    Found::default().until(|_| sent() > 200).await;
    // The clock of this machine is the server's.
    let (time, before) = (SystemTime::now(), sent());
    Found::default().until(|_| sent() > before + 200).await;
    let start = |start| {
        let found = Found::default();
        let options = SubscribeOptions::new(Policy::Block, start);
        (try_reading(&found, &server.url(), options).unwrap(), found)
    };
    let (there, found) = start(Start::Since(time));
    found.more(100).await;
    let first = found.first.load(Ordering::Relaxed);
    assert!(first + 50 > before && first <= before + 50, "{first}, {before} before");
    end(there).await;
    // Its node has a place now: another one has none.
    let found = Found::default();
    let options = SubscribeOptions::new(Policy::DropOldest, Start::Position(5));
    let there = try_reading(&found, &server.url(), options).unwrap();
    found.more(100).await;
    let first = found.first.load(Ordering::Relaxed);
    assert!(first >= 4 && first < before, "{first}");
    end(there).await;
    let late = SystemTime::now() + Duration::from_secs(3600);
    for (start, problem) in [
        (Start::Since(late), "from a time that has not come"),
        (Start::Position(1 << 40), "from position 1099511627776, and its stream ends at"),
    ] {
        let options = SubscribeOptions::new(Policy::DropOldest, start);
        let error = try_reading(&found, &server.url(), options).err().unwrap();
        assert!(error.to_string().contains(problem), "{error}");
    }
    clock.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_comes_back_goes_on_where_it_was() {
    let Some(server) = Server::start().await else { return };
    let (clock, found) = (ticking(&server), Found::default());
    for _ in 0..5 {
        let there = reading(&found, &server.url());
        found.more(100).await;
        end(there).await;
    }
    let sent = clock.end().await;
    let there = reading(&found, &server.url());
    assert_all(&found, sent).await;
    end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_wait_while_the_server_is_away() {
    let Some(mut server) = Server::start().await else { return };
    let found = Found::default();
    let there = reading(&found, &server.url());
    let clock = ticking(&server);
    for millis in [0, 100, 1000, 5000] {
        found.more(100).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(millis)).await;
        server.start_again().await;
    }
    found.more(2000).await;
    let sent = clock.end().await;
    assert_all(&found, sent).await;
    end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_loses_nothing() {
    let Some(server) = Server::start().await else { return };
    let cables = [Cable::to(server.at), Cable::to(server.at)];
    let [here, over] = cables.each_ref().map(|cable| format!("nats://{}", cable.at));
    let found = Found::default();
    let options = SubscribeOptions::new(Policy::Block, Start::Oldest);
    let there = try_reading(&found, &over, options).unwrap();
    let clock = Ticking::start(JetStream::server(&here));
    for round in 0..6 {
        found.more(100).await;
        cables[round % 2].cut();
        tokio::time::sleep(Duration::from_millis(200)).await;
        cables[round % 2].mend();
    }
    let sent = clock.end().await;
    assert_all(&found, sent).await;
    end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stream_makes_publishers_wait() {
    let Some(server) = Server::start().await else { return };
    let client = async_nats::connect(server.url()).await.unwrap();
    let context = jetstream::new(client);
    let config = Config {
        name: "mycelium-stored-ticks".to_owned(),
        subjects: vec!["mycelium-stored.ticks.>".to_owned()],
        discard: DiscardPolicy::New,
        max_messages: 30,
        ..Config::default()
    };
    let stream = context.create_stream(config).await.unwrap();
    let (found, clock) = (Found::default(), ticking(&server));
    let there = reading(&found, &server.url());
    found.more(1).await;
    let mut before = 0;
    while clock.sent.load(Ordering::Relaxed) > before {
        before = clock.sent.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for _ in 0..5 {
        found.until(|found| found.messages() > 0).await;
        stream.purge().await.unwrap();
        found.more(1).await;
    }
    // What the server has removed was read before.
    let purging = async {
        loop {
            stream.purge().await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let sent = tokio::select! { sent = clock.end() => sent, () = purging => 0 };
    found.until(Found::is_whole).await;
    found.until(|found| found.next.load(Ordering::Relaxed) == sent).await;
    end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_removed_before_it_was_read_is_a_gap() {
    let Some(server) = Server::start().await else { return };
    let found = Found::default();
    let clock = ticking(&server);
    let there = reading(&found, &server.url());
    found.more(100).await;
    end(there).await;
    let sent = clock.sent.load(Ordering::Relaxed);
    found.until(|_| clock.sent.load(Ordering::Relaxed) > sent + 200).await;
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    context.get_stream("mycelium-stored-ticks").await.unwrap().purge().await.unwrap();
    let there = reading(&found, &server.url());
    found.more(100).await;
    clock.end().await;
    assert_eq!(found.inexact.load(Ordering::Relaxed), 1);
    end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_packet_is_ignored() {
    let Some(server) = Server::start().await else { return };
    let found = Found::default();
    let there = reading(&found, &server.url());
    let clock = ticking(&server);
    found.more(50).await;
    let liar = async_nats::connect(server.url()).await.unwrap();
    let digest = Schema::of::<Tick>().digest.to_string();
    for sender in 0..1000 {
        let lie: Vec<u8> = (0..sender as usize % 300).map(|byte| byte as u8 ^ 0xa1).collect();
        for digest in [&digest, "other"] {
            let subject = format!("mycelium-stored.ticks.{digest}.liar-{sender}");
            liar.publish(subject, lie.clone().into()).await.unwrap();
        }
    }
    found.more(200).await;
    let sent = clock.end().await;
    assert_all(&found, sent).await;
    end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topology_may_ask_for_it() {
    let Some(server) = Server::start().await else { return };
    let found = Found::default();
    let config = server.directory().join("context.json");
    std::fs::write(&config, format!("{{ \"url\": \"{}\" }}", server.url())).unwrap();
    let text = "[node.main]\nservices = [\"Count\"]\n[node.there]\nservices = [\"Reader\"]\n\
         [engine.jetstream]\nconfig = \"context.json\"\n[topic.ticks]\ntransport = \"jetstream\"\n\
         [subscription.\"Reader.ticks\"]\nstart = \"oldest\"\n";
    let file = server.directory().join("t.toml");
    let topology = || Topology::parse(file.display().to_string(), text).unwrap();
    let node = |name: &str| {
        let found = found.clone();
        let node = Node::builder(name).topology(topology()).service(|| Count);
        let node = node.service(move || Reader(found.clone())).engine::<JetStream>();
        node.build().unwrap().start(Tokio::current().unwrap()).unwrap()
    };
    let main = node("main");
    main.join().await.unwrap();
    let there = node("there");
    assert_all(&found, 10_000).await;
    end(there).await;
}

/// Emits some ticks.
struct Count;

#[service(emits(Tick))]
impl Count {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..10_000 {
            ctx.emit(Tick { number }).await?;
        }
        Ok(())
    }
}

/// Returns why a reader does not start.
async fn refusal(server: &Server) -> String {
    let options = SubscribeOptions::new(Policy::Block, Start::Next);
    let error = try_reading(&Found::default(), &server.url(), options).unwrap_err();
    let begins = "transport `jetstream` of node `there` failed: ";
    error.strip_prefix(begins).unwrap_or_else(|| panic!("{error}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_cannot_have_the_topic_is_an_error_of_the_start() {
    let Some(server) = Server::start().await else { return };
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let config = Config {
        name: "mycelium-stored-ticks".to_owned(),
        subjects: vec!["mycelium-stored.ticks.>".to_owned()],
        ..Config::default()
    };
    let queue = Config { retention: RetentionPolicy::WorkQueue, ..config.clone() };
    let silent = Config { no_ack: true, ..config };
    for (config, problem) in [
        (queue, "it has the retention WorkQueue"),
        (silent, "has `no_ack`, so it confirms nothing"),
    ] {
        context.create_stream(config).await.unwrap();
        let error = refusal(&server).await;
        assert!(error.contains(problem), "{error}");
        context.delete_stream("mycelium-stored-ticks").await.unwrap();
    }
    context
        .get_or_create_stream(Config {
            name: "mycelium-places".to_owned(),
            subjects: vec!["mycelium-places.>".to_owned()],
            ..Config::default()
        })
        .await
        .unwrap();
    let place = context.publish("mycelium-places.there.ticks", "nonsense".into()).await.unwrap();
    place.await.unwrap();
    let error = refusal(&server).await;
    assert!(error.contains("subject `mycelium-places.there.ticks` is not a place"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_deleted_is_created_again_and_the_next_messages_arrive() {
    let Some(server) = Server::start().await else { return };
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let found = Found::default();
    let there = reading(&found, &server.url());
    // The new stream begins with positions that the old one had long ago.
    for lie in 0..1000 {
        let subject = format!("mycelium-stored.ticks.other.liar-{lie}");
        context.publish(subject, "".into()).await.unwrap().await.unwrap();
    }
    let clock = ticking(&server);
    for _ in 0..3 {
        found.more(200).await;
        context.delete_stream("mycelium-stored-ticks").await.unwrap();
        found.more(200).await;
        context.delete_stream("mycelium-places").await.unwrap();
    }
    found.more(200).await;
    clock.end().await;
    let packets = context.get_stream("mycelium-stored-ticks").await.unwrap();
    assert!(packets.cached_info().state.messages < 3000, "{:?}", packets.cached_info().state);
    assert!(found.inexact.load(Ordering::Relaxed) > 0, "{found:?}");
    end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_starts_in_the_middle_gets_all_that_follows() {
    let Some(server) = Server::start().await else { return };
    for round in 0..8 {
        let text = "[node.main]\nshutdown = \"1s\"\n[topic.ticks]\ncapacity = 65536\n";
        let topology = Topology::parse("t.toml", text).unwrap();
        let flood = Node::builder("main").topology(topology).service(|| crate::nodes::Flood);
        let flood = flood.transport(JetStream::server(&server.url()), &["ticks"], &[]);
        let main = flood.build().unwrap().start(Tokio::current().unwrap()).unwrap();
        tokio::time::sleep(Duration::from_millis(3 * round)).await;
        let found = Found::default();
        let options = SubscribeOptions::new(Policy::Block, Start::Next);
        let there = try_reading(&found, &server.url(), options).unwrap();
        found.more(10_000).await;
        main.shutdown();
        let _ = main.join().await;
        end(there).await;
        assert_eq!(found.missed.load(Ordering::Relaxed), 0, "{found:?}");
        let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
        context.delete_stream("mycelium-stored-ticks").await.unwrap();
    }
}

/// Emits some ticks, and tells when they are stored.
struct Sure(mpsc::Sender<()>);

#[service(emits(Tick))]
impl Sure {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..5000 {
            ctx.emit(Tick { number }).await?;
        }
        ctx.confirmed().await;
        let _ = self.0.send(());
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_confirmed_survives_a_kill_of_the_server_and_of_the_publisher() {
    let Some(mut server) = Server::start().await else { return };
    let (sender, stored) = mpsc::channel();
    let node = Node::builder("main").service(move || Sure(sender.clone()));
    let node = node.transport(JetStream::server(&server.url()), &["ticks"], &[]).build().unwrap();
    let main = node.start(Tokio::current().unwrap()).unwrap();
    tokio::task::spawn_blocking(move || stored.recv().unwrap()).await.unwrap();
    server.kill();
    main.shutdown();
    let _ = main.join().await;
    server.start_again().await;
    let found = Found::default();
    let there = reading(&found, &server.url());
    assert_all(&found, 5000).await;
    end(there).await;
}

/// The server comes back with an older store, to which others have added more than a reader has
/// read, while the reader's node runs, or before its next process.
async fn an_older_store_that_has_grown(ends: bool) {
    let Some(mut server) = Server::start().await else { return };
    let found = Found::default();
    end(reading(&found, &server.url())).await;
    server.kill();
    server.save_store("older");
    server.start_again().await;
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    for lie in 0..1000 {
        let subject = format!("mycelium-stored.ticks.other.liar-{lie}");
        context.publish(subject, "".into()).await.unwrap().await.unwrap();
    }
    server.kill();
    server.save_store("grown");
    server.restore_store("older");
    server.start_again().await;
    let mut there = Some(reading(&found, &server.url()));
    let clock = ticking(&server);
    found.more(200).await;
    assert_eq!(found.inexact.load(Ordering::Relaxed), 0);
    let mut place = Vec::new();
    if let Some(node) = there.take_if(|_| ends) {
        end(node).await;
        let places = jetstream::new(async_nats::connect(server.url()).await.unwrap());
        let places = places.get_stream("mycelium-places").await.unwrap();
        let last = places.get_last_raw_message_by_subject("mycelium-places.there.ticks");
        place = last.await.unwrap().payload.to_vec();
    }
    server.kill();
    server.restore_store("grown");
    server.start_again().await;
    if ends {
        let places = jetstream::new(async_nats::connect(server.url()).await.unwrap());
        let stored = places.publish("mycelium-places.there.ticks", place.into()).await.unwrap();
        stored.await.unwrap();
    }
    let there = there.unwrap_or_else(|| reading(&found, &server.url()));
    found.until(|found| found.inexact.load(Ordering::Relaxed) > 0).await;
    found.more(200).await;
    clock.end().await;
    end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_store_that_has_grown_is_an_inexact_gap_of_a_running_node() {
    an_older_store_that_has_grown(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_store_that_has_grown_is_an_inexact_gap_of_the_next_process() {
    an_older_store_that_has_grown(true).await;
}

/// Somebody deletes the places while nothing is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_that_are_deleted_are_stored_again() {
    let Some(server) = Server::start().await else { return };
    let found = Found::default();
    let there = reading(&found, &server.url());
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    context.delete_stream("mycelium-places").await.unwrap();
    let waits = async {
        while context.get_stream("mycelium-places").await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waits).await.unwrap();
    end(there).await;
}
