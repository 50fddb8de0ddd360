//! Messages of serde: any bytes are an error or a value, take no longer than their number allows, and
//! are what `postcard` decodes and what is printed by the schema.

use std::collections::{BTreeMap, HashMap};

use mycelium_core::{Message, decode, message, to_bytes};
use mycelium_transports::untyped::{Layout, Value};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};
use zerocopy::IntoBytes;

use crate::heap;

/// Decoding may allocate this number of bytes for each byte that it was given: a map of one entry
/// has places for several.
const MOST: usize = 1024;

#[message(topic = "everything", codec = "postcard", max = "1 MiB")]
#[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
struct Everything {
    numbers: (u8, i8, u16, i16, u32, i64),
    wide: Vec<(u128, i128)>,
    kinds: Vec<Kind>,
    text: Option<String>,
    lists: Vec<Vec<Vec<u8>>>,
    by_text: BTreeMap<String, HashMap<u16, char>>,
    units: Vec<()>,
    flag: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Schema)]
enum Kind {
    Unit,
    New(u64),
    Pair(bool, Option<u8>),
    Fields { name: String, list: Vec<[i32; 2]> },
}

#[message(topic = "lists", codec = "postcard", max = "1 MiB")]
#[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
struct Lists(Vec<Vec<()>>, Vec<BTreeMap<String, String>>);

/// Has any depth, and so no schema.
#[message(topic = "trees", codec = "postcard", schema = 1, max = "1 MiB")]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    One(Box<Tree>),
    Many(Vec<Tree>),
    Named(HashMap<String, Tree>),
    Maybe(Option<Box<Tree>>),
    Fields { left: Box<Tree>, right: (Box<Tree>, u8) },
}

/// Reads any bytes as the postcard of a message.
pub fn postcard(data: &[u8]) {
    accepts(data);
}

/// Does the same. Returns whether the bytes are a message.
fn accepts(data: &[u8]) -> bool {
    let Some((kind, data)) = data.split_first() else { return false };
    match kind % 3 {
        0 => message_of::<Everything>(data, true),
        1 => message_of::<Lists>(data, true),
        _ => message_of::<Tree>(data, false),
    }
}

fn message_of<M>(data: &[u8], has_schema: bool) -> bool
where
    M: Message + PartialEq + std::fmt::Debug + for<'de> Deserialize<'de>,
{
    let mut words = vec![0_u64; 1 + data.len().div_ceil(8)];
    let bytes = &mut words.as_mut_bytes()[..8 + data.len()];
    if !data.is_empty() {
        bytes[0] = 8;
    }
    bytes[4..8].copy_from_slice(&(data.len() as u32).to_le_bytes());
    bytes[8..].copy_from_slice(data);

    let before = heap::requested();
    let decoded = decode::<M>(bytes).ok();
    let requested = heap::requested() - before;
    assert!(requested <= MOST * (4 + data.len()), "{requested} bytes for {}", data.len());

    let layout = Layout::of(M::DESCRIPTOR).expect("the layout of a type");
    let view = layout.view(bytes).expect("one list of bytes");
    let Some((_, Value::Postcard(value))) = view.fields().next() else { panic!("{view}") };
    let (text, json) = (value.to_string(), value.json().to_string());
    if has_schema {
        let is_printed = !text.starts_with("<invalid postcard: ");
        assert_eq!(is_printed, decoded.is_some(), "{text} is printed, and {decoded:?} is decoded");
        assert_eq!(is_printed, !json.starts_with("{\"invalid\":"), "{json}");
    }

    let Some(value) = decoded else { return false };
    let (other, rest) = ::postcard::take_from_bytes::<M>(data).expect("decoded above");
    assert!(other == value && rest.is_empty(), "{value:?} is {other:?} for `postcard`");
    let again = to_bytes(&value).expect("it is not longer");
    // With fewer entries of a map, there may be fewer bytes than a list of units has items.
    if again.len() == bytes.len() {
        assert_eq!(decode(&again).as_ref(), Ok(&value));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_seeds_is_accepted() {
        crate::seeds::a_tenth_is_accepted("postcard", accepts);
    }
}
