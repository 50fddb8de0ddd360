//! Rings, doorbells, channels and links, each used once.

use core::{
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use mycelium_core::{
    channel,
    doorbell::{Doorbell, announce},
    link::{Config, Event, Link, Name},
    ring::{
        PopError, PushError,
        mpmc::{self, Mpmc},
        spsc, stamped,
    },
};

/// An error with this number, unless the condition holds.
fn check(holds: bool, number: i32) -> Result<(), i32> {
    if holds { Ok(()) } else { Err(number) }
}

pub(crate) fn rings() -> Result<(), i32> {
    let mut ring = spsc::Inline::<u64, 4>::new();
    let (mut writer, mut reader) = ring.split().ok_or(30)?;
    check(writer.push_slice(black_box(&[1, 2, 3])) == Ok(3), 31)?;
    check(writer.try_push(4).is_ok() && writer.try_push(5) == Err(PushError::Full(5)), 32)?;
    let mut items = [0; 4];
    check(reader.pop_slice(&mut items) == Ok(4) && items == [1, 2, 3, 4], 33)?;

    let mut ring = stamped::Inline::<[u64; 7], 4>::new();
    let (mut writer, mut reader) = ring.split().ok_or(34)?;
    check(writer.try_push(black_box([7; 7])).is_ok(), 35)?;
    writer.close();
    check(reader.try_pop() == Ok([7; 7]) && reader.try_pop() == Err(PopError::Closed), 36)?;

    let ring = mpmc::Inline::<u64, 4>::new();
    let (mut writer, mut reader) = (Mpmc::producer(&ring), Mpmc::consumer(&ring));
    check(writer.clone().try_push(1).is_ok() && writer.try_push(2).is_ok(), 37)?;
    check(reader.clone().try_pop() == Ok(1) && reader.try_pop() == Ok(2), 38)
}

pub(crate) fn doorbell() -> Result<(), i32> {
    let bell = Doorbell::new();
    bell.park(Waker::noop());
    check(bell.is_parked(), 40)?;
    announce();
    bell.ring();
    check(!bell.is_parked(), 41)
}

pub(crate) fn channel() -> Result<(), i32> {
    static CHANNEL: channel::spsc::Inline<u64, 4> = channel::spsc::Inline::new();
    let (mut sender, mut receiver) = CHANNEL.split().ok_or(42)?;
    let mut context = Context::from_waker(Waker::noop());
    check(pin!(receiver.recv()).poll(&mut context).is_pending(), 43)?;
    check(pin!(sender.send(black_box(7))).poll(&mut context) == Poll::Ready(Ok(())), 44)?;
    drop(sender);
    check(pin!(receiver.recv()).poll(&mut context) == Poll::Ready(Some(7)), 45)?;
    check(pin!(receiver.recv()).poll(&mut context) == Poll::Ready(None), 46)
}

/// Two links that exchange bytes become connected.
pub(crate) fn link() -> Result<(), i32> {
    let (mut ours, mut theirs) = ([0; 2048], [0; 2048]);
    let config = |name| Ok::<_, i32>(Config::new(Name::try_from(name).map_err(|_| 50)?, 7));
    let mut left = Link::<1, 1>::new(config("left")?, &mut ours).map_err(|_| 51)?;
    let mut right = Link::<1, 1>::new(config("right")?, &mut theirs).map_err(|_| 52)?;
    let now = Duration::from_secs(1);
    left.open(now);
    right.open(now);
    let mut up = 0;
    for _ in 0..4 {
        up += carry(now, &mut left, &mut right)?;
        up += carry(now, &mut right, &mut left)?;
    }
    check(up == 2, 53)
}

/// Moves the bytes of one link to the other, and returns how often that one became connected.
fn carry(now: Duration, from: &mut Link<'_, 1, 1>, to: &mut Link<'_, 1, 1>) -> Result<u32, i32> {
    let Some(bytes) = from.poll_transmit(now) else { return Ok(0) };
    let (mut start, mut up) = (0, 0);
    while start < bytes.len() {
        let input = to.input(now, &bytes[start..], |_, _| Ok(())).map_err(|_| 54)?;
        check(input.used > 0, 55)?;
        start += input.used;
        up += u32::from(matches!(input.event, Some(Event::Up { .. })));
    }
    from.transmitted(now, start);
    Ok(up)
}
