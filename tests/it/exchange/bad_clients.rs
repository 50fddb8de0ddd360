//! A server with a thousand bad clients: the good ones lose nothing. Over TLS, `hostile` has them.

use std::io::Write;
use std::time::Duration;

use futures_util::io::AsyncWriteExt;
use mycelium_executor::Stream;
use mycelium_transports::local::{Delivery, Policy};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::exchange::harness::{
    Carrier, Notices, Number, PATIENCE, Place, Side, TestDir, Tick, Wire, connect, end, frame,
    hear, hello, over_plain_carriers, say, subscribe, take, until, within,
};

over_plain_carriers! {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    good_clients_lose_nothing_beside_a_thousand_bad_ones;
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    garbage_disturbs_no_reader;
}

const STRANGERS: usize = 1000;
/// The clients at once.
const CROWD: usize = 100;
const KINDS: usize = 10;
const READERS: usize = 4;
const COUNT: u64 = 30_000;

/// Violates the protocol in one of several ways, and stays until the server closes the connection.
/// A connection that the server never closes is returned. `me` is the number of the client.
async fn misbehave(me: usize, place: &Place) -> Option<Stream> {
    let mut stream = connect(place).await;
    let mut random = fastrand::Rng::with_seed(me as u64);
    let node = format!("bad-{me}-");
    let greeting = hello(&node, 1, 1);
    match me % KINDS {
        0 => {
            let bytes: Vec<u8> = (0..random.usize(1..3000)).map(|_| random.u8(..)).collect();
            say(&mut stream, &bytes).await;
            hear(&mut stream).await;
        }
        1 => say(&mut stream, &greeting[..random.usize(1..greeting.len())]).await,
        // Its hello byte by byte, never to the end.
        2 => {
            for byte in &greeting[..greeting.len() - 1] {
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            hear(&mut stream).await;
        }
        // Subscribes, and reads nothing.
        3 => {
            let wish = subscribe::<Tick>(1, 1 << 20);
            say(&mut stream, &[greeting, wish].concat()).await;
            return Some(stream);
        }
        // Claims a frame of gigabytes, before hello or after it.
        4 => {
            let mut giant = frame(0, 0, 0, &[0; 96]);
            giant[4..8].copy_from_slice(&0xffff_fff8_u32.to_le_bytes());
            say(&mut stream, &giant).await;
            hear(&mut stream).await;
        }
        5 => {
            let mut giant = frame(2, 0, 0, &[0; 96]);
            giant[4..8].copy_from_slice(&(1_u32 << 20).to_le_bytes());
            say(&mut stream, &[greeting, giant].concat()).await;
            return Some(stream);
        }
        6 => {
            say(&mut stream, &[greeting.clone(), greeting].concat()).await;
            hear(&mut stream).await;
        }
        // Sends nothing.
        7 => {
            hear(&mut stream).await;
        }
        // Takes the name of a connected client.
        8 => {
            say(&mut stream, &hello("good-0", me as u64, 1)).await;
            hear(&mut stream).await;
        }
        // Subscribes to a topic that it may not read, and sends messages without a subscription of
        // the peer.
        _ => {
            let wish = subscribe::<Number>(0, 8);
            let message = frame(1, 3, 0, &7_u64.to_le_bytes());
            say(&mut stream, &[greeting, wish, message].concat()).await;
            hear(&mut stream).await;
        }
    }
    None
}

/// How many connections of bad clients have ended.
fn ended(notices: &Notices) -> usize {
    notices.count("down", "") - notices.count("down", "`good-")
}

/// A side with a short handshake deadline, for which silent clients stay.
fn impatient(name: &str, boot: u64, capacity: usize) -> Side {
    let mut side = Side::new(name, boot, capacity);
    side.config.handshake = Duration::from_millis(500);
    side
}

async fn good_clients_lose_nothing_beside_a_thousand_bad_ones(carrier: Carrier) {
    let dir = TestDir::over(carrier, "strangers");
    let mut there = impatient("there", 1, 256);
    there.config.handshakes = STRANGERS;
    there.config.per_process = STRANGERS;
    let good: Vec<String> = (0..READERS).map(|me| format!("good-{me}")).collect();
    let mut server = there.server(Some(&good));
    for reader in &good {
        server.announce(reader, &there.numbers, Policy::Block).unwrap();
    }
    let serving = there.serve(server, dir.place());

    let mut reading = Vec::new();
    for (me, name) in good.iter().enumerate() {
        let here = impatient(name, 10 + me as u64, 64);
        let mut numbers = here.reader();
        let dialing = here.read("there", dir.place(), Policy::Block);
        reading.push(tokio::spawn(async move {
            let mut next = 0;
            while let Some(delivery) = numbers.recv().await {
                let Delivery::Msg(number) = delivery else { panic!("{delivery:?}") };
                assert_eq!((number.value, number.sequence()), (next, next));
                next += 1;
            }
            dialing.await.unwrap();
            next
        }));
    }
    timeout(PATIENCE, there.control.ready()).await.expect("the good ones are there");

    let before = ended(&there.notices);

    // Messages are published all the time, for clients that do not read and for the good ones.
    let mut ticks = there.ticks.publisher::<Tick>("ticker", 7).unwrap();
    let ticking = tokio::spawn(async move {
        loop {
            ticks.emit(Tick { value: 0, rest: [0; 31] }).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut numbers = there.numbers.publisher::<Number>("counter", 8).unwrap();
    let bad = tokio::spawn({
        let place = dir.place().clone();
        async move {
            let (mut crowd, mut staying) = (JoinSet::new(), Vec::new());
            for me in 0..STRANGERS {
                if crowd.len() == CROWD {
                    staying.extend(crowd.join_next().await.unwrap().unwrap());
                }
                let place = place.clone();
                crowd.spawn(async move { misbehave(me, &place).await });
            }
            while let Some(done) = crowd.join_next().await {
                staying.extend(done.unwrap());
            }
            staying
        }
    });
    let mut value = 0;
    while value < COUNT || !bad.is_finished() {
        timeout(PATIENCE, numbers.emit(Number { value }))
            .await
            .expect("the good clients continue")
            .unwrap();
        value += 1;
    }
    let staying = bad.await.unwrap();
    assert_eq!(staying.len(), 2 * STRANGERS / KINDS);
    drop(numbers);
    ticking.abort();
    for reader in reading {
        assert_eq!(timeout(PATIENCE, reader).await.expect("a good one ends").unwrap(), value);
    }
    drop(staying);
    // Each of them is accounted for: its connection ended, and a notice has the reason.
    until("all have ended", || ended(&there.notices) == before + STRANGERS).await;
    assert_eq!(there.notices.count("rejected", "limit of connections"), 0, "there was room");
    assert_eq!(there.link("there", "evicted"), 0, "there was room");
    let kinds = STRANGERS / KINDS;
    assert_eq!(there.notices.count("rejected", "another process with this name"), kinds);
    end(&[&there], [serving]).await;
}

/// Random bytes on any number of connections affect no reader.
async fn garbage_disturbs_no_reader(carrier: Carrier) {
    let dir = TestDir::over(carrier, "limits-garbage");
    let (there, here) = Side::pair(16, 16);
    let mut reader = here.reader();
    there.serve(there.server_for("here", Policy::Block), dir.place());
    here.read("there", dir.place(), Policy::Block);
    within("they have met", there.control.ready()).await;
    // The bytes of a good reader, to be changed. They are the same over each carrier.
    let aside = TestDir::new("limits-garbage-aside");
    let own = Side::new("there", 4, 8);
    own.serve(own.server_for("other", Policy::Block), &aside.socket());
    let other = Side::new("other", 3, 8);
    let wire = Wire::new();
    other.read_over(&wire, &aside.socket(), Policy::Block);
    within("the other reader is served", other.control.ready()).await;
    other.control.drain();
    within("it has gone", other.control.ended()).await;
    let proper = wire.said();
    assert!(proper.len() > 200, "{}", proper.len());
    let mut publisher = there.publisher();
    let mut random = fastrand::Rng::with_seed(7);
    for value in 0..2000 {
        let mut bytes = proper.clone();
        for _ in 0..random.usize(..4) {
            let index = random.usize(..bytes.len());
            bytes[index] = random.u8(..);
        }
        if random.usize(..3) == 0 {
            bytes.truncate(random.usize(..bytes.len()));
        }
        if random.usize(..5) == 0 {
            bytes.extend((0..random.usize(..300)).map(|byte| (byte * 31) as u8));
        }
        let mut socket = dir.place().open().unwrap();
        _ = socket.write(&bytes);
        within("room", publisher.emit(Number { value })).await.unwrap();
        take(&mut reader, value..value + 1).await;
    }
    until("all have gone", || there.notices.count("down", "") >= 1900).await;
    assert_eq!(here.notices.count("down", ""), 0);
}
