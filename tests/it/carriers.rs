//! The carriers of a node's links, and the memory of its rings, in its plan and in the report of
//! its start.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]
#![cfg(all(feature = "metrics", feature = "topology"))]

use mycelium::error::BuildError;
use mycelium::execution::StartReport;
use mycelium::observe::{Carrier, StartWarning};
use mycelium::{Context, Node, Result, Topology, message, service};
use mycelium_tokio::Tokio;
use mycelium_transports::local::PageSize;

use crate::running::{Says, within};
use crate::support::{Directory, idle_services};

/// Slots of 9 words: 72 bytes on the heap, two cache lines in shared memory.
#[message(topic = "numbers", id = 1)]
pub(crate) struct Number {
    values: [u64; 8],
}

idle_services! {
    Counter(emits(Number));
    Adder(reads(Number));
}

const SLOTS: usize = 64;
/// Entries for gating readers that a ring in shared memory has in addition to those of the
/// topology.
const SPARE: usize = 64;
const ENTRY: usize = 256;
/// The bytes of a writer's words on the heap.
const WRITER: usize = 256;
/// The bytes of the header of a ring in shared memory, with the words of its writer.
const HEADER: usize = 384;
const PAGE: usize = 4096;

/// Returns a topology in which `near` reads from `far`. `more` follows the keys of all links.
fn topology(far: &str, more: &str) -> Topology {
    Topology::parse("t.toml", &topology_text(far, more)).unwrap()
}

fn topology_text(far: &str, more: &str) -> String {
    format!(
        "[node.far]\nservices = [\"Counter\"]\n{far}\n[node.near]\nservices = [\"Adder\"]\n\
         [topic.numbers]\ncapacity = {SLOTS}\n[link.default]\nwindow = 1024\n{more}\n"
    )
}

fn build(node: &str, topology: Topology) -> Result<Node, BuildError> {
    Node::builder(node).topology(topology).service(|| Counter).service(|| Adder).build()
}

/// Starts a node without its peer, and returns its report after its end. `test` names its
/// directory.
async fn report(test: &str, node: &str, topology: Topology) -> StartReport {
    let directory = Directory::new(&format!("carriers-{test}"));
    let node = build(node, topology.in_directory(&directory.0)).unwrap();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    let report = running.start_report().clone();
    running.shutdown();
    let _ = within(running.join()).await;
    report
}

#[tokio::test]
async fn the_start_report_says_what_a_link_goes_through() {
    let memory = Carrier::SharedMemory;
    // A part of the file and its replacement, the expected carrier, and the start report's text.
    let cases = [
        ("", "", memory, "shared memory"),
        (
            "[link.default]",
            "[subscription.\"Adder.numbers\"]\npolicy = \"drop-newest\"\n[link.default]",
            memory,
            "shared memory; on its socket, for `drop-newest` subscriptions: `numbers`",
        ),
        (
            "[topic.numbers]\n",
            "[topic.numbers]\ntransport = \"unix\"\n",
            memory,
            "shared memory; on its socket, by the topics' `transport`: `numbers`",
        ),
        (
            "[link.default]",
            "[link.\"far-near\"]\ntransport = \"unix\"\n[link.default]",
            Carrier::UnixSocket,
            "Unix socket: `transport = \"unix\"` (t.toml:9:13)",
        ),
    ];
    for (part, becomes, used, says) in cases {
        let text = topology_text("shutdown = \"1ms\"", "").replacen(part, becomes, 1);
        for (node, peer) in [("far", "near"), ("near", "far")] {
            let report = report("links", node, Topology::parse("t.toml", &text).unwrap()).await;
            let [link] = &*report.links else { panic!("{report}") };
            assert_eq!((&*link.peer, link.used), (peer, used));
            let line = format!("link with node `{peer}`: {says}\n");
            report.mentions(&line);
            if becomes.contains("unix") {
                assert_eq!(report.memory.shared, 0, "its rings are on the heap");
            }
        }
    }
}

#[tokio::test]
async fn the_report_has_the_bytes_on_the_heap_and_in_memory_with_their_entries() {
    // One ring, with an entry for the node that reads it.
    let far = report("bytes", "far", topology("shutdown = \"1ms\"", "")).await.memory;
    let exact = SLOTS * 128 + (1 + SPARE) * ENTRY + HEADER;
    assert_eq!((far.heap, far.shared), (0, exact.next_multiple_of(PAGE)));
    assert_eq!(far.total(), far.heap + far.shared);
    // The reader has a ring for messages from the socket, and a region for its positions.
    let near = report("bytes", "near", topology("shutdown = \"1ms\"", "")).await;
    let ring = SLOTS * 72 + ENTRY + WRITER;
    let positions = ((1 + SPARE) * ENTRY).next_multiple_of(PAGE);
    assert_eq!((near.memory.heap, near.memory.shared), (ring, positions));
    let line = format!("rings: {ring} bytes on the heap, {positions} in shared memory\n");
    near.mentions(&line);
    // Over sockets, both sides have their rings on the heap.
    for node in ["far", "near"] {
        let sockets = topology("shutdown = \"1ms\"", "transport = \"unix\"");
        let memory = report("bytes", node, sockets).await.memory;
        assert_eq!((memory.heap, memory.shared), (ring, 0));
    }
}

#[test]
fn a_node_in_one_process_has_its_rings_on_the_heap() {
    let text = format!("[topic.numbers]\ncapacity = {SLOTS}\n");
    let node = build("main", Topology::parse("t.toml", &text).unwrap()).unwrap();
    assert_eq!(node.memory(), SLOTS * 72 + ENTRY + WRITER);
}

#[test]
fn memory_above_the_budget_is_refused_with_its_place() {
    let needed = (SLOTS * 128 + (1 + SPARE) * ENTRY + HEADER).next_multiple_of(PAGE);
    let with = |budget: usize| build("far", topology(&format!("memory = {budget}"), ""));
    assert_eq!(with(needed).unwrap().memory(), needed);
    let error = with(needed - 1).unwrap_err();
    let text = format!(
        "t.toml:3:10: rings of node `far` take {needed} bytes ({needed} of them in shared memory), \
         but may take {}, and topic `numbers` takes most: lower its `capacity`, or raise `memory` \
         of the node [M0009]",
        needed - 1
    );
    error.says(&text);
    // Huge pages are whole pages, so the error names a size that is rounded up.
    let error = build("far", topology("memory = \"1 MiB\"\nhuge_pages = true", "")).unwrap_err();
    let pages = format!("take {} bytes", 2 << 20);
    error.mentions(&pages);
    error.mentions("or remove `huge_pages`: each ring in shared");
}

#[tokio::test]
async fn huge_pages_that_the_system_does_not_have_are_an_error_of_the_start() {
    let keys = "shutdown = \"1ms\"\nhuge_pages = true";
    if PageSize::free_huge() > 0 {
        let memory = report("huge", "far", topology(keys, "")).await.memory;
        assert_eq!((memory.heap, memory.shared, memory.huge_pages), (0, 2 << 20, 1));
        return;
    }
    let node = build("far", topology(keys, "")).unwrap();
    let error = node.start(Tokio::current().unwrap()).unwrap_err();
    error.says(
        "t.toml:4:14: node `far` cannot have its shared memory: `huge_pages` needs pages of 2 MiB, \
         and the system has fewer than 1 free: reserve them (`sysctl vm.nr_hugepages=1`, more if \
         other programs use some), or remove the key [M0058]",
    );
    assert!(!error.is_permanent());
}

#[tokio::test]
async fn huge_pages_without_a_ring_in_memory_are_a_warning() {
    let keys = "shutdown = \"1ms\"\nhuge_pages = true";
    let report = report("pages", "far", topology(keys, "transport = \"unix\"")).await;
    let (node, place) = ("far".to_owned(), "t.toml:4:14".to_owned());
    assert!(report.warnings.contains(&StartWarning::UnusedHugePages { node, place }), "{report}");
    let line = "warning: t.toml:4:14: `huge_pages` has no effect: no other node reads a topic of \
                node `far` through shared memory\n";
    report.mentions(line);
}
