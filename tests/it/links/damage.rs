//! Bytes that are damaged on their way, in both directions, on one connection after another.
//! `docs/security.md` says which damage may go unnoticed. The tests show that nothing panics, and
//! that a connection without damage continues.
//!
//! `DAMAGE_SEEDS=5000 cargo test --test it links::damage` runs for longer, `SEED=7` runs that seed.

use std::ops::Range;
use std::time::Duration;

use mycelium_transports::local::{Policy, Publisher, Subscription};
use tokio::task::JoinHandle;

use crate::links::harness::{Number, Side, TestDir, Wire, emit, end, sides, until, within};
use crate::support::seeds;

/// The bytes of a connection with the handshake: hello, features, the subscription with a resume,
/// and the stream. `tests/it/bad_network.rs` damages the bytes of messages.
const BEGINNING: Range<usize> = 0..400;
/// A reader whose connections damage bytes.
struct Damaged {
    dir: TestDir,
    there: Side,
    here: Side,
    wire: Wire,
    publisher: Publisher<Number>,
    reader: Subscription<Number>,
    tasks: Vec<JoinHandle<()>>,
    value: u64,
}

impl Damaged {
    fn new(name: &str) -> Damaged {
        let ((dir, there, mut here), wire) = (sides(name, 64), Wire::default());
        here.config.retry.first = Duration::from_millis(1);
        here.config.retry.longest = Duration::from_millis(5);
        let serving = there.serve(there.exports_for("here", Policy::Block), dir.place());
        let (publisher, reader) = (there.publisher(), here.reader());
        let reading = here.read_over(&wire, dir.place(), Policy::Block);
        let tasks = vec![serving, reading];
        Damaged { dir, there, here, wire, publisher, reader, tasks, value: 0 }
    }

    /// Makes a connection with damage in its first bytes.
    async fn suffer(&mut self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut some = || -> Vec<(usize, u8)> {
            (0..random.usize(..3)).map(|_| (random.usize(BEGINNING), random.u8(1..))).collect()
        };
        let (up, down) = (some(), some());
        self.wire.cut().await;
        let before = self.here.notices.count("up", "") + self.here.notices.count("down", "");
        self.wire.damage(up, down);
        let noticed = || self.here.notices.count("up", "") + self.here.notices.count("down", "");
        until("a connection has begun", || noticed() > before).await;
        // Damage may stop all messages, so this does not wait for room.
        for _ in 0..random.usize(..400) {
            if self.publisher.try_emit(Number { value: self.value }).is_ok() {
                self.value += 1;
            }
            _ = self.reader.try_recv();
            tokio::task::yield_now().await;
        }
    }

    /// Makes a connection without damage, on which the reader gets every message that is sent from
    /// now on.
    #[expect(clippy::print_stdout, reason = "what passed is of interest")]
    async fn carries_on(mut self) {
        self.wire.cut().await;
        let (first, mut publisher) = (self.value, self.publisher);
        let sending = tokio::spawn(async move {
            emit(&mut publisher, first..first + 1000).await;
            publisher
        });
        let mut last = None;
        while last != Some(first + 999) {
            let delivery = within("messages arrive", self.reader.recv()).await.unwrap();
            last = delivery.message().map(|number| number.value);
        }
        let _publisher = within("all is sent", sending).await.unwrap();
        end(&[&self.there, &self.here], self.tasks).await;
        println!("{} connections lost", self.here.notices.count("down", ""));
        drop(self.dir);
    }
}

#[tokio::test]
async fn a_connection_with_a_damaged_beginning_is_replaced() {
    let mut damaged = Damaged::new("damage-beginning");
    for seed in seeds("DAMAGE_SEEDS", 75) {
        damaged.suffer(seed).await;
    }
    damaged.carries_on().await;
}
