//! Threads that begin at the same moment, each on a core of its own or in turn over two cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::affinity::Cores;

/// Runs `send` on this thread and `receive` on the reader's, both from the same moment on.
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
        // A thread that waits for the other one asleep would wake on a core that has gone to sleep, too.
        end.wait();
        sent
    });
    (sent, received.expect("the scope has ended, and with it the reader's loop"))
}

/// Runs all `senders` and `receivers` on threads of their own, pinned in turn, all from the same moment on, and `watch`
/// on this one.
pub(crate) fn crowd<S: Send, R: Send, W>(
    cores: &Cores,
    senders: Vec<impl FnOnce() -> S + Send>,
    receivers: Vec<impl FnOnce() -> R + Send>,
    watch: impl FnOnce() -> W,
) -> (Vec<S>, Vec<R>, W) {
    let start = Start::of(senders.len() + receivers.len());
    let start = &start;
    thread::scope(|scope| {
        let begin = move |number| {
            let _ = cores.pin_in_turn(number);
            start.wait();
        };
        let senders: Vec<_> = (0..)
            .zip(senders)
            .map(|(number, send)| {
                scope.spawn(move || {
                    begin(number);
                    send()
                })
            })
            .collect();
        let receivers: Vec<_> = (senders.len()..)
            .zip(receivers)
            .map(|(number, receive)| {
                scope.spawn(move || {
                    begin(number);
                    receive()
                })
            })
            .collect();
        let watched = watch();
        let join = "the loops do not panic";
        let sent = senders.into_iter().map(|sender| sender.join().expect(join)).collect();
        let received = receivers.into_iter().map(|receiver| receiver.join().expect(join)).collect();
        (sent, received, watched)
    })
}

/// A moment when all have come.
struct Start {
    missing: AtomicUsize,
}

impl Start {
    fn of(threads: usize) -> Start {
        Start { missing: AtomicUsize::new(threads) }
    }

    fn wait(&self) {
        // Nothing is handed over here: what the threads share, they were given when they were made.
        self.missing.fetch_sub(1, Ordering::Relaxed);
        while self.missing.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
    }
}
