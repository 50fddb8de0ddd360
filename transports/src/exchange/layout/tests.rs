//! Differences of layouts, and bytes that are not a layout.

use mycelium_core::descriptor::{FieldDescriptor, VariantDescriptor};

use super::*;

const SIDES: [VariantDescriptor; 2] =
    [VariantDescriptor { name: "Buy", value: 1 }, VariantDescriptor { name: "Sell", value: 2 }];
const SIDE: EnumDescriptor = EnumDescriptor { name: "Side", repr: FieldType::U8, variants: &SIDES };
const PRICE: Descriptor = Descriptor {
    name: "Price",
    size: 16,
    align: 8,
    fields: &[field("units", 0, FieldType::U64), field("scale", 8, FieldType::I64)],
};
const ORDER: [FieldDescriptor; 5] = [
    field("id", 0, FieldType::U64),
    field("price", 8, FieldType::Struct(&PRICE)),
    field("levels", 24, FieldType::Array { item: &FieldType::Struct(&PRICE), len: 2 }),
    field("side", 56, FieldType::Enum(&SIDE)),
    field("name", 57, FieldType::Text { capacity: 5 }),
];

const fn field(name: &'static str, offset: usize, ty: FieldType) -> FieldDescriptor {
    FieldDescriptor { name, offset, size: ty.size(), ty }
}

/// The layout here.
const OWN: &Descriptor = &layout(64, &ORDER);

const fn layout(size: usize, fields: &'static [FieldDescriptor]) -> Descriptor {
    Descriptor { name: "Order", size, align: 8, fields }
}

/// `ORDER` with another field at this index.
const fn with(index: usize, changed: FieldDescriptor) -> [FieldDescriptor; 5] {
    let mut fields = ORDER;
    fields[index] = changed;
    fields
}

/// The canonical form of a layout.
fn form(descriptor: &Descriptor) -> Vec<u8> {
    let mut form = vec![0; LONGEST_FORM];
    let (written, total) = descriptor.canonical(0, &mut form);
    assert_eq!(written, total);
    form.truncate(total);
    form
}

/// The text of the first difference to a layout of the peer.
fn said(there: &'static [FieldDescriptor]) -> String {
    match difference(OWN, &form(&layout(64, there))) {
        Some(Difference { field, here, there }) => format!("{field}: {here} / {there}"),
        None => "none".to_owned(),
    }
}

/// The text of the difference to a layout with another field at this index of `ORDER`.
macro_rules! changed {
    ($index:literal: $name:literal, $offset:literal, $ty:expr) => {
        said(const { &with($index, field($name, $offset, $ty)) })
    };
}

#[test]
fn the_first_field_that_differs_is_named() {
    const LIST: FieldType = FieldType::List { item: &FieldType::U8, capacity: 5 };
    const SHORTER: FieldType = FieldType::Array { item: &FieldType::Struct(&PRICE), len: 1 };
    assert_eq!(said(&ORDER), "none");
    assert_eq!(changed!(0: "id", 0, FieldType::I64), "id: u64 / i64");
    assert_eq!(changed!(0: "key", 0, FieldType::U64), "id: there / `key` in its place");
    assert_eq!(
        changed!(4: "name", 58, FieldType::Text { capacity: 5 }),
        "name: 7 bytes at 57 / 7 bytes at 58"
    );
    assert_eq!(
        changed!(4: "name", 57, FieldType::Text { capacity: 4 }),
        "name: text of at most 5 bytes / text of at most 4 bytes"
    );
    assert_eq!(
        changed!(4: "name", 57, LIST),
        "name: text of at most 5 bytes / a list of at most 5"
    );
    assert_eq!(changed!(2: "levels", 24, SHORTER), "levels: [Price; 2] / an array of 1");
    assert_eq!(changed!(1: "price", 8, FieldType::U128), "price: Price / u128");
    assert_eq!(said(&ORDER[..4]), "name: text of at most 5 bytes / missing");
    let longer = const {
        let [id, price, levels, side, name] = ORDER;
        &[id, price, levels, side, name, field("new\n", 64, FieldType::F32)]
    };
    assert_eq!(said(longer), "new\\n: missing / f32");
}

#[test]
fn fields_of_nested_structs_and_enums_are_named_with_their_path() {
    static OTHER: Descriptor = Descriptor {
        name: "Other",
        size: 16,
        align: 8,
        fields: &[field("units", 0, FieldType::U64), field("scale", 8, FieldType::U64)],
    };
    static ITEM: FieldType = FieldType::Struct(&OTHER);
    const LEVELS: FieldType = FieldType::Array { item: &ITEM, len: 2 };
    assert_eq!(changed!(1: "price", 8, FieldType::Struct(&OTHER)), "price.scale: i64 / u64");
    assert_eq!(changed!(2: "levels", 24, LEVELS), "levels.scale: i64 / u64");

    static RENAMED: EnumDescriptor = EnumDescriptor {
        name: "Side",
        repr: FieldType::U8,
        variants: &[SIDES[0], VariantDescriptor { name: "Ask", value: 2 }],
    };
    assert_eq!(
        changed!(3: "side", 56, FieldType::Enum(&RENAMED)),
        "side: an enum with `Sell = 2` / an enum with `Ask = 2`"
    );
    static FEWER: EnumDescriptor =
        EnumDescriptor { name: "Side", repr: FieldType::U8, variants: &[SIDES[0]] };
    assert_eq!(
        changed!(3: "side", 56, FieldType::Enum(&FEWER)),
        "side: an enum with `Sell = 2` / an enum of 1 variants"
    );
}

#[test]
fn a_size_differs_only_if_no_field_does() {
    let mismatch = |there: Descriptor| {
        let own =
            Schema { id: 1, digest: Digest([1; 16]), size: 64, descriptor: OWN, path: "Order" };
        LayoutMismatch::new(&own, Digest([2; 16]), Some(&form(&there))).to_string()
    };
    assert_eq!(
        mismatch(layout(72, &ORDER)),
        format!(
            "64 bytes, digest {} here; 72 bytes, digest {} there; \
             the message is 64 bytes, aligned to 8 here and 72 bytes, aligned to 8 there",
            "01".repeat(16),
            "02".repeat(16)
        )
    );
    assert!(mismatch(layout(56, &ORDER[..3])).ends_with(
        "first difference: field `side` is Side as u8 { Buy = 1, Sell = 2 } here and missing there"
    ));
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there, and runs through code without `unsafe`")]
fn no_bytes_of_a_peer_make_it_panic_or_run_away() {
    let good = form(OWN);
    for length in 0..good.len() {
        assert_eq!(difference(OWN, &good[..length]), None, "it is cut off");
    }
    // Each byte by itself, and the largest counts.
    for place in 0..good.len() {
        for value in 0..=u8::MAX {
            let mut bad = good.clone();
            bad[place] = value;
            _ = difference(OWN, &bad);
        }
        let mut bad = good.clone();
        let end = (place + 8).min(bad.len());
        bad[place..end].fill(0xff);
        _ = difference(OWN, &bad);
    }
    // Arrays of arrays without end: the comparison must not follow them.
    let mut deep = good[..25].to_vec();
    deep.extend([0x40, 2, 0, 0, 0, 0, 0, 0, 0].repeat(LONGEST_FORM / 9));
    _ = difference(OWN, &deep);
}

/// The peer's names reach the log without their control characters.
#[test]
fn names_of_the_peer_are_escaped() {
    let fields = const { &with(0, field("id\nall is lost", 0, FieldType::U64)) };
    let first = difference(OWN, &form(&layout(64, fields)));
    assert!(first.is_some());
    let (digest, peer_digest) = (Digest([1; 16]), Digest([2; 16]));
    let mismatch = LayoutMismatch { size: 64, digest, peer_size: Some(64), peer_digest, first };
    let said = mismatch.to_string();
    assert!(said.contains("id\\nall is lost") && !said.contains('\n'), "{said:?}");
}
