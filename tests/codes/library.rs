//! Errors of the package `mycelium`.

use std::path::PathBuf;
use std::time::Duration;

use mycelium::{
    BatchError, BuildError, Carrier, Code, DescriptionError, EmitError, FindActorError, KeyError,
    KeyedTellError, LayoutMismatch, Message, MetricError, Mismatch, OutError, OverviewError,
    Problem, PublisherError, Refusal, RemoteActorError, RequestError, ShuttingDown,
    SpawnActorError, StartError, SubscribeError, SupervisorProblem, Taken, TellError, ThreadError,
    Unfinished, ZeroPeriod, message,
};
use mycelium_core::ring::CapacityError;
use mycelium_executor::SpawnError;
use mycelium_transports::endpoint::BindError;

use crate::{Sample, part, shown};

#[message(topic = "ticks", id = 1)]
pub(crate) struct Tick {
    price: u64,
}

#[message(topic = "orders", id = 2, reply = Receipt)]
struct Order {
    id: u64,
}

#[message(topic = "receipts", id = 3)]
struct Receipt {
    id: u64,
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().copied().map(text).collect()
}

fn at(line: usize) -> Option<String> {
    Some(format!("app.toml:{line}:1"))
}

const CAPACITY: CapacityError = CapacityError::Invalid { given: 1000 };
const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn build() -> Vec<Sample> {
    let (main, other, sum) = (|| text("main"), || text("other"), || text("Sum"));
    let no_topic = || text("unknown topic: expected one of: ticks");
    let known = || texts(&["Feed", "Sum"]);
    let pricing = || text("pricing");
    let supervisor = |problem| BuildError::Supervisor { place: at(3), problem: Box::new(problem) };
    let mut samples = shown![
        BuildError::DuplicateService { name: sum() },
        BuildError::Name { name: text("my sum") },
        BuildError::DuplicateId { id: 1, first: "app::Tick", second: "app::Order" },
        BuildError::TopicType { problem: Box::new(topic_type()) },
        BuildError::TopicName {
            problem: text(
                "invalid topic `slow ticks`: expected 1 to 62 bytes without white space, `=` and \
                 control characters"
            )
        },
        BuildError::UnboundPort { service: text("Merge"), port: "right", message: "Tick" },
        BuildError::Port {
            service: text("Merg"),
            port: text("left"),
            problem: text("unknown service: did you mean `Merge`?"),
        },
        BuildError::Cycle {
            path: texts(&["Strategy", "orders", "Exchange", "ticks", "Strategy"]),
            subscriptions: texts(&["Exchange.orders", "Strategy.ticks"]),
            place: at(7),
        },
        BuildError::Memory {
            node: main(),
            place: at(3),
            topic: text("ticks"),
            needed: 16896,
            shared: 0,
            huge_pages: 0,
            budget: 4096,
        },
        BuildError::TraceShare { share: 10.0 },
        BuildError::Execution {
            service: sum(),
            problem: text(
                "`thread` needs a thread of the service's own: expected `Execution::dedicated()` \
                 or `Execution::pinned(..)`"
            ),
        },
        BuildError::Threshold { topic: text("tick"), problem: no_topic() },
        BuildError::OnStall { topic: text("tick"), problem: no_topic() },
        BuildError::LatencySample { topic: text("tick"), problem: no_topic() },
        BuildError::ExecutionOfUnknown { service: text("Summ"), known: known() },
        BuildError::LinkLimit {
            publisher: main(),
            reader: other(),
            what: "topics",
            limit: 256,
            found: 300,
            place: at(4),
        },
        BuildError::RequestType { topic: text("orders") },
        BuildError::Mailbox { topic: text("orders"), place: at(6), error: CAPACITY },
        BuildError::Responders {
            topic: text("orders"),
            first: main(),
            second: other(),
            place: at(5),
        },
        BuildError::FastHandler {
            handler: text("check"),
            problem: text("two fast handlers have this name: give one of them another name"),
        },
        BuildError::Described { service: sum() },
        BuildError::DuplicateExecutor { name: text("fast") },
    ];
    samples.extend(shown![
        supervisor(SupervisorProblem::UnknownChild {
            supervisor: pricing(),
            child: text("Som"),
            known: known(),
        }),
        supervisor(SupervisorProblem::Twice {
            child: sum(),
            first: pricing(),
            second: text("reports"),
        }),
        supervisor(SupervisorProblem::Circle { path: texts(&["pricing", "reports", "pricing"]) }),
        supervisor(SupervisorProblem::Empty { supervisor: pricing() }),
        supervisor(SupervisorProblem::NameOfService { name: sum() }),
        supervisor(SupervisorProblem::Duplicate { name: pricing() }),
        supervisor(SupervisorProblem::Name { name: text("my pricing") }),
        supervisor(SupervisorProblem::TwoNodes {
            supervisor: pricing(),
            first: text("Feed"),
            first_node: main(),
            second: sum(),
            second_node: other(),
        }),
        supervisor(SupervisorProblem::UnknownService {
            method: "restart",
            service: text("Summ"),
            known: known(),
        }),
    ]);
    samples
}

pub(crate) fn start() -> Vec<Sample> {
    let (main, other, sum) = (|| text("main"), || text("other"), || text("Sum"));
    let mismatch = LayoutMismatch {
        size: 8,
        digest: Tick::DIGEST,
        peer_size: Some(16),
        peer_digest: Order::DIGEST,
        first: None,
    };
    let of_reasons = shown![
        StartError::Bind {
            node: main(),
            place: at(1),
            error: BindError::InUse { path: PathBuf::from("/run/user/1000/app/main.sock") },
        },
        StartError::Spawn { service: sum(), error: SpawnError::Ended },
        StartError::Thread {
            service: sum(),
            place: None,
            error: ThreadError::Core { core: 4000, allowed: vec![0, 1] },
        },
    ];
    let codes: Vec<_> = of_reasons.iter().map(|sample| sample.code).collect();
    assert_eq!(codes, [Code::ADDRESS_IN_USE, Code::EXECUTOR_GONE, Code::NO_CORE]);
    shown![
        StartError::LocalService {
            service: sum(),
            executor: text("tokio, 2 workers"),
            place: None,
        },
        StartError::Executor {
            node: main(),
            place: text("app.toml:3:12"),
            asked: text("smol"),
            given: text("tokio, current thread"),
        },
        StartError::TaskQueue {
            owner: text("service `Sum`"),
            place: at(5),
            error: ThreadError::Unsupported {
                executor: text("tokio, current thread"),
                what: text("a task queue with shares = 100"),
            },
        },
        StartError::Threads { threads: vec![sum()] },
        StartError::ServiceFailed {
            service: sum(),
            error: text("the database is gone"),
            restarts: 2,
            window: MINUTE,
            supervisor: None,
        },
        StartError::ExecutorEnded { services: vec![sum()] },
        StartError::Link {
            node: main(),
            place: at(4),
            problem: text("a batch of 4 bytes is too small"),
        },
        StartError::Metrics {
            node: main(),
            place: at(3),
            address: ([127, 0, 0, 1], 9464).into(),
            problem: text("Address already in use (os error 98)"),
        },
        StartError::SharedMemory {
            node: main(),
            place: at(4),
            problem: text(
                "`huge_pages` needs pages of 2 MiB, and the system has fewer than 8193 free: \
                 reserve them (`sysctl vm.nr_hugepages=8193`, more if other programs use some), \
                 or remove the key"
            ),
        },
        StartError::Tls {
            node: main(),
            place: at(9),
            problem: text("certificate `main.pem`: expected a certificate in PEM form"),
        },
        StartError::Unreachable {
            node: main(),
            place: at(3),
            socket: PathBuf::from("/run/user/1000/app/main.sock"),
            directory: PathBuf::from("/run/user/1000"),
            user: Some(1001),
        },
        StartError::Layout {
            node: main(),
            peer: other(),
            topic: text("ticks"),
            services: vec![sum()],
            mismatch: Box::new(mismatch),
        },
        StartError::Undelivered {
            left: vec![(other(), text("ticks"), 100)],
            let_go: Vec::new(),
            timeout: Some(Duration::from_millis(300)),
            abandoned: Vec::new(),
        },
        StartError::Abandoned {
            services: texts(&["Deaf"]),
            deadline: Some(Duration::from_millis(200)),
        },
    ]
}

fn topic_type() -> Problem {
    Problem::TopicType {
        topic: text("ticks"),
        first: text("Quotes"),
        carries: text("Quote"),
        second: text("Sum"),
        asked: text("Tick"),
        has_port: false,
    }
}

pub(crate) fn topology() -> Vec<Sample> {
    let (main, other, sum) = (|| text("main"), || text("other"), || text("Sum"));
    let ticks = || text("ticks");
    let pair = |one, other| [text(one), text(other)];
    part![
        Problem::Unreadable { error: text("No such file or directory (os error 2)") },
        Problem::Syntax {
            message: text("invalid value, string \"1024\": expected a number without quotes")
        },
        Problem::Variable {
            message: text(
                "the environment has no variable `MYCELIUM_SLOTS`: set it, or write a default, \
                 such as `${MYCELIUM_SLOTS:-default}`"
            )
        },
        Problem::Include {
            path: PathBuf::from("common.toml"),
            reason: text("No such file or directory (os error 2)"),
        },
        Problem::TwoFiles { key: text("topic.ticks.capacity"), first: text("a.toml:3:1") },
        Problem::Unknown {
            kind: "service",
            name: text("Summ"),
            known: texts(&["Feed", "Sum"]),
            hint: String::new(),
        },
        Problem::NodeName { name: text("../main") },
        Problem::NoNode { node: main(), known: texts(&["mian"]) },
        Problem::Twice { kind: "link", name: text("other-main"), first: text("main-other") },
        Problem::Ambiguous {
            link: text("a-b-c"),
            meanings: vec![pair("a", "b-c"), pair("a-b", "c")],
        },
        Problem::KeyOfPolicy { key: "key", policy: text("block") },
        Problem::Key { error: KeyError::List { field: text("levels") } },
        Problem::Forbidden { node: other(), does: "reads", topic: ticks() },
        Problem::NotOfRequests { topic: text("orders"), key: "on_stall" },
        Problem::PathTooLong {
            node: main(),
            path: PathBuf::from("/run/user/1000/long/main.sock"),
            found: 136,
            limit: 107,
        },
        Problem::Contradiction {
            message: text(
                "`thread` needs a thread of the service's own: expected run = \"dedicated\" or \
                 \"pinned(core)\""
            )
        },
        Problem::NoSharedMemory {
            node: main(),
            peer: other(),
            reason: text("the nodes run as different users"),
        },
        Problem::NoHost { found: Vec::new(), hosts: texts(&["a", "b"]) },
        Problem::Distance { nodes: pair("main", "other"), hosts: pair("a", "b") },
        Problem::TopicTransport {
            topic: ticks(),
            carrier: Carrier::Tcp,
            nodes: pair("main", "other"),
            reason: text(
                "the link does not go over TCP: set that in `[link.\"main-other\"]`, for all of \
                 its topics"
            ),
        },
        Problem::NoAddress { node: main(), peer: other(), has_host: true },
        Problem::Unproven { topic: ticks(), list: "readers", node: main(), peer: other() },
        Problem::UnprovenAsker { node: main(), peer: other() },
        topic_type(),
        Problem::Duplicate { service: sum(), first: text("node `main`") },
    ]
}

pub(crate) fn programs() -> Vec<Sample> {
    let (main, sum) = (|| text("main"), || text("Sum"));
    let (first_program, second_program) = (|| text("./feed"), || text("./app"));
    let error = BuildError::DuplicateService { name: sum() };
    let of_reason = shown![OverviewError::Build {
        nodes: vec![main()],
        program: second_program(),
        is_general: false,
        error,
    }];
    assert_eq!(
        of_reason[0].text,
        "two services are called `Sum`: give one of them another name (`Builder::named_service`) \
         (node `main` of `./app`) [M0001]"
    );
    shown![
        OverviewError::NoProgram { node: main() },
        OverviewError::NoNode { node: main() },
        OverviewError::Digests {
            topic: text("ticks"),
            first: text("`Tick` (id 1, 8 bytes)"),
            first_program: first_program(),
            second: text("`Tick` (id 1, 16 bytes)"),
            second_program: second_program(),
        },
        OverviewError::Ports {
            service: sum(),
            node: main(),
            first: text("reads `ticks`"),
            first_program: first_program(),
            second: text("reads `orders`"),
            second_program: second_program(),
        },
        OverviewError::Executor {
            place: text("app.toml:5:12: "),
            service: sum(),
            executor: text("fast"),
            expected: text("expected one of: tokio"),
        },
        OverviewError::Description {
            program: second_program(),
            problem: text("expected an object of JSON"),
        },
        DescriptionError::TooLong { bytes: 16_777_217, most: 16_777_216 },
        DescriptionError::NotOne,
        DescriptionError::Newer { found: 2, known: 1 },
        DescriptionError::Syntax { line: 1, column: 1, problem: text("expected value") },
        DescriptionError::Damaged { problem: text("no message has number 99") },
    ]
}

pub(crate) fn calls() -> Vec<Sample> {
    let subscription = || text("Sum.ticks");
    let full = || Refusal::Full { by: "Slow.ticks".into() };
    let of_emit = shown![
        OutError::Refused(EmitError::new("ticks".into(), Tick { price: 7 }, full())),
        BatchError::new("ticks".into(), 3, full()),
    ];
    for Sample { code, text, .. } in of_emit {
        assert_eq!((code, text.matches("[M0220]").count()), (Code::TOPIC_FULL, 1), "{text}");
    }
    let orders = || text("orders");
    shown![
        Unfinished,
        ZeroPeriod,
        PublisherError::ShuttingDown(ShuttingDown),
        SubscribeError::Taken { subscription: subscription() },
        SubscribeError::Ended { subscription: subscription() },
        SubscribeError::HeldByEarlierRun { subscription: subscription() },
        SubscribeError::Refused {
            reason: text("topic `ticks` is not one of this node: expected one of: orders")
        },
        MetricError::Name { name: text("my orders") },
        MetricError::Key { name: orders(), key: text("service") },
        MetricError::Value { name: orders(), key: text("pool"), value: text("a b") },
        MetricError::TooLong { label: text("service=Sum metric=orders"), most: 20 },
        MetricError::Kind { name: orders(), kind: "counter", asked: "gauge" },
        MetricError::TooMany { service: text("Sum"), most: 1024 },
        RequestError::<Order>::Gone { actor: None },
        RequestError::<Order>::NotFound { actor: Some("vault/pool-7".into()) },
        RequestError::Refused { request: Order { id: 7 }, actor: None },
        RequestError::<Order>::Deadline {
            taken: Taken::Yes,
            within: Duration::from_secs(1),
            actor: None
        },
        RequestError::<Order>::HandlerFailed { actor: Some("pool-7".into()) },
        RequestError::<Order>::Unreachable { taken: Taken::No, actor: None },
        RequestError::<Order>::Mismatch {
            mismatch: Mismatch::Request,
            actor: Some("vault/pool-7".into())
        },
        RequestError::<Order>::ShuttingDown,
        OutError::NoPublisher(Tick { price: 7 }),
    ]
}

pub(crate) fn actors() -> Vec<Sample> {
    let (name, actor) = (|| text("pool-7"), "Pool");
    let limit = || SpawnActorError::Limit { actor, limit: 1000 };
    let of_reasons = shown![
        SpawnActorError::Executor { actor, error: SpawnError::LocalUnsupported },
        KeyedTellError::NotSpawned { message: 7, error: limit() },
    ];
    for (sample, code) in of_reasons.iter().zip([Code::TASK_NOT_SEND, Code::ACTOR_LIMIT]) {
        let Sample { code: found, text, .. } = sample;
        assert_eq!((*found, text.matches("[M").count()), (code, 1), "{text}");
    }
    shown![
        TellError::Gone(7),
        TellError::Full(7),
        KeyedTellError::Full(7),
        SpawnActorError::ShuttingDown { actor },
        SpawnActorError::Name { actor, name: text("pool 7") },
        SpawnActorError::NameTaken { actor, name: name(), other: "Order" },
        SpawnActorError::Capacity { actor, error: CAPACITY },
        limit(),
        SpawnActorError::LimitZero { actor },
        SpawnActorError::NoExecutors { actor },
        FindActorError::Unknown { name: name(), expected: text("expected one of: pool-8") },
        FindActorError::Type {
            name: name(),
            expected: text("Pool (mpsc)"),
            found: text("Order (mpsc)"),
        },
        FindActorError::OneSender { name: name(), queue: "spsc" },
        FindActorError::Ending { name: name() },
        RemoteActorError::Address { address: text("pool"), problem: "it names no node" },
        RemoteActorError::UnknownNode {
            node: text("mian"),
            expected: text("expected one of: main"),
        },
        RemoteActorError::OwnNode { node: text("main") },
        RemoteActorError::NotGranted { node: text("main"), asker: text("other") },
        RemoteActorError::NoNode,
        RemoteActorError::ShuttingDown,
    ]
}

/// Lines of the log about failures without a code of their own, for a program without a subscriber
/// of `tracing`.
pub(crate) fn failures() -> [(Code, String); 4] {
    let line = |code, failure| (code, format!("mycelium: error: {failure} [{code}]"));
    let warning = |code, problem| (code, format!("mycelium: warning: {problem} [{code}]"));
    [
        line(Code::ACTOR_FAILED, "actor `Pool` failed permanently: no such pool"),
        line(
            Code::DEAD_LETTER,
            "service `Sum.ticks` failed at each delivery of a message, which is now a dead letter \
             (topic=ticks, publisher=Feed, sequence=7)",
        ),
        warning(
            Code::POLL_HANGS,
            "service `Sum`: a poll of the service hangs: nothing else runs on its thread \
             (limit=250ms)",
        ),
        warning(
            Code::READER_WAITED_FOR,
            "service `Feed` waits in `emit` for room: this reader has not taken its messages \
             (topic=ticks, reader=Sum, seconds=1)",
        ),
    ]
}
