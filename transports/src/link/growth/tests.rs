use std::collections::BTreeMap;

use mycelium_core::message::{AnswerHead, CallHead};
use mycelium_core::{Message, Request, decode, message, to_bytes};
use proptest::prelude::*;

use super::*;

/// Three versions of a message.
macro_rules! versions {
    ($($module:ident { $($field:tt)* })*) => {$(
        mod $module {
            use super::*;

            #[message(topic = "orders", id = 1, max = "1 MiB")]
            #[derive(Debug, PartialEq)]
            pub(super) struct Order {
                pub(super) id: u32,
                pub(super) names: Vec<String>,
                pub(super) by_name: BTreeMap<String, Option<Vec<u16>>>,
                pub(super) side: Side,
                $($field)*
            }
        }
    )*};
}

versions! {
    old {}
    new {
        pub(super) note: Option<String>,
        #[message(default = 7)]
        pub(super) flags: u8,
    }
    newest {
        pub(super) note: Option<String>,
        #[message(default = 7)]
        pub(super) flags: u8,
        pub(super) parts: Option<Vec<(u8, String)>>,
    }
}

#[message]
#[derive(Debug, PartialEq)]
enum Side {
    Buy,
    Sell { to: String, lots: [Option<String>; 2] },
}

fn growth<Own: Message, There: Message>() -> Result<Growth, Option<Difference>> {
    let there = Layout::of(There::DESCRIPTOR).unwrap();
    Growth::between(&Schema::of::<Own>(), &there)
}

fn converted<Own: Message, There: Message>(there: &There) -> Own {
    let message = growth::<Own, There>().unwrap().convert(&to_bytes(there).unwrap()).unwrap();
    decode(&message).expect("one value has one encoding")
}

fn text() -> impl Strategy<Value = String> {
    "[a-z]{0,12}"
}

fn newest() -> impl Strategy<Value = newest::Order> {
    let lots = [prop::option::of(text()), prop::option::of(text())];
    let side = prop_oneof![
        Just(Side::Buy),
        (text(), lots).prop_map(|(to, lots)| Side::Sell { to, lots }),
    ];
    let list = prop::option::of(prop::collection::vec(any::<u16>(), 0..5));
    let by_name = prop::collection::btree_map(text(), list, 0..4);
    let parts = prop::option::of(prop::collection::vec((any::<u8>(), text()), 0..4));
    let names = prop::collection::vec(text(), 0..5);
    (any::<u32>(), names, by_name, side, prop::option::of(text()), any::<u8>(), parts).prop_map(
        |(id, names, by_name, side, note, flags, parts)| newest::Order {
            id,
            names,
            by_name,
            side,
            note,
            flags,
            parts,
        },
    )
}

proptest! {
    #[test]
    fn each_version_is_read_as_each_other(order in newest()) {
        let sent = to_bytes(&order).unwrap();
        let newest::Order { id, names, by_name, side, note, flags, parts } = order;
        let growth = growth::<old::Order, newest::Order>().unwrap();
        let old: old::Order = decode(&growth.convert(&sent).unwrap()).unwrap();
        let new: new::Order = converted(&decode::<newest::Order>(&sent).unwrap());
        prop_assert_eq!((&new.note, new.flags), (&note, flags));
        let again: newest::Order = converted(&new);
        prop_assert_eq!(again.parts, None);
        let grown: newest::Order = converted(&old);
        prop_assert_eq!((grown.note, grown.flags, grown.parts), (None, 7, None));
        prop_assert_eq!((grown.id, &grown.names, &grown.by_name), (id, &names, &by_name));
        prop_assert_eq!((old.id, old.names, old.by_name, old.side), (id, names, by_name, side));
        drop(parts);
    }

    /// Foreign bytes are refused, or give a message of a bounded length that is checked later.
    #[test]
    fn any_bytes_are_converted_or_refused(
        order in newest(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = to_bytes(&order).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let bytes = &bytes[..=cut.index(bytes.len())];
        for growth in [growth::<old::Order, newest::Order>(), growth::<new::Order, newest::Order>()] {
            if let Some(message) = growth.unwrap().convert(bytes) {
                prop_assert!(message.len() <= bytes.len() + 16);
                _ = decode::<old::Order>(&message);
            }
        }
        let growth = growth::<newest::Order, old::Order>().unwrap();
        let most = bytes.len() + growth.more();
        prop_assert!(growth.convert(bytes).is_none_or(|message| message.len() <= most));
    }
}

/// A field may be where the older message has padding.
#[test]
fn a_fixed_message_grows_by_fixed_fields() {
    mod old {
        #[mycelium_core::message(topic = "ticks", id = 2, pad)]
        #[derive(Debug, PartialEq)]
        pub(super) struct Tick {
            pub(super) price: u64,
            pub(super) side: u8,
        }
    }
    mod new {
        #[mycelium_core::message(topic = "ticks", id = 2, pad)]
        #[derive(Debug, PartialEq)]
        pub(super) struct Tick {
            pub(super) price: u64,
            pub(super) side: u8,
            #[message(default = -3)]
            pub(super) venue: i16,
            #[message(default = 0.5)]
            pub(super) share: f64,
        }
    }
    let new: new::Tick = converted(&old::Tick::new(5, 1));
    assert_eq!(new, new::Tick::new(5, 1, -3, 0.5));
    assert_eq!(converted::<old::Tick, _>(&new), old::Tick::new(5, 1));
}

/// A call and an answer grow as the messages that they carry, whether these are fixed or not.
#[test]
fn requests_and_replies_grow() {
    macro_rules! requests {
        ($name:ident, $ty:ty, { $($more:tt)* }) => {
            mod $name {
                #[mycelium_core::message(topic = "asks", reply = Reply)]
                #[derive(Clone, Debug, PartialEq)]
                pub(super) struct Ask { pub(super) what: $ty, $($more)* }

                #[mycelium_core::message(topic = "replies")]
                #[derive(Clone, Debug, PartialEq)]
                pub(super) struct Reply { pub(super) what: $ty, $($more)* }
            }
        };
    }
    macro_rules! check {
        ($old:ident, $new:ident, $what:expr, { $($more:ident: $value:expr, $default:expr;)* }) => {{
            type Call<Q> = <Q as Request>::Call;
            type Answer<Q> = <Q as Request>::Answer;
            let head = CallHead { number: 3, time_left: 4 };
            let (old, new) =
                ($old::Ask { what: $what }, $new::Ask { what: $what, $($more: $value),* });
            let sent = $old::Ask::to_call(head, old.clone());
            let grown: Call<$new::Ask> = converted(&sent);
            let (found, request) = $new::Ask::of_call(grown);
            assert_eq!((found.number, found.time_left), (3, 4));
            assert_eq!(request, $new::Ask { $($more: $default,)* ..new.clone() });
            let back: Call<$old::Ask> = converted(&$new::Ask::to_call(head, new));
            assert_eq!($old::Ask::of_call(back).1, old);

            let (old, new) =
                ($old::Reply { what: $what }, $new::Reply { what: $what, $($more: $value),* });
            for reply in [Some(old), None] {
                let head = AnswerHead { number: 3, outcome: u64::from(reply.is_none()) };
                let sent = $old::Ask::to_answer(head, reply.clone());
                let grown: Answer<$new::Ask> = converted(&sent);
                let (found, found_reply) = $new::Ask::of_answer(grown);
                assert_eq!((found.number, found.outcome), (3, head.outcome));
                if let Some(reply) = reply {
                    let $old::Reply { what } = reply.clone();
                    assert_eq!(found_reply, Some($new::Reply { what, $($more: $default),* }));
                    let back = $new::Ask::to_answer(head, Some(new.clone()));
                    let back: Answer<$old::Ask> = converted(&back);
                    assert_eq!($old::Ask::of_answer(back).1, Some(reply));
                }
            }
        }};
    }
    requests!(fixed, u32, {});
    requests!(fixed_more, u32, { #[message(default = 9)] pub(super) more: u32 });
    check!(fixed, fixed_more, 7, { more: 8, 9; });
    // The new fields have another alignment.
    requests!(text, String, {});
    requests!(text_more, String, {
        pub(super) more: Option<String>,
        #[message(default = 0.5)] pub(super) share: f64
    });
    let more = || Some("more".to_owned());
    check!(text, text_more, "a text".to_owned(), { more: more(), None; share: 2.5, 0.5; });
    let error = growth::<<text::Ask as Request>::Answer, <fixed::Ask as Request>::Answer>();
    let error = error.unwrap_err().unwrap();
    let said = "the message is of any length here and of a fixed length there";
    assert_eq!(error.to_string(), said);
}

#[test]
fn other_changes_are_refused_with_their_reason() {
    macro_rules! refused {
        ($said:expr, { $($here:tt)* } { $($there:tt)* }) => {{
            mod here {
                #[mycelium_core::message(topic = "ticks", id = 2)]
                #[allow(dead_code)]
                pub(super) struct Tick { $($here)* }
            }
            mod there {
                #[mycelium_core::message(topic = "ticks", id = 2)]
                #[allow(dead_code)]
                pub(super) struct Tick { $($there)* }
            }
            let refused = growth::<here::Tick, there::Tick>().unwrap_err();
            let said = refused.map(|it| format!("{}: {}, {}", it.field, it.here, it.there));
            assert_eq!(said.as_deref(), $said);
        }};
    }
    refused!(Some("b: u32 without a default, missing"), { a: u32, b: u32 } { a: u32 });
    refused!(
        Some(": of any length, of a fixed length"),
        { a: u64, b: Option<u8> } { a: u64 }
    );
    refused!(
        Some(": of a fixed length, of any length"),
        { a: u64 } { a: u64, b: Option<u8> }
    );
    // The difference of the layouts says it.
    refused!(None, { a: u32, b: String } { b: String, a: u32 });
    refused!(None, { a: u32, b: String } { a: i32, b: String });
    refused!(None, { a: u32, b: String } { a: u32, c: String });
}
