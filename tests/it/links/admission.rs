//! Admission under load: an announced reader always gets a connection.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::io::AsyncReadExt;
use mycelium_transports::link::Notice;
use mycelium_transports::local::Policy;
use tokio::time::Instant;

use crate::links::harness::{
    Carrier, Number, PATIENCE, Place, Side, TestDir, child, connect, drip, emit, end, hear, hello,
    join, limit_descriptors, named, over_each_carrier, part, ping, say, sides, sides_over,
    subscribe, take, until, within,
};

over_each_carrier! {
    #[tokio::test]
    an_unannounced_reader_does_not_block_a_publisher;
    h4_pending_connections_make_room_for_new_ones;
    named_connections_leave_room_for_announced_readers;
    h5_a_reader_gets_in_when_descriptors_run_short;
    a_connection_that_takes_the_last_descriptor_is_served;
    a_reader_gets_in_while_a_crowd_renews_its_connections;
}

/// The number of clients in a crowd. Without optimisation, each costs the server much more.
const CROWD: usize = if cfg!(debug_assertions) { 200 } else { 1000 };

const GATING: u8 = 0;
const REJECTING: u8 = 2;

/// The test that child processes run, with their part in its environment.
const CHILD: &str = "links::admission::child_process";

/// Plays its part in a child process; returns at once in the test run itself.
#[test]
fn child_process() {
    let Some((part, place)) = part() else { return };
    match &*part {
        "serve" => serve_with_few_descriptors(&place, None),
        // The limit of the configuration is above the one of the system.
        "cram" => serve_with_few_descriptors(&place, Some(CROWD)),
        "drip" => drip(&place, CROWD),
        _ => crowd(&place),
    }
}

/// Opens connections without a pause. Each sends nothing, and stays until the server closes it.
fn crowd(place: &Place) {
    let mut open = VecDeque::new();
    loop {
        if open.len() < CROWD
            && let Ok(stream) = place.open()
        {
            open.push_back(stream);
        }
        let Some(mut stream) = open.pop_front() else { continue };
        if stream.hear() {
            open.push_back(stream);
        }
    }
}

/// Runs a server for the reader `here` in a process that may have 64 descriptors.
fn serve_with_few_descriptors(place: &Place, limits: Option<usize>) {
    limit_descriptors(Some(64));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut there = Side::new("there", 1, 8);
        if let Some(most) = limits {
            (there.config.connections, there.config.handshakes) = (most, most);
            there.config.per_process = most;
        }
        let serving = there.serve(there.exports_for("here", Policy::Block), place);
        serving.await.unwrap();
    });
}

/// Returns how long it takes `here` to connect and to leave again.
async fn gets_in(place: &Place, boot: u64) -> Duration {
    let began = Instant::now();
    let here = Side::new("here", boot, 8);
    let reading = here.read("there", place, Policy::Block);
    here.notices.until("up", "").await;
    within("it is served", here.control.ready()).await;
    let took = began.elapsed();
    end(&[&here], [reading]).await;
    took
}

/// The backlog is full but its process runs, so an early retry may succeed.
#[tokio::test]
async fn a_full_backlog_is_tried_again_after_the_first_pause() {
    let dir = TestDir::new("admission-backlog");
    let here = Side::new("here", 1, 8);
    let mut imports = here.imports("there", dir.place(), vec![here.interest(Policy::Block)]);
    let pauses: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let seen = pauses.clone();
    imports.connect = Box::new(|| Box::pin(async { Err(ErrorKind::WouldBlock.into()) }));
    imports.observer = Arc::new(move |notice| {
        let Notice::Unreachable { pause, .. } = notice else { return };
        seen.lock().unwrap().push(pause);
    });
    let first = imports.config.retry.first;
    let reading = tokio::spawn(imports.run().unwrap());
    until("it has tried", || pauses.lock().unwrap().len() >= 10).await;
    assert!(pauses.lock().unwrap().iter().all(|pause| *pause <= first), "{pauses:?}");
    here.control.drain();
    end(&[&here], [reading]).await;
}

/// A connection attempt that neither succeeds nor fails, as with a resolver that does not answer,
/// or a host that is gone.
#[tokio::test]
async fn a_connection_that_is_never_made_holds_up_neither_other_links_nor_the_end() {
    let (dir, there, here) = sides("admission-never", 8);
    let mut never = here.imports("nowhere", dir.place(), vec![here.interest(Policy::Block)]);
    never.connect = Box::new(|| Box::pin(std::future::pending()));
    let waiting = tokio::spawn(never.run().unwrap());
    let (_, mut reader, tasks) = join(&dir, &there, &here).await;
    let mut publisher = there.publisher();
    for value in 0..100 {
        emit(&mut publisher, value..value + 1).await;
        take(&mut reader, value..value + 1).await;
    }
    end(&[&there, &here], tasks.into_iter().chain([waiting])).await;
}

/// The unannounced reader subscribes in the gating mode, grants credit for one message, and never
/// confirms it.
async fn an_unannounced_reader_does_not_block_a_publisher(carrier: Carrier) {
    for mode in [GATING, REJECTING] {
        let (dir, there, here) = sides_over(carrier, "admission-gate", 8);
        let (_, mut reader, tasks) = join(&dir, &there, &here).await;
        let mut stranger = named(dir.place(), "stranger").await;
        say(&mut stranger, &[subscribe::<Number>(mode, 1), ping()].concat()).await;
        let mut publisher = there.publisher();
        there.notices.until("up", "stranger").await;
        for value in 0..1000 {
            let emitting = emit(&mut publisher, value..value + 1);
            let continues = tokio::time::timeout(Duration::from_secs(10), emitting).await;
            continues.expect("the good reader continues");
            take(&mut reader, value..value + 1).await;
        }
        assert_eq!(there.link("stranger", "refused"), 1);
        drop(stranger);
        end(&[&there, &here], tasks).await;
    }
}

async fn h4_pending_connections_make_room_for_new_ones(carrier: Carrier) {
    let dir = TestDir::over(carrier, "admission-silent");
    let mut there = Side::new("there", 1, 8);
    // Pending connections stay until they are evicted.
    there.config.handshake = PATIENCE;
    let serving = there.serve(there.exports_for("here", Policy::Block), dir.place());
    let mut silent = VecDeque::new();
    for _ in 0..there.config.handshakes {
        silent.push_back(connect(dir.place()).await);
    }
    gets_in(dir.place(), 1).await;
    // Only the oldest connection was evicted.
    hear(&mut silent.pop_front().unwrap()).await;
    assert_eq!(there.link("there", "evicted"), 1);
    gets_in(dir.place(), 2).await;
    assert_eq!(there.link("there", "evicted"), 1, "its place is free again");
    end(&[&there], [serving]).await;
}

async fn named_connections_leave_room_for_announced_readers(carrier: Carrier) {
    let dir = TestDir::over(carrier, "admission-named");
    let mut there = Side::new("there", 1, 8);
    there.config.connections = 16;
    let serving = there.serve(there.exports_for("here", Policy::Block), dir.place());
    let mut idle = Vec::new();
    for me in 0..15 {
        let node = format!("idle-{me}-");
        idle.push(named(dir.place(), &node).await);
        there.notices.until("up", &node).await;
    }
    for boot in 0..3 {
        // A further connection is rejected.
        hear(&mut named(dir.place(), "one-more").await).await;
        gets_in(dir.place(), boot).await;
    }
    assert_eq!(there.link("there", "rejected_peers"), 3);
    let words = "the limit of connections is reached";
    assert_eq!(there.notices.count("rejected", words), 3);
    assert_eq!((there.link("there", "evicted"), there.notices.count("up", "idle-")), (0, 15));
    end(&[&there], [serving]).await;
}

async fn h5_a_reader_gets_in_when_descriptors_run_short(carrier: Carrier) {
    for part in ["serve", "cram"] {
        let dir = TestDir::over(carrier, "admission-descriptors");
        let _part = child(CHILD, part, dir.place());
        until("it listens", || dir.place().is_served()).await;
        let mut open = Vec::new();
        for me in 0..100 {
            open.push(named(dir.place(), &format!("idle-{me}-")).await);
            open.push(connect(dir.place()).await);
        }
        let took = gets_in(dir.place(), 1).await;
        assert!(took < Duration::from_secs(5), "{part}: {took:?}");
    }
}

/// From then on the system refuses to accept, but no client waits: no connection has to make room.
async fn a_connection_that_takes_the_last_descriptor_is_served(carrier: Carrier) {
    let dir = TestDir::over(carrier, "admission-last");
    let _part = child(CHILD, "cram", dir.place());
    until("it listens", || dir.place().is_served()).await;
    let (endpoint, side) = (dir.place().endpoint(), Side::new("here", 1, 8));
    let mut open = Vec::new();
    for me in 0..100 {
        let mut stream = within("it connects", endpoint.connect(&side.executor)).await.unwrap();
        say(&mut stream, &hello(&format!("idle-{me}-"), 1, 1)).await;
        within("an answer", stream.read_exact(&mut [0; 24])).await.expect("it is served");
        open.push(stream);
    }
}

async fn a_reader_gets_in_while_a_crowd_renews_its_connections(carrier: Carrier) {
    for part in ["silent", "drip"] {
        let dir = TestDir::over(carrier, "admission-crowd");
        let there = Side::new("there", 1, 8);
        let serving = there.serve(there.exports_for("here", Policy::Block), dir.place());
        let crowd = child(CHILD, part, dir.place());
        until("they come", || there.notices.total() > CROWD).await;
        let mut times = Vec::new();
        for boot in 0..5 {
            times.push(gets_in(dir.place(), boot).await);
        }
        times.sort();
        // Other tests run on the same cores, so the limit is generous.
        let limit = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 1 });
        assert!(times[2] < limit, "{part}: {times:?}");
        drop(crowd);
        end(&[&there], [serving]).await;
    }
}
