//! A publisher with two good readers, and hostile peers in another process that attack it in all
//! ways at once, without a pause. The good readers lose nothing. The test prints the longest
//! latency.
//!
//! `HOSTILE_SECONDS=60 cargo test --release --test it links::hostile -- --nocapture` runs for
//! longer.

use std::collections::VecDeque;
use std::io::Write;
use std::thread;
use std::time::Duration;

use mycelium_transports::local::{Delivery, Policy};
use tokio::time::Instant;

use crate::links::harness::{
    Carrier, Number, PATIENCE, Place, Side, TestDir, Wide, ask, child, drip, end, frame, hello,
    over_each_carrier, part, ping, subscribe, until, within,
};

over_each_carrier! {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    good_readers_lose_nothing_beside_hostile_peers;
}

const READERS: [&str; 2] = ["good-0", "good-1"];
/// The names of hostile peers that are admitted, and names that are rejected.
const WISHES: [&str; 5] = ["hold-", "deaf-", "flood", "wide-", "broken-"];
const NAMES: [&str; 3] = ["good-0", "two\\nlines", "there"];
const GATING: u8 = 0;
const OBSERVING: u8 = 1;

/// Runs the hostile peers in a child process; returns at once in the test run itself.
#[test]
fn peers() {
    let Some((_, place)) = part() else { return };
    let place = &place;
    thread::scope(|scope| {
        // Subscribe in the gating mode, and never grant credit or confirm.
        scope.spawn(|| stay(place, 40, true, |me| wish::<Number>("hold", me, GATING, 1)));
        // Grant much credit, and never read.
        scope.spawn(|| stay(place, 40, false, |me| wish::<Number>("deaf", me, OBSERVING, 1 << 20)));
        scope.spawn(|| stay(place, 100, false, |_| Vec::new()));
        scope.spawn(|| drip(place, 50));
        scope.spawn(|| flood(place, garbage));
        scope.spawn(|| flood(place, broken));
        scope.spawn(|| flood(place, |_| [hello("flood", 1, 1), ping().repeat(1000)].concat()));
        // No more than the others keep, because the server accepts connections late.
        scope.spawn(|| stay(place, 40, true, name));
        // Subscribe with another layout, and request ours.
        scope.spawn(|| stay(place, 40, true, |me| wish::<Wide>("wide", me, GATING, 8)));
        scope.spawn(|| flood(place, |_| questions()));
    });
}

/// Returns a hello, a subscription and a ping.
fn wish<M: mycelium_core::Message>(kind: &str, me: u64, mode: u8, window: u32) -> Vec<u8> {
    [hello(&format!("{kind}-{}", me % 1000), me, 1), subscribe::<M>(mode, window), ping()].concat()
}

/// Returns hellos with names of other peers, and with invalid names.
fn name(me: u64) -> Vec<u8> {
    let long = "n".repeat(62);
    let names = ["good-0", "good-1", "", "there", &long, "two\nlines", "bell\u{7}", "\u{1b}[2J"];
    let chosen = names[me as usize % names.len()];
    [hello(chosen, me, 1), subscribe::<Number>(GATING, 8)].concat()
}

fn garbage(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..random.usize(1..4000)).map(|_| random.u8(..)).collect();
    // Half of the garbage begins with valid bytes.
    if random.bool() {
        bytes.splice(..0, [hello("garbage", 1, 1), vec![0xa1, 0]].concat());
    }
    bytes
}

/// Returns bytes that break the protocol in one of several ways: frames that claim gigabytes, a
/// second hello, a message without a subscription, or the bytes of a good reader, damaged and cut.
fn broken(random: &mut fastrand::Rng) -> Vec<u8> {
    let greeting = hello(&format!("broken-{}", random.u16(..)), 1, 1);
    let mut giant = frame(random.u16(..3), 0, 0, &[0; 96]);
    giant[4..8].copy_from_slice(&[0xffff_fff8_u32, 1 << 20][random.usize(..2)].to_le_bytes());
    match random.usize(..5) {
        0 => giant,
        1 => [greeting, giant].concat(),
        2 => greeting.repeat(2),
        3 => [greeting, frame(1, 3, 0, &7_u64.to_le_bytes())].concat(),
        _ => {
            let mut bytes = [greeting, subscribe::<Number>(OBSERVING, 8), ping()].concat();
            for _ in 0..random.usize(..4) {
                let index = random.usize(..bytes.len());
                bytes[index] = random.u8(..);
            }
            bytes.truncate(random.usize(..=bytes.len()));
            bytes
        }
    }
}

/// Returns a hello and many requests for a layout.
fn questions() -> Vec<u8> {
    [hello("question", 1, 1), ask("numbers", 0).repeat(500)].concat()
}

/// Keeps `most` connections, sends some bytes on each, and replaces the oldest without a pause.
fn stay(place: &Place, most: usize, reads: bool, what: impl Fn(u64) -> Vec<u8>) {
    let (mut open, mut me) = (VecDeque::new(), 0);
    loop {
        me += 1;
        let Ok(mut stream) = place.open() else { continue };
        _ = stream.write_all(&what(me));
        open.push_back(stream);
        if open.len() > most {
            open.pop_front();
        }
        if reads {
            open.iter_mut().for_each(|stream| _ = stream.hear());
        }
    }
}

/// Sends as much as the server takes, on one connection after another.
fn flood(place: &Place, what: impl Fn(&mut fastrand::Rng) -> Vec<u8>) {
    let mut random = fastrand::Rng::with_seed(7);
    loop {
        let Ok(mut stream) = place.open() else { continue };
        for _ in 0..random.usize(1..20) {
            if stream.write_all(&what(&mut random)).is_err() && !stream.hear() {
                break;
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "how long it takes at worst is of interest")]
async fn good_readers_lose_nothing_beside_hostile_peers(carrier: Carrier) {
    let seconds = std::env::var("HOSTILE_SECONDS").map_or(3, |text| text.parse().unwrap());
    let dir = TestDir::over(carrier, "hostile");
    let there = Side::new("there", 1, 256);
    let mut exports = there.exports(None);
    for reader in READERS {
        exports.announce(reader, &there.numbers, Policy::Block).unwrap();
    }
    let serving = there.serve(exports, dir.place());
    let began = Instant::now();
    let (mut reading, mut sides) = (Vec::new(), Vec::new());
    for (me, name) in READERS.into_iter().enumerate() {
        let here = Side::new(name, 10 + me as u64, 256);
        let mut numbers = here.reader();
        let dialing = here.read("there", dir.place(), Policy::Block);
        sides.push(here);
        reading.push(tokio::spawn(async move {
            let (mut next, mut worst) = (0, Duration::ZERO);
            while let Some(delivery) = numbers.recv().await {
                let Delivery::Msg(number) = delivery else { panic!("{delivery:?}") };
                assert_eq!(number.sequence(), next);
                assert!(!number.redelivered());
                worst =
                    worst.max(began.elapsed().saturating_sub(Duration::from_nanos(number.value)));
                next += 1;
            }
            dialing.await.unwrap();
            (next, worst)
        }));
    }
    within("both have met", there.control.ready()).await;
    let mut hostile = child("links::hostile::peers", "all", dir.place());
    until("they come", || there.notices.total() > 100).await;

    let (mut numbers, mut count) = (there.publisher(), 0);
    let (end_of_load, peers) = (Instant::now() + Duration::from_secs(seconds), &there.notices);
    let wished = WISHES.map(|peer| ("up", peer));
    let mut awaited: Vec<_> = wished.into_iter().chain(NAMES.map(|it| ("rejected", it))).collect();
    let mut look = end_of_load;
    // TLS handshakes are slow without optimisation.
    let end_of_patience = end_of_load + 3 * PATIENCE;
    while Instant::now() < end_of_load || !awaited.is_empty() && Instant::now() < end_of_patience {
        for _ in 0..10 {
            let value = u64::try_from(began.elapsed().as_nanos()).unwrap();
            within("a good reader continues", numbers.emit(Number { value })).await.unwrap();
            count += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        // The check is slow and the server waits for it, so it is rare.
        if Instant::now() >= look {
            awaited.retain(|(kind, words)| peers.count(kind, words) == 0);
            look = Instant::now() + Duration::from_millis(100);
        }
    }
    assert!(hostile.0.try_wait().unwrap().is_none(), "they are still there");
    drop(numbers);
    let mut worst = Duration::ZERO;
    for reader in reading {
        let (received, delay) = within("a good reader ends", reader).await.unwrap();
        assert_eq!(received, count);
        worst = worst.max(delay);
    }
    drop(hostile);
    let counted = |value| there.link("there", value);
    println!(
        "hostile over {carrier:?}: {count} messages to each of {} good readers in {seconds} s, none lost, worst delay \
         {worst:?}; {} connections ended, {} rejected, {} evicted, {} differing layouts",
        READERS.len(),
        there.notices.count("down", ""),
        counted("rejected_peers"),
        counted("evicted"),
        there.notices.count("reader differs", ""),
    );
    assert!(awaited.is_empty(), "did not come: {awaited:?}");
    let all: Vec<&Side> = sides.iter().chain([&there]).collect();
    end(&all, [serving]).await;
}
