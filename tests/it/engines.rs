//! Topics that the topology gives to an engine: what the file and the program must say.
#![cfg(all(feature = "signals", feature = "topology"))]

use std::path::Path;

use mycelium::transport::{Capabilities, Ends, Engine, Transport};
use mycelium::{Builder, Context, Node, Result, Topology, message, service};
use mycelium_executor::SendFuture;
use mycelium_tokio::Tokio;

use crate::running::Says;

#[message(topic = "ticks", id = 1)]
struct Tick {
    number: u64,
}

struct Clock;

#[service(emits(Tick))]
impl Clock {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Tick { number: 1 }).await?;
        Ok(())
    }
}

struct Reader;

#[service(reads(Tick))]
impl Reader {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while ticks.recv().await.is_some() {}
        Ok(())
    }
}

/// Takes the place of Zenoh: refuses to start, and says with which file and topics.
struct Fake(String);

impl Engine for Fake {
    const NAME: &'static str = "zenoh";

    fn configured(config: Option<&Path>) -> Fake {
        Fake(config.map_or_else(|| "no file".to_owned(), |path| path.display().to_string()))
    }
}

impl Transport for Fake {
    fn name(&self) -> &str {
        Fake::NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
    }

    fn carry(self: Box<Self>, ends: Ends) -> std::result::Result<SendFuture<()>, String> {
        let [sends, receives] = [ends.sends(), ends.receives()]
            .map(|topics| topics.iter().map(|topic| topic.name().to_owned()).collect::<Vec<_>>());
        Err(format!("{}, sends {sends:?}, receives {receives:?}", self.0))
    }
}

const NODES: &str = "[node.a]\nservices = [\"Clock\"]\n[node.b]\nservices = [\"Reader\"]\n";
const DROPS: &str = "[subscription.\"Reader.ticks\"]\npolicy = \"drop-oldest\"\n";

fn node(name: &str, text: &str) -> Builder {
    let topology = Topology::parse("t.toml", &format!("{NODES}{text}")).unwrap();
    Node::builder(name).topology(topology).service(|| Clock).service(|| Reader)
}

/// Returns the text of the build error of node `a`, whose topic has these further keys.
#[track_caller]
fn refused(topic: &str, rest: &str, text: &str) {
    let file = format!("[topic.ticks]\ntransport = \"zenoh\"\n{topic}{rest}");
    let error = node("a", &file).engine::<Fake>().build().unwrap_err();
    error.says(text);
}

#[tokio::test]
async fn an_engine_gets_its_file_and_the_topics_of_its_node_in_place_of_links() {
    let file = format!("[topic.ticks]\ntransport = \"zenoh\"\n{DROPS}");
    let with_file = format!("{file}[engine.zenoh]\nconfig = \"z.json5\"\n");
    let nodes = [
        ("a", &file, "no file, sends [\"ticks\"], receives []"),
        ("b", &with_file, "z.json5, sends [], receives [\"ticks\"]"),
    ];
    for (name, file, says) in nodes {
        let node = node(name, file).engine::<Fake>().build().unwrap();
        let error = node.start(Tokio::current().unwrap()).unwrap_err();
        error.says(&format!("transport `zenoh` of node `{name}` failed: {says} [M0023]"));
    }
}

#[test]
fn a_program_without_the_engine_is_told_what_to_add() {
    let file = format!("[topic.ticks]\ntransport = \"zenoh\"\n{DROPS}");
    let error = node("a", &file).build().unwrap_err();
    error.says(
        "t.toml:6:13: topic `ticks` has `transport = \"zenoh\"`, but the program of node `a` has \
         no Zenoh: add `.engine::<mycelium_zenoh::Zenoh>()` to its builder (package \
         `mycelium-bus-zenoh`) [M0118]",
    );
}

#[test]
fn what_an_engine_cannot_keep_is_an_error_that_names_the_way_out() {
    let gating = "t.toml:6:13: topic `ticks` has `transport = \"zenoh\"`, but Zenoh cannot hold up \
                  publishers for slow readers, which the policy `block` of `Reader.ticks` needs: \
                  let that subscription drop messages (`policy = \"drop-oldest\"` or `\"latest\"` \
                  in `[subscription.\"Reader.ticks\"]`), let a stream store them (`transport = \
                  \"jetstream\"`), or use links [M0118]";
    refused("", "", gating);
    let late = format!("{DROPS}start = \"oldest\"\n");
    refused(
        "",
        &late,
        "t.toml:6:13: topic `ticks` has `transport = \"zenoh\"`, but Zenoh keeps no messages for \
         `Reader.ticks`, whose `start` is an earlier one: let a stream store them (`transport = \
         \"jetstream\"`) [M0118]",
    );
    refused(
        "retain = 5\n",
        DROPS,
        "t.toml:6:13: topic `ticks` has `transport = \"zenoh\"`, but it has `retain`, and nobody \
         would send the retained messages to nodes that come later: remove one of the two keys [M0118]",
    );
    refused(
        "writers = [\"a\"]\n",
        DROPS,
        "t.toml:6:13: topic `ticks` has `transport = \"zenoh\"`, but it has a list of nodes \
         (`readers` or `writers`), which only links enforce: use the engine's own access control \
         in the file that `config` of its section names [M0118]",
    );
}

#[test]
fn a_stream_may_have_readers_that_take_each_message_from_the_oldest_on() {
    let text = "[topic.ticks]\ntransport = \"jetstream\"\n\
                [subscription.\"Reader.ticks\"]\nstart = \"oldest\"\n";
    let error = node("a", text).build().unwrap_err();
    error.says(
        "t.toml:6:13: topic `ticks` has `transport = \"jetstream\"`, but the program of node `a` \
         has no JetStream: add `.engine::<mycelium_nats::JetStream>()` to its builder (package \
         `mycelium-bus-nats`) [M0118]",
    );
}

#[test]
fn a_work_queue_needs_a_stream_and_one_reader_in_each_node() {
    let refused = |nodes: &str, text: &str, says: &str| {
        let topology = Topology::parse("t.toml", &format!("{nodes}[topic.ticks]\n{text}")).unwrap();
        let node = Node::builder("b").topology(topology).service(|| Clock).service(|| Reader);
        node.named_service("Other", || Reader).build().unwrap_err().says(says);
    };
    let other = "[node.c]\nservices = [\"Other\"]\n";
    let three = format!("{NODES}{other}");
    let stored = "transport = \"jetstream\"\nwork_queue = true\n";
    refused(
        &three,
        "work_queue = true\n",
        "t.toml:8:14: topic `ticks` has `work_queue = true`, but only a stream gives each message to \
         one reader: write `transport = \"jetstream\"` [M0118]",
    );
    refused(
        &three,
        &format!("{stored}delivery = \"at-most-once\"\n"),
        "t.toml:9:14: topic `ticks` has `work_queue = true`, but it has `delivery = \
         \"at-most-once\"`, and a message whose first node died would go to nobody: remove one of the \
         two keys [M0118]",
    );
    refused(
        &three,
        &format!("{stored}{DROPS}"),
        "t.toml:9:14: topic `ticks` has `work_queue = true`, but it is read by `Reader.ticks`, which \
         loses messages that nobody else gets: expected the policy `block` [M0118]",
    );
    refused(
        &three,
        &format!("{stored}[subscription.\"Reader.ticks\"]\nstart = \"oldest\"\n"),
        "t.toml:9:14: topic `ticks` has `work_queue = true`, but it is read by `Reader.ticks`, which \
         has a `start`, and a queue always gives the oldest message that nobody has finished: remove \
         the key [M0118]",
    );
    refused(
        "[node.a]\nservices = [\"Clock\"]\n[node.b]\nservices = [\"Reader\", \"Other\"]\n",
        stored,
        "t.toml:7:14: topic `ticks` has `work_queue = true`, but both `Reader` and `Other` read it in \
         node `b`, and would get the same messages: place them in different nodes [M0118]",
    );
    refused(
        &format!("[node.b]\nservices = [\"Reader\", \"Clock\"]\n{other}"),
        stored,
        "t.toml:7:14: topic `ticks` has `work_queue = true`, but node `b` has both `Clock`, which \
         emits it, and `Reader`, which reads it and would get all of these messages: place them in \
         different nodes [M0118]",
    );
}

#[test]
fn a_start_at_a_place_of_a_stream_needs_a_stream() {
    let starts = |start: &str| format!("[subscription.\"Reader.ticks\"]\nstart = \"{start}\"\n");
    for start in ["2026-11-29T10:00:00Z", "position 4711"] {
        node("b", &starts(start)).build().unwrap_err().says(
            "topic `ticks` is not stored, and `Reader.ticks` starts at a place of a stream: let a \
             stream store it (`transport = \"jetstream\"`) [M0023]",
        );
    }
    for start in
        ["2026-11-29", "2026-11-29T10:00:00", "10:00:00Z", "position -1", "1960-01-01T00:00:00Z"]
    {
        let text = format!("{NODES}{}", starts(start));
        let error = Topology::parse("t.toml", &text).unwrap_err().to_string();
        assert!(error.contains(&format!("invalid start `{start}`")), "{error}");
        assert!(error.contains("(of a stream also a time such as"), "{error}");
    }
}

#[test]
fn an_unknown_engine_or_key_is_an_error() {
    let error = Topology::parse("t.toml", "[engine.kafka]\n").unwrap_err().to_string();
    assert!(error.starts_with("t.toml:1:9: "), "{error}");
    assert!(error.contains("zenoh"), "{error}");
    let error = Topology::parse("t.toml", "[topic.a]\ntransport = \"zeno\"\n").unwrap_err();
    assert!(error.to_string().contains("zenoh"), "{error}");
}

#[cfg(feature = "describe")]
#[test]
fn the_overview_has_the_topics_of_an_engine_without_its_code() {
    use mycelium::observe::Carrier;
    use mycelium::overview::NodeProgram;

    let description = Node::builder("any").service(|| Clock).service(|| Reader).describe();
    let text = format!("{NODES}[topic.ticks]\ntransport = \"zenoh\"\n{DROPS}");
    let topology = Topology::parse("t.toml", &text).unwrap();
    let program = |node| NodeProgram { node, program: "app", description: &description };
    let overview = topology.overview(&[program("a"), program("b")]).unwrap();
    let [link] = &overview.links[..] else { panic!("{:?}", overview.links) };
    assert_eq!((link.carrier, link.carrier.to_string()), (Carrier::Zenoh, "Zenoh".to_owned()));
    let [flow] = &link.flows[..] else { panic!("{:?}", link.flows) };
    assert_eq!((&*flow.topic, &*flow.from, &*flow.to), ("ticks", "a", "b"));
    assert_eq!(flow.policy, Some(mycelium::Policy::DropOldest));
    assert!(overview.warnings.is_empty(), "{:?}", overview.warnings);
}
