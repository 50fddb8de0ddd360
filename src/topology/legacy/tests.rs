use std::time::Duration;

use mycelium_core::legacy::ContractDigest;
use mycelium_transports::endpoint::Endpoint;

use super::*;
use crate::topology::tests::{Tells, without_code};

const FLOOR: &str = "[legacy.floor]\nlisten = \"10.0.0.1:7401\"\nwire = \"plain\"\n";

/// Returns the error of a listener with these additional keys. The first of them is on line 4.
fn error_with(keys: &str) -> TopologyError {
    let types = if keys.contains("types") { "" } else { "types = { 11 = \"swaps\" }\n" };
    error(&format!("{FLOOR}{keys}{types}"))
}

fn error(text: &str) -> TopologyError {
    Topology::parse("t.toml", text).unwrap_err()
}

fn listener(text: &str) -> ListenerConfig {
    let listeners = Topology::parse("t.toml", text).unwrap().legacy_listeners();
    let [listener] = <[ListenerConfig; 1]>::try_from(listeners).unwrap();
    listener
}

#[test]
fn a_listener_has_defaults() {
    let listener = listener(&format!("{FLOOR}types = {{ 11 = \"swaps\" }}\n"));
    assert_eq!((&*listener.name, listener.node), ("floor", None));
    assert_eq!(listener.place, "t.toml:2:10");
    assert!(matches!(listener.endpoint, Endpoint::Tcp { .. }));
    assert_eq!((listener.digests, listener.types.len()), (Vec::new(), 1));
    assert_eq!((listener.unknown, listener.invalid), (OnBadFrame::Drop, OnBadFrame::End));
    assert_eq!((listener.slow, listener.connections), (OnSlowClient::End, 64));
    assert_eq!(listener.timeout, Duration::from_secs(10));
    assert_eq!((listener.payload, listener.queue), (64 << 10, 1 << 20));
}

#[test]
fn a_listener_has_the_settings_of_its_keys() {
    let [one, other] = ["00".repeat(32), "Ab".repeat(32)];
    let text = format!(
        r#"
[node.main]
[node.other]
[legacy.floor]
node = "other"
socket = "/run/me/floor.sock"
users = [1, 2]
wire = {{ digest = ["{one}", "{other}"] }}
unknown = "end"
invalid = "drop"
slow = "drop"
connections = 7
timeout = "1s"
payload = "1 KiB"
queue = "2 KiB"
[legacy.floor.types]
0 = "a"
65535 = {{ topic = "b", clients = "send" }}
7 = {{ topic = "b", clients = "receive" }}
"#
    );
    let listener = listener(&text);
    assert_eq!(listener.node.as_deref(), Some("other"));
    assert_eq!(listener.endpoint.to_string(), "/run/me/floor.sock");
    let digests = [one, other].map(|text| ContractDigest::from_hex(&text).unwrap());
    assert_eq!(listener.digests, digests);
    assert_eq!((listener.unknown, listener.invalid), (OnBadFrame::End, OnBadFrame::Drop));
    assert_eq!((listener.slow, listener.connections), (OnSlowClient::Drop, 7));
    assert_eq!((listener.payload, listener.queue), (1 << 10, 2 << 10));
    let types = listener.types.iter().map(|of| (of.id, &*of.topic, of.from_clients, of.to_clients));
    let expected = [(0, "a", true, true), (65535, "b", true, false), (7, "b", false, true)];
    assert_eq!(types.collect::<Vec<_>>(), expected);
}

#[test]
fn mistakes_are_named_with_their_place() {
    error("[legacy.\"a b\"]\nwire = \"plain\"\n").tells(
        "t.toml:1:9: invalid name of a listener `a b`: expected letters, digits, `-`, `_` and `.`",
    );
    let address = "t.toml:1:9: expected one address: either `listen = \"10.0.0.1:7401\"` for TCP, or `socket = \"/run/me/floor.sock\"`";
    error("[legacy.a]\nwire = \"plain\"\n").tells(address);
    error_with("socket = \"/a/b\"\n").tells(address);
    error(FLOOR)
        .tells("t.toml:1:9: a listener without types serves nothing: add `[legacy.floor.types]`, with lines such as `11 = \"ticks\"`");
    error(&format!("[node.a]\n[node.b]\n{FLOOR}")).tells(
        "t.toml:3:9: a file with several nodes says which one listens: add `node`, one of: a, b",
    );
    error_with("users = [1]\n")
        .tells("t.toml:2:10: `users`, `group` and `mode` are for a Unix socket (`socket`): a TCP address proves no user");
    error_with("payload = \"17 MiB\"\n")
        .tells("t.toml:4:11: invalid payload of 17825792 bytes: expected 1 to 16777216");
    let socket =
        "[legacy.a]\nwire = \"plain\"\nsocket = \"/a/b\"\nmode = \"0666\"\ntypes = { 1 = \"a\" }\n";
    error(socket)
        .tells("t.toml:4:8: this mode lets processes of all users connect: list those that may (`users`), or close it to others");
}

#[test]
fn mistakes_of_the_wire_are_named() {
    let error =
        |wire: &str| error(&format!("[legacy.a]\nlisten = \"10.0.0.1:1\"\nwire = {wire}\n"));
    let invalid = "t.toml:3:8: invalid wire: expected \"plain\", or { digest = \"..\" } with the digest of the clients' \
                   contract, or a list of them";
    for wire in ["\"digest\"", "{ digest = [] }", "{ sha = \"\" }", "7"] {
        assert_eq!(without_code(error(wire)), invalid, "{wire}");
    }
    error("{ digest = \"0a\" }")
        .tells("t.toml:3:8: invalid digest `0a`: expected 64 hexadecimal digits");
    // The key is needed.
    let missing = "[legacy.a]\nlisten = \"10.0.0.1:1\"\n";
    super::tests::error(missing).tells(&invalid.replace(":3:8:", ":1:1:"));
}

#[test]
fn mistakes_of_types_are_named() {
    let error = |types: &str| error_with(&format!("[legacy.floor.types]\n{types}\n"));
    for id in ["65536", "x", "011", "-1"] {
        let expected = "expected a number from 0 to 65535";
        error(&format!("{id} = \"swaps\""))
            .tells(&format!("t.toml:5:1: invalid type `{id}`: {expected}"));
    }
    assert!(error("1 = \"a b\"").to_string().starts_with("t.toml:5:5: invalid topic `a b`: "));
    error("1 = 2").tells(
        "t.toml:5:5: invalid type: expected a topic, or { topic = \"..\", clients = \"..\" }",
    );
    error("1 = { topic = \"a\", clients = \"recieve\" }")
        .tells("t.toml:5:5: invalid clients `recieve`: did you mean `receive`? (expected one of: send, receive, both)");
    error("1 = \"a\"\n2 = { topic = \"a\", clients = \"receive\" }").tells(
        "t.toml:6:5: topic `a` has type 1 already: expected one type in each direction \
         (`clients = \"send\"`, `clients = \"receive\"`)",
    );
}

/// Otherwise, everybody who can connect could read and write everything.
#[test]
fn a1_a_topic_with_a_list_is_not_served_to_the_network() {
    let text = |keys: &str, clients: &str, list: &str| {
        let list = format!("[topic.orders]\n{list} = [\"main\"]\n");
        let types = format!(
            "[legacy.floor.types]\n1 = {{ topic = \"orders\", clients = \"{clients}\" }}\n"
        );
        format!("[node.main]\n{list}{FLOOR}{keys}{types}")
    };
    for (clients, list, is_error) in [
        ("send", "writers", true),
        ("send", "readers", false),
        ("receive", "readers", true),
        ("receive", "writers", false),
        ("both", "readers", true),
        ("both", "writers", true),
    ] {
        let parsed = Topology::parse("t.toml", &text("", clients, list));
        assert_eq!(parsed.is_err(), is_error, "{clients} {list}");
        assert!(Topology::parse("t.toml", &text("trust = \"network\"\n", clients, list)).is_ok());
        if let Err(error) = parsed {
            error.tells(&format!(
                "t.toml:8:5: topic `orders` has a list of `{list}`, but any process that can connect to this listener \
                 would be one: if no other process can, write `trust = \"network\"`, or listen at a Unix socket (`socket`)"
            ));
        }
    }
}

/// Otherwise, the start would fail with a system error that names no section.
#[test]
fn two_listeners_of_one_host_have_two_addresses() {
    let check = |text: &str| {
        let topology = Topology::parse("t.toml", text).unwrap().in_directory("/run/x");
        topology.check_legacy_addresses("main")
    };
    let listener = |name: &str, keys: &str| {
        format!("[legacy.{name}]\n{keys}\nwire = \"plain\"\ntypes = {{ 1 = \"a\" }}\n")
    };
    let same = |second: &str| {
        let first = listener("a", "listen = [\"127.0.0.1:7401\", \"[::1]:7401\"]");
        check(&format!("{first}{}", listener("b", second)))
    };
    same("listen = \"127.0.0.1:7402\"").unwrap();
    for address in ["127.0.0.1:7401", "[0:0::1]:7401"] {
        let shown = address.replace("0:0::1", "::1");
        same(&format!("listen = \"{address}\"")).unwrap_err().tells(&format!(
            "t.toml:6:10: legacy listener `b` has the address `{shown}` of legacy listener `a` at \
             t.toml:2:10: expected one of its own"
        ));
    }
    check(&listener("a", "socket = \"/run/x/main.sock\"")).unwrap_err().tells(
        "t.toml:2:10: legacy listener `a` has the address `/run/x/main.sock` of node `main`: \
         expected one of its own",
    );
    let hosts = "[host.x]\naddress = \"10.0.0.1\"\n[host.y]\naddress = \"10.0.0.2\"\n\
                 [node.main]\nhost = \"x\"\nport = 7400\n[node.other]\nhost = \"y\"\n";
    let on = |node: &str, listen: &str| {
        listener(&format!("on-{node}"), &format!("node = \"{node}\"\nlisten = \"{listen}\""))
    };
    let any = "0.0.0.0:7401";
    check(&format!("{hosts}{}{}", on("main", any), on("other", any))).unwrap();
    check(&format!("{hosts}{}", on("main", "10.0.0.1:7400"))).unwrap_err().tells(
        "t.toml:12:10: legacy listener `on-main` has the address `10.0.0.1:7400` of node `main` at \
         t.toml:7:8: expected one of its own",
    );
}
