//! Text and lists of bounded length.

use core::fmt::Write;

use mycelium_core::{FixedStr, FixedVec, NoRoom, TooLong, TooMany};
use zerocopy::IntoBytes;

pub(crate) fn text_has_a_capacity() {
    let mut text = FixedStr::<8>::new();
    write!(text, "a{}", text.capacity()).unwrap();
    text.try_push_str("é").unwrap();
    assert_eq!(text.try_push_str("12345"), Err(TooLong { capacity: 8, found: 9 }));
    assert_eq!(text.as_str(), "a8é", "all or nothing");
    assert_eq!(text.as_bytes(), b"\x04\0a8\xc3\xa9\0\0\0\0", "the same on every host");
    assert_eq!(FixedStr::<2>::truncated("aéb").as_str(), "a", "cut between characters");
    text.clear();
    assert_eq!(text.as_bytes(), [0; 10], "nothing stays behind");
}

pub(crate) fn lists_have_a_capacity() {
    let mut list = FixedVec::<u32, 3>::new();
    (1..=3).for_each(|item| list.try_push(item).unwrap());
    assert_eq!(list.try_push(4), Err(NoRoom(4)));
    assert_eq!((list.get(2), list.get(3), list.pop()), (Some(3), None, Some(3)));
    assert!(list.iter().eq([1, 2]));
    assert_eq!(list, FixedVec::<u32, 9>::from_slice(&[1, 2]).unwrap());
    let error = FixedVec::<u8, 2>::from_slice(b"abc").unwrap_err();
    assert_eq!(error, TooMany { capacity: 2, found: 3 });
    list.clear();
    assert_eq!(list.as_bytes(), [0; 14]);
}
