//! Values that are invalid, or that contradict each other.

use crate::topology::{check, check_with_schema};

#[test]
fn hosts_addresses_and_modes_of_sockets() {
    check(&[
        (
            "[host.one]\naddress = \"10.0.0.1:7400\"",
            "2:11: invalid address `10.0.0.1:7400`: expected one without a port, such as `10.0.0.1` or `feed.example`; the port is a key of a node (`port`)",
        ),
        (
            "[host.one]\naddress = []",
            r#"2:11: invalid address: expected a text such as "10.0.0.1", or a list of them"#,
        ),
        (
            "[node.a]\naddress = \"::1\"",
            "2:11: invalid address `::1`: expected a host and a port, such as `10.0.0.1:7400` (an IPv6 address is in brackets)",
        ),
        ("[node.a]\nport = 0", "2:8: invalid port 0: expected 1 to 65535"),
        (
            "[host.one]\naddress = \"a\"\n[node.b]",
            r#"3:7: the file has hosts, and node `b` is on none of them: write, for example, `host = "one"`"#,
        ),
        (
            "[host.one]\naddress = \"a\"\n[node.b]\nhost = \"two\"",
            "4:8: unknown host `two`: expected one of: one",
        ),
        ("[node.a]\nhost = \"one\"", "2:8: unknown host `one`: there is none"),
        (
            "[node.a]\nport = 7400",
            r#"2:8: `port` needs a `host`, which has the addresses; without one write `address = "<host>:<port>"`"#,
        ),
        (
            "[host.one]\naddress = \"a\"\n[node.b]\nhost = \"one\"\nport = 1\naddress = \"a:1\"",
            "5:8: `address` has the ports of this node: remove `port`",
        ),
        (
            "[node.a]\nlisten = \"0.0.0.0:1\"",
            "2:10: `listen` needs an `address` or a `port`, by which other nodes find this one",
        ),
        (
            "[node.a]\nmode = \"rw\"",
            r#"2:8: invalid mode `rw`: expected the permissions of a socket in octal, such as "0660""#,
        ),
        (
            "[node.a]\nmode = \"0666\"",
            "2:8: this mode lets processes of all users connect: list those that may (`users`), or close it to others",
        ),
        (
            "[node.a]\ngroup = 7\nmode = \"0600\"",
            r#"3:8: this mode does not let the group of this node (`group`) connect: expected one like "0660""#,
        ),
    ]);
}

#[test]
fn how_services_are_executed() {
    check(&[
        (
            "[service.A]\nrun = \"alone\"",
            "2:7: invalid run `alone`: expected one of: shared, dedicated, pinned(1), pinned(1, 3)",
        ),
        (
            "[service.A]\nrun = \"pinned()\"",
            r#"2:7: invalid list of cores: expected at least one, such as "pinned(1)" or "pinned(1, 3)""#,
        ),
        (
            "[service.A]\nrun = \"pinned(one)\"",
            "2:7: invalid core `one`: expected a number, such as pinned(1, 3)",
        ),
        ("[service.A]\nrun = \"pinned(1, 1)\"", "2:7: core 1 is listed twice"),
        (
            "[service.A]\nwait = \"sleep\"",
            "2:8: invalid wait `sleep`: expected one of: park, spin, spin-then-park(1000), where 1000 is a number of spins",
        ),
        (
            "[service.A]\nthread = \"a\\nb\"",
            "2:10: invalid thread name `a\\nb`: expected at least one character, and no control character",
        ),
        (
            "[service.A]\nclass = \"fifo(0)\"",
            "2:9: invalid class `fifo(0)`: expected one of: normal, fifo(1) to fifo(99)",
        ),
        ("[service.A]\nbudget = 0", "2:10: invalid budget 0: expected 1 or more"),
        (
            "[service.A]\nrun = \"shared\"\nthread = \"x\"",
            r#"3:10: `thread` needs a thread of the service's own: expected run = "dedicated" or "pinned(core)""#,
        ),
        (
            "[service.A.ports]\nleft = \"a b\"",
            "2:8: invalid topic `a b`: expected 1 to 62 bytes without white space, `=` and control characters",
        ),
        (
            "[service.A.ports]\nleft = \"mycelium.letters\"",
            "2:8: invalid topic `mycelium.letters`: names that start with `mycelium.` are reserved",
        ),
    ]);
}

#[test]
fn keys_of_topics_subscriptions_and_task_queues() {
    check_with_schema(&[
        (
            "[topic.a]\ncapacity = 1000",
            "2:12: invalid capacity 1000: expected a power of two from 2 to 1073741824",
        ),
        (
            "[topic.a]\nbackpressure_threshold = \"101%\"",
            r#"2:26: invalid threshold `101%`: expected a text from "1%" to "100%""#,
        ),
        (
            "[topic.a]\nbackpressure_threshold = true",
            r#"2:26: invalid threshold: expected a text from "1%" to "100%""#,
        ),
        (
            "[topic.a]\non_stall = \"evict\"",
            r#"2:12: invalid on_stall `evict`: expected "block" or { evict_after = "5s" }"#,
        ),
        (
            "[topic.a]\non_stall = { evict_after = \"0s\" }",
            "2:12: invalid evict_after: expected more than 0 s",
        ),
        (
            "[topic.a]\ndead_letter_after = 2",
            r#"2:21: invalid number of deaths: expected 3 or more, or "never""#,
        ),
        (
            "[subscription.\"A.b\"]\npolicy = \"drop_oldest\"",
            "2:10: invalid policy `drop_oldest`: did you mean `drop-oldest`? (expected one of: block, reject, drop-newest, drop-oldest, latest, sample(1/10))",
        ),
        (
            "[subscription.\"A.b\"]\npolicy = \"sample(1/0)\"",
            "2:10: invalid policy `sample(1/0)`: expected a sample of one message in a number, such as `sample(1/10)`",
        ),
        (
            "[subscription.\"A.b\"]\nkeys = 0",
            "2:8: invalid number of keys 0: expected a number from 1 to 16777216",
        ),
        ("[service.A]\nshares = 0", "2:10: invalid shares 0: expected 1 to 1000"),
        ("[service.A]\nlatency = \"0s\"", "2:11: invalid latency: expected more than 0 s"),
    ]);
}

#[test]
fn certificates() {
    check(&[(
        "[link.default]\ntransport = \"tls\"",
        "2:13: `transport = \"tls\"` needs a section `[tls]`, with the files `certificate`, `key` and `authorities`",
    )]);
    check_with_schema(&[(
        "[tls]\ncertificate = \"a\"\nkey = \"b\"",
        "1:1: this section needs the key `authorities`",
    )]);
}
