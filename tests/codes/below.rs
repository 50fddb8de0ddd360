//! Errors of the packages below `mycelium`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use mycelium::{
    BuildError, Class, Code, EmitError, HandlerFailure, LayoutMismatch, Message, Node, OtlpMetrics,
    OtlpTraces, Refusal,
};
use mycelium_bundle::{BundleError, ChangeError};
use mycelium_core::link::{
    CloseReason, ConfigError, FragmentError, LinkError, RejectReason, RunError,
};
use mycelium_core::ring::broadcast::{LayoutError, ReaderFault};
use mycelium_core::{DecodeError, FrameError, Invalid, InvalidReason};
use mycelium_executor::{Credentials, SpawnError, ThreadError};
use mycelium_transports::counters::{AttachError, ViewError};
use mycelium_transports::endpoint::{Access, BindError, Endpoint, PathTooLong, UntrustedSocket};
use mycelium_transports::exchange::{CatalogueError, Notice};
use mycelium_transports::local::{MemoryFault, Schema, TopicError};
use mycelium_transports::memory::{ControlError, MemoryError};
use mycelium_transports::stream::DriveError;
use mycelium_transports::untyped::{LayoutError as UntypedLayoutError, SizeMismatch, UntypedError};

use crate::library::Tick;
use crate::{Sample, part, shown};

fn socket() -> PathBuf {
    PathBuf::from("/run/user/1000/app/main.sock")
}

fn system(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

pub(crate) fn threads_and_sockets() -> Vec<Sample> {
    let error = || "Operation not permitted (os error 1)".to_owned();
    let text = str::to_owned;
    let of_address = |error| BindError::Tcp { address: text("127.0.0.1:7400"), error };
    let mut samples = part![
        SpawnError::Ended,
        SpawnError::LocalUnsupported,
        SpawnError::WrongThread,
        SpawnError::NoThread,
        ThreadError::Start { error: text("Resource temporarily unavailable (os error 11)") },
        ThreadError::Core { core: 4000, allowed: vec![0, 1] },
        ThreadError::Pin { cores: vec![1], error: error() },
        ThreadError::Class { asked: Class::Fifo(50), error: error() },
        ThreadError::Executor {
            executor: text("glommio"),
            error: text("the limit of locked memory is too low"),
        },
        ThreadError::Unsupported {
            executor: text("tokio, current thread"),
            what: text("a thread of its own"),
        },
        BindError::Path { path: PathBuf::from("/") },
        BindError::TooLong(PathTooLong { path: socket(), found: 136 }),
        BindError::Directory {
            directory: PathBuf::from("sockets"),
            problem: text("is open to other users: expected mode 0700, found 0777"),
        },
        BindError::Unreachable {
            directory: PathBuf::from("/run/user/1000"),
            socket: socket(),
            user: Some(1001),
        },
        BindError::InUse { path: socket() },
        BindError::Displaced { path: socket() },
        BindError::Occupied { path: socket() },
        BindError::System { action: "bind", path: socket(), error: system(13) },
        UntrustedSocket::Directory {
            directory: PathBuf::from("/tmp/mycelium-1000-app"),
            problem: text("belongs to another user: expected user 1000, found 1001"),
        },
        UntrustedSocket::Listener {
            path: socket(),
            found: Credentials { process: Some(4711), user: 1001, group: 1001 },
            expected: 1000,
        },
    ];
    samples.extend(part![of_address(system(98)), of_address(system(99))]);
    samples
}

pub(crate) fn topics() -> Vec<Sample> {
    let topic = || "ticks".to_owned();
    let schema = Schema::of::<Tick>;
    let by = || -> Arc<str> { "Slow.ticks".into() };
    let handled = |failure| Refusal::FastHandler { handler: "check".into(), failure };
    let emit = |refusal| EmitError::new("ticks".into(), 7, refusal);
    let mut samples = part![
        TopicError::Schema { topic: topic(), carries: schema(), asked: Box::new(schema()) },
        TopicError::Key { topic: topic(), carries: schema() },
        TopicError::Capacity { topic: topic(), error: LayoutError::Capacity { given: 1000 } },
        TopicError::Memory { topic: topic(), problem: "no memory left".to_owned() },
        TopicError::DropNewestInMemory { topic: topic() },
        TopicError::Epoch { topic: topic(), epoch: 0x1f },
        TopicError::Unread { topic: topic(), most: 64 },
        TopicError::Readers { topic: topic(), most: 64 },
    ];
    samples.extend(shown![
        emit(Refusal::Full { by: by() }),
        emit(Refusal::Rejected { by: by() }),
        emit(Refusal::Deadline { by: by(), within: Duration::from_millis(5) }),
        emit(Refusal::ShuttingDown),
        emit(handled(HandlerFailure::Error(Arc::new(io::Error::other("the price is 0"))))),
        emit(handled(HandlerFailure::Panic("index out of bounds".into()))),
        emit(handled(HandlerFailure::Reentered)),
    ]);
    samples
}

pub(crate) fn memory() -> Vec<Sample> {
    let bytes = 2 << 20;
    part![
        MemoryError::Unsupported,
        MemoryError::Words { words: 0, most: 1 << 40 },
        MemoryError::Exhausted { bytes, error: system(12) },
        MemoryError::HugePages { bytes, error: system(12) },
        MemoryError::Kind { expected: "a memfd", found: "a pipe".to_owned() },
        MemoryError::Seals { expected: "shrink, grow", found: "none".to_owned() },
        MemoryError::Size { page: 4096, most: 1 << 40, found: 100 },
        MemoryError::Sparse { expected: 8192, found: 4096 },
        MemoryError::System { action: "map the memory", error: system(12) },
        ControlError::Listens,
        ControlError::Stopped,
        ControlError::System { action: "watch a socket", error: system(24) },
    ]
}

/// As lines of the log.
pub(crate) fn links() -> Vec<Sample> {
    let stream = 3;
    let closed = LinkError::PeerClosed;
    let links = [
        LinkError::NoHello,
        LinkError::Frame(FrameError::Incomplete { needed: 24 }),
        LinkError::ControlKind { kind: 0x8001 },
        LinkError::ControlSize { kind: 1, expected: 24, found: 8 },
        LinkError::Text,
        LinkError::SecondHello,
        LinkError::Version { min: 2, max: 3 },
        LinkError::Limit { limit: 16 },
        LinkError::Handshake { deadline: Duration::from_secs(5) },
        LinkError::Silent { limit: Duration::from_secs(15) },
        LinkError::Subscription { number: 7 },
        LinkError::Stream { number: 7 },
        LinkError::SecondStream { number: 7 },
        LinkError::TooMany { limit: 256 },
        LinkError::Type { expected: 1, found: 2 },
        LinkError::Sequence { stream, expected: 7, found: 9 },
        LinkError::Credit { stream },
        LinkError::Fragment { stream, error: FragmentError::Changed },
        LinkError::Run { stream, error: RunError::Open },
        LinkError::Window { stream },
        LinkError::Piece { offset: 0, total: 8, length: 16 },
        LinkError::NoMemory,
        LinkError::SecondMemory,
        LinkError::Moved { stream },
        LinkError::Numbers,
        closed(CloseReason::Shutdown),
        closed(CloseReason::Away),
        closed(CloseReason::Aborted),
        closed(CloseReason::Protocol),
        closed(CloseReason::Version),
        closed(CloseReason::NotAllowed),
        closed(CloseReason::Busy),
        closed(CloseReason::Timeout),
        closed(CloseReason::NameTaken),
        closed(CloseReason::Other(99)),
    ];
    let mut errors: Vec<_> = links.into_iter().map(DriveError::Link).collect();
    errors.push(DriveError::Closed);
    errors.push(DriveError::Io(system(104)));
    errors.push(DriveError::Config(ConfigError::MaxFrame { least: 64 }));
    let (peer, topic) = ("other", "ticks");
    let mut samples: Vec<_> =
        errors.iter().map(|error| of(&Notice::Disconnected { peer, error })).collect();
    let mismatch = &LayoutMismatch {
        size: 8,
        digest: Tick::DIGEST,
        peer_size: None,
        peer_digest: Tick::DIGEST,
        first: None,
    };
    let endpoint = Endpoint::unix(socket(), Access::default());
    let pause = Duration::from_secs(1);
    samples.extend([
        of(&Notice::Unreachable { peer, error: &system(111), pause }),
        of(&Notice::TopicRefused { peer, topic, reason: RejectReason::Forbidden }),
        of(&Notice::TopicLayoutDiffers { peer, topic, mismatch }),
        of(&Notice::ReaderLayoutDiffers { peer, topic, mismatch }),
        of(&Notice::StreamLimit { peer, topic, limit: 256 }),
        of(&Notice::StartsAtNext { peer, topic }),
        of(&Notice::StaysOnSocket { peer, reason: "no memory left", is_required: false }),
        of(&Notice::InvalidMemory {
            peer,
            topic,
            fault: MemoryFault { entry: 1, fault: ReaderFault::Backwards { before: 7, found: 2 } },
        }),
        of(&Notice::PeerRejected {
            peer,
            from: None,
            cause: CloseReason::NotAllowed,
            reason: "it is not in the topology",
        }),
        of(&Notice::AddressLost { endpoint: &endpoint, problem: "another file has its path" }),
        of(&Notice::AcceptFailed { error: &system(24) }),
    ]);
    samples
}

fn of(notice: &Notice<'_>) -> Sample {
    let variant = format!("{notice:?}");
    let code = notice.code().expect("a code");
    let text = format!("mycelium: warning: node `main`: {notice} [{code}]");
    Sample { variant, code, text }
}

/// Of topics that are read without their types.
pub(crate) fn untyped() -> Vec<Sample> {
    let (node, topic) = (|| "other".to_owned(), || "ticks".to_owned());
    let (what, within) = ("its catalogue", Duration::from_secs(5));
    let passed = [
        UntypedError::Config(ConfigError::MaxFrame { least: 64 }),
        UntypedError::Spawn(Arc::new(SpawnError::Ended)),
        UntypedError::Lost(Arc::new(DriveError::Closed)),
        UntypedError::Closed { error: Arc::new(DriveError::Closed), words: "`bye`".to_owned() },
    ];
    assert_eq!(
        passed.map(|error| error.to_string()),
        [
            "`limits.max_frame` is too small: expected at least 64 bytes [M0334]",
            "the executor has ended [M0070]",
            "the peer closed the connection without closing the link [M0332]",
            "the peer closed the connection without closing the link: `bye` [M0332]",
        ]
    );
    shown![
        UntypedError::Connect(Arc::new(system(111))),
        UntypedError::Node { expected: "main".to_owned(), found: node() },
        UntypedError::Name { topic: String::new() },
        UntypedError::NoCatalogue { node: node() },
        UntypedError::Silent { node: node(), what, within },
        UntypedError::Answer { node: node(), what, problem: "more bytes than are read" },
        UntypedError::Catalogue { node: node(), error: CatalogueError::Incomplete },
        UntypedError::Layout {
            node: node(),
            topic: topic(),
            error: UntypedLayoutError::NotStruct { found: 0xff },
        },
        UntypedError::NoTopic { node: node(), topic: topic(), known: Vec::new() },
        UntypedError::Forbidden { node: node(), topic: topic(), name: "viewer".to_owned() },
        UntypedError::Rejected { node: node(), topic: topic(), reason: RejectReason::TooMany },
        UntypedError::Message {
            node: node(),
            topic: topic(),
            publisher: "Feed".to_owned(),
            error: SizeMismatch { expected: 16, found: 8 },
        },
    ]
}

pub(crate) fn messages() -> Vec<Sample> {
    let message = "Tick";
    let reason = InvalidReason::Count { capacity: 8, found: 9 };
    part![
        DecodeError::Type { message, expected: 1, found: 2 },
        DecodeError::Size { message, expected: 8, found: 7 },
        DecodeError::Misaligned { message, expected: 8 },
        DecodeError::Value { message, field: "is_last", found: 2 },
        DecodeError::Invalid(Invalid { message, field: "levels", reason }),
    ]
}

pub(crate) fn counters() -> Vec<Sample> {
    let (process, descriptor) = (4711, 9);
    let version = || ViewError::Version { expected: 5, found: 6 };
    let passed = [
        AttachError::Memory { process, descriptor, error: MemoryError::Unsupported },
        AttachError::View { process, descriptor, error: version() },
    ];
    assert_eq!(
        passed.map(|error| error.to_string()),
        [
            "counters of process 4711, descriptor 9: memory can be shared on 64-bit Linux only: use \
             `transport = \"unix\"` [M0300]",
            "counters of process 4711, descriptor 9: unknown version of the counters: expected 5, \
             found 6 [M0363]",
        ]
    );
    let action = format!("list the descriptors of process {process}");
    let (what, end) = ("the table of kinds", 120);
    shown![
        AttachError::NoProcess { process },
        AttachError::Permission { process },
        AttachError::NoCounters { process },
        version(),
        ViewError::Truncated { what, end, words: 100 },
        ViewError::Magic { expected: 0x746e_636c_6563_796d, found: 0 },
        ViewError::Field { what, word: 5, least: 1, most: 4096, found: 0 },
        ViewError::Segment { segment: 0, what: "the values", end, first: 0, last: 100 },
        AttachError::System { action, error: system(24) },
    ]
}

pub(crate) fn collectors() -> Vec<Sample> {
    let of_traces = |settings| match Node::builder("main").otlp(settings).build() {
        Err(BuildError::Otlp(error)) => error,
        other => panic!("expected another error: {other:?}"),
    };
    let of_metrics = |settings| match Node::builder("main").otlp_metrics(settings).build() {
        Err(BuildError::OtlpMetrics(error)) => error,
        other => panic!("expected another error: {other:?}"),
    };
    let traces = OtlpTraces::new("http://127.0.0.1:4318");
    let metrics = OtlpMetrics::new("http://127.0.0.1:4318");
    let traces = [
        of_traces(OtlpTraces::new("collector")),
        of_traces(traces.clone().header("a b", "c")),
        of_traces(traces.clone().timeout(Duration::ZERO)),
        of_traces(traces.clone().queue(0)),
        of_traces(traces.batch(0)),
    ];
    let metrics = [
        of_metrics(OtlpMetrics::new("collector")),
        of_metrics(metrics.clone().header("a b", "c")),
        of_metrics(metrics.clone().timeout(Duration::ZERO)),
        of_metrics(metrics.interval(Duration::ZERO)),
    ];
    let sample = |method: &str, code: Code, error: String| Sample {
        variant: format!("{method}: {error}"),
        code,
        text: format!("`Builder::{method}`: {error} [{code}]"),
    };
    let traces = traces.map(|error| sample("otlp", error.code(), error.to_string()));
    let metrics = metrics.map(|error| sample("otlp_metrics", error.code(), error.to_string()));
    traces.into_iter().chain(metrics).collect()
}

pub(crate) fn bundles() -> Vec<Sample> {
    let member = || "main".to_owned();
    let (status, window) = (ExitStatus::from_raw(1 << 8), Duration::from_secs(60));
    let (feeder, known) = ("feed".to_owned(), || vec![member(), "feeder".to_owned()]);
    let program = OsString::from("./app");
    shown![
        BundleError::Duplicate { member: member() },
        BundleError::Unknown { member: member(), feeder: feeder.clone(), known: known() },
        BundleError::Start { member: member(), program, error: system(2) },
        BundleError::Failed { member: member(), status, restarts: 5, window },
        BundleError::Refused { member: member() },
        BundleError::Undelivered { member: member() },
        BundleError::Stopped { member: member(), status },
        BundleError::Name { member: "my main".to_owned() },
        BundleError::Killed { members: vec![member()] },
        BundleError::System(system(24)),
        ChangeError::NoMember { member: feeder, known: known() },
        ChangeError::Ended,
        ChangeError::InObserver,
    ]
}
