//! Listeners beside links, and messages that look different in the original system.

use std::net::{TcpListener, TcpStream};

use mycelium::{LegacyCodec, Node, Topology};
use mycelium_tokio::Tokio;

use crate::legacy::harness::{
    Broker, Client, Floor, ORDER, Order, Reverse, SWAP, Swap, TEXT, Text, counter, frame, words,
};
use crate::loopback::host;
use crate::support::Directory;

/// The listener is in one node, the service in another: links carry the topics of clients.
#[test]
fn clients_reach_services_of_other_nodes() {
    let directory = Directory::new("legacy-nodes");
    let address = format!("{}:7401", host());
    let text = format!(
        r#"
[node.door]
services = []
[node.desk]
services = ["Broker"]
[legacy.floor]
node = "door"
listen = "{address}"
wire = "plain"
[legacy.floor.types]
11 = {{ topic = "swaps", clients = "send" }}
12 = {{ topic = "orders", clients = "receive" }}
"#
    );
    let build = |name: &str| {
        let topology = Topology::parse("t.toml", &text).unwrap().in_directory(&directory.0);
        let builder = Node::builder(name).topology(topology).service(|| Broker);
        let builder = builder.legacy(LegacyCodec::<Swap>::same_bytes());
        builder.legacy(LegacyCodec::<Order>::same_bytes()).build().unwrap()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let start = |name: &str| build(name).start(Tokio::current().unwrap()).unwrap();
    let (door, desk) = (start("door"), start("desk"));
    let mut client = Client::new(std::net::TcpStream::connect(&address).unwrap());
    for number in 0..1000 {
        client.send(&words(SWAP, number, 2 * number));
    }
    for number in 0..1000 {
        assert_eq!(client.words(), Some((ORDER, number, 2 * number)));
    }
    drop(client);
    door.shutdown();
    desk.shutdown();
    let report = runtime.block_on(door.join()).unwrap();
    assert_eq!(
        (counter(&report.counters, "received"), counter(&report.counters, "sent")),
        (1000, 1000)
    );
    runtime.block_on(desk.join()).unwrap();
}

/// Names and IPv6 addresses were refused.
#[test]
fn c1_a_listener_has_names_and_several_addresses() {
    // The system knows which port is free; another process may take it before the listener does.
    let port = TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap().port();
    let mut floor = Floor::plain("");
    let list = format!("[\"localhost:{port}\", \"{}\"]", floor.address);
    floor.text = floor.text.replace(&format!("\"{}\"", floor.address), &list);
    let node = floor.broker();
    crate::legacy::harness::run(node, move |_| {
        for address in [format!("localhost:{port}"), floor.address.clone()] {
            let mut client = Client::new(TcpStream::connect(&address).unwrap());
            client.send(&words(SWAP, 1, 2));
            assert_eq!(client.words(), Some((ORDER, 1, 2)), "{address}");
        }
    });
}

/// The original's `FixedStr<32>`: u16 count, 6 zero bytes, 32 bytes.
fn text_codec() -> LegacyCodec<Text> {
    LegacyCodec::new(
        |payload: &[u8]| {
            let payload: &[u8; 48] = payload.try_into()?;
            let count = usize::from(u16::from_le_bytes([payload[8], payload[9]]));
            let content = payload[16..].get(..count).ok_or("the count exceeds 32")?;
            let sender = u64::from_le_bytes(payload[..8].try_into()?);
            Ok(Text { sender, content: std::str::from_utf8(content)?.try_into()? })
        },
        |text: &Text, payload: &mut Vec<u8>| {
            payload.extend(text.sender.to_le_bytes());
            payload.extend((text.content.as_str().len() as u16).to_le_bytes());
            payload.extend([0; 6]);
            payload.extend(text.content.as_str().as_bytes());
            payload.resize(48, 0);
        },
    )
}

fn text(content: &[u8]) -> Vec<u8> {
    let count = (content.len() as u16).to_le_bytes();
    let mut payload = [&[9, 0, 0, 0, 0, 0, 0, 0][..], &count, &[0; 6], content].concat();
    payload.resize(48, 0);
    frame(TEXT, &payload)
}

#[test]
fn messages_are_converted() {
    // `said` goes to clients by the type by which they send `heard`.
    let types = "13 = { topic = \"heard\", clients = \"send\" }\n14 = { topic = \"said\", clients = \"receive\" }";
    let floor = Floor::new("\"plain\"", "invalid = \"drop\"", types);
    let builder = floor.builder().service(|| Reverse).legacy(text_codec());
    let node =
        builder.bind("Reverse", "heard", "heard").bind("Reverse", "said", "said").build().unwrap();
    let (_, report) = crate::legacy::harness::run(node, move |_| {
        let mut client = floor.connect();
        let mut too_long = text(b"count");
        too_long[6 + 8] = 33;
        for bytes in [text(b"abc"), too_long, text(&[0xff]), text(&[b'x'; 31]), text(b"\xc3\xa9a")]
        {
            client.send(&bytes);
        }
        let answers = [client.frame().unwrap(), client.frame().unwrap()];
        let expected = [&b"cba"[..], b"a\xc3\xa9"].map(|content| (14, text(content)[6..].to_vec()));
        assert_eq!(answers, expected);
    });
    assert_eq!(counter(&report.counters, "invalid"), 3);
}
