//! When a message was sent, in seven bytes of its slot.

use std::time::{SystemTime, UNIX_EPOCH};

/// The number of its bytes in a slot.
pub(crate) const SENT_AT_BYTES: usize = 7;
const BITS: u32 = 8 * SENT_AT_BYTES as u32;
const MASK: u64 = (1 << BITS) - 1;

/// When a message was sent: nanoseconds since 1970 UTC, modulo 2^56. It is never 0. A hostile
/// sender may have written any other number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentAt(u64);

impl SentAt {
    /// Creates the value of this time.
    pub(crate) fn at(time: SystemTime) -> SentAt {
        SentAt::of(nanoseconds(time)).unwrap_or(SentAt(MASK))
    }

    /// Creates the value of this number of nanoseconds since 1970 UTC; `None` for 0.
    pub(crate) fn of(nanoseconds: u64) -> Option<SentAt> {
        // Every two years one nanosecond would have the value 0, so it gets the value of the
        // nanosecond before.
        let number = |nanoseconds| if nanoseconds & MASK == 0 { MASK } else { nanoseconds & MASK };
        (nanoseconds > 0).then(|| SentAt(number(nanoseconds)))
    }

    #[inline]
    pub(crate) fn from_bytes(bytes: [u8; SENT_AT_BYTES]) -> Option<SentAt> {
        let [a, b, c, d, e, f, g] = bytes;
        let number = u64::from_le_bytes([a, b, c, d, e, f, g, 0]);
        (number > 0).then_some(SentAt(number))
    }

    pub(crate) fn to_bytes(self) -> [u8; SENT_AT_BYTES] {
        let [a, b, c, d, e, f, g, _] = self.0.to_le_bytes();
        [a, b, c, d, e, f, g]
    }

    /// Returns the nanoseconds from the sending to `now`, less than a year later; `None` if `now`
    /// is earlier.
    pub(crate) fn age(self, now: SystemTime) -> Option<u64> {
        u64::try_from(self.signed_age(nanoseconds(now))).ok()
    }

    /// Returns the nanoseconds since 1970 UTC, for a sending less than a year from `now`.
    pub(crate) fn to_nanoseconds(self, now: SystemTime) -> u64 {
        let now = nanoseconds(now);
        now.wrapping_sub(self.signed_age(now).cast_unsigned())
    }

    fn signed_age(self, now: u64) -> i64 {
        // The shift gives the sign of a number of 56 bits.
        let unused = u64::BITS - BITS;
        (now.wrapping_sub(self.0) << unused).cast_signed() >> unused
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    // The conversion is exact until the year 2554.
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(nanoseconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(nanoseconds)
    }

    #[test]
    fn an_age_is_right_within_a_year() {
        const YEAR: u64 = 366 * 24 * 3600 * 1_000_000_000;
        // Times before and after the moments when the value wraps.
        for sent in [1, 1_800_000_000_000_000_000, MASK - 5, MASK, MASK + 1, MASK + 2, 26 * MASK] {
            let sent_at = SentAt::at(after(sent));
            for age in [0, 1, 5_000_000, YEAR] {
                // A time whose value would be 0 has that of a nanosecond earlier.
                let earlier = u64::from(sent & MASK == 0);
                assert_eq!(sent_at.age(after(sent + age)), Some(age + earlier), "{sent} and {age}");
                let long = sent_at.to_nanoseconds(after(sent + age));
                assert_eq!(long, sent - earlier);
                assert_eq!(SentAt::of(long), Some(sent_at));
            }
            let ahead = SentAt::at(after(sent + YEAR));
            assert_eq!(ahead.age(after(sent)), None);
            assert_eq!(ahead.to_nanoseconds(after(sent)) & MASK, ahead.0);
        }
    }
}
