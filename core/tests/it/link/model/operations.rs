//! The operations of the model, and how often each occurs.

use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// The publisher has this many more messages.
    Emit(u8),
    /// It drops this many of them.
    Skip(u8),
    Flush,
    /// The reader grants credit for this many.
    Grant(u8),
    /// It confirms this many more, if it confirms itself.
    Done(u8),
    /// The side writes or reads this many bytes.
    Write(u16),
    Read(u16),
    /// This many milliseconds pass.
    Pass(u8),
    /// From now on bytes take this many milliseconds.
    Delay(u8),
    Cut,
    Connect,
    /// The publisher ends, and another starts.
    Restart,
    Unsubscribe,
    Subscribe,
    /// The writer rejects the topic, until the next connection.
    Reject,
    /// The writer offers shared memory, or moves its newest stream there.
    OfferMemory,
    Move,
    /// The reader reads this many messages of each stream in memory.
    ReadMemory(u8),
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..20u8).prop_map(Op::Emit),
        1 => (1..5u8).prop_map(Op::Skip),
        2 => Just(Op::Flush),
        4 => (0..12u8).prop_map(Op::Grant),
        3 => (0..12u8).prop_map(Op::Done),
        8 => (0..600u16).prop_map(Op::Write),
        8 => (0..600u16).prop_map(Op::Read),
        4 => (0..20u8).prop_map(Op::Pass),
        1 => (0..5u8).prop_map(Op::Delay),
        1 => Just(Op::Cut),
        2 => Just(Op::Connect),
        1 => Just(Op::Restart),
        1 => Just(Op::Unsubscribe),
        2 => Just(Op::Subscribe),
        1 => Just(Op::Reject),
        1 => Just(Op::OfferMemory),
        2 => Just(Op::Move),
        2 => (0..12u8).prop_map(Op::ReadMemory),
    ]
}
