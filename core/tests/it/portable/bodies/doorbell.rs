//! The doorbell, with wakers that need no heap.

use core::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
};

use mycelium_core::{
    doorbell::{Doorbell, announce},
    ring::broadcast::{Broadcast, InlineStorage, Layout, Peek},
};

use super::waker::Count;

pub(crate) fn a_parked_waiter_is_woken_once() {
    static COUNT: Count = Count::new();
    static BELL: Doorbell = Doorbell::new();
    BELL.park(&COUNT.waker());
    assert!(BELL.is_parked());
    for _ in 0..3 {
        announce();
        BELL.ring();
        assert!(!BELL.is_parked());
    }
    assert_eq!(COUNT.times(), 1);
    BELL.park(&COUNT.waker());
    announce();
    BELL.ring();
    assert_eq!(COUNT.times(), 2, "a task that parks again is woken again");
}

/// Check, register, check: the future is pending until something is published and the bell is rung.
pub(crate) fn a_future_over_a_ring_is_woken() {
    static COUNT: Count = Count::new();
    const LAYOUT: Layout = Layout::exact(2, 8);
    let ring = Broadcast::new(InlineStorage::<{ LAYOUT.words() }, 1>::new(), LAYOUT).unwrap();
    let bell = Doorbell::new();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut reader = Broadcast::gating(&ring).unwrap();
    let mut words = [0; 8 / size_of::<usize>()];
    let mut next = pin!(poll_fn(|context| {
        for look in 0..2 {
            if let Peek::Message { sequence, .. } = reader.peek(&mut words) {
                bell.unpark();
                return Poll::Ready(sequence);
            }
            if look == 0 {
                bell.park(context.waker());
            }
        }
        Poll::Pending
    }));
    let waker = COUNT.waker();
    let mut context = Context::from_waker(&waker);
    assert_eq!(next.as_mut().poll(&mut context), Poll::Pending);
    writer.try_push(&[7; 8 / size_of::<usize>()], 8).unwrap();
    assert_eq!(COUNT.times(), 0, "the ring knows of no waker");
    announce();
    bell.ring();
    assert_eq!(COUNT.times(), 1);
    assert_eq!(next.as_mut().poll(&mut context), Poll::Ready(0));
}
