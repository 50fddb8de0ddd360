//! Clients that do not read, topics that wait, and the end of a node.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use mycelium::legacy::LegacyCodec;
use mycelium::observe::Outcome;
use mycelium::{Context, Node, Result, service};
use mycelium_tokio::Tokio;
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::sync::Notify;

use crate::legacy::harness::{
    BLOB, BROKER, Broker, Client, Flood, Floor, ORDER, Order, SWAP, Taker, counter, frame, run,
    until, until_at_least, words,
};

/// More than the system buffers for a client that does not read.
const BLOBS: u64 = 4000;

fn first_word(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload[..8].try_into().unwrap())
}

/// In the original system, a client that did not read blocked a task that no shutdown could reach.
#[test]
fn h6_a_client_that_never_reads_is_disconnected_and_holds_up_nobody() {
    let floor = Floor::of_flood("queue = \"64 KiB\"");
    let node = floor.builder().service(|| Flood).build().unwrap();
    let (mut idle, report) = run(node, move |running| {
        let idle = floor.connect();
        until(running, "connections", 1);
        let mut client = floor.connect();
        client.send(&words(SWAP, 0, BLOBS));
        // This client reads at once, but it may be slower than the flood, and then it is
        // disconnected, too.
        for (next, (type_id, payload)) in (0..BLOBS).zip(std::iter::from_fn(|| client.frame())) {
            let found = (type_id, first_word(&payload));
            assert_eq!(found, (BLOB, next), "none is missing before the end");
        }
        until_at_least(running, "errors", 1);
        idle
    });
    assert!(counter(&report.counters, "dropped") > 0);
    // The idle client gets the messages that were written to it, in order, and then the end.
    let received = std::iter::from_fn(|| whole(&mut idle));
    let numbers: Vec<_> = received.map(|(_, payload)| first_word(&payload)).collect();
    assert!(numbers.len() < BLOBS as usize);
    assert!(numbers.into_iter().zip(0..).all(|(number, next)| number == next));
}

/// Returns the next frame, or `None` if the connection ends before or within it.
fn whole(client: &mut Client) -> Option<(u16, Vec<u8>)> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.frame())).ok().flatten()
}

#[test]
fn a_slow_client_misses_messages_that_are_counted() {
    let floor = Floor::of_flood("queue = \"64 KiB\"\nslow = \"drop\"");
    let node = floor.builder().service(|| Flood).build().unwrap();
    let (received, report) = run(node, move |running| {
        let slow = floor.connect();
        until(running, "connections", 1);
        let mut client = floor.connect();
        client.send(&words(SWAP, 0, BLOBS));
        until_at_least(running, "dropped", 1);
        // Each message is written or dropped, once for each client.
        let reading = [slow, client].map(|mut client| {
            std::thread::spawn(move || {
                let frames = std::iter::from_fn(|| client.frame());
                frames.map(|(_, payload)| first_word(&payload)).collect::<Vec<_>>()
            })
        });
        let value = |name| counter(&running.counters(), name);
        while value("sent") + value("dropped") < 2 * BLOBS {
            std::thread::yield_now();
        }
        running.shutdown();
        reading.map(|reading| reading.join().unwrap())
    });
    for numbers in &received {
        assert!(numbers.is_sorted_by(|a, b| a < b), "in order");
    }
    let received = received.iter().map(Vec::len).sum::<usize>() as u64;
    let value = |name| counter(&report.counters, name);
    assert_eq!((value("sent"), value("errors")), (received, 0));
    assert_eq!(value("sent") + value("dropped"), 2 * BLOBS);
}

/// A node ends while a client does not read: frames that the client reads later count as sent.
#[test]
fn a_frame_is_sent_once_its_last_byte_is_written() {
    let floor = Floor::of_flood("slow = \"drop\"");
    let node = floor.builder().service(|| Flood).build().unwrap();
    let (mut idle, report) = run(node, move |running| {
        let mut idle = floor.connect();
        idle.send(&words(SWAP, 0, BLOBS));
        until_at_least(running, "dropped", 1);
        idle
    });
    let received = std::iter::from_fn(|| whole(&mut idle)).count() as u64;
    let value = |name| counter(&report.counters, name);
    assert_eq!((value("sent"), value("sent") + value("dropped")), (received, BLOBS));
}

/// Returns a node that takes no swap before the notification, and the swaps that it takes.
fn waiting(floor: &Floor) -> (Node, Receiver<(u64, u64)>, Arc<Notify>) {
    let ((sender, taken), go) = (channel(), Arc::new(Notify::new()));
    let told = go.clone();
    let service = move || Taker(sender.clone(), Some(told.clone()));
    (floor.builder().service(service).build().unwrap(), taken, go)
}

#[test]
fn a_topic_that_waits_makes_clients_wait_and_loses_nothing() {
    let floor = Floor::of_taker("payload = \"64 KiB\"");
    let (node, taken, go) = waiting(&floor);
    let (_, report) = run(node, move |_| {
        let client = floor.connect();
        client.0.set_nonblocking(true).unwrap();
        // By default, the system would buffer megabytes for this client.
        set_socket_send_buffer_size(&client.0, 1 << 16).unwrap();
        // Sends until the buffers of both sides are full.
        let (mut stream, mut sent, mut rest) = (&client.0, 0_u64, Vec::new());
        let mut full = 0;
        while full < 1000 {
            if rest.is_empty() {
                rest = (sent..sent + 1000).flat_map(|number| words(SWAP, number, 0)).collect();
                sent += 1000;
            }
            match std::io::Write::write(&mut stream, &rest) {
                Ok(count) => {
                    rest.drain(..count);
                    full = 0;
                }
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    full += 1;
                    std::thread::yield_now();
                }
            }
        }
        assert!(taken.try_recv().is_err(), "nothing is taken yet");
        client.0.set_nonblocking(false).unwrap();
        go.notify_one();
        std::io::Write::write_all(&mut stream, &rest).unwrap();
        for number in 0..sent {
            assert_eq!(taken.recv().unwrap(), (number, 0));
        }
        sent
    });
    assert!(counter(&report.counters, "received") > 1024, "more than a ring");
    assert_eq!(counter(&report.counters, "errors"), 0);
}

#[test]
fn a_topic_that_rejects_loses_messages_that_are_counted() {
    let sections =
        "[subscription.\"Taker.swaps\"]\npolicy = \"reject\"\n[topic.swaps]\ncapacity = 16\n";
    let mut floor = Floor::of_taker("");
    floor.text += sections;
    let (node, taken, go) = waiting(&floor);
    let (_, report) = run(node, move |running| {
        let mut client = floor.connect();
        (0..100).for_each(|number| client.send(&words(SWAP, number, 0)));
        until(running, "refused", 84);
        go.notify_one();
        for number in 0..16 {
            assert_eq!(taken.recv().unwrap(), (number, 0));
        }
    });
    assert_eq!(counter(&report.counters, "received"), 16);
}

#[test]
fn a_message_whose_codec_panics_becomes_a_dead_letter_and_others_arrive() {
    let floor = Floor::plain("");
    let codec = LegacyCodec::new(
        |_: &[u8]| Err("not from clients".into()),
        |order: &Order, payload: &mut Vec<u8>| {
            assert_ne!(order.pool, 13, "a codec that panics");
            payload.extend(order.pool.to_le_bytes());
        },
    );
    let node = floor.builder().legacy(codec).service(|| BROKER).build().unwrap();
    let (_, report) = run(node, move |_| {
        let mut client = floor.connect();
        (12..15).for_each(|number| client.send(&words(SWAP, number, 0)));
        for number in [12_u64, 14] {
            assert_eq!(client.frame(), Some((ORDER, number.to_le_bytes().to_vec())));
        }
    });
    let out = report.services.iter().find(|it| it.name == "legacy:floor:out:orders").unwrap();
    assert_eq!((out.panics, &out.outcome), (2, &Outcome::Completed));
}

/// Emits this many orders after a notification, and ends.
struct Emitter(u64, Arc<Notify>);

#[service(emits(Order))]
impl Emitter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        self.1.notified().await;
        for pool in 0..self.0 {
            ctx.emit(Order { pool, amount: 1 }).await?;
        }
        Ok(())
    }
}

#[test]
fn a_listener_that_only_sends_ends_with_its_topics_and_clients_get_all() {
    let types = "12 = { topic = \"orders\", clients = \"receive\" }";
    let floor = Floor::new("\"plain\"", "", types);
    let go = Arc::new(Notify::new());
    let told = go.clone();
    let node = floor.builder().service(move || Emitter(5000, told.clone())).build().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    let mut client = floor.connect();
    until(&running, "connections", 1);
    go.notify_one();
    for pool in 0..5000 {
        assert_eq!(client.words(), Some((ORDER, pool, 1)));
    }
    assert_eq!(client.frame(), None);
    drop(client);
    let report = runtime.block_on(running.join()).unwrap();
    assert!(report.services.iter().all(|service| service.outcome == Outcome::Completed));
    // The node has ended, so its address is free.
    std::net::TcpListener::bind(&floor.address).unwrap();
}

#[test]
fn what_clients_sent_before_a_shutdown_is_published_and_answered() {
    let floor = Floor::plain("");
    let node = floor.builder().service(|| Broker { is_late: true }).build().unwrap();
    let (_, report) = run(node, move |running| {
        let mut client = floor.connect();
        (0..50).for_each(|number| client.send(&words(SWAP, number, number)));
        // An invalid frame does not end the connection.
        client.send(&frame(9, b""));
        until(running, "unknown", 1);
        running.shutdown();
        for number in 0..50 {
            assert_eq!(client.words(), Some((ORDER, number, number)));
        }
        assert_eq!(client.frame(), None);
    });
    assert_eq!(counter(&report.counters, "sent"), 50);
}
