//! Tests of layout differences, and of bytes that are not a layout.

use std::sync::Mutex;

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
    FieldDescriptor { name, offset, size: ty.size(), ty, default: None, is_carried: false }
}

/// The layout here.
const OWN: &Descriptor = &layout(64, &ORDER);

const fn layout(size: usize, fields: &'static [FieldDescriptor]) -> Descriptor {
    Descriptor { name: "Order", size, align: 8, fields }
}

/// The canonical form of a layout.
fn form(descriptor: &Descriptor) -> Vec<u8> {
    let mut form = vec![0; LONGEST_FORM];
    let (written, total) = descriptor.canonical(0, &mut form);
    assert_eq!(written, total);
    form.truncate(total);
    form
}

/// Keeps the leaked lists reachable, so that no leak is reported.
static KEPT: Mutex<Vec<&[FieldDescriptor]>> = Mutex::new(Vec::new());

/// Returns the text of the first difference for each of these fields, in a layout of the peer.
fn said(there: &[FieldDescriptor]) -> String {
    let mut end = 0;
    let place = |it: &FieldDescriptor| {
        end += it.size;
        FieldDescriptor { offset: end - it.size, ..*it }
    };
    let fields = there.iter().map(place).collect::<Vec<_>>().leak();
    KEPT.lock().unwrap().push(fields);
    let there = Layout::parse(&form(&layout(end, fields))).unwrap();
    match in_struct(OWN, &there, "") {
        Some(Difference { field, here, there }) => format!("{field}: {here} / {there}"),
        None => "none".to_owned(),
    }
}

/// Returns the text of the difference to a layout with another field at this index of `ORDER`.
fn changed(index: usize, name: &'static str, ty: FieldType) -> String {
    let mut fields = ORDER;
    fields[index] = field(name, 0, ty);
    said(&fields)
}

#[test]
fn the_first_field_that_differs_is_named() {
    const TEXT: FieldType = FieldType::Text { capacity: 4 };
    const LIST: FieldType = FieldType::List { item: &FieldType::U8, capacity: 5 };
    const SHORTER: FieldType = FieldType::Array { item: &FieldType::Struct(&PRICE), len: 1 };
    assert_eq!(said(&ORDER), "none");
    for (index, name, ty, expected) in [
        (0, "id", FieldType::I64, "id: u64 / i64"),
        // The peer's names reach the log without their control characters.
        (0, "key\nall", FieldType::U64, "id: u64 / replaced by `key\\nall`"),
        (4, "name", TEXT, "name: text of at most 5 bytes / text of at most 4 bytes"),
        (4, "name", LIST, "name: text of at most 5 bytes / at most 5 of u8"),
        (2, "levels", SHORTER, "levels: [Price; 2] / [a struct of 16 bytes; 1]"),
        (1, "price", FieldType::U128, "price: Price / u128"),
    ] {
        assert_eq!(changed(index, name, ty), expected);
    }
    assert_eq!(said(&ORDER[..4]), "name: text of at most 5 bytes / missing");
    let longer = [&ORDER[..], &[field("new\n", 64, FieldType::F32)]].concat();
    assert_eq!(said(&longer), "new\\n: missing / f32");
    let [id, price, levels, side, name] = ORDER;
    let new = field("new", 0, FieldType::Option { item: &FieldType::U8, size: 2, align: 1 });
    for (fields, expected) in [
        (&[id, new, price, levels, side, name][..], "new: missing / optional u8"),
        (&[id, levels, side, name], "price: Price / missing"),
        (&[id, levels, price, side, name], "price: in place 2 / in place 3"),
    ] {
        assert_eq!(said(fields), expected);
    }
}

#[test]
fn fields_of_nested_structs_and_enums_are_named_with_their_path() {
    static OTHER: Descriptor = Descriptor {
        name: "Other",
        fields: &[field("units", 0, FieldType::U64), field("scale", 8, FieldType::U64)],
        ..PRICE
    };
    const LEVELS: FieldType = FieldType::Array { item: &FieldType::Struct(&OTHER), len: 2 };
    assert_eq!(changed(1, "price", FieldType::Struct(&OTHER)), "price.scale: i64 / u64");
    assert_eq!(changed(2, "levels", LEVELS), "levels.scale: i64 / u64");

    static RENAMED: EnumDescriptor = EnumDescriptor {
        name: "Side",
        repr: FieldType::U8,
        variants: &[SIDES[0], VariantDescriptor { name: "Ask", value: 2 }],
    };
    static FEWER: EnumDescriptor = EnumDescriptor { variants: &[SIDES[0]], ..RENAMED };
    static MORE: EnumDescriptor = EnumDescriptor {
        variants: &[SIDES[0], SIDES[1], VariantDescriptor { name: "Hold", value: 3 }],
        ..RENAMED
    };
    static WIDER: EnumDescriptor = EnumDescriptor { repr: FieldType::I16, ..RENAMED };
    for (side, expected) in [
        (&RENAMED, "side: an enum with `Sell = 2` / an enum with `Ask = 2`"),
        (&FEWER, "side: an enum with `Sell = 2` / an enum without it"),
        (&MORE, "side: an enum without `Hold = 3` / an enum with it"),
        (&WIDER, "side: stored as u8 / stored as i16"),
    ] {
        assert_eq!(changed(3, "side", FieldType::Enum(side)), expected);
    }
}

fn mismatch(form: &[u8]) -> LayoutMismatch {
    let own = Schema {
        id: 1,
        digest: Digest([1; 16]),
        size: 64,
        longest: 64,
        is_fixed: true,
        arena: 0,
        descriptor: OWN,
        path: "Order",
    };
    LayoutMismatch::new(&own, Digest([2; 16]), Some(form))
}

#[test]
fn a_shape_differs_only_if_no_field_does() {
    let mismatch = |there| mismatch(&form(&there)).to_string();
    let (here, there) = ("01".repeat(16), "02".repeat(16));
    let text = format!(
        "64 bytes, digest {here} here; 64 bytes, digest {there} there; the message is 64 bytes \
         aligned to 8 here and 64 bytes aligned to 4 there"
    );
    assert_eq!(mismatch(Descriptor { align: 4, ..*OWN }), text);
    assert!(mismatch(layout(56, &ORDER[..3])).ends_with(
        "first difference: field `side` is Side as u8 { Buy = 1, Sell = 2 } here and missing there"
    ));
    // These bytes are no layout, because they end within its fields.
    let text = mismatch(layout(72, &ORDER));
    assert_eq!(text, format!("64 bytes, digest {here} here; 72 bytes, digest {there} there"));
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there, and runs through code without `unsafe`")]
fn no_bytes_of_a_peer_make_it_panic_or_run_away() {
    let good = form(OWN);
    for length in 0..good.len() {
        assert_eq!(mismatch(&good[..length]).first, None, "it is cut off");
    }
    // Each single byte takes every value, and each count takes the largest value.
    for place in 0..good.len() {
        let mut bad = good.clone();
        for value in 0..=u8::MAX {
            bad[place] = value;
            _ = mismatch(&bad);
        }
        let end = (place + 8).min(bad.len());
        bad[place..end].fill(0xff);
        _ = mismatch(&bad);
    }
    // Arrays nested very deep: the comparison must not follow them all.
    let mut deep = good[..25].to_vec();
    deep.extend([0x40, 2, 0, 0, 0, 0, 0, 0, 0].repeat(LONGEST_FORM / 9));
    assert_eq!(mismatch(&deep).first, None);
}
