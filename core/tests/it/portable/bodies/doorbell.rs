//! The doorbell, with wakers that need no heap.

use mycelium_core::doorbell::{Doorbell, announce};

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
