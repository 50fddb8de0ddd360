//! The slot of a request and its reply under loom: each request has one outcome, its end wakes the
//! task that waits, and the slot is used again, and freed, once both sides are gone.

use loom::thread;
use mycelium_core::channel::reply::{Outcome, ReplySlot, Replying};
use mycelium_loom_tests::{Woken, models};

models! {
    replied [3] {
        fails_with_a_relaxed_end: "reply.end",
        fails_with_a_relaxed_look: "reply.look",
        fails_with_a_relaxed_wait: "reply.wait",
    }
    used_again [5] {
        fails_with_a_relaxed_open: "reply.open",
        fails_with_a_relaxed_leave: "reply.leave",
    }
    cancelled [3] {}
    detached [3] {}
    detached_or_abandoned [3] {}
    waits_with_another_waker [3] {}
    freed_by_the_last [2] {}
}

type Slot = ReplySlot<(), usize, usize>;

/// Answers on another thread, with one more than the request.
fn answer(replying: Replying<(), usize, usize>) -> thread::JoinHandle<bool> {
    thread::spawn(move || {
        let taken = replying.take();
        let reply = replying.request() + 1;
        taken && replying.reply(reply).is_ok()
    })
}

/// The task checks, waits, and checks once more: it has the reply, or was woken.
fn replied() {
    let mut slot = Slot::new(());
    let (mut awaiting, replying) = slot.open(&7).unwrap();
    let answers = answer(replying);
    let woken = Woken::new();
    let waits = awaiting.outcome() != Outcome::Replied(&8) && awaiting.register(&woken.waker());
    if !waits {
        assert_eq!(awaiting.outcome(), Outcome::Replied(&8));
    }
    assert!(answers.join().unwrap());
    assert_eq!(woken.get(), waits);
    assert_eq!(awaiting.outcome(), Outcome::Replied(&8));
}

/// A second request uses the slot as soon as both sides of the first request are gone.
fn used_again() {
    let mut slot = Slot::new(());
    let (mut awaiting, replying) = slot.open(&7).unwrap();
    let answers = answer(replying);
    let first = Woken::new();
    awaiting.register(&first.waker());
    if awaiting.outcome() == Outcome::Replied(&8) {
        drop(awaiting);
        if let Some((mut awaiting, replying)) = slot.open(&20) {
            assert_eq!(awaiting.outcome(), Outcome::Queued);
            let second = Woken::new();
            assert!(awaiting.register(&second.waker()));
            assert!(replying.take());
            assert!(replying.reply(21).is_ok());
            assert!(second.get());
            assert_eq!(awaiting.outcome(), Outcome::Replied(&21));
        }
    }
    assert!(answers.join().unwrap());
}

/// Both sides try to end a request at the same time: exactly one of them succeeds.
fn cancelled() {
    let mut slot = Slot::new(());
    let (awaiting, replying) = slot.open(&7).unwrap();
    let answers = answer(replying);
    let cancelled = awaiting.cancel();
    let replied = answers.join().unwrap();
    assert_eq!(cancelled.is_none(), replied);
    let outcome = if replied { Outcome::Replied(&8) } else { Outcome::Cancelled };
    assert_eq!(awaiting.outcome(), outcome);
}

/// A request is detached while it is answered: its reply is refused, or was there before.
fn detached() {
    let mut slot = Slot::new(());
    let (mut awaiting, replying) = slot.open(&7).unwrap();
    let answers = answer(replying);
    let detached = awaiting.detach();
    drop(awaiting);
    assert_eq!(answers.join().unwrap(), detached == Outcome::Replied(()));
    assert!(slot.open(&20).is_some());
}

/// A request is detached while it is abandoned: exactly one side learns that nobody handles it.
fn detached_or_abandoned() {
    let mut slot = Slot::new(());
    let (mut awaiting, replying) = slot.open(&7).unwrap();
    let abandons = thread::spawn(move || replying.abandon(3));
    let is_left = awaiting.detach() == Outcome::Queued;
    let is_withdrawn = is_left && awaiting.withdraw();
    let expected = if is_withdrawn { None } else { Some(is_left) };
    assert_eq!(abandons.join().unwrap(), expected);
}

/// The task moves: it waits with one waker, and then with another.
fn waits_with_another_waker() {
    let mut slot = Slot::new(());
    let (mut awaiting, replying) = slot.open(&7).unwrap();
    assert!(awaiting.register(&Woken::new().waker()));
    let answers = answer(replying);
    let woken = Woken::new();
    let waits = awaiting.register(&woken.waker());
    assert!(answers.join().unwrap());
    assert_eq!(woken.get(), waits);
    assert_eq!(awaiting.outcome(), Outcome::Replied(&8));
}

/// The slot and both sides of its request are dropped at the same time.
fn freed_by_the_last() {
    let mut slot = Slot::new(());
    let (mut awaiting, replying) = slot.open(&7).unwrap();
    awaiting.register(&Woken::new().waker());
    let answers = answer(replying);
    let keeper = thread::spawn(move || drop(slot));
    drop(awaiting);
    keeper.join().unwrap();
    assert!(answers.join().unwrap());
}
