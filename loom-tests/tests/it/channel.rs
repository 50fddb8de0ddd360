//! Channels under loom: each end that waits is woken, in every order of the two sides, and accepted
//! items are received.

use std::ops::Deref;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use loom::sync::Arc;
use loom::thread;
use mycelium_core::channel::{ChannelWaiters, Receiver, Reserve, Sender, Sides, mpsc};
use mycelium_core::doorbell::{Doorbell, WaiterList, Waiters};
use mycelium_core::ring::Consumer;
use mycelium_core::ring::mpmc::{self, Mpmc};
use mycelium_core::ring::spsc::{self, Spsc};
use mycelium_core::wait::WaitStrategy;
use mycelium_loom_tests::task::{Task, finish};
use mycelium_loom_tests::{beside, models};

type One = Arc<spsc::Inline<usize, 2>>;
type OneWaiters = Arc<ChannelWaiters<Doorbell, Doorbell>>;

fn one() -> (Sender<spsc::Producer<One>, OneWaiters>, Receiver<spsc::Consumer<One>, OneWaiters>) {
    let ring = One::new(spsc::Inline::new());
    let waiters = OneWaiters::new(ChannelWaiters::new(Doorbell::new(), Doorbell::new()));
    let (producer, consumer) = (Spsc::producer(ring.clone()), Spsc::consumer(ring));
    let sender = Sender::new(producer.unwrap(), waiters.clone()).unwrap();
    (sender, Receiver::new(consumer.unwrap(), waiters).unwrap())
}

type Many<T> = Arc<mpmc::Inline<T, 2>>;
type ManyWaiters = Arc<ChannelWaiters<WaiterList<2>, WaiterList<2>>>;
type SenderOfMany<T> = Sender<mpmc::Producer<Many<T>>, ManyWaiters>;
type ReceiverOfMany<T> = Receiver<mpmc::Consumer<Many<T>>, ManyWaiters>;

fn many<T>() -> (SenderOfMany<T>, ReceiverOfMany<T>) {
    let ring = Many::new(mpmc::Inline::new());
    let waiters = ManyWaiters::new(ChannelWaiters::new(WaiterList::new(), WaiterList::new()));
    let sender = Sender::new(Mpmc::producer(ring.clone()), waiters.clone()).unwrap();
    (sender, Receiver::new(Mpmc::consumer(ring), waiters).unwrap())
}

/// The items that a receiver took; empty for a sender.
type Items = Vec<usize>;

/// Sends all items, waits for room when the channel is full, and drops the sender.
fn sends<P, L>(mut sender: Sender<P, L>, items: &'static [usize]) -> Task<Items>
where
    P: Reserve<Item = usize> + Send + 'static,
    L: Deref<Target: Sides<Senders: Waiters<Key: Send>>> + Send + 'static,
{
    Task::new(async move {
        for item in items {
            sender.send(*item).await.unwrap();
        }
        Vec::new()
    })
}

/// Receives `count` items and drops the receiver.
fn receives<C, L>(mut receiver: Receiver<C, L>, count: usize) -> Task<Items>
where
    C: Consumer<Item = usize> + Send + 'static,
    L: Deref<Target: Sides<Receivers: Waiters<Key: Send>>> + Send + 'static,
{
    Task::new(async move {
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(receiver.recv().await.expect("an item is left"));
        }
        items
    })
}

/// Runs the first task here and each other one on its own thread, as far as possible; then all to
/// their ends.
fn run(tasks: Vec<Task<Items>>) -> Vec<Items> {
    let mut tasks = tasks.into_iter();
    let first = tasks.next().unwrap();
    let threads: Vec<_> = tasks.map(|task| thread::spawn(move || task.run(3))).collect();
    let mut tasks = vec![first.run(3)];
    tasks.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
    finish(tasks)
}

fn once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Both sides park: the receiver in front of an empty ring, the sender in front of a full one.
fn both_sides_park(wait: WaitStrategy) {
    let (mut sender, mut receiver) = one();
    sender.set_wait_strategy(wait);
    receiver.set_wait_strategy(wait);
    let taken = run(vec![receives(receiver, 3), sends(sender, &[0, 1, 2])]);
    assert_eq!(taken[0], [0, 1, 2]);
}

fn a_sender_goes_while_the_receiver_parks() {
    let (sender, mut receiver) = one();
    let taken = run(vec![
        Task::new(async move {
            assert_eq!(receiver.recv().await, Some(1));
            assert_eq!(receiver.recv().await, None);
            Vec::new()
        }),
        sends(sender, &[1]),
    ]);
    assert_eq!(taken.len(), 2);
}

fn a_receiver_goes_while_the_sender_parks() {
    let (mut sender, receiver) = one();
    sender.try_send(0).unwrap();
    sender.try_send(1).unwrap();
    let taken = run(vec![
        Task::new(async move {
            // One more item may get the slot that the receiver has freed.
            let mut sent = 2;
            while sender.send(sent).await.is_ok() {
                sent += 1;
            }
            assert!(sent <= 5);
            Vec::new()
        }),
        receives(receiver, 1),
    ]);
    assert_eq!(taken, [vec![], vec![0]]);
}

fn a_permit_is_sent_or_aborted() {
    let (mut sender, receiver) = one();
    let sends = Task::new(async move {
        for number in 0..3 {
            drop(sender.reserve().await.unwrap());
            sender.reserve().await.unwrap().send(number);
        }
        Vec::new()
    });
    let taken = run(vec![receives(receiver, 3), sends]);
    assert_eq!(taken[0], [0, 1, 2]);
}

/// Two receivers and two senders, all of which may park.
fn all_of_several_ends_park() {
    let (sender, receiver) = many();
    let taken = run(vec![
        receives(receiver.try_clone().unwrap(), 2),
        receives(receiver, 2),
        sends(sender.try_clone().unwrap(), &[10, 11]),
        sends(sender, &[20, 21]),
    ]);
    assert!(taken[0].is_sorted_by_key(|item| item % 10) || taken[0][0] / 10 != taken[0][1] / 10);
    assert_eq!(taken.concat().iter().sum::<usize>(), 62);
}

/// Two senders and the one receiver, which moves the head by a store, all of which may park.
fn several_senders_and_one_receiver_park() {
    let (sender, receiver) = mpsc::bounded(2).unwrap();
    let taken =
        run(vec![receives(receiver, 3), sends(sender.clone(), &[10]), sends(sender, &[20, 21])]);
    let (one, other): (Items, Items) = taken[0].iter().partition(|item| **item < 20);
    assert_eq!((one, other), (vec![10], vec![20, 21]));
}

/// The one receiver goes while a sender sends, behind a slot that it has aborted: each item is dropped
/// once, in the channel or with the error.
fn the_one_receiver_goes_beside_a_send() {
    let (mut sender, mut receiver) = mpsc::bounded(2).unwrap();
    let item = std::sync::Arc::new(());
    let sent = item.clone();
    let sends = thread::spawn(move || {
        drop(once(sender.reserve()));
        drop(sender.try_send(sent));
        // Returned, because loom does not see that the last handle frees the channel.
        sender
    });
    drop(receiver.try_recv());
    drop(receiver);
    drop(sends.join().unwrap());
    assert_eq!(std::sync::Arc::strong_count(&item), 1);
}

/// Two receivers wait for one item, and one of them is cancelled: the other one gets the item.
fn a_cancelled_receiver_passes_its_wake_on() {
    let (mut sender, mut tired) = many();
    let patient = receives(tired.try_clone().unwrap(), 1);
    let mut another = sender.try_clone().unwrap();
    let waits = thread::spawn(move || patient.run(3));
    let sends = thread::spawn(move || {
        sender.try_send(1).unwrap();
        sender
    });
    if let Poll::Ready(taken) = once(tired.recv()) {
        assert_eq!(taken, Some(1));
        another.try_send(1).unwrap();
    }
    let waits = waits.join().unwrap();
    let _open = sends.join().unwrap();
    assert_eq!(finish(vec![waits]), [[1]]);
}

/// Two senders wait for room, and one of them is cancelled: the other one gets the room.
fn a_cancelled_sender_passes_its_wake_on() {
    let (mut tired, mut receiver) = many();
    tired.try_send(0).unwrap();
    tired.try_send(1).unwrap();
    let patient = sends(tired.try_clone().unwrap(), &[2]);
    let waits = thread::spawn(move || patient.run(3));
    let takes = thread::spawn(move || {
        assert_eq!(receiver.try_recv(), Ok(0));
        receiver
    });
    let sent = once(tired.send(3)).is_ready();
    let waits = waits.join().unwrap();
    let mut receiver = takes.join().unwrap();
    if sent {
        receiver.try_recv().unwrap();
    }
    assert_eq!(finish(vec![waits]).len(), 1);
}

/// A full channel, and a sender that was polled twice in its wait for room: it starves.
fn one_starves() -> (SenderOfMany<usize>, Task<Items>, ReceiverOfMany<usize>) {
    let (mut other, receiver) = many();
    other.try_send(0).unwrap();
    other.try_send(1).unwrap();
    let starving = sends(other.try_clone().unwrap(), &[2]).run(1).woken().run(1);
    (other, starving, receiver)
}

/// One slot becomes free. Another sender never gets it before the one that starves, which is woken.
fn the_last_slot_is_kept_for_a_starving_sender() {
    let (mut other, starving, mut receiver) = one_starves();
    let takes = thread::spawn(move || {
        assert_eq!(receiver.try_recv(), Ok(0));
        receiver
    });
    let tries = thread::spawn(move || {
        (0..2).for_each(|_| assert!(other.try_send(3).is_err(), "it passed the other one"));
        other
    });
    let starving = starving.run(1);
    let mut receiver = takes.join().unwrap();
    let _open = tries.join().unwrap();
    assert_eq!(finish(vec![starving]).len(), 1);
    assert_eq!([1, 2].map(|_| receiver.try_recv()), [Ok(1), Ok(2)]);
}

/// A sender leaves the last slot to another one, which starves. That one gets its slot while there
/// is one more, or goes: the first one then gets the slot that is left.
fn a_sender_that_yielded_is_woken(goes: bool) {
    let (other, starving, mut receiver) = one_starves();
    (0..if goes { 1 } else { 2 }).for_each(|_| _ = receiver.try_recv().unwrap());
    let yields = thread::spawn(move || sends(other, &[3]).run(2));
    let mut tasks = Vec::new();
    if goes {
        drop(starving);
    } else {
        tasks.push(starving.run(1));
    }
    tasks.push(yields.join().unwrap());
    assert!(finish(tasks).concat().is_empty());
}

/// Two senders wait for room, and one begins to starve, so the other one yields to it although the
/// ring for one slot may have come to the other one.
fn a_ring_for_a_sender_that_yields_is_passed_on() {
    let (mut one, mut receiver) = many();
    one.try_send(0).unwrap();
    one.try_send(1).unwrap();
    let other = sends(one.try_clone().unwrap(), &[2]).run(1).woken();
    let one = sends(one, &[3]).run(1);
    let starves = thread::spawn(move || other.run(1));
    let takes = thread::spawn(move || {
        receiver.try_recv().unwrap();
        receiver
    });
    let tasks = vec![one.run(2), starves.join().unwrap()];
    let mut receiver = takes.join().unwrap();
    let tasks: Vec<_> = tasks.into_iter().map(|task| task.run(2)).collect();
    let tasks: Vec<_> = tasks.into_iter().map(|task| task.run(2)).collect();
    assert!(tasks.iter().any(Task::has_ended), "a wake was lost");
    receiver.try_recv().unwrap();
    assert_eq!(finish(tasks).len(), 2);
}

/// An item is behind a reserved slot. After that slot is filled or aborted, all receivers get their
/// items.
fn a_late_permit(fills: bool) {
    let (mut early, receiver) = many();
    let mut late = early.try_clone().unwrap();
    let mut tasks = vec![receives(receiver.try_clone().unwrap(), 1)];
    if fills {
        tasks.push(receives(receiver, 1));
    }
    tasks.push(Task::new(async move {
        let permit = early.reserve().await.unwrap();
        if fills {
            permit.send(1)
        } else {
            drop(permit)
        }
        Vec::new()
    }));
    tasks.push(Task::new(async move {
        late.try_send(2).unwrap();
        Vec::new()
    }));
    assert_eq!(run(tasks).concat().iter().sum::<usize>(), if fills { 3 } else { 2 });
}

/// A ring full of aborted slots: the receiver finds nothing, but makes room, and notifies a sender
/// before it sleeps.
fn skipping_aborted_slots_makes_room() {
    let (mut sender, receiver) = many();
    for _ in 0..2 {
        let Poll::Ready(Ok(permit)) = once(sender.reserve()) else { panic!("there is room") };
        drop(permit);
    }
    let taken = run(vec![receives(receiver, 1), sends(sender, &[1])]);
    assert_eq!(taken[0], [1]);
}

/// The last of two senders closes the channel, after everything that the other one did.
fn the_last_sender_closes() {
    let (sender, mut receiver) = many();
    let other = sender.try_clone().unwrap();
    let all = Task::new(async move {
        let mut items = Vec::new();
        while receiver.recv_many(&mut items, 2).await > 0 {}
        items
    });
    let taken = run(vec![all, sends(sender, &[1]), sends(other, &[2])]);
    assert_eq!(taken[0].iter().sum::<usize>(), 3);
}

/// The last of two receivers drops the items in the channel, even an item that was sent on the
/// thread of the other receiver.
fn the_last_of_two_receivers_drops_all() {
    let item = std::sync::Arc::new(());
    let (mut sender, receiver) = many();
    let other = receiver.try_clone().unwrap();
    let leaves = beside(&item, move |item| {
        sender.try_send(item).unwrap();
        drop(other);
        sender
    });
    drop(receiver);
    let _open = leaves.join().unwrap();
    assert_eq!(std::sync::Arc::strong_count(&item), 1, "an item is left");
}

/// The channel is closed although senders are left: the receiver gets the sent items, and the end;
/// a sender that waits for room gets its item back.
fn a_closed_channel_ends_for_both_sides() {
    let (mut sender, mut receiver) = many();
    let closer = sender.try_clone().unwrap();
    let all = Task::new(async move {
        let mut items = Vec::new();
        while let Some(item) = receiver.recv().await {
            items.push(item);
        }
        items
    });
    let sends = Task::new(async move {
        let mut sent = Vec::new();
        for item in 1..=3 {
            if sender.send(item).await.is_err() {
                break;
            }
            sent.push(item);
        }
        sent
    });
    let threads = [all, sends].map(|task| thread::spawn(move || task.run(3)));
    closer.close_channel();
    let tasks = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let ended = finish(tasks);
    assert_eq!(ended[0], ended[1]);
    // The closer counted until now as a sender that could have sent more.
    drop(closer);
}

models! {
    both_sides_of_one_to_one_park [2] = both_sides_park(WaitStrategy::Park) {
        fails_without_the_ringers_fence: "doorbell.announce" => "a wake was lost",
        fails_without_the_waiters_fence: "doorbell.park" => "a wake was lost",
    }
    a_spinning_end_parks_too [2] = both_sides_park(WaitStrategy::SpinThenPark(1)) {}
    a_late_permit_wakes_both_receivers [1] = a_late_permit(true) {}
    an_aborted_slot_wakes_the_receiver_behind_it [2] = a_late_permit(false) {}
    a_sender_goes_while_the_receiver_parks [3] {}
    a_receiver_goes_while_the_sender_parks [3] {}
    a_permit_is_sent_or_aborted [2] {}
    all_of_several_ends_park [1] {}
    several_senders_and_one_receiver_park [2] {}
    the_one_receiver_goes_beside_a_send [3] {}
    a_cancelled_receiver_passes_its_wake_on [2] {}
    a_cancelled_sender_passes_its_wake_on [2] {}
    the_last_slot_is_kept_for_a_starving_sender [2] {}
    a_sender_that_yielded_is_woken_by_the_one_that_starved [3] = a_sender_that_yielded_is_woken(false) {
        fails_without_the_fence_of_a_relieved_sender: "waiter-list.relieve" => "a wake was lost",
    }
    a_sender_that_yielded_is_woken_by_the_one_that_goes [3] = a_sender_that_yielded_is_woken(true) {
        fails_without_the_fence_of_a_sender_that_goes: "waiter-list.relieve" => "a wake was lost",
    }
    a_ring_for_a_sender_that_yields_is_passed_on [2] {}
    skipping_aborted_slots_makes_room [2] {}
    the_last_sender_closes [1] {}
    a_closed_channel_ends_for_both_sides [2] {}
    the_last_of_two_receivers_drops_all [2] {
        fails_with_a_relaxed_leave: "channel-waiters.leave" => "an item is left",
    }
}
