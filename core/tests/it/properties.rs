//! Properties of any message, any envelope and any bytes.

use mycelium_core::{
    Envelope, FixedStr, FixedVec, FrameView, Frames, Limits, TraceContext, decode, decode_ref,
    from_words, to_words, write_frame, write_message,
};
use proptest::{collection::vec, option, prelude::*};
use zerocopy::IntoBytes;

use crate::cases::cases;
use crate::schema::{Aligned, Side, Swap};

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
    let attached = (
        option::of(trace),
        option::of(any::<u128>()),
        option::of(any::<u64>()),
        option::of(any::<u64>()),
        any::<bool>(),
        option::of(any::<u64>()),
    );
    (any::<u16>(), any::<u32>(), any::<u64>(), attached).prop_map(
        |(type_id, stream, sequence, attached)| {
            let (trace, correlation, destination, deadline, redelivered, sent_at) = attached;
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

/// Frames with a few changed bytes, which pass more checks than random bytes.
fn spoiled_frames() -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (envelopes(), vec(any::<u8>(), 0..80), changes, any::<prop::sample::Index>()).prop_map(
        |(envelope, payload, changes, cut)| {
            let mut buffer = Aligned::new();
            let fixed = payload.len() as u16 / 2;
            let len = write_frame(buffer.bytes(), &envelope, fixed, &payload).unwrap();
            let mut bytes = buffer.bytes()[..len].to_vec();
            for (at, byte) in changes {
                // Small numbers are more often valid lengths and kinds.
                bytes[at.index(len)] = if byte < 128 { byte % 8 } else { byte };
            }
            if cut.index(4) == 0 {
                bytes.truncate(cut.index(len));
            }
            bytes
        },
    )
}

/// A frame that is parsed and written again has the same bytes.
fn frames_write_back(bytes: &[u8]) {
    let mut frames = Frames::new(bytes, Limits::default());
    let mut at = 0;
    while let Some(Ok(frame)) = frames.next() {
        let end = bytes.len() - frames.rest().len();
        let known = frame.extensions().all(|extension| extension.kind <= 4);
        if known {
            let mut again = vec![0xa5; end - at];
            let fixed = frame.header().fixed_len();
            let len = write_frame(&mut again, &frame.envelope(), fixed, frame.payload());
            assert_eq!(len, Ok(end - at));
            assert_eq!(again, bytes[at..end]);
        }
        assert_eq!(frame.payload().len(), frame.fixed().len() + frame.tail().len());
        at = end;
    }
}

proptest! {
    #![proptest_config(cases(1024, 2))]

    #[test]
    fn a_message_comes_back(swap in swaps(), envelope in envelopes()) {
        prop_assert_eq!(from_words::<Swap>(&to_words(&swap)), Ok(swap));
        prop_assert_eq!(decode::<Swap>(swap.as_bytes()), Ok(swap));

        let mut buffer = Aligned::new();
        let len = write_message(buffer.bytes(), &envelope, &swap).unwrap();
        prop_assert_eq!(len % 8, 0);
        let (frame, rest) = FrameView::parse(&buffer.bytes()[..len], &Limits::default()).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(frame.message::<Swap>(), Ok(&swap));
        prop_assert_eq!(frame.envelope(), Envelope { type_id: 1, ..envelope });
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in vec(0_u8..4, 40)) {
        if let Ok(swap) = decode::<Swap>(&bytes) {
            prop_assert_eq!(swap.as_bytes(), &bytes[..]);
            let _ = format!("{swap:?}");
        }
    }

    #[test]
    fn both_ways_to_decode_agree(changes in vec((0..40_usize, any::<u8>()), 0..3)) {
        let mut buffer = Aligned::holding(Swap::golden().as_bytes());
        for (at, byte) in changes {
            buffer.bytes()[at] = byte;
        }
        let bytes = &buffer.bytes()[..40];
        let decoded = decode::<Swap>(bytes);
        prop_assert_eq!(decode_ref::<Swap>(bytes).copied(), decoded);
        if let Ok(swap) = decoded {
            prop_assert_eq!(swap.as_bytes(), bytes);
        }
    }

    #[test]
    fn spoiled_frames_are_frames_or_an_error(bytes in spoiled_frames()) {
        frames_write_back(&bytes);
    }
}
