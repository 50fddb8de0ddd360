//! Fields as other crates write them: serde and `heapless`.

use mycelium_core::{FixedStr, FixedVec, U256, message};
use serde::{Deserialize, Serialize};

#[message(topic = "trades", pad)]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Trade {
    is_open: bool,
    /// A price.
    #[serde(rename = "price")]
    cents: u64,
    symbol: FixedStr<8>,
    levels: FixedVec<u16, 3>,
    wide: U256,
}

#[message(topic = "events")]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Event {
    kind: Kind,
    #[serde(default)]
    names: Vec<String>,
}

#[message]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Kind {
    Opened,
    Limit { cents: i64 },
}

#[test]
fn attributes_of_serde_pass_through() {
    let levels = FixedVec::from_slice(&[1, 2]).unwrap();
    let trade = Trade::new(true, 7, "ETH".try_into().unwrap(), levels, U256::MAX);
    let json = serde_json::to_string(&trade).unwrap();
    let max = U256::MAX;
    let text =
        format!(r#"{{"isOpen":true,"price":7,"symbol":"ETH","levels":[1,2],"wide":"{max}"}}"#);
    assert_eq!(json, text);
    assert_eq!(serde_json::from_str::<Trade>(&json).unwrap(), trade);

    let json = r#"{"kind":{"kind":"limit","cents":-1}}"#;
    let event = Event { kind: Kind::Limit { cents: -1 }, names: vec![] };
    assert_eq!(serde_json::from_str::<Event>(json).unwrap(), event);
}

#[test]
fn serde_refuses_what_does_not_fit() {
    fn error<T: for<'de> Deserialize<'de>>(json: &str) -> String {
        serde_json::from_str::<T>(json).map(drop).unwrap_err().to_string()
    }
    let text = error::<FixedStr<2>>(r#""abc""#);
    assert!(text.contains("text of 3 bytes exceeds the capacity of 2 bytes"), "{text}");
    let list = error::<FixedVec<u8, 2>>("[1,2,3]");
    assert!(list.contains("expected a list of at most 2 items"), "{list}");
    assert!(error::<U256>(r#""12a""#).contains("expected digits"));
    let larger = U256::MAX.to_string().replace("39935", "39936");
    assert!(error::<U256>(&format!("\"{larger}\"")).contains("more than 256 bits"));
}

#[test]
fn texts_and_lists_convert_from_and_to_heapless() {
    let text = FixedStr::<4>::try_from("abcd").unwrap();
    assert_eq!(FixedStr::from(heapless::String::from(text)), text);
    let list = FixedVec::<u64, 3>::from_slice(&[1, 2]).unwrap();
    let other = heapless::Vec::<u64, 3>::from(list);
    assert_eq!((&other[..], FixedVec::from(other.clone())), (&[1, 2][..], list));
}
