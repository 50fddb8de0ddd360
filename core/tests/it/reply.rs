//! The slot of a request and its reply: one outcome, wakes, and the end of the slot.

use std::sync::Arc;

use mycelium_core::channel::reply::{Awaiting, Outcome, ReplySlot, Replying};

use crate::channel::wakers::counter;

#[test]
fn a_slot_is_opened_again_once_both_sides_are_gone() {
    let mut slot = ReplySlot::<_, u32, u32>::new(());
    let (awaiting, replying) = slot.open(&1).unwrap();
    assert!(slot.open(&2).is_none());
    drop(awaiting);
    assert!(slot.open(&2).is_none(), "the other side is there");
    assert!(replying.take());
    assert_eq!(*replying.request(), 1);
    assert!(replying.reply(10).is_ok(), "nobody cancelled it");
    let (awaiting, replying) = slot.open(&2).unwrap();
    assert_eq!(awaiting.outcome(), Outcome::Queued, "nothing is left of the request before");
    drop(replying);
    assert!(slot.open(&3).is_none(), "the side that requests is there");
    drop(awaiting);
    assert!(slot.open(&3).is_some());
}

#[test]
fn a_cancelled_request_gets_no_reply() {
    let mut slot = ReplySlot::<_, u32, u32>::new(());
    let (awaiting, replying) = slot.open(&1).unwrap();
    assert_eq!(awaiting.cancel(), Some(Outcome::Queued));
    assert_eq!(awaiting.cancel(), None);
    assert!(replying.is_cancelled() && !replying.take());
    drop((awaiting, replying));

    let (awaiting, replying) = slot.open(&2).unwrap();
    assert!(replying.take() && !replying.take());
    assert_eq!(awaiting.outcome(), Outcome::Taken);
    assert!(!awaiting.withdraw(), "it was taken");
    assert_eq!(awaiting.cancel(), Some(Outcome::Taken));
    assert!(replying.reply(3).is_err());
    assert_eq!(awaiting.outcome(), Outcome::Cancelled);
}

#[test]
fn a_failure_has_its_number_and_only_in_its_state() {
    let mut slot = ReplySlot::<_, u32, u32>::new(());
    let (awaiting, replying) = slot.open(&1).unwrap();
    assert!(!replying.fail(5), "it was not taken");
    assert_eq!(awaiting.outcome(), Outcome::Queued);
    drop(awaiting);
    let (awaiting, replying) = slot.open(&2).unwrap();
    assert_eq!(replying.abandon(0), Some(false));
    assert_eq!(awaiting.outcome(), Outcome::Failed(0));
    drop(awaiting);
    let (awaiting, replying) = slot.open(&3).unwrap();
    assert!(replying.take());
    assert!(replying.fail(5));
    assert_eq!(awaiting.outcome(), Outcome::Failed(5));
}

#[test]
fn the_end_of_a_request_wakes_the_last_waker() {
    let mut slot = ReplySlot::<_, u32, u32>::new(());
    let ((first, one), (second, other)) = (counter(), counter());
    let (mut awaiting, replying) = slot.open(&1).unwrap();
    assert!(awaiting.register(&one) && awaiting.register(&one) && awaiting.register(&other));
    assert!(replying.take());
    assert!(replying.reply(2).is_ok());
    assert_eq!((first.times(), second.times()), (0, 1));
    assert!(!awaiting.register(&one), "it has ended");
    drop(awaiting);
    // The waker stayed, and wakes again only if it is registered again.
    let (mut awaiting, replying) = slot.open(&2).unwrap();
    assert!(replying.take());
    assert!(replying.reply(3).is_ok());
    assert_eq!(second.times(), 1);
    drop(awaiting);
    let kept = Arc::strong_count(&second);
    (awaiting, _) = slot.open(&3).unwrap();
    assert!(awaiting.register(&other));
    assert_eq!(Arc::strong_count(&second), kept, "the same waker is not cloned");
}

#[test]
fn the_last_part_frees_the_slot() {
    let owner = Arc::new(());
    for last in 0..3 {
        let mut slot = ReplySlot::<_, u32, u32>::new(owner.clone());
        let (awaiting, replying) = slot.open(&1).unwrap();
        let mut parts: [Option<Box<dyn std::any::Any>>; 3] =
            [Some(Box::new(slot)), Some(Box::new(awaiting)), Some(Box::new(replying))];
        let kept = parts[last].take();
        drop(parts);
        assert_eq!(Arc::strong_count(&owner), 2);
        drop(kept);
        assert_eq!(Arc::strong_count(&owner), 1);
    }
    // The reply itself is the last use.
    let mut slot = ReplySlot::<_, u32, u32>::new(owner.clone());
    let (awaiting, replying) = slot.open(&1).unwrap();
    drop((slot, awaiting));
    assert!(replying.take());
    assert!(replying.reply(1).is_ok());
    assert_eq!(Arc::strong_count(&owner), 1);
}

/// Whatever becomes of a request, its value and that of its reply are dropped once.
#[test]
fn requests_and_replies_are_dropped_once() {
    let (request, reply) = (Arc::new(()), Arc::new(()));
    let mut slot = ReplySlot::<_, Arc<()>, Arc<()>>::new(());
    let counts = || (Arc::strong_count(&request), Arc::strong_count(&reply));
    for taken_by in 0..4 {
        let (mut awaiting, replying) = slot.open(&request).unwrap();
        assert_eq!(counts(), (2, 1), "the request before is gone");
        assert!(replying.take());
        if taken_by == 0 {
            assert_eq!(awaiting.cancel(), Some(Outcome::Taken));
            assert!(replying.reply(reply.clone()).is_err());
            assert_eq!((counts(), awaiting.take_reply()), ((2, 1), None));
            continue;
        }
        assert!(replying.reply(reply.clone()).is_ok());
        assert_eq!((counts(), awaiting.outcome()), ((2, 2), Outcome::Replied(&reply)));
        if taken_by > 1 {
            assert_eq!(awaiting.take_reply(), Some(reply.clone()));
            assert_eq!((counts(), awaiting.outcome()), ((2, 1), Outcome::Emptied));
            assert_eq!(awaiting.take_reply(), None);
        }
    }
    let (awaiting, replying) = slot.open(&request).unwrap();
    assert!(replying.take() && replying.reply(reply.clone()).is_ok());
    drop((slot, awaiting));
    assert_eq!(counts(), (1, 1));
}

/// Nobody waits for the reply of a detached request, so it is dropped at once, and not in the slot.
#[test]
fn the_reply_of_a_detached_request_does_not_stay() {
    let reply = Arc::new(());
    let mut slot = ReplySlot::<_, (), Arc<()>>::new(());
    for replied_before in [false, true] {
        let (mut awaiting, replying) = slot.open(&()).unwrap();
        assert!(replying.take() && !replying.is_detached());
        if replied_before {
            assert!(replying.reply(reply.clone()).is_ok());
            assert_eq!(awaiting.detach(), Outcome::Replied(()));
        } else {
            assert_eq!(awaiting.detach(), Outcome::Taken);
            assert!(replying.is_detached() && !replying.is_cancelled());
            assert!(replying.reply(reply.clone()).is_err());
        }
        drop(awaiting);
        assert_eq!(Arc::strong_count(&reply), 1);
    }
    let (mut awaiting, replying) = slot.open(&()).unwrap();
    assert_eq!(awaiting.detach(), Outcome::Queued);
    assert_eq!(replying.abandon(3), Some(true));
    assert_eq!(awaiting.detach(), Outcome::Failed(3));
}

type Change = fn(&mut Awaiting<(), (), u32>, &Replying<(), (), u32>);

#[test]
fn a_request_expires_unless_it_was_cancelled_detached_or_taken() {
    let mut slot = ReplySlot::<_, (), u32>::new(());
    let (awaiting, replying) = slot.open(&()).unwrap();
    assert!(replying.expire(3).is_ok());
    assert_eq!(awaiting.outcome(), Outcome::Failed(3));
    drop(awaiting);
    let changes: [Change; 3] = [
        |awaiting, _| _ = awaiting.cancel(),
        |awaiting, _| _ = awaiting.detach(),
        |_, replying| _ = replying.take(),
    ];
    for change in changes {
        let (mut awaiting, replying) = slot.open(&()).unwrap();
        change(&mut awaiting, &replying);
        let before = awaiting.outcome();
        drop(replying.expire(3).unwrap_err());
        assert_eq!(awaiting.outcome(), before);
        drop(awaiting);
    }
}
