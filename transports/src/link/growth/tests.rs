use std::collections::BTreeMap;

use mycelium_core::{Message, decode, message, to_bytes};
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
        Some(": not fixed, and a fixed message cannot gain fields of any length, fixed"),
        { a: u64, b: Option<u8> } { a: u64 }
    );
    refused!(
        Some(": fixed, not fixed, and a fixed message cannot gain fields of any length"),
        { a: u64 } { a: u64, b: Option<u8> }
    );
    // The difference of the layouts says it.
    refused!(None, { a: u32, b: String } { b: String, a: u32 });
    refused!(None, { a: u32, b: String } { a: i32, b: String });
    refused!(None, { a: u32, b: String } { a: u32, c: String });
}
