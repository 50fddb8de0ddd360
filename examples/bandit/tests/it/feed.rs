//! A feed and its clients, over pipes in memory: after any fault, each log arrives once and in
//! order.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};

use crate::common::{End, block_on, pipe, sleep};
use async_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use bandit::{
    chain::Key,
    client::Cursor,
    feed::{Drops, Feed, Outcome, Pace, Settings},
    recording::Recording,
    rpc,
    session::{Ended, Event, Session},
    socket::{Connection, Step},
};
use futures_util::{AsyncReadExt, AsyncWriteExt, StreamExt};

const URL: &str = "ws://feed/";
const POOLS: [[u8; 20]; 2] = [
    [
        0x88, 0xe6, 0xa0, 0xc2, 0xdd, 0xd2, 0x6f, 0xee, 0xb6, 0x4f, 0x03, 0x9a, 0x2c, 0x41, 0x29,
        0x6f, 0xcb, 0x3f, 0x56, 0x40,
    ],
    [
        0x8a, 0xd5, 0x99, 0xc3, 0xa0, 0xff, 0x1d, 0xe0, 0x82, 0x01, 0x1e, 0xfd, 0xdc, 0x58, 0xf1,
        0x90, 0x8e, 0xb6, 0xe6, 0xd8,
    ],
];

/// Starts at the newest block of the node.
const HEAD: Cursor = Cursor::HEAD;

fn feed(settings: Settings) -> Arc<Feed> {
    Arc::new(Feed::new(Recording::embedded().unwrap(), settings))
}

fn quick() -> Settings {
    Settings { grace: Duration::from_millis(50), ..Settings::default() }
}

/// Connects to a feed, which serves the other end on its own thread.
fn connect(feed: &Arc<Feed>, capacity: usize, resets: bool) -> (End, thread::JoinHandle<Outcome>) {
    let (server, client) = pipe(capacity, resets);
    let feed = feed.clone();
    (client, thread::spawn(move || block_on(feed.serve(server, sleep))))
}

#[derive(Default)]
struct Run {
    keys: Vec<Key>,
    connections: u64,
    duplicates: u64,
}

/// Follows a feed to its end. At every log `leave` can make the client drop the connection and
/// resume at the cursor that it kept, as after a crash.
fn follow(
    feed: &Arc<Feed>,
    capacity: usize,
    start: Cursor,
    mut leave: impl FnMut(usize) -> bool,
) -> Run {
    let mut run = Run::default();
    let mut session = Session::new(POOLS.to_vec(), start);
    let mut kept = start;
    loop {
        run.connections += 1;
        assert!(run.connections < 1000, "no progress");
        let resets = run.connections % 2 == 0;
        let (stream, server) = connect(feed, capacity, resets);
        let ended = block_on(async {
            let Ok(mut connection) = Connection::open(stream, URL).await else {
                return Ended::Reconnect;
            };
            session.connected();
            loop {
                match connection.next(&mut session).await {
                    Ok(Step::Event(Event::Started(cursor))) => kept = cursor,
                    Ok(Step::Event(Event::Log(log, cursor))) => {
                        if leave(run.keys.len()) {
                            session = Session::new(POOLS.to_vec(), kept);
                            return Ended::Reconnect;
                        }
                        run.keys.push(log.key());
                        kept = cursor;
                    }
                    Ok(Step::Event(Event::Duplicate(_))) => run.duplicates += 1,
                    Ok(Step::Event(Event::Live)) => {}
                    Ok(Step::Event(other)) => panic!("{other:?}"),
                    Ok(Step::Ended(ended)) => return ended,
                    Err(_) => return Ended::Reconnect,
                }
            }
        });
        server.join().unwrap();
        if ended == Ended::Finished {
            return run;
        }
    }
}

fn assert_whole(run: &Run) {
    let day: Vec<_> = Recording::embedded().unwrap().logs().iter().map(|log| log.key).collect();
    assert_eq!(run.keys.len(), 6538);
    assert!(run.keys == day, "the order or the keys differ");
}

#[test]
fn a_day_without_trouble() {
    let feed = feed(quick());
    let run = follow(&feed, 64 << 10, HEAD, |_| false);
    assert_whole(&run);
    assert_eq!((run.connections, feed.position()), (1, 6538));
    assert_eq!(feed.outcomes(Outcome::EndOfRecording), 1);
}

#[test]
fn a_client_after_the_end_gets_every_log() {
    let feed = feed(quick());
    assert_whole(&follow(&feed, 64 << 10, HEAD, |_| false));
    // The first client gets the day live, the second one by backfill only.
    let run = follow(&feed, 64 << 10, Cursor::starting_at(0), |_| false);
    assert_whole(&run);
    assert_eq!((run.connections, feed.outcomes(Outcome::EndOfRecording)), (1, 2));
}

#[test]
fn a_reconnect_in_the_middle() {
    let drops = Drops { at: [3000].into(), lost: 5, ..Drops::default() };
    let feed = feed(Settings { drops, ..quick() });
    let run = follow(&feed, 64 << 10, HEAD, |_| false);
    assert_whole(&run);
    assert_eq!((run.connections, feed.outcomes(Outcome::Dropped)), (2, 1));
    assert!(run.duplicates > 0, "the backfill must start with the last block");
}

#[test]
fn drops_anywhere_lose_nothing() {
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut at: Vec<usize> = (0..random.usize(3..12)).map(|_| random.usize(1..=6538)).collect();
        // Include the first and the last logs.
        at.extend(match seed % 3 {
            0 => [1, 2, 6538],
            1 => [1, 6537, 6538],
            _ => [3, 4, 5],
        });
        let every = (seed % 4 == 3).then(|| NonZeroUsize::new(random.usize(50..2000))).flatten();
        let drops = Drops { at: at.iter().copied().collect(), every, lost: random.usize(0..40) };
        let expected = (1..=6538)
            .filter(|point| drops.at.contains(point) || every.is_some_and(|n| *point % n == 0))
            .count() as u64;
        let feed = feed(Settings { drops, ..quick() });
        let capacity = random.usize(200..100_000);
        let run = follow(&feed, capacity, HEAD, |_| false);
        assert_whole(&run);
        assert_eq!(feed.outcomes(Outcome::Dropped), expected, "seed {seed}");
    }
}

#[test]
fn a_client_that_crashes_with_a_log_in_flight_loses_nothing() {
    for seed in 0..6 {
        let mut random = fastrand::Rng::with_seed(seed);
        let feed = feed(quick());
        let mut left = 20;
        let run = follow(&feed, 32 << 10, HEAD, |count| {
            let leave = left > 0 && (count == 0 || random.usize(0..300) == 0);
            left -= usize::from(leave);
            leave
        });
        assert_whole(&run);
        assert!(run.connections > 5);
    }
}

#[test]
fn invalid_clients_do_not_disturb_others() {
    let feed = feed(quick());
    let mut servers = Vec::new();
    for bytes in [&b""[..], b"\x16\x03\x01 not a request \r\n\r\n"] {
        let (mut stream, server) = connect(&feed, 1 << 20, false);
        block_on(stream.write_all(bytes)).unwrap();
        servers.push((server, Outcome::NoHandshake));
    }
    // Frames with reserved bits, a frame with a huge length, and a disconnect without a close.
    for (bytes, outcome) in [
        (&b"\xf1\x80mask"[..], Outcome::Garbage),
        (&b"\x81\xff\x00\x00\x00\x00\x40\x00\x00\x00mask"[..], Outcome::Oversized),
        (&b""[..], Outcome::Left),
    ] {
        let (stream, server) = connect(&feed, 1 << 20, false);
        block_on(async {
            let mut stream = client_async(URL, stream).await.unwrap().0.into_inner();
            stream.write_all(bytes).await.unwrap();
            if outcome != Outcome::Left {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await.unwrap();
                assert_eq!(rest[0], 0x88, "a close frame");
            }
        });
        servers.push((server, outcome));
    }
    // A client that subscribes to all and never reads, and one that subscribes to an unknown
    // address.
    let mut subscribed = Vec::new();
    for wanted in [&[][..], &[[0; 20]]] {
        let (stream, server) = connect(&feed, 4096, false);
        let mut socket = block_on(client_async(URL, stream)).unwrap().0;
        block_on(socket.send(Message::text(rpc::subscribe_request(1, wanted)))).unwrap();
        subscribed.push((socket, server));
    }
    // The day does not wait for this client if others are subscribed, but the start block is known.
    assert_whole(&follow(&feed, 64 << 10, Cursor::starting_at(0), |_| false));
    for (server, outcome) in servers {
        assert_eq!(server.join().unwrap(), outcome);
    }
    for (socket, server) in subscribed {
        drop(socket);
        server.join().unwrap();
    }
    let counted: u64 = Outcome::ALL.iter().map(|outcome| feed.outcomes(*outcome)).sum();
    assert_eq!(counted, 8);
}

#[test]
fn two_clients_both_get_the_day() {
    for pace in [Pace::Unpaced, Pace::Recorded { speed: 200_000.0 }] {
        let drops = Drops { every: NonZeroUsize::new(1500), lost: 3, ..Drops::default() };
        let feed = feed(Settings { pace, drops, ..quick() });
        let other = {
            let feed = feed.clone();
            thread::spawn(move || follow(&feed, 16 << 10, Cursor::starting_at(0), |_| false))
        };
        assert_whole(&follow(&feed, 64 << 10, Cursor::starting_at(0), |_| false));
        assert_whole(&other.join().unwrap());
        assert_eq!(feed.outcomes(Outcome::Dropped), 4);
    }
}

async fn ask(socket: &mut WebSocketStream<End>, text: &str) -> serde_json::Value {
    socket.send(Message::text(text.to_owned())).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    serde_json::from_str(answer.to_text().unwrap()).unwrap()
}

#[test]
fn the_feed_answers_like_a_node() {
    let feed = feed(quick());
    let (stream, server) = connect(&feed, 1 << 20, false);
    block_on(async {
        let mut socket = client_async(URL, stream).await.unwrap().0;
        let socket = &mut socket;
        assert_eq!(ask(socket, &rpc::block_number_request(7)).await["result"], "0x120f625");
        assert_eq!(ask(socket, "{").await["error"]["code"], -32700);
        let unknown = r#"{"jsonrpc":"2.0","id":"x","method":"eth_mine","params":[]}"#;
        let answer = ask(socket, unknown).await;
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&(-32601).into(), &"x".into()));
        let heads = r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#;
        assert_eq!(ask(socket, heads).await["error"]["code"], -32602);
        let none = ask(socket, &rpc::logs_request(2, 0, &[])).await;
        assert_eq!(none["result"].as_array().unwrap().len(), 0);
        // Without a subscription the day waits.
        assert_eq!(feed.position(), 0);
        let answer = ask(socket, &rpc::subscribe_request(3, &POOLS)).await;
        let name = answer["result"].as_str().unwrap().to_owned();
        let first = socket.next().await.unwrap().unwrap();
        let first: serde_json::Value = serde_json::from_str(first.to_text().unwrap()).unwrap();
        assert_eq!(first["params"]["subscription"], name);
        assert_eq!(first["params"]["result"]["logIndex"], "0xa9");
        socket.close(None).await.unwrap();
    });
    assert!([Outcome::Left, Outcome::Broken].contains(&server.join().unwrap()));
    assert_eq!(feed.refused(), 3);
}

#[test]
fn the_end_waits_for_the_backfill_up_to_the_grace_period() {
    let feed = feed(quick());
    assert_whole(&follow(&feed, 64 << 10, HEAD, |_| false));
    let (stream, server) = connect(&feed, 1 << 20, false);
    block_on(async {
        let mut socket = client_async(URL, stream).await.unwrap().0;
        ask(&mut socket, &rpc::subscribe_request(1, &POOLS)).await;
        // Silent: closed after the grace period.
        let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else {
            panic!("a close frame")
        };
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1000, "end of recording"));
        assert!(socket.next().await.is_none());
    });
    assert_eq!(server.join().unwrap(), Outcome::EndOfRecording);
    // A client that never subscribes is not closed.
    let (stream, server) = connect(&feed, 16 << 20, false);
    block_on(async {
        let mut socket = client_async(URL, stream).await.unwrap().0;
        sleep(Duration::from_millis(150)).await;
        let all = ask(&mut socket, &rpc::logs_request(2, 0, &POOLS)).await;
        assert_eq!(all["result"].as_array().unwrap().len(), 6538);
        socket.close(None).await.unwrap();
        assert!(socket.next().await.is_some());
    });
    assert_eq!(server.join().unwrap(), Outcome::Left);
}

#[test]
fn the_recorded_pace_takes_the_recorded_time() {
    let pace = Pace::Recorded { speed: 1.0 };
    let never = Duration::from_secs(1_000_000);
    let feed = feed(Settings { pace, grace: never, timeout: never, ..Settings::default() });
    let slept = Arc::new(AtomicU64::new(0));
    let (server, stream) = pipe(64 << 10, false);
    let server = {
        let (feed, slept) = (feed.clone(), slept.clone());
        // The test does not wait a day: each gap is added up and over at once.
        let sleep = move |duration: Duration| {
            let gap = duration < never;
            if gap {
                slept.fetch_add(duration.as_secs(), Ordering::Relaxed);
            }
            std::future::poll_fn(move |_| if gap { Poll::Ready(()) } else { Poll::Pending })
        };
        thread::spawn(move || block_on(feed.serve(server, sleep)))
    };
    let mut session = Session::new(POOLS.to_vec(), HEAD);
    let mut logs = 0;
    block_on(async {
        let mut connection = Connection::open(stream, URL).await.unwrap();
        session.connected();
        loop {
            match connection.next(&mut session).await.unwrap() {
                Step::Event(Event::Log(..)) => logs += 1,
                Step::Event(_) => {}
                Step::Ended(ended) => break assert_eq!(ended, Ended::Finished),
            }
        }
    });
    assert_eq!(server.join().unwrap(), Outcome::EndOfRecording);
    assert_eq!((logs, slept.load(Ordering::Relaxed)), (6538, 86_376));
}
