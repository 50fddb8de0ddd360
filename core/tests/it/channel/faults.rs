//! Items, buffers and iterators that panic, or that use the channel while they are dropped. In all
//! cases the channel closes, and no end sleeps while an item or a slot for it is available.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use mycelium_core::channel::{Receiver, Reserve, Sender, Sides, mpmc as several, spsc as single};
use mycelium_core::ring::{Consumer, PushError};

use super::waiters::passing_makes_room;
use super::wakers::{asleep, now};

#[test]
fn an_items_drop_that_panics_still_closes() {
    struct Bomb(Rc<Cell<bool>>);

    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0.replace(false), "bomb");
        }
    }

    let (mut sender, receiver) = single::bounded(4).unwrap();
    let armed = Rc::new(Cell::new(true));
    sender.try_send(Bomb(armed.clone())).unwrap();
    panics(|| drop(receiver));
    assert!(sender.is_closed());
}

#[test]
fn a_buffer_that_panics_leaves_no_sender_asleep() {
    a_buffer_panics(single::bounded(2).unwrap());
    a_buffer_panics(several::bounded(2).unwrap());
}

fn a_buffer_panics<P, C, L>((mut sender, mut receiver): (Sender<P, L>, Receiver<C, L>))
where
    P: Reserve<Item = u32>,
    C: Consumer<Item = u32>,
    L: Deref<Target: Sides>,
{
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    let mut send = pin!(sender.send(3));
    let woken = asleep(send.as_mut());
    panics(|| _ = now(receiver.recv_many(&mut Short::default(), 2)));
    assert_eq!(now(receiver.recv()), Poll::Pending);
    assert!(woken.times() > 0, "the channel is empty, and a sender waits for room");
}

/// Panics at its second item.
#[derive(Default)]
struct Short(usize);

impl Extend<u32> for Short {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, items: I) {
        self.0 += items.into_iter().count();
        assert!(self.0 < 2, "the collection refuses a second item");
    }
}

#[test]
fn an_iterator_that_panics_leaves_no_receiver_asleep() {
    let (mut sender, mut receiver) = several::bounded(8).unwrap();
    let mut recv = pin!(receiver.recv());
    let woken = asleep(recv.as_mut());
    let mut items = (0..3).map(|item| if item == 2 { panic!("no third") } else { item });
    panics(|| _ = now(sender.send_many(&mut items)));
    assert!(woken.times() > 0, "two items lie there");
}

/// The slot that an iterator leaves when it panics is aborted.
#[test]
fn an_iterator_that_panics_leaves_no_sender_asleep() {
    let (mut sender, mut receiver) = several::bounded(2).unwrap();
    for _ in 0..2 {
        let mut items = (0..1).map(|_| -> u32 { panic!("none") });
        panics(|| _ = now(sender.send_many(&mut items)));
    }
    passing_makes_room(&mut sender, &mut receiver);
}

/// An item that is dropped with the last receiver cannot send another item into its slot.
#[test]
fn items_dropped_with_the_last_receiver_find_it_closed() {
    type Line = Rc<RefCell<Option<single::Sender<Again>>>>;

    /// Sends another item when it is dropped.
    struct Again(Line, Rc<Cell<bool>>);

    impl Drop for Again {
        fn drop(&mut self) {
            let Some(mut sender) = self.0.take() else { return };
            let sent = sender.try_send(Again(self.0.clone(), self.1.clone()));
            self.1.set(matches!(sent, Err(PushError::Closed(_))));
            drop(sent);
            *self.0.borrow_mut() = Some(sender);
        }
    }

    let (mut sender, receiver) = single::bounded(4).unwrap();
    let (line, refused) = (Line::default(), Rc::new(Cell::new(false)));
    assert!(sender.try_send(Again(line.clone(), refused.clone())).is_ok());
    *line.borrow_mut() = Some(sender);
    drop(receiver);
    let sender = line.take().unwrap();
    assert!(sender.is_empty() && refused.get(), "an item lies where nobody takes it");
}

fn panics(f: impl FnOnce()) {
    catch_unwind(AssertUnwindSafe(f)).unwrap_err();
}
