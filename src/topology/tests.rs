mod execution;
mod keys;

use std::num::NonZeroU32;
use std::time::{Duration, UNIX_EPOCH};

use mycelium_core::{Code, FixedStr, message};
use mycelium_transports::endpoint::Endpoint;
use mycelium_transports::link::MemoryUse;
use mycelium_transports::local::{LatestByKey, Policy, Schema, Start, SubscribeOptions};

use super::*;
use crate::supervise::execution::Execution;

/// Returns the text of an error of a topology, without its code.
pub(super) fn without_code(error: TopologyError) -> String {
    let text = error.to_string();
    let (text, code) = Code::split(&text);
    assert_eq!(code, Some(error.code()));
    text.to_owned()
}

pub(super) trait Tells {
    /// Checks the text of an error, without its code.
    fn tells(self, expected: &str);
}

impl Tells for TopologyError {
    #[track_caller]
    fn tells(self, expected: &str) {
        assert_eq!(without_code(self), expected);
    }
}

#[test]
fn a_missing_file_is_named() {
    let missing = Topology::load("no/such/file.toml").unwrap_err().to_string();
    assert!(missing.starts_with("no/such/file.toml: cannot read the topology: "), "{missing}");
    // The error names the directory of a relative path, which may not be the expected one.
    assert!(missing.contains("; the current directory is `/"), "{missing}");
}

#[test]
fn links_are_set_by_preset_value_by_value_and_for_all() {
    let text = r#"
[node.a]
[node.b]
[node.c]
[link.default]
batch_bytes = "4 KiB"
retry = "20ms"
[link."b-a"]
preset = "high-throughput"
batch_messages = 7
"#;
    let topology = Topology::parse("t.toml", text).unwrap();
    let link = topology.link("a", "b");
    assert_eq!(link, topology.link("b", "a"));
    assert_eq!((link.batching.bytes, link.batching.messages), (64 << 10, 7));
    assert_eq!(link.retry.first, Duration::from_millis(20));
    assert_eq!(topology.link("a", "c").batching.bytes, 4 << 10);
}

#[test]
fn the_transport_of_a_link_is_that_of_its_section_or_of_all_links() {
    let text = |all: &str, own: &str| {
        let all = format!("[node.a]\n[node.b]\n[link.default]\n{all}\n");
        Topology::parse("t.toml", &format!("{all}[link.\"b-a\"]\n{own}\n")).unwrap()
    };
    let (shm, unix) = ("transport = \"shm\"", "transport = \"unix\"");
    for (all, own, memory, line) in [
        ("", "", MemoryUse::IfPossible, None),
        (shm, "", MemoryUse::Required, Some(4)),
        (unix, "", MemoryUse::Never, Some(4)),
        ("", shm, MemoryUse::Required, Some(6)),
        (shm, unix, MemoryUse::Never, Some(6)),
        (unix, shm, MemoryUse::Required, Some(6)),
    ] {
        let topology = text(all, own);
        for (node, peer) in [("a", "b"), ("b", "a")] {
            assert_eq!(topology.link(node, peer).memory, memory, "{all} {own}");
            let place = line.map(|line| format!("t.toml:{line}:13"));
            assert_eq!(topology.place_of(Setting::LinkTransport(node, peer)), place, "{all} {own}");
        }
    }
    assert_eq!(text(unix, shm).default_link().memory, MemoryUse::Never);
    // A preset sets batches and the buffer, but not the transport.
    let preset = text(unix, "preset = \"low-latency\"");
    assert_eq!(preset.link("a", "b").memory, MemoryUse::Never);
}

#[test]
fn the_owner_of_a_node_is_expected_at_both_of_its_sockets() {
    let topology = Topology::parse("t.toml", "[node.a]\nowner = 7\n[node.b]\nusers = [7]").unwrap();
    for (node, listener) in [("a", 7), ("b", 1000), ("c", 1000)] {
        let endpoint = topology.endpoint(node);
        let (_, of_memory) = endpoint.control_socket().unwrap();
        let Endpoint::Unix { access, .. } = endpoint else { panic!("a Unix socket") };
        assert_eq!([access, of_memory].map(|access| access.listener(1000)), [listener; 2]);
    }
}

#[test]
fn sockets_have_the_name_of_the_including_file_and_certificates_are_beside_their_own() {
    let directory = std::env::temp_dir().join(format!("mycelium-beside-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("sub")).unwrap();
    let mut text = "[node.a]\n".to_owned();
    if cfg!(feature = "tls") {
        text += "[tls]\ncertificate = \"{node}.pem\"\nkey = \"/k\"\nauthorities = \"ca.pem\"\n";
    }
    std::fs::write(directory.join("sub/common.toml"), text).unwrap();
    std::fs::write(directory.join("app.toml"), "include = [\"sub/common.toml\"]\n").unwrap();
    let topology = Topology::load(directory.join("app.toml"));
    std::fs::remove_dir_all(&directory).unwrap();
    let topology = topology.unwrap();
    assert!(topology.endpoint("a").to_string().ends_with("-app/a.sock"));
    #[cfg(feature = "tls")]
    {
        let files = topology.tls_files("a").unwrap();
        assert_eq!(files.certificate, directory.join("sub/a.pem"));
        assert_eq!(files.key, std::path::Path::new("/k"));
        assert_eq!(files.authorities, directory.join("sub/ca.pem"));
    }
}

#[message(topic = "ticks", id = 1)]
struct Tick {
    symbol: FixedStr<6>,
    price: u64,
}

fn subscription(text: &str, coded: SubscribeOptions) -> Result<SubscribeOptions, String> {
    let section = format!("[subscription.\"A.ticks\"]\n{text}\n");
    let topology = Topology::parse("t.toml", &section).map_err(without_code)?;
    let options = topology.subscription("A", "ticks", &Schema::of::<Tick>(), coded);
    options.map_err(without_code)
}

#[test]
fn the_file_overrides_the_options_of_a_subscription_key_by_key() {
    use Policy::{Block, Latest, LatestByKey as ByKey, Reject, Sample};

    let number = |number| NonZeroU32::new(number).unwrap();
    let by = |field, keys| ByKey(LatestByKey::of::<Tick>(field, number(keys)).unwrap());
    let (next, oldest) = (Start::Next, Start::Oldest);
    for (text, coded, expected) in [
        ("", (Block, next), (Block, next)),
        ("policy = \"sample(1/10)\"", (Block, oldest), (Sample(number(10)), oldest)),
        ("start = \"oldest\"", (Reject, next), (Reject, oldest)),
        ("start = \"next\"", (by("price", 7), oldest), (by("price", 7), next)),
        ("policy = \"latest\"", (Block, next), (Latest, next)),
        ("policy = \"latest\"", (by("price", 7), next), (by("price", 7), next)),
        ("policy = \"latest\"\nkey = \"symbol\"", (Block, next), (by("symbol", 1024), next)),
        ("policy = \"latest\"\nkey = \"price\"\nkeys = 3", (Block, next), (by("price", 3), next)),
        ("key = \"symbol\"", (by("price", 7), next), (by("symbol", 7), next)),
        ("key = \"symbol\"", (Latest, next), (by("symbol", 1024), next)),
        ("keys = 8", (by("price", 7), next), (by("price", 8), next)),
        ("policy = \"block\"", (by("price", 7), next), (Block, next)),
    ] {
        let options = |(policy, start)| SubscribeOptions::new(policy, start);
        assert_eq!(subscription(text, options(coded)), Ok(options(expected)), "{text}");
    }
}

#[test]
fn a_node_has_a_name_that_a_path_may_have() {
    // The name is sent to a peer in a frame, and a launcher writes it in a line.
    let [longest, long, letters] = ["n".repeat(62), "n".repeat(63), "ß".repeat(32)];
    for name in ["", "../x", "a/b", "..", "a..b", "a b", "a\\n", &long, &letters] {
        let error = Topology::parse("t.toml", &format!("\n[node.\"{name}\"]\n")).unwrap_err();
        assert!(error.code() == Code::NODE_NAME && error.line() == 2, "{error}");
    }
    for name in ["main", "a.b", "a-b_2", "größe", ".", &longest] {
        Topology::parse("t.toml", &format!("[node.\"{name}\"]\n")).unwrap();
    }
}

#[test]
fn the_addresses_of_a_node_are_its_own_or_those_of_its_host() {
    let text = "[host.one]\naddress = [\"10.0.0.1\", \"fd00::1\"]\n[node.a]\nhost = \"one\"\n\
                port = 7400\n[node.b]\nhost = \"one\"\naddress = \"b.example:1\"\n\
                listen = \"[::]:1\"\n[node.c]\nhost = \"one\"\n";
    let topology = Topology::parse("t.toml", text).unwrap();
    let shown = |node: &str| topology.tcp(node).map(|endpoint| endpoint.to_string());
    assert_eq!(shown("a").as_deref(), Some("10.0.0.1:7400, [fd00::1]:7400"));
    assert_eq!(shown("b").as_deref(), Some("b.example:1"));
    assert_eq!(shown("c"), None);
    assert_eq!(topology.place_of(Setting::Tcp("a")).as_deref(), Some("t.toml:5:8"));
    assert_eq!(topology.place_of(Setting::Tcp("b")).as_deref(), Some("t.toml:9:10"));
    assert!(!topology.is_over_tcp("a", "b"));
}

#[test]
fn the_nodes_of_a_machine_are_those_of_its_host() {
    let file = |one: &str, two: &str| {
        let text = format!(
            "[host.one]\naddress = {one}\n[host.two]\naddress = {two}\n[node.a]\nhost = \"one\"\n\
             [node.b]\nhost = \"two\"\n[node.c]\nhost = \"two\"\n"
        );
        Topology::parse("t.toml", &text).unwrap()
    };
    let nobody: [&str; 0] = [];
    let topology = file("\"203.0.113.1\"", "[\"203.0.113.2\", \"127.0.0.1\"]");
    assert_eq!(topology.nodes_of(&nobody).unwrap(), ["b", "c"]);
    assert_eq!(topology.nodes_of(&["one"]).unwrap(), ["a"]);
    assert_eq!(topology.nodes_of(&["two", "one"]).unwrap(), ["a", "b", "c"]);
    let unknown = topology.nodes_of(&["three"]).unwrap_err();
    unknown.tells("t.toml: unknown host `three`: expected one of: one, two");
    let none = file("\"203.0.113.1\"", "\"203.0.113.2\"").nodes_of(&nobody).unwrap_err();
    none.tells(
        "t.toml: this machine has an address of no host of the file: name the host that it is, \
         one of: one, two",
    );
    let both = file("\"127.0.0.1\"", "\"127.0.0.1\"").nodes_of(&nobody).unwrap_err();
    both.tells(
        "t.toml: this machine has an address of the hosts `one` and `two`: name the host that it \
         is, one of: one, two",
    );
    let without = Topology::parse("t.toml", "[node.a]\n[node.b]\n").unwrap();
    assert_eq!(without.nodes_of(&nobody).unwrap(), ["a", "b"]);
}

#[test]
fn a_start_may_be_a_time_or_a_position() {
    let start = |text: &str| {
        let file = format!("[subscription.\"A.b\"]\nstart = \"{text}\"\n");
        let topology = Topology::parse("t.toml", &file).unwrap();
        let schema = Schema::of::<Tick>();
        topology.subscription("A", "b", &schema, SubscribeOptions::default()).unwrap().start
    };
    let time = UNIX_EPOCH + Duration::from_millis(1_795_946_400_250);
    assert_eq!(start("2026-11-29T10:00:00.250Z"), Start::Since(time));
    assert_eq!(start("position 4711"), Start::Position(4711));
}
