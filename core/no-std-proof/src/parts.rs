//! The parts that need no std, beside the portable tests: a channel and a link.

use core::{
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use mycelium_core::{
    channel,
    link::{Config, Event, Link, Name},
};

pub(crate) fn channel() {
    static CHANNEL: channel::spsc::Inline<u64, 4> = channel::spsc::Inline::new();
    let (mut sender, mut receiver) = CHANNEL.split().unwrap();
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(receiver.recv()).poll(&mut context).is_pending());
    assert_eq!(pin!(sender.send(black_box(7))).poll(&mut context), Poll::Ready(Ok(())));
    drop(sender);
    assert_eq!(pin!(receiver.recv()).poll(&mut context), Poll::Ready(Some(7)));
    assert_eq!(pin!(receiver.recv()).poll(&mut context), Poll::Ready(None));
}

/// Two links say hello to each other.
pub(crate) fn link() {
    let (mut ours, mut theirs) = ([0; 2048], [0; 2048]);
    let config = |name| Config::new(Name::try_from(name).unwrap(), 7);
    let mut left = Link::<1, 1>::new(config("left"), &mut ours).unwrap();
    let mut right = Link::<1, 1>::new(config("right"), &mut theirs).unwrap();
    let now = Duration::from_secs(1);
    left.open(now);
    right.open(now);
    let mut up = 0;
    for _ in 0..4 {
        up += carry(now, &mut left, &mut right) + carry(now, &mut right, &mut left);
    }
    assert_eq!(up, 2);
}

/// Carries the bytes that one side has to send to the other. Returns how many sides that brings up.
fn carry(now: Duration, from: &mut Link<'_, 1, 1>, to: &mut Link<'_, 1, 1>) -> u32 {
    let Some(bytes) = from.poll_transmit(now) else { return 0 };
    let (mut start, mut up) = (0, 0);
    while start < bytes.len() {
        let input = to.input(now, &bytes[start..], |_, _| Ok(())).unwrap();
        assert!(input.used > 0);
        start += input.used;
        up += u32::from(matches!(input.event, Some(Event::Up { .. })));
    }
    from.transmitted(now, start);
    up
}
