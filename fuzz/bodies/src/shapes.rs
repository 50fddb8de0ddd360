//! Messages with every type of field, and values that bytes choose: for tests of the encoding, in
//! Rust and in other languages.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::{Fixed, FixedStr, FixedVec, I128, U128, U256, message};

/// Bytes that decide the next steps of a test.
pub(crate) struct Steps<'a>(pub(crate) &'a [u8]);

impl Steps<'_> {
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Returns a number near zero, near a limit, or any other.
    pub(crate) fn number(&mut self) -> usize {
        let near = usize::from(self.next().unwrap_or(0));
        match self.next().unwrap_or(0) % 4 {
            0 => near,
            1 => near.wrapping_sub(256),
            2 => (1usize << (usize::BITS - 1)).wrapping_sub(128).wrapping_add(near),
            _ => (0..size_of::<usize>())
                .fold(near, |number, _| (number << 8) | usize::from(self.next().unwrap_or(0))),
        }
    }
}

/// A value that bytes choose.
pub(crate) trait Shape {
    /// Whether the value is an `Option`. As the item of another one, its JSON is a list.
    const IS_OPTION: bool = false;

    fn build(from: &mut Steps<'_>) -> Self;

    /// Returns the value as the page of the wire format shows it: as JSON.
    fn json(&self) -> String;
}

/// Defines messages and parts, and builds each field by itself.
macro_rules! messages {
    ($($(#[$attribute:meta])* struct $name:ident { $($field:ident: $ty:ty,)* })*) => {$(
        $(#[$attribute])*
        #[derive(Debug)]
        pub(crate) struct $name { $($field: $ty),* }

        impl Shape for $name {
            fn build(from: &mut Steps<'_>) -> Self {
                Self { $($field: Shape::build(from)),* }
            }

            fn json(&self) -> String {
                object(&[$((stringify!($field), self.$field.json())),*])
            }
        }
    )*};
}

#[message]
#[repr(u8)]
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Buy = 1,
    Sell = 2,
}

#[message]
#[derive(Debug)]
pub(crate) enum Kind {
    Market,
    Limit { cents: i64 },
    Iceberg(u32, i64),
    Named(String),
    Range { flag: bool, at: Option<String>, end: u64, side: Side, steps: Vec<u16> },
}

messages! {
    #[message]
    struct Leg { price: i64, pool: FixedStr<6>, fees: FixedVec<u16, 3>, }

    #[message]
    struct Inner { name: Box<str>, kinds: Vec<Kind>, wait: Option<Duration>, last: u8, }

    #[message(topic = "everything", id = 1)]
    struct Everything {
        id: u64,
        venue: String,
        note: Option<String>,
        legs: Vec<Leg>,
        kind: Kind,
        tags: BTreeMap<String, Vec<u8>>,
        wait: Duration,
        from: Option<IpAddr>,
        pair: (u8, Arc<str>, Option<u32>),
        sides: Vec<Kind>,
        grade: char,
        inner: Inner,
        many: [Option<String>; 2],
    }

    #[message(topic = "numbers", id = 2)]
    struct Numbers {
        small: (u8, i8, bool, Side),
        medium: (u16, i16, u32, i32, f32),
        long: (u64, i64, f64),
        wide: (U128, I128, U256),
        characters: [char; 2],
        texts: Vec<FixedStr<5>>,
        lists: Vec<FixedVec<Side, 2>>,
        flags: Vec<[bool; 3]>,
        bits: Vec<f32>,
        sides: Option<[Side; 3]>,
        odd: Option<FixedStr<3>>,
        end: u8,
    }

    #[message(topic = "lists", id = 3)]
    struct Lists {
        texts: Vec<Vec<Vec<String>>>,
        pairs: Vec<(u8, Box<str>)>,
        options: Vec<Option<u16>>,
        arrays: Vec<[Option<u8>; 2]>,
        inner: Vec<Inner>,
        addresses: Vec<IpAddr>,
        waits: Vec<Duration>,
        nested: Option<Option<Option<bool>>>,
        legs: [Vec<Leg>; 2],
    }

    #[message(topic = "maps", id = 4)]
    struct Maps {
        texts: BTreeMap<String, BTreeMap<u16, String>>,
        sides: BTreeMap<Side, Inner>,
        letters: BTreeMap<char, (bool, Option<Arc<str>>)>,
        names: BTreeMap<FixedStr<3>, u64>,
        legs: Option<BTreeMap<i8, Vec<Leg>>>,
    }

    #[message(topic = "text", id = 5, max = "1 KiB")]
    struct Text { text: String, }
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<_> = items.into_iter().collect();
    format!("[{}]", items.join(", "))
}

pub(crate) fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", fields.join(", "))
}

fn text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            ' '..='~' => quoted.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(quoted, "\\u{unit:04x}").expect("a text takes all");
                }
            }
        }
    }
    quoted + "\""
}

/// Returns a number as Python prints it; one that is not finite by its bits.
fn float(number: f64, bits: u64, digits: usize) -> String {
    if !number.is_finite() {
        return format!("\"0x{bits:0digits$x}\"");
    }
    let shown = format!("{number:?}");
    match shown.split_once('e') {
        Some((mantissa, exponent)) => {
            let exponent: i32 = exponent.parse().expect("an exponent is a number");
            format!("{mantissa}e{exponent:+03}")
        }
        None => shown,
    }
}

macro_rules! numbers {
    ($($ty:ty)*) => {$(
        impl Shape for $ty {
            #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
            fn build(from: &mut Steps<'_>) -> Self {
                from.number() as $ty
            }

            fn json(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

macro_rules! shapes {
    ($($({$($generics:tt)*})? $ty:ty: |$from:ident| $value:expr, |$this:ident| $json:expr;)*) => {$(
        impl $(<$($generics)*>)? Shape for $ty {
            fn build($from: &mut Steps<'_>) -> Self {
                $value
            }

            fn json(&self) -> String {
                let $this = self;
                $json
            }
        }
    )*};
}

shapes! {
    U128: |from| u128::build(from).into(), |it| it.get().to_string();
    I128: |from| i128::build(from).into(), |it| it.get().to_string();
    U256: |from| U256::from(u128::build(from)), |it| it.to_string();
    f32: |from| f32::from_bits(u32::build(from)),
        |it| float(f64::from(*it), it.to_bits().into(), 8);
    f64: |from| f64::from_bits(u64::build(from)), |it| float(*it, it.to_bits(), 16);
    bool: |from| u8::build(from) & 1 == 1, |it| it.to_string();
    char: |from| char::from_u32(u32::build(from)).unwrap_or('\u{1f344}'), |it| text(&it.to_string());
    Side: |from| if bool::build(from) { Side::Buy } else { Side::Sell }, |it| format!("\"{it:?}\"");
    Kind: |from| match from.next().unwrap_or(0) % 5 {
        0 => Kind::Market,
        1 => Kind::Limit { cents: Shape::build(from) },
        2 => Kind::Iceberg(Shape::build(from), Shape::build(from)),
        3 => Kind::Named(Shape::build(from)),
        _ => Kind::Range {
            flag: Shape::build(from),
            at: Shape::build(from),
            end: Shape::build(from),
            side: Shape::build(from),
            steps: Shape::build(from),
        },
    }, |it| match it {
        Kind::Market => text("Market"),
        Kind::Limit { cents } => object(&[("Limit", object(&[("cents", cents.json())]))]),
        Kind::Iceberg(one, other) => object(&[("Iceberg", list([one.json(), other.json()]))]),
        Kind::Named(name) => object(&[("Named", list([name.json()]))]),
        Kind::Range { flag, at, end, side, steps } => {
            let fields = [
                ("flag", flag.json()),
                ("at", at.json()),
                ("end", end.json()),
                ("side", side.json()),
                ("steps", steps.json()),
            ];
            object(&[("Range", object(&fields))])
        }
    };
    String: |from| Vec::<char>::build(from).into_iter().collect(), |it| text(it);
    Box<str>: |from| String::build(from).into(), |it| text(it);
    Arc<str>: |from| String::build(from).into(), |it| text(it);
    Duration: |from| Duration::new(Shape::build(from), u32::build(from) % 1_000_000_000), |it| {
        let (seconds, nanoseconds) = (it.as_secs().json(), it.subsec_nanos().json());
        object(&[("seconds", seconds), ("nanoseconds", nanoseconds)])
    };
    IpAddr: |from| match bool::build(from) {
        true => <[u8; 4]>::build(from).into(),
        // Not one that has an address of version 4, which is printed in several ways.
        false => [0x20].into_iter().chain(<[u8; 15]>::build(from)).collect::<Vec<_>>()[..]
            .first_chunk::<16>().copied().unwrap_or_default().into(),
    }, |it| text(&it.to_string());
    {const N: usize} FixedStr<N>:
        |from| String::build(from).as_str().try_into().unwrap_or_default(), |it| text(it.as_str());
    {T: Shape + Fixed, const N: usize} FixedVec<T, N>:
        |from| FixedVec::from_slice(&Vec::build(from)).unwrap_or_default(),
        |it| list(it.iter().map(|item| item.json()));
    {T: Shape, const N: usize} [T; N]: |from| std::array::from_fn(|_| T::build(from)),
        |it| list(it.iter().map(T::json));
    {T: Shape} Vec<T>: |from| {
        let count = match from.next().unwrap_or(0) {
            255 => 40,
            count => count % 4,
        };
        (0..count).map(|_| T::build(from)).collect()
    }, |it| list(it.iter().map(T::json));
    {K: Shape + Ord, V: Shape} BTreeMap<K, V>: |from| Vec::build(from).into_iter().collect(),
        |it| list(it.iter().map(|(key, value)| list([key.json(), value.json()])));
    {A: Shape, B: Shape} (A, B): |from| (A::build(from), B::build(from)),
        |it| list([it.0.json(), it.1.json()]);
    {A: Shape, B: Shape, C: Shape} (A, B, C):
        |from| (A::build(from), B::build(from), C::build(from)),
        |it| list([it.0.json(), it.1.json(), it.2.json()]);
    {A: Shape, B: Shape, C: Shape, D: Shape} (A, B, C, D):
        |from| (A::build(from), B::build(from), C::build(from), D::build(from)),
        |it| list([it.0.json(), it.1.json(), it.2.json(), it.3.json()]);
    {A: Shape, B: Shape, C: Shape, D: Shape, E: Shape} (A, B, C, D, E):
        |from| (A::build(from), B::build(from), C::build(from), D::build(from), E::build(from)),
        |it| list([it.0.json(), it.1.json(), it.2.json(), it.3.json(), it.4.json()]);
}

impl<T: Shape> Shape for Option<T> {
    const IS_OPTION: bool = true;

    fn build(from: &mut Steps<'_>) -> Self {
        bool::build(from).then(|| T::build(from))
    }

    fn json(&self) -> String {
        match self {
            None => "null".to_owned(),
            Some(value) if T::IS_OPTION => list([value.json()]),
            Some(value) => value.json(),
        }
    }
}
