//! Descriptions of programs, and overviews of topologies with them: there is an overview exactly if
//! the nodes can be built, and its errors are the errors of those builds.
#![cfg(all(feature = "describe", feature = "metrics"))]

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use mycelium::error::Code;
use mycelium::execution::{Execution, WaitStrategy};
use mycelium::legacy::LegacyCodec;
use mycelium::observe::Carrier;
use mycelium::overview::{Description, NodeProgram};
use mycelium::subscribe::{LatestByKey, OnStall, SubscribeOptions};
use mycelium::supervision::{Lifetime, Restart, Supervisor};
use mycelium::{Context, Delivery, Node, Policy, Result, Start, Topology, message, service};
use mycelium_transports::conformance::Spans;
use proptest::prelude::{any, prop, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy as _};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::running::{Says, start};
use crate::support::{Directory, idle_services};

#[message(topic = "ticks", id = 1, pad)]
pub(crate) struct Tick {
    price: u64,
    venue: Venue,
    legs: [Leg; 2],
    wide: [i64; 2],
}

#[message]
struct Leg {
    ratio: f64,
    small: [u8; 8],
}

#[message]
#[repr(u8)]
enum Venue {
    Paris,
    London,
    #[allow(dead_code, reason = "it is one of the values")]
    Off = 9,
}

#[message(topic = "orders", id = 2)]
pub(crate) struct Order {
    number: u64,
}

#[message(topic = "quotes", id = 3, reply = Order)]
pub(crate) struct Quote {
    number: u64,
}

#[message(topic = "notes", id = 4, max = "1 MiB")]
pub(crate) struct Note {
    text: String,
    initial: char,
    age: Duration,
    from: IpAddr,
    legs: Vec<Leg>,
    more: BTreeMap<String, (u8, Option<i64>)>,
    kind: Kind,
}

#[message]
enum Kind {
    Plain,
    #[allow(dead_code, reason = "it is one of the values")]
    Named {
        name: String,
        shares: f64,
    },
}

idle_services! {
    Feed(emits(Tick, Note));
    Strategy(reads(Tick, Order as back), emits(Order as orders), requests(Quote));
    Desk(reads(Order as orders), emits(Order as done), answers(Quote));
    Screen(reads(Tick));
}

fn bound_services(node: &str) -> mycelium::Builder {
    Node::builder(node)
        .service(|| Feed)
        .service(|| Strategy)
        .service(|| Desk)
        .service(|| Screen)
        .bind("Strategy", "orders", "orders")
        .bind("Strategy", "back", "fills")
        .bind("Desk", "orders", "orders")
        .bind("Desk", "done", "fills")
}

fn builder(node: &str) -> mycelium::Builder {
    let keys = LatestByKey::of::<Tick>("price", 16.try_into().unwrap()).unwrap();
    let latest = SubscribeOptions::new(Policy::LatestByKey(keys), Start::Oldest);
    bound_services(node)
        .subscription("Strategy", "back", Policy::DropOldest)
        .subscription("Screen", "ticks", latest)
        .execution("Feed", Execution::pinned([0]).wait(WaitStrategy::Spin).thread("feed"))
        .restart("Desk", Restart { limit: 3, ..Restart::default() })
        .lifetime("Desk", Lifetime::Permanent)
        .start_deadline("Screen", Duration::from_secs(3))
        .supervisor(Supervisor::one_for_all("trading").service::<Strategy>().service::<Desk>())
        .backpressure_threshold("ticks", 50)
        .on_stall("ticks", OnStall::EvictAfter(Duration::from_secs(5)))
        .latency_sample("orders", 0.5)
        .fast_handler("count", |_: &Tick| Ok(()))
        .legacy(LegacyCodec::<Tick>::same_bytes())
        .watchdog(Duration::from_secs(1))
}

static DESCRIPTION: LazyLock<Description> = LazyLock::new(|| builder("any").describe());

const NODES: &str = r#"
[node.feed]
services = ["Feed"]
[node.trade]
services = ["Strategy", "Desk"]
memory = "64 MiB"
[node.screen]
services = ["Screen"]
[link."feed-screen"]
transport = "unix"
"#;

fn topology(text: &str) -> Topology {
    Topology::parse("app.toml", text).unwrap().in_directory("/run/app")
}

/// Returns the names of the nodes, or of the only one.
fn nodes(topology: &Topology) -> Vec<&str> {
    let nodes: Vec<&str> = topology.nodes().collect();
    if nodes.is_empty() { vec!["main"] } else { nodes }
}

/// Returns the overview, or its errors.
fn overview(
    topology: &Topology,
    description: &Description,
) -> Result<mycelium::overview::Overview, Vec<String>> {
    let of = |node| NodeProgram { node, program: "./app", description };
    let programs: Vec<NodeProgram<'_>> = nodes(topology).into_iter().map(of).collect();
    let errors = |errors: Vec<_>| errors.iter().map(ToString::to_string).collect();
    topology.overview(&programs).map_err(errors)
}

#[test]
fn a_description_is_read_as_it_was_written() {
    let text = DESCRIPTION.to_json();
    assert!(!text.contains('\n'));
    assert_eq!(Description::from_json(&text).unwrap(), *DESCRIPTION);
    assert_eq!(DESCRIPTION.services().collect::<Vec<_>>(), ["Feed", "Strategy", "Desk", "Screen"]);
    assert_eq!(DESCRIPTION.node(), "any");
}

#[test]
fn an_overview_has_the_arenas_of_messages_of_any_shape() {
    let arena = |text: &str| {
        let overview = overview(&topology(&format!("{NODES}{text}")), &DESCRIPTION).unwrap();
        let notes = overview.topics.into_iter().find(|topic| topic.name == "notes").unwrap();
        (notes.size, notes.rings[0].arena_bytes)
    };
    assert_eq!(arena(""), (1 << 20, Some(4 << 20)));
    assert_eq!(arena("[topic.notes]\narena = \"3 MiB\""), (1 << 20, Some(4 << 20)));
    assert_eq!(arena("[topic.notes]\narena = \"8 MiB\""), (1 << 20, Some(8 << 20)));
}

#[test]
fn an_overview_has_what_the_nodes_would_have() {
    let topology = topology(NODES);
    let overview = overview(&topology, &DESCRIPTION).unwrap();
    assert_eq!(overview.nodes.len(), 3);
    for node in &overview.nodes {
        let built = builder(&node.name).topology(topology.clone()).build().unwrap();
        assert_eq!(node.memory.rings.total(), built.memory(), "{}", node.name);
    }
    let links = overview.links.iter().map(|link| (link.nodes.join("-"), link.carrier));
    let local = match cfg!(all(target_os = "linux", target_pointer_width = "64")) {
        true => Carrier::SharedMemory,
        false => Carrier::UnixSocket,
    };
    assert_eq!(
        links.collect::<Vec<_>>(),
        [("feed-screen".to_owned(), Carrier::UnixSocket), ("feed-trade".to_owned(), local)]
    );
    let ticks = overview.topics.iter().find(|topic| topic.name == "ticks").unwrap();
    let screen = ticks.readers.iter().find(|it| it.service == "Screen").unwrap();
    screen.port.policy.unwrap().says("latest of 16 keys");
    assert_eq!(ticks.evict_after, Some(Duration::from_secs(5)));
    assert_eq!(overview.requests[0].responders[0].service, "Desk");
    let trade = &overview.nodes[2];
    assert_eq!(trade.supervisors[0].children, ["Strategy", "Desk"]);
    assert_eq!(trade.services[1].lifetime, "permanent");
    assert_eq!(trade.memory.budget, 64 << 20);
    assert!(overview.nodes.iter().all(|node| node.watchdog == Some(Duration::from_secs(1))));
    let feed = &overview.nodes[0].services[0];
    assert_eq!(feed.execution, r#"run = "pinned(0)", wait = "spin", thread = "feed""#);
}

#[test]
fn requests_between_nodes_and_listeners_are_in_it() {
    let text = r#"
[node.feed]
services = ["Feed", "Screen"]
[node.trade]
services = ["Strategy"]
[node.desk]
services = ["Desk"]
[legacy.floor]
node = "feed"
listen = "127.0.0.1:7401"
wire = "plain"
[legacy.floor.types]
11 = { topic = "ticks", clients = "receive" }
[subscription."Desk.orders"]
policy = "drop-oldest"
"#;
    let topology = topology(text);
    // A supervisor would span both nodes, so this description has none.
    let description = bound_services("any").legacy(LegacyCodec::<Tick>::same_bytes()).describe();
    let description = Description::from_json(&description.to_json()).unwrap();
    let overview = overview(&topology, &description).unwrap();
    let services = overview.nodes.iter().flat_map(|node| &node.services);
    let added = services.filter(|it| it.is_added).map(|it| &*it.name);
    assert_eq!(
        added.collect::<Vec<_>>(),
        ["answers:quotes@trade", "legacy:floor:out:ticks", "legacy:floor", "calls:quotes@trade"]
    );
    assert_eq!(overview.listeners[0].types[0].topic, "ticks");
    let carries = overview.topics.iter().filter(|topic| topic.carries_requests).count();
    assert_eq!(carries, 2);
}

/// Checks that an overview has the same errors as the builds of its nodes, and at least one.
fn same_errors(text: &str, change: fn(mycelium::Builder) -> mycelium::Builder) {
    let topology = topology(text);
    let errors = overview(&topology, &change(builder("main")).describe()).expect_err(text);
    let built = |node| change(builder(node)).topology(topology.clone()).build();
    let failed = nodes(&topology).into_iter().filter_map(|node| built(node).err());
    let builds: Vec<String> = failed.map(|error| error.to_string()).collect();
    assert!(!builds.is_empty(), "{text}");
    // The overview appends the nodes to the text, before the code.
    let same = |error: &String, build: &String| error.starts_with(Code::split(build).0);
    assert!(
        builds.iter().all(|build| errors.iter().any(|error| same(error, build)))
            && errors.iter().all(|error| builds.iter().any(|build| same(error, build))),
        "{errors:?}\n{builds:?}"
    );
}

#[test]
fn errors_are_those_of_the_builds() {
    for added in [
        "[subscription.\"Strategy.back\"]\npolicy = \"block\"\n",
        "[topic.ticks]\ncapacity = 4194304\n",
        "[service.Fed]\nmax_restarts = 1\n",
        "[topic.tick]\ncapacity = 2\n",
        "[subscription.\"Screen.orders\"]\npolicy = \"block\"\n",
        "[subscription.\"Screen.ticks\"]\nkey = \"prize\"\n",
        "[topic.ticks]\nwriters = [\"trade\"]\n",
        "[topic.ticks]\nreaders = [\"trade\"]\n",
        "[service.Desk.ports]\norders = \"ticks\"\n",
        "[service.Desk.ports]\nother = \"ticks\"\n",
        "[supervisor.other]\nchildren = [\"Desk\"]\n",
        "[topic.ticks]\ntransport = \"shm\"\n",
    ] {
        same_errors(&format!("{NODES}{added}"), |it| it);
    }
    let mistakes: [fn(mycelium::Builder) -> mycelium::Builder; 6] = [
        |it| it.backpressure_threshold("tick", 50),
        |it| it.lifetime("Fed", Lifetime::Permanent),
        |it| it.latency_sample("tick", 0.5),
        |it| it.on_stall("tick", OnStall::EvictAfter(Duration::from_secs(5))),
        |it| it.execution("Fed", Execution::pinned([0])),
        |it| it.traces(1.5, Spans::default()),
    ];
    for mistake in mistakes {
        same_errors("", mistake);
    }
}

#[test]
fn programs_that_contradict_each_other() {
    let topology =
        topology("[node.feed]\nservices = [\"Feed\"]\n[node.screen]\nservices = [\"Screen\"]\n");
    let mut other: Value = serde_json::from_str(&DESCRIPTION.to_json()).unwrap();
    other["services"][3]["emits"] = other["services"][0]["emits"].clone();
    let other = Description::from_json(&other.to_string()).unwrap();
    let programs = [
        NodeProgram { node: "feed", program: "./a", description: &DESCRIPTION },
        NodeProgram { node: "screen", program: "./b", description: &other },
    ];
    let errors = topology.overview(&programs).unwrap_err();
    errors[0].says(
        "service `Screen` has reads(ticks) emits(notes, ticks) in `./b`, which runs it in node `screen`, \
         but has reads(ticks) in `./a`: build both programs from the same service [M0132]",
    );
    let errors = topology.overview(&programs[..1]).unwrap_err();
    errors[0].says(
        "no program is known for node `screen`: expected `command = [\"./app\", \"{node}\"]` in \
         `[node.screen]`, or in `[bundle]` for all nodes [M0130]",
    );

    mod newer {
        use super::*;

        #[message(topic = "ticks", id = 1)]
        pub(crate) struct Tick {
            pub(super) price: i64,
        }
        idle_services! { Feed(emits(Tick)); Screen(reads(Tick)); }
    }
    let newer = Node::builder("any").service(|| newer::Feed).service(|| newer::Screen).describe();
    let of = |node, program, description| NodeProgram { node, program, description };
    let programs = [of("feed", "./a", &*DESCRIPTION), of("screen", "./b", &newer)];
    let error = &topology.overview(&programs).unwrap_err()[0];
    error.begins("topic `ticks` carries `Tick` (id 1, digest ");
    error.mentions(" in `./a`, but `Tick` (id 1, digest ");
    error.mentions(" in `./b`: a topic has one message type");
}

/// Programs of two versions can be deployed together if their messages have only grown.
#[test]
fn programs_whose_messages_have_grown() {
    macro_rules! version {
        ($name:ident { $($field:tt)* }) => {
            mod $name {
                use super::*;

                #[message(topic = "orders", id = 7)]
                pub(crate) struct Order {
                    id: u64,
                    note: String,
                    $($field)*
                }
                #[message(topic = "asks", id = 8, reply = Order)]
                pub(crate) struct Ask {
                    id: u64,
                }
                idle_services! {
                    Maker(emits(Order), answers(Ask));
                    Taker(reads(Order), requests(Ask));
                }
            }
        };
    }
    version!(old {});
    version!(new {
        #[message(default = 7)]
        flags: u64,
        more: Option<u8>,
    });
    version!(other { flags: u64 });
    let topology =
        topology("[node.feed]\nservices = [\"Maker\"]\n[node.screen]\nservices = [\"Taker\"]\n");
    let of = |node, description| NodeProgram { node, program: node, description };
    let old = Node::builder("any").service(|| old::Maker).service(|| old::Taker).describe();
    let new = Node::builder("any").service(|| new::Maker).service(|| new::Taker).describe();
    let other = Node::builder("any").service(|| other::Maker).service(|| other::Taker).describe();
    let new = Description::from_json(&new.to_json()).unwrap();
    for (feed, screen) in [(&old, &new), (&new, &old)] {
        topology.overview(&[of("feed", feed), of("screen", screen)]).unwrap();
    }
    let errors = topology.overview(&[of("feed", &old), of("screen", &other)]).unwrap_err();
    errors[0].begins("the reply to requests of `asks` carries `AskAnswer` (id 8");
    errors[1].begins("topic `orders` carries `Order` (id 7");
    errors[1].mentions(
        "build both programs from the same one, or add fields only at the end, each an `Option` or \
         with a default; first difference: field `flags` is missing here and u64 without a default \
         there",
    );
    // A program with the code of its own service alone knows the other from its description.
    let directory = Directory::new("grown");
    fs::create_dir_all(&directory.0).unwrap();
    let text = "[node.feed]\nservices = [\"Maker\"]\ndescription = \"old.json\"\n\
                [node.screen]\nservices = [\"Taker\"]\n";
    fs::write(directory.0.join("app.toml"), text).unwrap();
    fs::write(directory.0.join("old.json"), old.to_json()).unwrap();
    let topology = Topology::load(directory.0.join("app.toml")).unwrap();
    let topology = topology.in_directory(directory.0.join("run"));
    let near = Node::builder("screen").service(|| new::Taker);
    near.topology(topology.clone()).build().unwrap();
    let near = Node::builder("screen").service(|| other::Taker);
    let error = near.topology(topology).build().unwrap_err().to_string();
    error.as_str().mentions("field `flags` is missing here and u64 without a default there");
    idle_services! { OfOld(reads(old::Order)); OfNew(reads(new::Order)); }
    // One node has one version, also if each can be read from another node.
    let text = fs::read_to_string(directory.0.join("app.toml")).unwrap();
    for other in ["OfOld", "OfNew"] {
        let text = text.replace("Taker\"", &format!("Taker\", \"{other}\""));
        fs::write(directory.0.join("app.toml"), text).unwrap();
        let topology = Topology::load(directory.0.join("app.toml")).unwrap();
        let near = Node::builder("screen").topology(topology.in_directory(directory.0.join("run")));
        let near = match other {
            "OfOld" => near.service(|| new::Taker).service(|| OfOld),
            _ => near.service(|| old::Taker).service(|| OfNew),
        };
        let error = near.build().unwrap_err().to_string();
        error.as_str().mentions("both have id 7");
    }
}

#[test]
fn a_program_without_actors_cannot_be_asked() {
    let topology = topology(
        "[node.a]\nservices = []\nactors_for = [\"b\"]\n[node.b]\nservices = []\n[link.\"a-b\"]\n\
         transport = \"unix\"\n",
    );
    let mut without: Value = serde_json::from_str(&DESCRIPTION.to_json()).unwrap();
    without["features"].as_array_mut().unwrap().retain(|feature| feature != "actors");
    let without = Description::from_json(&without.to_string()).unwrap();
    overview(&topology, &DESCRIPTION).unwrap();
    overview(&topology, &without).unwrap_err()[0].mentions(
        "3:15: this program was built without what `actors_for` needs: enable the feature `actors` \
         of the package `mycelium` (of `",
    );
}

#[test]
fn texts_that_are_no_descriptions() {
    let error_of = |text: &str| Description::from_json(text).unwrap_err();
    error_of("").says("the description is damaged at 1:0: EOF while parsing a value [M0134]");
    error_of("hello").says("the description is damaged at 1:1: expected value [M0134]");
    error_of("{}")
        .says("the text is not a description of a program: expected JSON with the key `mycelium_description`, as `Builder::describe_on_request` prints it [M0134]");
    error_of("{\"mycelium_description\":2}")
        .says("the description has version 2, and this program reads versions up to 1: expected a program with the same version of `mycelium`, or an older one [M0135]");
    error_of("{\"mycelium_description\":1}")
        .says("the description is damaged at 1:26: missing field `library` [M0134]");
    let long = " ".repeat(Description::MOST_BYTES + 1);
    error_of(&long).says("the description has 16777217 bytes: expected at most 16777216 [M0134]");
    let damaged = |path: &str, value: Value| {
        let mut form: Value = serde_json::from_str(&DESCRIPTION.to_json()).unwrap();
        *form.pointer_mut(path).expect(path) = value;
        error_of(&form.to_string())
    };
    damaged("/services/0/emits/0/message", 99.into())
        .says("the description is damaged: service `Feed`: no message has number 99: expected less than 6 [M0134]");
    damaged("/messages/0/digest", "00".into())
        .mentions("message `Tick` has the digest `00`, but its layout has ");
    damaged("/messages/0/layout/fields/0/offset", usize::MAX.into())
        .mentions("field `price` of 8 bytes at 18446744073709551615");
    damaged("/messages/0/layout/size", 70_000.into())
        .mentions("70000 bytes: expected at most 65535");
}

/// Replaces the value at a place of a JSON value, counted in depth-first order.
fn replace(value: &mut Value, place: &mut usize, by: &Value) -> bool {
    if *place == 0 {
        *value = by.clone();
        return true;
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| replace(item, place, by)),
        Value::Object(items) => items.values_mut().any(|item| replace(item, place, by)),
        _ => false,
    }
}

fn any_value() -> impl proptest::strategy::Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(Value::from("")),
        Just(Value::from("ticks")),
        Just(Value::from("Feed")),
        Just(Value::from("x".repeat(2000))),
        Just(Value::from("a=b\n")),
        Just(Value::Array(Vec::new())),
        any::<u64>().prop_map(Value::from),
        (0u64..6).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ]
}

proptest! {
    #[test]
    fn no_damaged_description_panics(
        damages in prop::collection::vec((0usize..700, any_value()), 1..4),
    ) {
        let mut form: Value = serde_json::from_str(&DESCRIPTION.to_json()).unwrap();
        for (place, by) in damages {
            replace(&mut form, &mut { place }, &by);
        }
        if let Ok(description) = Description::from_json(&form.to_string()) {
            let _ = overview(&topology(NODES), &description);
            let _ = overview(&topology(""), &description);
        }
    }
}

/// Emits orders, then requests a quote. It belongs to the first of two programs.
struct Source;

#[service(emits(Order), requests(Quote))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..100 {
            ctx.emit(Order { number }).await?;
        }
        let order = ctx.request(Quote { number: 7 }).await?;
        ctx.emit(Order { number: order.number }).await?;
        Ok(())
    }
}

/// Answers a quote once the first hundred orders have arrived. It belongs to the second program.
struct Sink(Option<oneshot::Sender<Vec<u64>>>);

#[service(reads(Order), answers(Quote))]
impl Sink {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut orders = ctx.subscribe::<Order>()?;
        let mut quotes = ctx.requests::<Quote>();
        let mut numbers = Vec::new();
        while numbers.len() < 100 {
            numbers.extend(orders.recv().await.and_then(Delivery::message).map(|it| it.number));
        }
        let quote = quotes.recv().await.expect("a quote");
        let number = quote.number + 1000;
        quote.reply(Order { number });
        numbers.extend(orders.recv().await.and_then(Delivery::message).map(|it| it.number));
        let _ = self.0.take().expect("it runs once").send(numbers);
        Ok(())
    }
}

const TWO_PROGRAMS: &str = r#"
[node.source]
services = ["Source"]
description = "source.json"
[node.sink]
services = ["Sink"]
description = "sink.json"
"#;

fn source() -> mycelium::Builder {
    Node::builder("source").service(|| Source)
}

fn sink(sender: Option<oneshot::Sender<Vec<u64>>>) -> mycelium::Builder {
    let mut sender = Some(sender);
    Node::builder("sink").service(move || Sink(sender.take().flatten()))
}

/// Returns the directory of a topology, with the descriptions of both programs in files.
fn two_programs(test: &str, text: &str) -> Directory {
    let directory = Directory::new(test);
    fs::create_dir_all(&directory.0).unwrap();
    let write = |name: &str, text: &str| fs::write(directory.0.join(name), text).unwrap();
    write("app.toml", text);
    write("source.json", &source().describe().to_json());
    write("sink.json", &sink(None).describe().to_json());
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_needs_only_its_own_services() {
    let directory = two_programs("programs", TWO_PROGRAMS);
    let topology = || {
        let topology = Topology::load(directory.0.join("app.toml")).unwrap();
        topology.in_directory(directory.0.join("run"))
    };
    let (sender, received) = oneshot::channel();
    // The reader is gating even if it starts late, because both programs know of it.
    let source = start(source().topology(topology()));
    let sink = start(sink(Some(sender)).topology(topology()));
    let numbers = received.await.unwrap();
    assert!(numbers.iter().copied().eq((0..100).chain([1007])), "{numbers:?}");
    source.join().await.unwrap();
    sink.join().await.unwrap();
}

#[test]
fn a_copy_of_the_files_has_the_descriptions() {
    let directory = two_programs("described-copy", TWO_PROGRAMS);
    let path = directory.0.join("app.toml");
    let files = Topology::load(&path).unwrap().files();
    // A node that starts again uses the texts that its launcher has read, not the files.
    for description in ["source.json", "sink.json"] {
        fs::remove_file(directory.0.join(description)).unwrap();
    }
    let topology = Topology::options().files(files).load(&path).unwrap();
    let node = source().topology(topology.in_directory(directory.0.join("run"))).build().unwrap();
    assert_eq!(node.name(), "source");
    assert!(Topology::load(&path).is_err());
}

#[test]
fn mistakes_in_descriptions_of_other_programs_have_their_places() {
    let build = |test: &str, text: &str, change: fn(&Path)| {
        let directory = two_programs(test, text);
        change(&directory.0);
        let error = match Topology::load(directory.0.join("app.toml")) {
            Ok(topology) => {
                let topology = topology.in_directory(directory.0.join("run"));
                source().topology(topology).build().unwrap_err().to_string()
            }
            Err(error) => error.to_string(),
        };
        error.replace(&format!("{}/", directory.0.display()), "")
    };
    let missing = |at: &Path| fs::remove_file(at.join("sink.json")).unwrap();
    let damaged = |at: &Path| fs::write(at.join("sink.json"), "{}").unwrap();
    build("missing", TWO_PROGRAMS, missing)
        .begins("app.toml:7:15: cannot include `sink.json`: No such file or directory");
    build("damaged", TWO_PROGRAMS, damaged).begins(
        "app.toml:7:15: cannot include `sink.json`: the text is not a description of a program",
    );

    let nothing = |_: &Path| {};
    let unlisted = TWO_PROGRAMS.replace("services = [\"Sink\"]\n", "");
    build("unlisted", &unlisted, nothing).says(
        "app.toml:6:15: `description` needs a list of the services of each node: expected \
         `services = [..]` in `[node.sink]`, perhaps an empty one [M0114]",
    );
    let other = TWO_PROGRAMS.replace("[\"Sink\"]", "[\"Sink\", \"Store\"]");
    build("other", &other, nothing).begins("app.toml:6:21: unknown service `Store`");
    // The description lacks a service of this node, which is in the other program.
    let here = "[node.source]\nservices = [\"Source\", \"Sink\"]\n\
                [node.sink]\nservices = []\ndescription = \"sink.json\"\n";
    build("here", here, nothing).begins("app.toml:2:23: unknown service `Sink`");
}
