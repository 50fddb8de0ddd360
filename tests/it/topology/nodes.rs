//! Files that do not fit the program or the system. The mistake is found when a node is built or
//! starts.

use std::rc::Rc;

use mycelium::error::StartError;
use mycelium::execution::Execution;
use mycelium::{Context, Node, Result, Topology, message, service};
use mycelium_tokio::Tokio;

use crate::running::Says;
use crate::support::idle_services;
use crate::topology::without_code;

#[message(topic = "ticks", id = 1)]
pub(crate) struct Tick {
    price: u64,
}

#[message(topic = "tocks", id = 2)]
pub(crate) struct Tock {
    price: u64,
}

#[message(topic = "prices", id = 3, reply = Tick)]
pub(crate) struct Ask {
    pair: u64,
}

#[message(topic = "notes", id = 4, max = "1 MiB")]
pub(crate) struct Note {
    text: String,
}

idle_services! {
    Notes(emits(Note));
    Feed(emits(Tick));
    Sum(reads(Tick));
    There(reads(Tick), emits(Tock));
    Back(reads(Tock), emits(Tick));
    Merge(reads(Tick as left));
    Oracle(answers(Ask));
    Asking(requests(Ask));
}

struct Local(Rc<u64>);

#[service(emits(Tock))]
impl Local {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        Ok(ctx.emit(Tock { price: *self.0 }).await?)
    }
}

/// Returns the error of the node `a` of a file; its socket would be in this directory.
fn error_in(directory: &str, text: &str) -> String {
    let topology = match Topology::parse("t.toml", text) {
        Ok(topology) => topology.in_directory(directory),
        Err(error) => return without_code(error),
    };
    let builder = Node::builder("a")
        .topology(topology)
        .bind("Merge", "left", "ticks")
        .execution("Local", Execution::dedicated())
        .service(|| Feed)
        .service(|| Notes)
        .service(|| Sum)
        .service(|| There)
        .service(|| Back)
        .service(|| Merge)
        .service(|| Oracle)
        .named_service("Oracle2", || Oracle)
        .service(|| Asking)
        .service(|| Local(Rc::new(1)));
    let executor = Tokio::current().unwrap();
    match builder.build().map_err(StartError::from).and_then(|it| it.start(executor)) {
        Ok(_) => "it starts".to_owned(),
        Err(error) => without_code(error),
    }
}

fn error_of(text: &str) -> String {
    error_in("/tmp", text)
}

#[tokio::test]
async fn names_that_the_program_does_not_have() {
    error_of("[node.b]\nservices = []")
        .says("t.toml: the file has no node `a`, which `Node::builder` names: expected one of: b");
    error_of("[node.a]\nservices = [\"Feet\"]")
        .says("t.toml:2:13: unknown service `Feet`: did you mean `Feed`? (expected one of: Asking, Back, Feed, Local, Merge, Notes, Oracle, Oracle2, Sum, There)");
    error_of("[topic.tick]")
        .says("t.toml:1:8: unknown topic `tick`: did you mean `ticks`? (expected one of: notes, prices, ticks, tocks)");
    error_of("[topic.ticks]\nreaders = [\"b\"]")
        .says("t.toml:2:12: unknown node `b`: there is none");
    error_of("[subscription.\"Merge.ticks\"]")
        .says("t.toml:1:15: unknown subscription `Merge.ticks`: did you mean `There.ticks`? (expected one of: Sum.ticks, There.ticks, Back.tocks, Merge.left, Oracle.prices, Oracle2.prices); a subscription by a named port is `Service.port`");
    error_of("[service.Merge.ports]\nright = \"ticks\"")
        .says("t.toml:2:1: unknown port `right`: expected one of: left");
}

#[tokio::test]
async fn keys_and_lists_that_do_not_fit_the_program() {
    error_of("[node.a]\nservices = [\"Merge\", \"Back\"]\n[service.Merge.ports]\nleft = \"tocks\"")
        .says("t.toml:4:8: topic `tocks` carries `Tock` messages at `Back`, but `Tick` messages at `Merge.left`: a topic has one message type, so bind one of them to another topic");
    error_of("[node.a]\nservices = [\"Sum\"]\n[subscription.\"Sum.ticks\"]\nkey = \"price\"").says(
        "t.toml:4:7: `key` has no meaning with the policy `block`: it needs `policy = \"latest\"`",
    );
    error_of("[node.a]\nservices = [\"Sum\"]\n[subscription.\"Sum.ticks\"]\npolicy = \"latest\"\nkeys = 7")
        .says("t.toml:5:8: `keys` has no meaning with the policy `latest`: it needs `policy = \"latest\"` and a `key`");
    error_of("[node.a]\nservices = [\"Sum\"]\n[subscription.\"Sum.ticks\"]\npolicy = \"latest\"\nkey = \"pric\"")
        .says("t.toml:5:7: unknown field `pric` of `Tick`: expected one of: price");
    error_of("[node.a]\nservices = [\"Sum\"]\n[service.Sum]\nthread = \"x\"")
        .says("t.toml:4:10: `thread` needs a thread of the service's own: expected run = \"dedicated\" or \"pinned(core)\"");
    error_of("[topic.prices]\nbackpressure_threshold = \"50%\"")
        .says("t.toml:2:26: topic `prices` carries requests, on which `backpressure_threshold` has no effect: remove the key");
    error_of("[node.a]\nservices = [\"Feed\"]\n[node.b]\nservices = [\"Sum\"]\n[topic.ticks]\nreaders = [\"a\"]")
        .says("t.toml:6:12: node `b` reads topic `ticks`, but is not on this list: add `b` to `readers`");
    error_of("[node.a]\nservices = [\"Feed\"]\n[node.b]\nservices = [\"Sum\"]\n[topic.ticks]\nwriters = []")
        .says("t.toml:5:8: node `a` writes topic `ticks`, but is not on this list: add `a` to `writers`");
}

#[tokio::test]
async fn nodes_that_may_ask_actors() {
    error_of("[node.a]\nservices = []\nactors_for = [\"b\"]")
        .says("t.toml:3:15: unknown node `b`: expected one of: a");
    error_of("[node.a]\nservices = []\nactors_for = [\"a\"]")
        .says("t.toml:3:15: node `a` lists itself: expected other nodes, as the actors of a node are always its own");
    error_of("[node.a]\nservices = []\nactors_for = [\"b\", \"b\"]\n[node.b]\nservices = []")
        .says("t.toml:3:20: node `b` is listed twice: expected each node once");
    error_of("[node.a]\nactors_for = [\"b\"]\n[node.b]\nservices = []")
        .says("t.toml:2:15: `actors_for` needs a list of the services of `a`: expected `services = [..]` in its section, perhaps an empty one");
    error_of("[node.a]\nservices = []\nactors_for = [\"b\"]\n[node.b]\nservices = []\n[topic.\"actors@a\"]\nwriters = [\"a\"]")
        .says("t.toml:7:12: node `b` writes topic `actors@a`, but is not on this list: add `b` to `writers`");
    error_of("[node.a]\nservices = []\nactors_for = [\"b\"]\n[node.b]\nservices = []\n[topic.\"actors@b\"]")
        .says("t.toml:6:8: unknown topic `actors@b`: did you mean `actors@a`? (expected one of: actors@a, actors@a@b.answers, actors@a@b.calls, notes, prices, ticks, tocks, watches@a, watches@a@b.answers, watches@a@b.calls)");
    error_of("[node.a]\nservices = []\nactors_for = [\"b\"]\naddress = \"127.0.0.1:1\"\n[node.b]\nservices = []\naddress = \"127.0.0.1:2\"\n[link.default]\ntransport = \"tcp\"")
        .says("t.toml:3:15: `actors_for` names a node, but the link between `a` and `b` is plain TCP: a process that can connect may call itself `b`; if no other process can, write `trust = \"network\"` in `[link.\"a-b\"]`");
}

#[tokio::test]
async fn services_that_do_not_fit_together() {
    error_of("[node.a]\nservices = [\"There\", \"Back\"]")
        .says("t.toml:2:22: services deadlock, because each waits for the next one's full queue: There -> tocks -> Back -> ticks -> There; let one of these subscriptions drop messages (policy = \"drop-oldest\" or \"latest\" in `[subscription.\"Back.tocks\"]` or `[subscription.\"There.ticks\"]`)");
    error_of("[node.a]\nservices = [\"Feed\", \"Sum\"]\n[topic.ticks]\ncapacity = 1073741824")
        .says("t.toml:4:12: rings of node `a` take 17179869696 bytes, but may take 268435456, and topic `ticks` takes most: lower its `capacity`, or raise `memory` of the node");
    error_of("[node.a]\nservices = [\"Notes\"]\nmemory = \"2 MiB\"\n[topic.notes]\narena = \"3 MiB\"")
        .says("t.toml:3:10: rings of node `a` take 5308672 bytes, but may take 2097152, and topic `notes` takes most: lower its `capacity` or `arena`, or raise `memory` of the node");
    error_of("[node.a]\nservices = [\"Notes\"]\n[topic.notes]\narena = \"1 MiB\"")
        .says("t.toml:4:9: topic `notes` carries `Note`, whose messages may have 1048576 bytes: expected an `arena` of at least 2097152 bytes, found 1048576");
    error_of("[node.a]\nservices = [\"Notes\"]\n[topic.notes]\narena = \"2 GiB\"")
        .says("t.toml:4:9: invalid size of 2147483648 bytes: expected at most 1 GiB");
    error_of("[node.a]\nservices = [\"Feed\"]\n[topic.ticks]\narena = \"1 MiB\"")
        .says("t.toml:4:9: topic `ticks` carries `Tick`, whose messages all have 8 bytes and are in the slots: remove `arena`");
    error_of("[node.a]\nservices = [\"Oracle\"]\n[node.b]\nservices = [\"Oracle2\"]")
        .says("t.toml:4:13: requests of topic `prices` are answered in node `a` and in node `b`: place all services with `answers(..)` of this topic in one node");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executors_and_their_task_queues() {
    error_of("[node.a]\nservices = [\"Feed\", \"Sum\"]\nexecutor = \"smol\"")
        .says("t.toml:3:12: the topology requests executor `smol` for node `a`, but the node was started on `tokio, 2 workers`: start it on `smol`, or change the key");
    error_of("[node.a]\nservices = [\"Local\"]\n[service.Local]\nrun = \"shared\"")
        .says("t.toml:4:7: service `Local` is not Send and cannot run on `tokio, 2 workers`, which moves tasks between threads: give it a thread of its own (`run = \"dedicated\"` in `[service.Local]`, or `Execution::dedicated()`), run it where local tasks run (`execution::tokio::local`), or make it Send");
    error_of("[node.a]\nservices = [\"Feed\", \"Sum\"]\n[service.Sum]\nlatency = \"1ms\"\nshares = 100")
        .says("t.toml:5:10: service `Sum` cannot have its task queue: tokio, 2 workers cannot give a task queue with shares = 100, latency = \"1ms\"; only glommio has task queues: run it there, or remove `shares` and `latency`");
    error_of("[node.a]\nservices = [\"Feed\", \"Sum\"]\nlatency = \"1ms\"")
        .says("t.toml:3:11: node `a` cannot have its task queue: tokio, 2 workers cannot give a task queue with latency = \"1ms\"; only glommio has task queues: run it there, or remove `shares` and `latency`");
}

#[tokio::test]
async fn sockets_and_addresses() {
    error_of("[node.a]\nservices = [\"Feed\"]\nsocket = \"/nowhere/far/a.sock\"\n[node.b]\nservices = [\"Sum\"]\n")
        .says("t.toml:3:10: node `a` cannot listen: directory `/nowhere/far` cannot be created, because its parent directory does not exist: create it, or choose another address (`socket`)");
    error_of("[node.a]\nservices = [\"Feed\"]\n[node.b]\nservices = [\"Sum\"]\n[link.\"b-a\"]\ntransport = \"tcp\"")
        .says("t.toml:1:7: node `b` reads from node `a` over TCP, but `a` has no address: add `address = \"<host>:<port>\"`");
    error_of("[host.one]\naddress = \"127.0.0.1\"\n[host.two]\naddress = \"127.0.0.2\"\n[node.a]\nhost = \"one\"\nservices = [\"Feed\"]\n[node.b]\nhost = \"two\"\nservices = [\"Sum\"]")
        .says("t.toml:5:7: node `b` reads from node `a` over TCP, but `a` has no address: add `port = 7400`");
    error_of("[host.one]\naddress = \"127.0.0.1\"\n[host.two]\naddress = \"127.0.0.2\"\n[node.a]\nhost = \"one\"\nservices = [\"Feed\"]\n[node.b]\nhost = \"two\"\nservices = [\"Sum\"]\n[link.default]\ntransport = \"unix\"")
        .says("t.toml:12:13: nodes `a` and `b` run on hosts `one` and `two`, which have no memory and no Unix socket in common: write `transport = \"tcp\"`, or leave the key out");
    error_of("[node.a]\nservices = [\"Feed\"]\naddress = \"192.0.2.1:7400\"\n[node.b]\nservices = [\"Sum\"]\n[link.default]\ntransport = \"tcp\"")
        .says("t.toml:3:11: node `a` cannot listen: cannot listen at `192.0.2.1:7400`: Cannot assign requested address (os error 99): name an address of this machine, or `listen = \"0.0.0.0:<port>\"` for all of them");
    let nodes = "[node.a]\nservices = [\"Feed\"]\n[node.b]\nservices = [\"Sum\"]\n";
    error_in("/nowhere/far", nodes)
        .says("t.toml:1:7: node `a` cannot listen: directory `/nowhere/far` cannot be created, because its parent directory does not exist: create it, or choose another address (`socket`)");
    let far = "/tmp/far".repeat(20);
    let expected = format!(
        "t.toml:1:7: node `a` would listen at `{far}/a.sock`, which has 167 bytes, but the path of a socket has at most 107: set a shorter one (`socket`, or `Topology::in_directory`)"
    );
    assert_eq!(error_in(&far, nodes), expected);
}

#[tokio::test]
async fn transports_of_topics() {
    let reason = |topic: &str, more: &str| {
        let error = error_of(&format!(
            "[node.a]\nservices = [\"Feed\"]\naddress = \"127.0.0.1:7400\"\n[node.b]\nservices = \
             [\"Sum\"]\n[topic.ticks]\ntransport = \"{topic}\"\n{more}\n"
        ));
        let topic = format!("t.toml:7:13: topic `ticks` has `transport = \"{topic}\"`");
        let start = format!("{topic}, but between `a` and `b` ");
        error.strip_prefix(&start).expect(&error).to_owned()
    };
    let of_link = |transport: &str| format!("[link.default]\ntransport = \"{transport}\"");
    reason("tcp", "")
        .says("the link does not go over TCP: set that in `[link.\"a-b\"]`, for all of its topics");
    reason("shm", &of_link("tcp"))
        .says("the link goes over TCP: `transport = \"tcp\"` (t.toml:9:13)");
    reason("shm", &of_link("unix"))
        .says("the link goes over its Unix socket: `transport = \"unix\"` (t.toml:9:13)");
    reason("shm", "[subscription.\"Sum.ticks\"]\npolicy = \"drop-newest\"")
        .says("its messages stay on the socket, for a `drop-newest` subscription");
}
