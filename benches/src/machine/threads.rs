//! Threads that start at the same moment, on a core each or distributed over two cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::affinity::Cores;

/// Runs `send` on this thread and `receive` on the reader's thread, from the same moment.
pub(crate) fn both<S, R: Send>(
    cores: &Cores,
    send: impl FnOnce() -> S,
    receive: impl FnOnce() -> R + Send,
) -> (S, R) {
    let (start, end) = (Start::of(2), Start::of(2));
    let mut received = None;
    let sent = cores.reader().in_place_scope(|scope| {
        scope.spawn(|_| {
            start.wait();
            received = Some(receive());
            end.wait();
        });
        start.wait();
        let sent = send();
        // Spinning: a thread that sleeps here would wake on a core that sleeps, too.
        end.wait();
        sent
    });
    (sent, received.expect("the scope has ended"))
}

/// Runs each of `senders` and `receivers` on its own pinned thread, from the same moment.
pub(crate) fn crowd<S: Send, R: Send>(
    cores: &Cores,
    senders: Vec<impl FnOnce() -> S + Send>,
    receivers: Vec<impl FnOnce() -> R + Send>,
) -> (Vec<S>, Vec<R>) {
    let start = &Start::of(senders.len() + receivers.len());
    thread::scope(|scope| {
        let begin = move |number| {
            cores.pin_in_turn(number);
            start.wait();
        };
        let senders = (0..).zip(senders).map(|(number, send)| {
            scope.spawn(move || {
                begin(number);
                send()
            })
        });
        let senders: Vec<_> = senders.collect();
        let receivers = (senders.len()..).zip(receivers).map(|(number, receive)| {
            scope.spawn(move || {
                begin(number);
                receive()
            })
        });
        let receivers: Vec<_> = receivers.collect();
        let join = "the loops do not panic";
        let sent = senders.into_iter().map(|sender| sender.join().expect(join)).collect();
        let received = receivers.into_iter().map(|receiver| receiver.join().expect(join)).collect();
        (sent, received)
    })
}

/// A spinning barrier.
struct Start {
    missing: AtomicUsize,
}

impl Start {
    fn of(threads: usize) -> Start {
        Start { missing: AtomicUsize::new(threads) }
    }

    fn wait(&self) {
        // Relaxed: the threads got their shared data when they were spawned.
        self.missing.fetch_sub(1, Ordering::Relaxed);
        while self.missing.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
    }
}
