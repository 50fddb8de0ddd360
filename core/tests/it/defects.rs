//! Defects of an earlier system that this one must not have, each under its name there.

use mycelium_core::Fixed;
use mycelium_core::{
    DecodeError, Envelope, FixedStr, FixedVec, FrameView, Limits, Message, decode, decode_ref,
    from_words, message, to_words, write_message,
};
use zerocopy::IntoBytes;

use crate::portable::bodies::codec::{Buffer, Swap};

/// Padding bytes were sent with their content in memory. Here a type with padding does not compile
/// (`tests/ui`), and a type whose gaps are fields has no unwritten byte.
#[test]
fn s1_no_byte_of_a_message_is_padding() {
    #[message(topic = "batches", id = 1)]
    struct Batch {
        id: u64,
        operations: FixedVec<u64, 25>,
        _gap: [u8; 2],
        count: u32,
    }
    let fields: usize = Batch::DESCRIPTOR.fields.iter().map(|field| field.size).sum();
    assert_eq!((fields, size_of::<Batch>()), (216, 216));
    let batch = Batch { id: 1, operations: FixedVec::new(), _gap: [0; 2], count: 2 };
    // Miri reports an error here if a byte is not initialised.
    assert_eq!(batch.encoded().iter().map(|byte| usize::from(*byte)).sum::<usize>(), 3);
}

/// A list of wide items had padding between its count and the first item.
#[test]
fn s2_a_list_of_wide_items_has_no_padding() {
    let list = FixedVec::<u128, 2>::from_slice(&[u128::MAX]).unwrap();
    assert_eq!((size_of_val(&list), align_of_val(&list)), (2 + 2 * 16, 1));
    let expected = [&[1, 0][..], &[0xff; 16], &[0; 16]].concat();
    assert_eq!(list.as_bytes(), expected);
}

/// Accessors used the received count unchecked, and panicked.
#[test]
fn s11_no_count_makes_an_accessor_panic() {
    for count in [0_u16, 3, 8, 9, 255, 256, 65535] {
        let mut bytes = [b'x'; 10];
        bytes[..2].copy_from_slice(&count.to_le_bytes());
        let text: FixedStr<8> = zerocopy::FromBytes::read_from_bytes(&bytes).unwrap();
        let list: FixedVec<u16, 4> = zerocopy::TryFromBytes::try_read_from_bytes(&bytes).unwrap();
        assert_eq!(text.as_str().len(), usize::from(count).min(8));
        assert_eq!(list.iter().count(), usize::from(count).min(4));
        assert_eq!(list.get(4), None);
    }
}

/// No way of receiving checked anything. Here every one does.
#[test]
fn s12_every_way_to_receive_checks_counts_text_and_values() {
    for (at, byte) in [(22, 9), (24, 0xff), (32, 4), (20, 0), (21, 2)] {
        let mut words = to_words(&Swap::golden());
        words.as_mut_bytes()[at] = byte;
        let bytes = words.as_bytes();
        let error = decode::<Swap>(bytes).unwrap_err();
        assert!(matches!(error, DecodeError::Invalid(_)), "{error}");
        assert_eq!(decode_ref::<Swap>(bytes), Err(error));
        assert_eq!(from_words::<Swap>(&words), Err(error));

        let buffer = &mut Buffer([0xa5; 256]).0;
        let envelope = Envelope::of::<Swap>(1, 1);
        let len = write_message(buffer, &envelope, &Swap::golden()).unwrap();
        buffer[24 + at] = byte;
        let (frame, _) = FrameView::parse(&buffer[..len], &Limits::default()).unwrap();
        assert_eq!(frame.message::<Swap>(), Err(error));
        assert_eq!(frame.read::<Swap>(), Err(error));
    }
}

/// The digest covered the text of a file: a comment changed it, and a change of the layout might
/// not.
#[test]
fn e1_the_digest_covers_the_layout_and_nothing_else() {
    macro_rules! digest {
        ($($tokens:tt)*) => {{
            #[message(topic = "t", id = 1)]
            struct Subject { $($tokens)* }
            Subject::DIGEST
        }};
    }
    let digest = digest! { price: u64, amount: [u32; 2] };

    #[message(topic = "another", id = 2)]
    #[derive(Debug)]
    struct Renamed {
        /// A comment.
        price: u64,
        amount: [u32; 2],
    }
    assert_eq!(Renamed::DIGEST, digest);

    let others = [
        digest! { price: u64, volume: [u32; 2] },
        digest! { amount: [u32; 2], price: u64 },
        digest! { price: u64, amount: [i32; 2] },
        digest! { price: u64, amount: [u16; 4] },
        digest! { price: u64, amount: u64 },
        digest! { price: u64, amount: [u32; 4] },
        digest! { price: u64, amount: FixedStr<6> },
        digest! { price: u64, amount: FixedVec<u8, 6> },
        digest! { price: u64, amount: FixedVec<u16, 3> },
    ];
    for (index, other) in others.iter().enumerate() {
        assert_ne!(*other, digest, "{index}");
        assert!(!others[..index].contains(other), "{index}");
    }
}

/// Sizes were guessed (text counted as 32 bytes), and output differed from build to build. That the
/// expansion does not is tested in `mycelium-bus-macros`.
#[test]
fn e4_sizes_are_those_of_the_types() {
    #[message(topic = "texts", id = 1)]
    struct Text {
        from: FixedStr<54>,
        body: FixedStr<254>,
    }
    let sizes: Vec<_> = Text::DESCRIPTOR.fields.iter().map(|f| (f.offset, f.size)).collect();
    assert_eq!(sizes, [(0, 56), (56, 256)]);
    assert_eq!((Text::DESCRIPTOR.size, size_of::<Text>()), (312, 312));
}
