//! Keyed actors allocate nothing per message, and an idle one has a bounded number of bytes.

use std::time::Duration;

use mycelium::actor;
use mycelium::actors::{Actors, Keyed};
use mycelium_tokio::Tokio;

use crate::{allocations, bytes};

/// Adds up the numbers that it is told.
struct Sum {
    sum: u64,
    of: u64,
    done: tokio::sync::mpsc::UnboundedSender<u64>,
}

/// A request for the sum, sent after all numbers.
struct Report;

#[actor(send)]
impl Sum {
    #[tell]
    fn add(&mut self, number: u64) {
        self.sum += number;
    }

    #[tell]
    fn report(&mut self, _: Report) {
        assert!(self.of < u64::MAX);
        let _ = self.done.send(self.sum);
    }
}

fn sums(
    actors: &Actors,
    idle: Duration,
) -> (Keyed<u64, Sum>, tokio::sync::mpsc::UnboundedReceiver<u64>) {
    let (done, reports) = tokio::sync::mpsc::unbounded_channel();
    let make = move |key: &u64| Sum { sum: 0, of: *key, done: done.clone() };
    (actors.keyed(make).idle(idle).build().unwrap(), reports)
}

#[tokio::test(start_paused = true)]
async fn a_message_to_the_actor_of_a_key_that_lives_allocates_nothing() {
    const KEYS: u64 = 100;
    const ROUNDS: u64 = 1_000;

    let actors = Actors::on(Tokio::current().unwrap());
    let (sums, mut reports) = sums(&actors, Duration::from_secs(3_600));
    let mut before = 0;
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            before = allocations();
        }
        for key in 0..KEYS {
            // Some messages find the mailbox full, and wait.
            for number in 0..round % 20 {
                sums.tell(&key, number).await.unwrap();
            }
        }
    }
    let allocations = allocations() - before;
    assert!(before > 0, "the allocator counts");
    assert_eq!(allocations, 0, "allocations in {ROUNDS} rounds");
    sums.tell(&0, Report).await.unwrap();
    let of_a_round = |round: u64| (0..round % 20).sum::<u64>();
    assert_eq!(reports.recv().await, Some((0..2 * ROUNDS).map(of_a_round).sum()));
}

/// The limit: a mailbox for 16 messages, and the entry in the map of keys.
#[tokio::test(start_paused = true)]
async fn an_idle_keyed_actor_has_at_most_1440_bytes_and_none_after_its_end() {
    const KEYS: u64 = 10_000;
    const MOST: isize = 1_440;

    let actors = Actors::on(Tokio::current().unwrap());
    let (sums, mut reports) = sums(&actors, Duration::from_secs(60));
    let use_all = async || {
        for key in 0..KEYS {
            sums.tell(&key, key).await.unwrap();
        }
        sums.tell(&0, Report).await.unwrap();
    };
    let start = bytes();
    use_all().await;
    assert_eq!(reports.recv().await, Some(0));
    let each = (bytes() - start) / KEYS.cast_signed() as isize;
    assert!(each <= MOST, "an idle keyed actor has {each} bytes");
    let passivated = || async { tokio::time::sleep(Duration::from_secs(120)).await };
    passivated().await;
    assert_eq!(sums.count(), 0);
    let before = bytes();
    for _ in 0..3 {
        use_all().await;
        assert_eq!(reports.recv().await, Some(0));
        passivated().await;
        assert_eq!(sums.count(), 0);
    }
    let left = bytes() - before;
    assert!(left < 10_000, "{left} bytes are left of {} actors", 3 * KEYS);
}
