//! Listeners beside links, and the names and addresses of listeners.

use std::net::{TcpListener, TcpStream};

use mycelium::legacy::LegacyCodec;
use mycelium::{Node, Topology};

use crate::legacy::harness::{
    BROKER, Client, Floor, ORDER, Order, SWAP, Swap, counter, run, words,
};
use crate::support::Directory;

/// The listener is in one node and the service in another, so links carry the clients' topics.
#[test]
fn clients_reach_services_of_other_nodes() {
    let directory = Directory::new("legacy-nodes");
    let floor = Floor::plain("node = \"door\"");
    let nodes = "[node.desk]\nservices = [\"Broker\"]\n[node.door]\nservices = []";
    let text = floor.text.replace("[node.main]", nodes);
    let start = |name: &str| {
        let topology = Topology::parse("t.toml", &text).unwrap().in_directory(&directory.0);
        let builder = Node::builder(name).topology(topology).service(|| BROKER);
        let builder = builder.legacy(LegacyCodec::<Swap>::same_bytes());
        crate::running::start(builder.legacy(LegacyCodec::<Order>::same_bytes()))
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let (door, desk) = (start("door"), start("desk"));
    let mut client = floor.connect();
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
    assert_eq!(["received", "sent"].map(|it| counter(&report.counters, it)), [1000, 1000]);
    runtime.block_on(desk.join()).unwrap();
}

/// In the original system, host names and IPv6 addresses were refused.
#[test]
fn c1_a_listener_has_names_and_several_addresses() {
    // The system finds a free port; another process may take it before the listener does.
    let port = TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap().port();
    let mut floor = Floor::plain("");
    let list = format!("[\"localhost:{port}\", \"{}\"]", floor.address);
    floor.text = floor.text.replace(&format!("\"{}\"", floor.address), &list);
    let node = floor.broker();
    run(node, move |_| {
        for address in [format!("localhost:{port}"), floor.address.clone()] {
            let mut client = Client::new(TcpStream::connect(&address).unwrap());
            client.send(&words(SWAP, 1, 2));
            assert_eq!(client.words(), Some((ORDER, 1, 2)), "{address}");
        }
    });
}
