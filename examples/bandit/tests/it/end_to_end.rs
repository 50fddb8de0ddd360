//! The whole application over real sockets: a recorded day from a node to a file of signals,
//! undisturbed, with broken connections, and with panics in every service.

use std::{
    collections::BTreeSet,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bandit::{
    app::{self, Options, Run},
    chain::{self, Key},
    faults::Faults,
    feed::{Drops, Feed, Settings},
    figures::{Figures, Snapshot},
    messages::{EnrichedSwap, Swap},
    metadata::Db,
    recording::Recording,
    services::{Board, MetadataService},
};
use mycelium::{Node, Policy};
use mycelium_tokio::Tokio;

/// Runs to the end and returns the figures, the faults that happened, and the signals.
async fn run(options: Options) -> (Snapshot, Vec<u64>) {
    let executor = Tokio::current().unwrap();
    let run = Run::prepare(&options, &executor).await.unwrap();
    let (board, faults) = (run.board.clone(), run.faults.clone());
    run.finish(executor).await.unwrap();
    let snapshot = board.figures().snapshot(Duration::from_secs(1));
    (snapshot, faults.values().map(bandit::faults::Faults::happened).collect())
}

fn assert_is_the_day(snapshot: &Snapshot) {
    assert_eq!(snapshot.logs, 6_538);
    assert_eq!(snapshot.kinds, [6_313, 58, 86, 81, 0]);
    let swaps: Vec<_> = snapshot.pools.iter().map(|pool| pool.swaps).collect();
    assert_eq!(swaps, [6_046, 267]);
    assert_eq!((snapshot.signals, snapshot.drops, snapshot.rejected), (51, 0, 0));
}

/// The file of signals of an undisturbed run, whose positions are those of an independent script.
async fn reference(directory: &Path) -> String {
    let path = directory.join("reference.jsonl");
    let (snapshot, _) = run(Options { signals: Some(path.clone()), ..Options::default() }).await;
    assert_is_the_day(&snapshot);
    assert_eq!(snapshot.reconnects, 0);
    assert!(snapshot.latency.is_some_and(|latency| latency.p50 <= latency.max));
    let text = fs::read_to_string(path).unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let oracle = Command::new("python3")
        .arg(here.join("oracle.py"))
        .arg(here.join("data/usdc-weth-2024-01-05.jsonl.gz"))
        .output()
        .expect("this test needs python3 (3.8 or later) in the path, to run oracle.py");
    assert!(oracle.status.success(), "{}", String::from_utf8_lossy(&oracle.stderr));
    let places: String = text
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {}\n", line["block"], line["log_index"])
        })
        .collect();
    assert_eq!(places, String::from_utf8(oracle.stdout).unwrap());
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_and_panics_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let expected = reference(directory.path()).await;
    let drops = [
        Drops::default(),
        Drops { every: NonZeroUsize::new(500), lost: 3, ..Drops::default() },
        Drops { at: BTreeSet::from([1, 2, 3, 6_537, 6_538]), lost: 2, ..Drops::default() },
    ];
    for (drops, seed) in drops.into_iter().zip([1, 2, 3]) {
        let path = directory.path().join(format!("{seed}.jsonl"));
        let dropping = drops != Drops::default();
        let (snapshot, faults) = run(Options {
            signals: Some(path.clone()),
            feed: Settings { drops, ..Settings::default() },
            faults: Some(seed),
            ..Options::default()
        })
        .await;
        assert_is_the_day(&snapshot);
        assert_eq!(faults, [20; 4], "not every fault happened");
        assert!(!dropping || snapshot.reconnects >= 5, "{} reconnects", snapshot.reconnects);
        assert_eq!(fs::read_to_string(path).unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_drop_is_one_reconnect() {
    for _ in 0..5 {
        let drops = Drops { every: NonZeroUsize::new(500), lost: 3, ..Drops::default() };
        let feed = Settings { drops, ..Settings::default() };
        let (snapshot, _) = run(Options { feed, ..Options::default() }).await;
        assert_is_the_day(&snapshot);
        assert_eq!(snapshot.reconnects, 13);
    }
}

#[tokio::test]
async fn one_thread_and_a_database_file_give_the_same_signals() {
    let directory = tempfile::tempdir().unwrap();
    let expected = reference(directory.path()).await;
    for database in ["new.sqlite", "new.sqlite"] {
        let path = directory.path().join("again.jsonl");
        let (snapshot, _) = run(Options {
            signals: Some(path.clone()),
            database: Some(directory.path().join(database)),
            ..Options::default()
        })
        .await;
        assert_is_the_day(&snapshot);
        assert_eq!(fs::read_to_string(path).unwrap(), expected);
    }
}

#[tokio::test]
async fn another_node_can_be_followed() {
    let executor = Tokio::current().unwrap();
    let feed = Arc::new(Feed::new(Recording::embedded().unwrap(), Settings::default()));
    let (node, address) = app::serve(feed, "127.0.0.1:0", executor).await.unwrap();
    let options = Options { url: Some(format!("ws://{address}/")), ..Options::default() };
    let (snapshot, _) = run(options).await;
    assert_is_the_day(&snapshot);
    node.shutdown();
    node.join().await.unwrap();
}

/// A day with every kind of invalid text.
#[tokio::test]
async fn invalid_texts_are_counted_by_kind_and_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("odd.jsonl");
    let day = Recording::embedded().unwrap();
    let mut lines: Vec<String> =
        day.logs().iter().take(40).map(|log| log.json.as_ref().to_owned()).collect();
    let change = |line: &str, from: &str, to: &str| {
        let changed = line.replacen(from, to, 1);
        assert_ne!(changed, line);
        changed
    };
    let last = lines[39].clone();
    let next =
        |index: u32| change(&last, "\"logIndex\":\"0x", &format!("\"logIndex\":\"0xf{index}"));
    let topics = last.find("\"topics\"").unwrap()..last.find("],").unwrap() + 2;
    let data = last.find("\"data\"").unwrap();
    let data = data..data + last[data..].find("\",").unwrap() + 2;
    let mut without_topics = next(0);
    without_topics = change(&without_topics, &last[topics], "\"topics\":[],");
    let short = change(&next(1), &last[data.clone()], "\"data\":\"0x00\",");
    let huge = change(&next(2), &last[data], &format!("\"data\":\"0x{}\",", "7f".repeat(160)));
    let unknown_event = change(&next(3), "0xc42079f9", "0xdeadbeef");
    let unknown_pool = change(&next(4), "\"address\":\"0x88e6", "\"address\":\"0x88e7");
    let removed = change(&last, "\"removed\":false", "\"removed\":true");
    lines.extend([without_topics, short, huge, unknown_event, unknown_pool, removed]);
    fs::write(&path, lines.join("\n")).unwrap();
    let (snapshot, _) = run(Options { recording: Some(path), ..Options::default() }).await;
    // The foreign pool is not subscribed to, so its log does not arrive.
    assert_eq!(snapshot.kinds[4], 1, "removed");
    let skipped: u64 = snapshot.skips.iter().sum();
    assert_eq!(skipped, 4, "{:?}", snapshot.skips);
    assert_eq!(snapshot.skips.iter().filter(|count| **count == 1).count(), 4);
    assert_eq!(snapshot.logs, 45);
}

fn bandit(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bandit"))
        .args(arguments)
        .output()
        .expect("the program was built");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_command_line_runs_the_day() {
    let directory = tempfile::tempdir().unwrap();
    let signals = directory.path().join("signals.jsonl");
    let (succeeded, text) = bandit(&["--signals", signals.to_str().unwrap()]);
    assert!(succeeded, "{text}");
    for part in ["6,538", "6,313", "6,046", "267", "0 drops", "p99.9", "a second"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert_eq!(fs::read_to_string(signals).unwrap().lines().count(), 51);
}

#[test]
fn a_closed_output_does_not_end_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let signals = directory.path().join("signals.jsonl");
    let mut child = Command::new(env!("CARGO_BIN_EXE_bandit"))
        .args(["--signals", signals.to_str().unwrap(), "--speed", "100000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.is_empty(), "{text}");
    assert_eq!(fs::read_to_string(signals).unwrap().lines().count(), 51);
}

#[test]
fn invalid_options_are_one_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_address = taken.local_addr().unwrap().to_string();
    let nobody = {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("ws://{}", gone.local_addr().unwrap())
    };
    let unused = PathBuf::from("/dev/null/bandit.sqlite");
    let cases: [(&[&str], &str); 13] = [
        (&["--signals", "/dev/full"], "/dev/full: No space left on device"),
        (&["--database", &file("text.sqlite", &"not a database".repeat(100))], "text.sqlite"),
        (&["--database", unused.to_str().unwrap()], "/dev/null/bandit.sqlite"),
        (&["--signals", "/no/such/folder/signals"], "/no/such/folder/signals"),
        (&["--recording", "/no/such/day"], "/no/such/day"),
        (&["--recording", &file("day.jsonl", "{\"address\":\"0x\"}\n")], "day.jsonl"),
        (&["--topology", "/no/such/topology"], "/no/such/topology: cannot read the topology: "),
        (
            &["--topology", &file("key.toml", "[node.main]\ncolour = 1\n")],
            "key.toml:2:1: unknown key `colour`",
        ),
        (
            &["--topology", &file("service.toml", "[node.main]\nservices = [\"Nobody\"]\n")],
            "service.toml:2:13: unknown service `Nobody`",
        ),
        (&["--topology", &file("twice.toml", "[topic.swaps]\n[topic.swaps]\n")], "twice.toml:2:"),
        (&["--url", "http://example/"], "http://example/"),
        (&["--url", &nobody], "no connection to ws://"),
        (&["feed", "--listen", &taken_address], "cannot listen at `127.0.0.1:"),
    ];
    for (arguments, expected) in cases {
        let (succeeded, text) = bandit(arguments);
        assert!(!succeeded, "{arguments:?} succeeded:\n{text}");
        let errors: Vec<_> = text.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{arguments:?}:\n{text}");
        assert!(errors[0].contains(expected), "{arguments:?}: {}", errors[0]);
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[tokio::test]
async fn a_swap_of_an_unknown_pool_is_counted_and_skipped() {
    let board = Board::new(Figures::new(None));
    let for_service = board.clone();
    let node = Node::builder("main")
        .service(move || MetadataService::new(None, false, for_service.clone(), Faults::none()))
        .build()
        .unwrap();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    let mut enriched = running.subscribe::<EnrichedSwap>("test", Policy::Block).unwrap();
    let mut swaps = running.publisher::<Swap>("test").unwrap();
    let known = Db::in_memory().unwrap().pools().unwrap()[0].address;
    for (block, pool) in [(1, [7; 20]), (2, known)] {
        let swap = chain::Swap {
            pool,
            key: Key { block, log_index: 0 },
            timestamp: None,
            amount0: 1,
            amount1: -1,
            sqrt_price_x96: [1; 32],
            liquidity: 1,
            tick: 0,
        };
        swaps.emit(Swap::new(&swap, 0)).await.unwrap();
    }
    let swap = enriched.recv().await.unwrap().message().unwrap();
    assert_eq!((swap.block, swap.symbol0.as_str()), (2, "USDC"));
    assert_eq!(board.figures().snapshot(Duration::ZERO).unknown_pools, 1);
    drop((enriched, swaps));
    running.shutdown();
    running.join().await.unwrap();
}
