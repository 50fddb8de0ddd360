//! Messages pass unchanged through bytes, words, frames and rings, and each kind of broken bytes
//! has its error. Messages need a little-endian host.

use mycelium_core::{Envelope, FixedStr, FixedVec, FrameView, Limits, message, write_message};

#[message]
#[derive(Debug, PartialEq)]
#[repr(u8)]
pub(crate) enum Side {
    Buy = 1,
    Sell = 2,
}

#[message(topic = "swaps", id = 1)]
#[derive(Debug, PartialEq)]
pub(crate) struct Swap {
    pub(crate) price: u64,
    pub(crate) amount: i64,
    pub(crate) pool: u32,
    pub(crate) side: Side,
    pub(crate) open: bool,
    pub(crate) symbol: FixedStr<8>,
    pub(crate) fills: FixedVec<u16, 3>,
}

impl Swap {
    /// The message whose bytes `docs/wire-format.md` shows.
    pub(crate) fn golden() -> Swap {
        Swap {
            price: 1_234_567_890_123,
            amount: -5,
            pool: 77,
            side: Side::Sell,
            open: true,
            symbol: FixedStr::try_from("ETH").unwrap(),
            fills: FixedVec::from_slice(&[7, 300]).unwrap(),
        }
    }
}

/// Aligned to 8 bytes, like the buffer of a link.
#[repr(align(8))]
pub(crate) struct Buffer(pub(crate) [u8; 256]);

pub(crate) fn a_message_comes_back_through_a_frame() {
    let mut buffer = Buffer([0xa5; 256]);
    let envelope = Envelope { deadline: Some(9), ..Envelope::of::<Swap>(3, 4) };
    let len = write_message(&mut buffer.0, &envelope, &Swap::golden()).unwrap();
    let (frame, rest) = FrameView::parse(&buffer.0[..len], &Limits::default()).unwrap();
    assert!(rest.is_empty());
    assert_eq!(frame.envelope(), envelope);
    assert_eq!(frame.message::<Swap>(), Ok(&Swap::golden()));
    assert_eq!(frame.read::<Swap>(), Ok(Swap::golden()));
}
