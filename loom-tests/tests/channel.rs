//! Channels under loom: whoever waits is woken, whichever side comes first, and what was accepted comes out.
#![cfg(loom)]

use std::ops::Deref;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use loom::sync::Arc;
use loom::thread;
use mycelium_core::channel::{Lobby, Receiver, Reserve, Sender, Sides};
use mycelium_core::doorbell::{Bells, Doorbell, Row};
use mycelium_core::ring::Consumer;
use mycelium_core::ring::mpmc::{self, Mpmc};
use mycelium_core::ring::spsc::{self, Spsc};
use mycelium_core::sync::weaken;
use mycelium_core::wait::Wait;
use mycelium_loom_tests::bounded;
use mycelium_loom_tests::task::{Task, finish};

type One = Arc<spsc::Inline<usize, 2>>;
type OneLobby = Arc<Lobby<Doorbell, Doorbell>>;

fn one() -> (Sender<spsc::Producer<One>, OneLobby>, Receiver<spsc::Consumer<One>, OneLobby>) {
    let ring = One::new(spsc::Inline::new());
    let lobby = OneLobby::new(Lobby::new(Doorbell::new(), Doorbell::new()));
    let (producer, consumer) = (Spsc::producer(ring.clone()), Spsc::consumer(ring));
    let sender = Sender::new(producer.unwrap(), lobby.clone()).unwrap();
    (sender, Receiver::new(consumer.unwrap(), lobby).unwrap())
}

type Many = Arc<mpmc::Inline<usize, 2>>;
type ManyLobby = Arc<Lobby<Row<2>, Row<2>>>;

fn many() -> (Sender<mpmc::Producer<Many>, ManyLobby>, Receiver<mpmc::Consumer<Many>, ManyLobby>) {
    let ring = Many::new(mpmc::Inline::new());
    let lobby = ManyLobby::new(Lobby::new(Row::new(), Row::new()));
    let sender = Sender::new(Mpmc::producer(ring.clone()), lobby.clone()).unwrap();
    (sender, Receiver::new(Mpmc::consumer(ring), lobby).unwrap())
}

/// What a sender or a receiver took, or nothing.
type Items = Vec<usize>;

/// Sends all, waiting for room as often as needed, and goes.
fn sends<P, L>(mut sender: Sender<P, L>, items: &'static [usize]) -> Task<Items>
where
    P: Reserve<Item = usize> + Send + 'static,
    L: Deref<Target: Sides<Room: Bells<Seat: Send>>> + Send + 'static,
{
    Task::new(async move {
        for item in items {
            sender.send(*item).await.unwrap();
        }
        Vec::new()
    })
}

/// Receives so many and goes.
fn receives<C, L>(mut receiver: Receiver<C, L>, count: usize) -> Task<Items>
where
    C: Consumer<Item = usize> + Send + 'static,
    L: Deref<Target: Sides<Items: Bells<Seat: Send>>> + Send + 'static,
{
    Task::new(async move {
        let mut items = Vec::new();
        while items.len() < count {
            items.extend(receiver.recv().await);
        }
        items
    })
}

/// Runs the first task here and the others on threads of their own, as far as they get; then all to their ends.
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
fn both_sides_park(wait: Wait) {
    bounded(2, move || {
        let (mut sender, mut receiver) = one();
        sender.set_wait_strategy(wait);
        receiver.set_wait_strategy(wait);
        let taken = run(vec![receives(receiver, 3), sends(sender, &[0, 1, 2])]);
        assert_eq!(taken[0], [0, 1, 2]);
    });
}

#[test]
fn both_sides_of_one_to_one_park() {
    both_sides_park(Wait::Park);
}

#[test]
fn who_looks_first_parks_as_well() {
    both_sides_park(Wait::SpinThenPark(1));
}

#[test]
#[should_panic = "a wake was lost"]
fn fails_without_the_ringers_fence() {
    weaken("doorbell.announce");
    both_sides_park(Wait::Park);
}

#[test]
#[should_panic = "a wake was lost"]
fn fails_without_the_waiters_fence() {
    weaken("doorbell.park");
    both_sides_park(Wait::Park);
}

#[test]
fn a_sender_goes_while_the_receiver_parks() {
    bounded(3, || {
        let (mut sender, mut receiver) = one();
        let taken = run(vec![
            Task::new(async move {
                assert_eq!(receiver.recv().await, Some(1));
                assert_eq!(receiver.recv().await, None);
                Vec::new()
            }),
            Task::new(async move {
                sender.send(1).await.unwrap();
                Vec::new()
            }),
        ]);
        assert_eq!(taken.len(), 2);
    });
}

#[test]
fn a_receiver_goes_while_the_sender_parks() {
    bounded(3, || {
        let (mut sender, mut receiver) = one();
        sender.try_send(0).unwrap();
        sender.try_send(1).unwrap();
        let taken = run(vec![
            Task::new(async move {
                // One gets the slot that became free, if it is fast.
                let mut sent = 2;
                while sender.send(sent).await.is_ok() {
                    sent += 1;
                }
                assert!(sent <= 5);
                Vec::new()
            }),
            Task::new(async move {
                assert_eq!(receiver.recv().await, Some(0));
                Vec::new()
            }),
        ]);
        assert_eq!(taken.len(), 2);
    });
}

#[test]
fn a_permit_is_sent_or_given_back() {
    bounded(2, || {
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
    });
}

/// Two receivers and two senders, all of which may park.
#[test]
fn all_of_several_ends_park() {
    bounded(1, || {
        let (sender, receiver) = many();
        let taken = run(vec![
            receives(receiver.try_clone().unwrap(), 2),
            receives(receiver, 2),
            sends(sender.try_clone().unwrap(), &[10, 11]),
            sends(sender, &[20, 21]),
        ]);
        assert!(
            taken[0].is_sorted_by_key(|item| item % 10) || taken[0][0] / 10 != taken[0][1] / 10
        );
        assert_eq!(taken.concat().iter().sum::<usize>(), 62);
    });
}

/// Two receivers wait for one item, and one of them gives up: the other one gets it.
#[test]
fn a_receiver_that_gives_up_passes_its_wake_on() {
    bounded(2, || {
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
    });
}

/// Two senders wait for room, and one of them gives up: the other one gets it.
#[test]
fn a_sender_that_gives_up_passes_its_wake_on() {
    bounded(2, || {
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
    });
}

/// An item lies behind a slot that is held: once that one is filled or given back, all that wait get theirs.
fn a_late_permit(fills: bool) {
    bounded(if fills { 1 } else { 2 }, move || {
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
    });
}

#[test]
fn a_late_permit_wakes_both_receivers() {
    a_late_permit(true);
}

#[test]
fn a_slot_that_is_given_back_wakes_the_receiver_behind_it() {
    a_late_permit(false);
}

/// A ring full of slots that were given up: the receiver finds nothing, but makes room, and says so before it sleeps.
#[test]
fn who_passes_slots_that_were_given_up_makes_room() {
    bounded(2, || {
        let (mut sender, receiver) = many();
        for _ in 0..2 {
            let Poll::Ready(Ok(permit)) = once(sender.reserve()) else { panic!("there is room") };
            drop(permit);
        }
        let taken = run(vec![receives(receiver, 1), sends(sender, &[1])]);
        assert_eq!(taken[0], [1]);
    });
}

/// The last of two senders that go closes the channel, after what the other one did.
#[test]
fn the_last_sender_closes() {
    bounded(1, || {
        let (sender, mut receiver) = many();
        let other = sender.try_clone().unwrap();
        let all = Task::new(async move {
            let mut items = Vec::new();
            while receiver.recv_many(&mut items, 2).await > 0 {}
            items
        });
        let taken = run(vec![all, sends(sender, &[1]), sends(other, &[2])]);
        assert_eq!(taken[0].iter().sum::<usize>(), 3);
    });
}
