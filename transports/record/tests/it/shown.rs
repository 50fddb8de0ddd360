//! What viewers of MCAP files see.

use mycelium_record::Recording;
use serde_json::{Value, json};

use crate::common::{Order, Tick, order, received, stream_of, tick};

#[test]
fn viewers_see_fields_as_json_with_a_schema() {
    let mut recording = Recording::with_json();
    let feed = recording.begin(stream_of::<Tick>("Feed", 1), 0, 0).unwrap();
    let desk = recording.begin(stream_of::<Order>("Desk", 1), 0, 0).unwrap();
    recording.message(feed, &received(0, &tick(150))).unwrap();
    for number in 0..3 {
        recording.message(desk, &received(number, &order(number))).unwrap();
    }
    let (file, _) = recording.finish();
    let mut shown: Vec<(String, Value, Value)> = Vec::new();
    for message in mcap::MessageStream::new(&file).unwrap() {
        let message = message.unwrap();
        if message.channel.topic.ends_with(" (fields)") {
            assert_eq!(message.channel.message_encoding, "json");
            let schema = message.channel.schema.clone().unwrap();
            assert_eq!(schema.encoding, "jsonschema");
            let schema = serde_json::from_slice(&schema.data).unwrap();
            let fields = serde_json::from_slice(&message.data).unwrap();
            shown.push((message.channel.topic.clone(), schema, fields));
        }
    }
    let topics: Vec<_> = shown.iter().map(|(topic, ..)| &**topic).collect();
    assert_eq!(topics, ["ticks (fields)", "orders (fields)", "orders (fields)", "orders (fields)"]);
    assert_eq!(
        shown[0].1,
        json!({
            "type": "object",
            "properties": {
                "number": {"type": "integer", "minimum": 0},
                "price": {"type": "number"},
            },
            "required": ["number", "price"],
        })
    );
    assert_eq!(shown[0].2, json!({"number": 150, "price": 1.5}));
    let text = json!({"type": "string"});
    assert_eq!(
        shown[1].1["properties"],
        json!({
            "number": {"type": "integer", "minimum": 0},
            "name": text,
            "note": {"oneOf": [text, {"type": "null"}]},
            "levels": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "kind": {"oneOf": [
                {"type": "string", "const": "Market"},
                {
                    "type": "object",
                    "properties": {"Limit": {
                        "type": "object",
                        "properties": {"cents": {"type": "integer"}},
                        "required": ["cents"],
                    }},
                    "required": ["Limit"],
                },
                {"type": "object", "properties": {"Named": text}, "required": ["Named"]},
            ]},
            "tags": {
                "type": "object",
                "additionalProperties": {"type": "integer", "minimum": 0},
            },
        })
    );
    assert_eq!(
        shown[3].2,
        json!({
            "number": 2, "name": "nn", "note": "even", "levels": [0, 1],
            "kind": {"Named": "x"}, "tags": {"a\"b": 2},
        })
    );
    // The reader ignores the fields.
    assert_eq!(crate::common::read(&file).entries.len(), 6);
}
