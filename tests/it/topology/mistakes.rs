//! Files that are not valid topologies: sections, names, types, durations and sizes.

use mycelium::Topology;

use crate::running::Says;
use crate::topology::{error_in_editors, error_of, without_code};

#[test]
fn what_is_not_toml() {
    error_of("[node.main").says("1:11: unclosed table, expected `]`");
    error_of("[topic.a]\n[topic.a]").says("2:8: duplicate key");
    error_of("[topic.a]\n[[topic.b]]\ncapacity = 2")
        .says("2:9: section `topic.b` is a list: expected `[topic.b]`, with one pair of brackets");
}

#[test]
fn unknown_sections_and_keys() {
    error_in_editors("[nodes.main]")
        .says("1:2: unknown key `nodes`: did you mean `node`? (expected one of: host, tls, telemetry, bundle, node, service, supervisor, topic, subscription, link, engine, recorder, legacy)");
    error_in_editors("[node.main]\nservices = []\ncolour = \"red\"")
        .says("3:1: unknown key `colour`: expected one of: services, host, port, address, listen, executor, shutdown, memory, huge_pages, socket, users, group, mode and 9 more");
    error_in_editors("[host.one]").says("1:1: this section needs the key `address`");
    error_in_editors("[subscription.A.b]\npolicy = \"block\"")
        .says(r#"1:17: unknown key `b`: expected one of: policy, key, keys, start; for a subscription write `[subscription."A.b"]`"#);
    error_in_editors("[link.default]\nbatch = 1")
        .says("2:1: unknown key `batch`: expected one of: transport, trust, preset, batch_bytes, batch_messages, batch_delay, keep_alive, silence, handshake, retry, max_retry, buffer, window and 1 more");
    error_in_editors("[topic.a]\nlatency_sample = 1.5")
        .says("2:18: invalid share 1.5: expected a number from 0 to 1");
    error_in_editors("[topic.a]\non_stall = { after = \"5s\" }")
        .says(r#"2:12: invalid on_stall: expected "block" or { evict_after = "5s" }"#);
    error_in_editors("[topic.a]\nretain = 0")
        .says("2:10: invalid retain 0: expected a number from 1 to 16777216");
    error_in_editors("[topic.a]\nretain = { key = \"a\", keys = 0 }")
        .says("2:30: invalid number of keys 0: expected a number from 1 to 16777216");
    error_in_editors("[topic.a]\nretain = { key = \"a\", key_s = 3 }").says(
        "2:23: unknown key `key_s`: did you mean `keys`? (expected one of: key, keys, when_full)",
    );
    error_in_editors("[topic.a]\nretain = { key = \"a\", when_full = \"drop\" }")
        .says("2:35: invalid when_full `drop`: expected one of: refuse, forget-oldest");
    error_in_editors("[topic.a]\nretain = [3]")
        .says(r#"2:10: invalid value, sequence: expected a number of messages, such as 100, or { key = "symbol" } with `keys` and `when_full` if they differ from 1024 and "refuse""#);
    error_in_editors("[topic.a]\nretain = { keys = 3 }")
        .says(r#"2:10: invalid retain: expected a number of messages, such as 100, or { key = "symbol" } with `keys` and `when_full` if they differ from 1024 and "refuse""#);
}

#[test]
fn names_of_nodes_services_and_links() {
    error_of("[node.\"a/b\"]")
        .says("1:7: invalid name of a node `a/b`: expected 1 to 62 bytes of letters, digits, `-`, `_` and `.`, and no `..`");
    error_of("[node.a]\nservices = [\"A\"]\n[node.b]\nservices = [\"B\", \"A\"]").says(
        "4:18: service `A` is placed twice: first in node `a`; expected one place for each service",
    );
    error_of("[node.a]\n[node.b]\n[link.\"a-x\"]")
        .says("3:7: unknown link `a-x`: did you mean `a-b`? (expected one of: a-b, default)");
    error_of("[node.a]\n[node.b]\n[link.\"a-b\"]\n[link.\"b-a\"]")
        .says("4:7: link `b-a` is the same as `a-b`, which also has a section: merge the two");
    error_of("[node.a]\n[node.a-b]\n[node.b-c]\n[node.c]\n[link.\"a-b-c\"]")
        .says("5:7: link `a-b-c` may join `a` and `b-c`, or `a-b` and `c`; give one of these nodes another name");
}

#[test]
fn values_of_another_type() {
    error_in_editors("[node.a]\nservices = \"A\"").says(
        r#"2:12: invalid value, string "A": expected a list in brackets, such as ["a", "b"]"#,
    );
    error_in_editors("[node.a]\nservices = [1]")
        .says("2:13: invalid value, integer `1`: expected a string");
    error_in_editors("[node.a]\nhuge_pages = \"true\"")
        .says(r#"2:14: invalid value, string "true": expected true or false without quotes"#);
    error_in_editors("[node.a]\nhuge_pages = 1")
        .says("2:14: invalid value, integer `1`: expected true or false");
    error_in_editors("[node.a]\nsocket = 1")
        .says("2:10: invalid value, integer `1`: expected a path in quotes");
    error_in_editors("[node.a]\nusers = [\"me\"]")
        .says(r#"2:10: invalid value, string "me": expected a number without quotes"#);
    error_in_editors("[node.a]\nowner = 1.5")
        .says("2:9: invalid value, floating point `1.5`: expected a number");
    error_in_editors("[service.A]\nmax_restarts = -1")
        .says("2:16: invalid number -1: expected 0 to 4294967295");
    error_in_editors("[service.A]\nports = \"a\"")
        .says(r#"2:9: invalid value, string "a": expected a table of keys and values, such as { key = "value" }"#);
    error_in_editors("[topic.a]\ndelivery = true")
        .says("2:12: invalid value, boolean `true`: expected a string");
}

/// A file of another kind may consist of one long text.
#[test]
fn long_values_are_cut() {
    let long = |text: &str| text.repeat(10_000);
    let error = Topology::parse("t.toml", &format!("[service.A]\nrun = \"{}\"\n", long("ä")));
    assert_eq!(
        without_code(error.unwrap_err()),
        format!(
            "t.toml:2:7: invalid run `{}… (10000 characters)`: expected one of: shared, \
             dedicated, pinned(1), pinned(1, 3)",
            "ä".repeat(200)
        )
    );
    for text in [
        format!("{} = 1\n", long("k")),
        format!("[node.\"{}\"]\n", long("n ")),
        format!("[node.a]\nshutdown = \"{}\"\n", long("x")),
        format!("[node.a]\nservices = [\"{0}\", \"{0}\"]\n", long("S")),
    ] {
        let error = Topology::parse("t.toml", &text).unwrap_err().to_string();
        assert!(error.len() < 800, "{error}");
        error.mentions("0 characters)`");
    }
}

#[test]
fn durations_and_sizes() {
    error_in_editors("[node.a]\nshutdown = \"soon\"")
        .says("2:12: invalid duration `soon`: expected a number and a unit, such as `250ms`");
    error_in_editors("[node.a]\nshutdown = 5")
        .says(r#"2:12: invalid duration 5: expected a text with a unit, such as "5s""#);
    error_in_editors("[node.a]\nwatchdog = true")
        .says(r#"2:12: invalid duration: expected a text with a unit, such as "250ms""#);
    error_in_editors("[link.default]\nretry = \"0s\"")
        .says("2:9: invalid pause `0`: expected a duration greater than zero");
    error_of("[link.default]\nbuffer = \"2 GiB\"")
        .says("2:10: invalid size of 2147483648 bytes: expected at most 1 GiB");
    error_in_editors("[node.a]\nmemory = true").says(
        "2:10: invalid size: expected a number and a unit (B, KiB, MiB, GiB), such as `64 KiB`",
    );
    error_in_editors("[node.a]\nmemory = \"256 MB\"")
        .says("2:10: invalid size `256 MB`: expected a number and a unit (B, KiB, MiB, GiB), such as `64 KiB`");
}

#[test]
fn times_of_links() {
    let silence = "invalid `silence`: expected at least 100 ms, and three times `keep_alive`";
    error_of("[link.default]\nsilence = \"1s\"").says(&format!("2:11: {silence}"));
    error_of("[node.a]\n[node.b]\n[link.\"b-a\"]\nkeep_alive = \"1h\"")
        .says(&format!("4:14: {silence}"));
    error_of("[node.a]\n[node.b]\n[link.default]\nsilence = \"30s\"\n[link.\"a-b\"]\nkeep_alive = \"11s\"")
        .says(&format!("6:14: {silence}"));
    error_of("[node.a]\n[node.b]\n[link.\"b-a\"]\nkeep_alive = \"1ms\"")
        .says("4:14: invalid `keep_alive`: expected at least 34 ms");
}

#[test]
fn values_beyond_their_limits() {
    error_of("[node.a]\nshutdown = \"2years\"")
        .says("2:12: invalid duration `2years`: expected at most a year");
    error_of("[node.a]\nmemory = \"99999999999999 GiB\"").says(
        "2:10: invalid size `99999999999999 GiB`: expected at most 18446744073709551615 bytes",
    );
}

#[test]
fn commands() {
    let program = r#"2:11: invalid command: expected a program and its arguments, such as ["./app", "{node}"]"#;
    error_in_editors("[node.main]\ncommand = []").says(program);
    error_in_editors("[bundle]\ncommand = [\"\"]").says(program);
    error_of("[node.main]\ncommand = [\"./app\", \"--of={nodes}\"]")
        .says("2:21: unknown placeholder `nodes`: did you mean `node`? (expected one of: directory, node, topology)");
    error_of("[node.main]\ncommand = [\"./app\", \"a\\u0000b\"]")
        .says("2:21: invalid argument: expected a text without NUL");
}

#[cfg(unix)]
#[test]
fn the_words_of_a_command_have_their_values() {
    let text = r#"
[bundle]
command = ["./bin/app", "{node}", "{node}:{directory}", "{\"a\":{\"node\":1}}", "{}", "{{node}"]
[node.main]
[node.other]
command = ["${TOOL:-other}", "{topology}"]
"#;
    let topology = Topology::options().environment(|_| None::<String>).parse("/srv/t.toml", text);
    let topology = topology.unwrap().in_directory("/run/me");
    let main = topology.command("main").unwrap();
    assert_eq!(main.program.to_str(), Some("/srv/bin/app"));
    assert_eq!(
        main.arguments,
        ["main", "main:/run/me", r#"{"a":{"node":1}}"#, "{}", "{main"]
            .map(std::ffi::OsString::from)
    );
    assert_eq!(main.directory.to_str(), Some("/srv"));
    assert_eq!(main.place.as_deref(), Some("/srv/t.toml:3:12"));
    let other = topology.command("other").unwrap();
    assert_eq!(other.program.to_str(), Some("other"));
    assert_eq!(other.arguments, ["/srv/t.toml"]);
    assert_eq!(topology.command("none"), None);
    let given = topology.command_from("main", "app", &["{node}".to_owned()]).unwrap();
    assert_eq!((given.program.to_str(), &*given.arguments), (Some("app"), &["main".into()][..]));
    let error = topology.command_from("main", "app", &["{host}".to_owned()]).unwrap_err();
    without_code(error).says(
        "/srv/t.toml: unknown placeholder `host`: expected one of: directory, node, topology",
    );
}

/// The feature may be enabled by another package of the workspace.
#[test]
#[cfg(not(feature = "otlp"))]
fn keys_of_features_that_are_off() {
    error_of("[telemetry]\nmetrics = \"http://127.0.0.1:4318\"\n")
        .says("2:11: this program was built without what `metrics` needs: enable the feature `otlp` of the package `mycelium`");
}
