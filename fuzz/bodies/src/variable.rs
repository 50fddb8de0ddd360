//! Messages of any shape: invalid bytes are an error, and valid ones are the only encoding of their
//! value.

use std::fmt::{self, Debug, Write};

use mycelium_core::{Message, decode, encode, encoded_len, view};
use zerocopy::IntoBytes;

use crate::heap;
use crate::shapes::{Everything, Lists, Maps, Numbers, Shape, Steps, Text};

/// The longest message of this target, in words.
const ROOM: usize = 1024;
/// Decoding may allocate this number of bytes for each byte that it was given: a map allocates
/// places for several entries.
const MOST: usize = 128;

/// Reads any bytes as a message, or builds a message, changes some bytes of its encoding, and reads
/// them again.
pub fn variable(data: &[u8]) {
    accepts(data);
}

/// Does the same. Returns whether the first bytes that were read are a message.
fn accepts(data: &[u8]) -> bool {
    let Some((kind, data)) = data.split_first() else { return false };
    let read = match kind % 5 {
        0 => message_of::<Everything>,
        1 => message_of::<Numbers>,
        2 => message_of::<Lists>,
        3 => message_of::<Maps>,
        _ => message_of::<Text>,
    };
    read(kind & 128 != 0, data)
}

fn message_of<M: Message + Shape + Debug>(is_built: bool, data: &[u8]) -> bool
where
    for<'a> M::View<'a>: Debug,
{
    let mut words = [0_u64; ROOM];
    if !is_built {
        let Some(bytes) = words.as_mut_bytes().get_mut(..data.len()) else { return false };
        bytes.copy_from_slice(data);
        return check::<M>(bytes);
    }
    let mut steps = Steps(data);
    let value = M::build(&mut steps);
    let Ok(mut len) = encoded_len(&value) else { return false };
    if len > size_of_val(&words) {
        return false;
    }
    let bytes = words.as_mut_bytes();
    assert_eq!(encode(&value, &mut bytes[..len]), Ok(len));
    assert!(check::<M>(&bytes[..len]), "a message is accepted as it was encoded");
    while let Some(step) = steps.next() {
        let place = steps.number() % len.max(1);
        match step % 8 {
            0 => len = place,
            1 => len = (len + place).min(bytes.len()),
            2 => bytes.copy_within(place..len.min(place + 16), place / 8 * 8),
            3 | 4 => {
                let number = steps.number().to_le_bytes();
                let room = bytes[place / 4 * 4..].iter_mut();
                room.zip(&number[..4]).for_each(|(byte, new)| *byte = *new);
            }
            _ => bytes[place] = bytes[place].wrapping_add(steps.next().unwrap_or(1)),
        }
        check::<M>(&bytes[..len]);
    }
    true
}

/// Reads bytes that are aligned. Returns whether they are a message.
fn check<M: Message + Debug>(bytes: &[u8]) -> bool
where
    for<'a> M::View<'a>: Debug,
{
    let before = heap::requested();
    let decoded = decode::<M>(bytes);
    let requested = heap::requested() - before;
    let value = match decoded {
        Ok(value) => value,
        Err(error) => {
            assert_eq!(requested, 0, "refused bytes allocate nothing");
            assert_eq!(view::<M>(bytes).err(), Some(error));
            return false;
        }
    };
    assert!(requested <= MOST * bytes.len(), "{requested} bytes for {}", bytes.len());
    assert_eq!(encoded_len(&value), Ok(bytes.len()));
    let mut again = [u64::MAX; ROOM];
    let again = &mut again.as_mut_bytes()[..bytes.len()];
    assert_eq!(encode(&value, again), Ok(bytes.len()));
    assert!(again == bytes, "a value has one encoding");
    let view = view::<M>(bytes).expect("decoded above");
    assert_eq!(Letters::of(&view), Letters::of(&value), "{view:?} is not {value:?}");
    true
}

/// A hash of what a value prints, without what differs between a value and its view: names of
/// views, and the brackets of maps.
struct Letters(u64);

impl Letters {
    fn of(value: &impl Debug) -> u64 {
        let mut letters = Letters(0xcbf2_9ce4_8422_2325);
        write!(letters, "{value:?}").expect("it is not refused");
        letters.0
    }
}

impl Write for Letters {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.strip_suffix("View").unwrap_or(text).bytes() {
            if !b"()[]{}:, ".contains(&byte) {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If the first check refused most seeds, the corpus would test only that check.
    #[test]
    fn a_tenth_of_the_seeds_is_accepted() {
        crate::seeds::a_tenth_is_accepted("variable", accepts);
    }
}
