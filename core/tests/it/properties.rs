//! Properties of any message, any envelope and any bytes.

use mycelium_core::Fixed;
use mycelium_core::{
    Envelope, FixedStr, FixedVec, FrameView, Limits, TraceContext, decode, from_words, to_words,
    write_message,
};
use proptest::{collection::vec, option, prelude::*};

use crate::cases::cases;
use crate::portable::bodies::codec::{Buffer, Side, Swap};

fn swaps() -> impl Strategy<Value = Swap> {
    let numbers = (any::<u64>(), any::<i64>(), any::<u32>());
    let flags = (prop_oneof![Just(Side::Buy), Just(Side::Sell)], any::<bool>());
    (numbers, flags, "\\PC{0,8}", vec(any::<u16>(), 0..=3)).prop_map(
        |((price, amount, pool), (side, open), symbol, fills)| Swap {
            price,
            amount,
            pool,
            side,
            open,
            symbol: FixedStr::truncated(&symbol),
            fills: FixedVec::from_slice(&fills).unwrap(),
        },
    )
}

fn envelopes() -> impl Strategy<Value = Envelope> {
    let trace = (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<u8>())
        .prop_map(|(trace_id, span_id, flags)| TraceContext { trace_id, span_id, flags });
    let number = || option::of(any::<u64>());
    let numbers = (option::of(any::<u128>()), number(), number(), number());
    let attached = (option::of(trace), numbers, any::<bool>());
    (any::<u16>(), any::<u32>(), any::<u64>(), attached).prop_map(
        |(type_id, stream, sequence, attached)| {
            let (trace, numbers, redelivered) = attached;
            let (correlation, destination, deadline, sent_at) = numbers;
            Envelope {
                type_id,
                stream,
                sequence,
                trace,
                correlation,
                destination,
                deadline,
                redelivered,
                sent_at,
            }
        },
    )
}

proptest! {
    #![proptest_config(cases(2))]

    #[test]
    fn a_message_comes_back(swap in swaps(), envelope in envelopes()) {
        prop_assert_eq!(from_words::<Swap>(&to_words(&swap)), Ok(swap));
        prop_assert_eq!(decode::<Swap>(swap.encoded()), Ok(swap));

        let buffer = &mut Buffer([0xa5; 256]).0;
        let len = write_message(buffer, &envelope, &swap).unwrap();
        prop_assert_eq!(len % 8, 0);
        let (frame, rest) = FrameView::parse(&buffer[..len], &Limits::default()).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(frame.message::<Swap>(), Ok(&swap));
        prop_assert_eq!(frame.envelope(), Envelope { type_id: 1, ..envelope });
    }
}
