//! Reasons why messages of a stream are missing, as numbers on the wire (`reason` of a gap frame).

use crate::local::GapReason;

/// The reader was too slow, and the publisher's ring overwrote the messages.
pub(crate) const OVERWRITTEN: u16 = 1;
/// The message is longer than the link can carry.
pub(crate) const TOO_LONG: u16 = 2;
/// An earlier process of the reader had the messages when it died, and the topic delivers at most
/// once.
pub(crate) const LOST: u16 = 3;
/// Several consecutive processes of the reader died while they handled the message.
pub(crate) const DEAD_LETTERED: u16 = 4;
/// The reader had stalled. The publisher stopped waiting for it and overwrote the messages.
pub(crate) const EVICTED: u16 = 5;

pub(crate) fn reason(code: u16) -> GapReason {
    match code {
        TOO_LONG => GapReason::Undecodable,
        LOST => GapReason::Disconnected,
        DEAD_LETTERED => GapReason::DeadLettered,
        EVICTED => GapReason::Evicted,
        _ => GapReason::Overwritten,
    }
}
