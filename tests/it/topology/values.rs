//! Values that are invalid, or that contradict each other.

use crate::running::Says;
use crate::topology::{error_in_editors, error_of};

#[test]
fn hosts_addresses_and_modes_of_sockets() {
    error_of("[host.one]\naddress = \"10.0.0.1:7400\"")
        .says("2:11: invalid address `10.0.0.1:7400`: expected one without a port, such as `10.0.0.1` or `feed.example`; the port is a key of a node (`port`)");
    error_of("[host.one]\naddress = []")
        .says(r#"2:11: invalid address: expected a text such as "10.0.0.1", or a list of them"#);
    error_of("[node.a]\naddress = \"::1\"")
        .says("2:11: invalid address `::1`: expected a host and a port, such as `10.0.0.1:7400` (an IPv6 address is in brackets)");
    error_of("[node.a]\nport = 0").says("2:8: invalid port 0: expected 1 to 65535");
    error_of("[host.one]\naddress = \"a\"\n[node.b]")
        .says(r#"3:7: the file has hosts, and node `b` is on none of them: write, for example, `host = "one"`"#);
    error_of("[host.one]\naddress = \"a\"\n[node.b]\nhost = \"two\"")
        .says("4:8: unknown host `two`: expected one of: one");
    error_of("[node.a]\nhost = \"one\"").says("2:8: unknown host `one`: there is none");
    error_of("[node.a]\nport = 7400")
        .says(r#"2:8: `port` needs a `host`, which has the addresses; without one write `address = "<host>:<port>"`"#);
    error_of("[host.one]\naddress = \"a\"\n[node.b]\nhost = \"one\"\nport = 1\naddress = \"a:1\"")
        .says("5:8: `address` has the ports of this node: remove `port`");
    error_of("[node.a]\nlisten = \"0.0.0.0:1\"")
        .says("2:10: `listen` needs an `address` or a `port`, by which other nodes find this one");
    error_of("[node.a]\nmode = \"rw\"").says(
        r#"2:8: invalid mode `rw`: expected the permissions of a socket in octal, such as "0660""#,
    );
    error_of("[node.a]\nmode = \"0666\"")
        .says("2:8: this mode lets processes of all users connect: list those that may (`users`), or close it to others");
    error_of("[node.a]\ngroup = 7\nmode = \"0600\"")
        .says(r#"3:8: this mode does not let the group of this node (`group`) connect: expected one like "0660""#);
}

#[test]
fn how_services_are_executed() {
    error_of("[service.A]\nrun = \"alone\"").says(
        "2:7: invalid run `alone`: expected one of: shared, dedicated, pinned(1), pinned(1, 3)",
    );
    error_of("[service.A]\nrun = \"pinned()\"")
        .says(r#"2:7: invalid list of cores: expected at least one, such as "pinned(1)" or "pinned(1, 3)""#);
    error_of("[service.A]\nrun = \"pinned(one)\"")
        .says("2:7: invalid core `one`: expected a number, such as pinned(1, 3)");
    error_of("[service.A]\nrun = \"pinned(1, 1)\"").says("2:7: core 1 is listed twice");
    error_of("[service.A]\nwait = \"sleep\"")
        .says("2:8: invalid wait `sleep`: expected one of: park, spin, spin-then-park(1000), where 1000 is a number of spins");
    error_of("[service.A]\nthread = \"a\\nb\"")
        .says("2:10: invalid thread name `a\\nb`: expected at least one character, and no control character");
    error_of("[service.A]\nclass = \"fifo(0)\"")
        .says("2:9: invalid class `fifo(0)`: expected one of: normal, fifo(1) to fifo(99)");
    error_of("[service.A]\nbudget = 0").says("2:10: invalid budget 0: expected 1 or more");
    error_of("[service.A]\nrun = \"shared\"\nthread = \"x\"")
        .says(r#"3:10: `thread` needs a thread of the service's own: expected run = "dedicated" or "pinned(core)""#);
    error_of("[service.A.ports]\nleft = \"a b\"")
        .says("2:8: invalid topic `a b`: expected 1 to 62 bytes without white space, `=` and control characters");
    error_of("[service.A.ports]\nleft = \"mycelium.letters\"").says(
        "2:8: invalid topic `mycelium.letters`: names that start with `mycelium.` are reserved",
    );
}

#[test]
fn keys_of_topics_subscriptions_and_task_queues() {
    error_in_editors("[topic.a]\ncapacity = 1000")
        .says("2:12: invalid capacity 1000: expected a power of two from 2 to 1073741824");
    error_in_editors("[topic.a]\nbackpressure_threshold = \"101%\"")
        .says(r#"2:26: invalid threshold `101%`: expected a text from "1%" to "100%""#);
    error_in_editors("[topic.a]\nbackpressure_threshold = true")
        .says(r#"2:26: invalid threshold: expected a text from "1%" to "100%""#);
    error_in_editors("[topic.a]\non_stall = \"evict\"")
        .says(r#"2:12: invalid on_stall `evict`: expected "block" or { evict_after = "5s" }"#);
    error_in_editors("[topic.a]\non_stall = { evict_after = \"0s\" }")
        .says("2:12: invalid evict_after: expected more than 0 s");
    error_in_editors("[topic.a]\ndead_letter_after = 2")
        .says(r#"2:21: invalid number of deaths: expected 3 or more, or "never""#);
    error_in_editors("[subscription.\"A.b\"]\npolicy = \"drop_oldest\"")
        .says("2:10: invalid policy `drop_oldest`: did you mean `drop-oldest`? (expected one of: block, reject, drop-newest, drop-oldest, latest, sample(1/10))");
    error_in_editors("[subscription.\"A.b\"]\npolicy = \"sample(1/0)\"")
        .says("2:10: invalid policy `sample(1/0)`: expected a sample of one message in a number, such as `sample(1/10)`");
    error_in_editors("[subscription.\"A.b\"]\nkeys = 0")
        .says("2:8: invalid number of keys 0: expected a number from 1 to 16777216");
    error_in_editors("[service.A]\nshares = 0").says("2:10: invalid shares 0: expected 1 to 1000");
    error_in_editors("[service.A]\nlatency = \"0s\"")
        .says("2:11: invalid latency: expected more than 0 s");
}

#[test]
fn certificates() {
    error_of("[link.default]\ntransport = \"tls\"")
        .says("2:13: `transport = \"tls\"` needs a section `[tls]`, with the files `certificate`, `key` and `authorities`");
    error_in_editors("[tls]\ncertificate = \"a\"\nkey = \"b\"")
        .says("1:1: this section needs the key `authorities`");
}
