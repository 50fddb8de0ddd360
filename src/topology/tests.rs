use super::*;

fn error(text: &str) -> String {
    Topology::parse("t.toml", text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_says_nothing() {
    let topology = Topology::parse("t.toml", "").unwrap();
    assert_eq!(topology.capacity("swaps"), CAPACITY);
    assert_eq!(topology.policy("Detector", "swaps"), Policy::Block);
    assert_eq!(topology.restart("Detector"), Restart::default());
    assert_eq!(topology.place("main", &["A"]).unwrap(), None);
}

#[test]
fn errors_name_file_line_and_what_was_expected() {
    assert_eq!(
        error("[node.main]\nservices = []\ncolour = \"red\"\n"),
        "t.toml:3:1: unknown field `colour`, expected one of `services`, `executor`, `shutdown`, `memory`, `socket`, `users`"
    );
    assert_eq!(
        error("[nodes.main]\n"),
        "t.toml:1:2: unknown field `nodes`, expected one of `node`, `service`, `topic`, `subscription`, `link`"
    );
    assert_eq!(
        error("[topic.swaps]\ncapacity = 1000\n"),
        "t.toml:2:12: capacity 1000 is not a power of two from 2 to 1073741824"
    );
    assert_eq!(
        error("[subscription.\"A.b\"]\npolicy = \"hope\"\n"),
        "t.toml:2:10: there is no policy `hope`; expected one of: block, reject, drop-oldest, latest"
    );
    assert!(
        error("[node.main]\nshutdown = \"soon\"\n")
            .starts_with("t.toml:2:12: `soon` is no duration")
    );
    assert!(
        error("[node.main]\nmemory = \"lots\"\n").starts_with("t.toml:2:10: `lots` is no size")
    );
    assert_eq!(
        error("[node.main]\nshutdown = \"500000000000years\"\n").split(": ").next(),
        Some("t.toml:2:12")
    );
    assert!(
        error("[topic.a]\ncapacity = 4611686018427387904\n").starts_with("t.toml:2:12: capacity")
    );
    assert!(error("[node.main\n").starts_with("t.toml:1:"));
    assert!(error("[topic.swaps]\n[topic.swaps]\n").starts_with("t.toml:2:"));
}

#[test]
fn a_service_has_one_place() {
    let twice = error("[node.main]\nservices = [\"A\", \"B\",\n  \"A\"]\n");
    assert_eq!(twice, "t.toml:3:3: service `A` is placed twice; its first place is node `main`");
    let two_owners = error("[node.a]\nservices = [\"A\"]\n[node.b]\nservices = [\"A\"]\n");
    assert_eq!(two_owners, "t.toml:4:13: service `A` is placed twice; its first place is node `a`");
}

#[test]
fn names_that_the_program_does_not_have_are_errors() {
    let topology = Topology::parse(
        "t.toml",
        "[node.main]\nservices = [\"A\"]\n[topic.x]\n[subscription.\"A.y\"]\n",
    )
    .unwrap();
    let unknown = topology.place("main", &["B", "C"]).unwrap_err();
    assert_eq!(unknown.to_string(), "t.toml:2:13: there is no service `A`; expected one of: B, C");
    let unknown = topology.place("other", &["A"]).unwrap_err();
    assert_eq!(unknown.to_string(), "t.toml:1:7: there is no node `other`; expected one of: main");
    assert_eq!(topology.check_topics(&["swaps"]).unwrap_err().line(), 3);
    assert_eq!(topology.check_subscriptions(&["A.x".to_owned()]).unwrap_err().line(), 4);
}

#[test]
fn a_missing_file_is_named() {
    let missing = Topology::load("no/such/file.toml").unwrap_err().to_string();
    assert!(missing.starts_with("no/such/file.toml:1:1: cannot read the topology: "), "{missing}");
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
fn links_that_make_no_sense_are_refused() {
    assert_eq!(
        error("[node.a]\n[node.b]\n[link.\"a-x\"]\n"),
        "t.toml:3:7: there is no link `a-x`; expected one of: a-b, default"
    );
    assert_eq!(
        error("[node.a]\n[node.b]\n[link.\"a-b\"]\n[link.\"b-a\"]\n"),
        "t.toml:4:7: link `b-a` is the same as `a-b`, which stands in this file, too"
    );
    assert_eq!(
        error("[node.a]\n[node.b]\n[link.\"a-b\"]\npreset = \"fast\"\n"),
        "t.toml:4:10: there is no preset `fast`; expected one of: low-latency, balanced, high-throughput"
    );
    assert!(
        error("[node.a]\n[node.b]\n[link.\"a-b\"]\ntransport = \"pigeon\"\n")
            .starts_with("t.toml:4:13: there is no transport `pigeon`; expected: unix")
    );
}

#[test]
fn sockets_lie_where_the_topology_says() {
    let text = "[node.a]\nsocket = \"/run/a.sock\"\n[node.b]\n";
    let topology = Topology::parse("t.toml", text).unwrap();
    assert_eq!(topology.socket("a"), Path::new("/run/a.sock"));
    assert!(topology.socket("b").to_string_lossy().ends_with("-t/b.sock"));
    assert_eq!(topology.in_directory("/run/x").socket("b"), Path::new("/run/x/b.sock"));
}
