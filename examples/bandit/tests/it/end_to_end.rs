//! The whole application over real sockets: a recorded day from a node to a file of signals,
//! undisturbed, with broken connections, and with panics in every service.

use std::{
    fs,
    num::NonZeroUsize,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use alloy_primitives::Address;
use bandit::{
    app::{self, Member, Options, Run},
    durable::Durable,
    ethereum::feed::{self, Settings},
    faults::Faults,
    messages::{EnrichedSwap, Key, Swap},
    metadata::first_rows,
    services::{ArbitrageDetector, MetadataService},
    stores::{Client, Pools},
};
use mycelium::fields::{I128, U128, U256};
use mycelium::{Node, Policy, Topology};
use mycelium_tokio::Tokio;

use crate::program::{command, ran};

/// Runs the day to its end, and checks its counts. Returns the summary, and the signals that are
/// in this file.
async fn run(signals: &Path, options: Options) -> (String, String) {
    let options = Options { signals: Some(signals.to_owned()), ..options };
    let executor = Tokio::current().unwrap();
    let run = Run::prepare(&options, &executor).await.unwrap();
    let summary = app::summary(&run.finish(executor).await.unwrap());
    let counts = ["logs", "swaps", "signals", "drops", "rejected", "skipped"];
    let counts = counts.map(|name| count(&summary, name));
    assert_eq!(counts, [6_538, 6_313, 51, 0, 0, 0], "{summary}");
    for swaps in ["6046 swaps of 0x88", "267 swaps of 0x8a"] {
        assert!(summary.contains(swaps), "{summary}");
    }
    (summary, fs::read_to_string(signals).unwrap())
}

/// A count of a summary.
fn count(summary: &str, name: &str) -> u64 {
    let counts = summary.lines().filter_map(|line| line.trim().split_once(' '));
    let count = counts.into_iter().find(|(_, found)| *found == name);
    count.map_or(0, |(count, _)| count.parse().unwrap())
}

/// Returns the file of signals of an undisturbed run. An independent script must find the same
/// signals.
async fn reference(directory: &Path) -> String {
    let (summary, text) = run(&directory.join("reference.jsonl"), Options::default()).await;
    assert_eq!(count(&summary, "connections"), 1);
    let day = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/usdc-weth-2024-01-05.jsonl.gz");
    assert_eq!(places(&text), oracle(&day));
    text
}

/// What the script finds in a day: the block, the log index and the pools of each signal.
fn oracle(day: &Path) -> String {
    let oracle = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle.py"))
        .arg(day)
        .output()
        .expect("this test needs python3 (3.8 or later) in the path, to run oracle.py");
    assert!(oracle.status.success(), "{}", String::from_utf8_lossy(&oracle.stderr));
    String::from_utf8(oracle.stdout).unwrap()
}

/// The same of a file of signals.
fn places(signals: &str) -> String {
    let place = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let pools = line["pools"].as_array().unwrap().iter().map(|pool| pool.as_str().unwrap());
        let pools: Vec<_> = pools.collect();
        format!("{} {} {}\n", line["block"], line["log_index"], pools.join(" "))
    };
    signals.lines().map(place).collect()
}

/// Three pairs of Uniswap V2 more, and so triangles: the signals are those of the script, and what
/// they would have earned does not depend on panics and broken connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pairs_and_triangles_make_signals_that_are_filled_once() {
    let directory = tempfile::tempdir().unwrap();
    let day = directory.path().join("day.jsonl");
    let lines: String = feed::day(true).into_iter().map(|line| line.json + "\n").collect();
    fs::write(&day, lines).unwrap();
    let expected = oracle(&day);
    let [pairs, triangles] =
        [4, 5].map(|words| expected.lines().filter(|it| it.split(' ').count() == words).count());
    assert!(pairs > 51 && triangles > 10, "{pairs} of pairs, {triangles} of triangles");
    let mut totals = Vec::new();
    for (faults, drop_every) in [(None, None), (Some(3), NonZeroUsize::new(97))] {
        let signals = Some(directory.path().join("signals.jsonl"));
        let feed = Settings { drop_every, ..Settings::default() };
        let options = Options { pairs: true, signals, feed, faults, ..Options::default() };
        let executor = Tokio::current().unwrap();
        let run = Run::prepare(&options, &executor).await.unwrap();
        let summary = app::summary(&run.finish(executor).await.unwrap());
        assert_eq!([count(&summary, "drops"), count(&summary, "rejected")], [0, 0], "{summary}");
        assert_eq!(places(&fs::read_to_string(options.signals.unwrap()).unwrap()), expected);
        let names = ["fills", "too_small_to_fill", "already_filled", "gas_gwei", "gwei_after_gas"];
        totals.push(names.map(|name| count(&summary, name)));
        let [fills, too_small, taken, gas, after_gas] = totals[0];
        assert_eq!(fills + too_small + taken, (pairs + triangles) as u64, "{summary}");
        assert!(fills > 10 && gas > fills * 4_000_000 && after_gas > 0, "{summary}");
    }
    assert_eq!(totals[0], totals[1]);
    // What reorganisations take back is weighed again, with the same outcome.
    let [fork_every, drop_every] = [8, 64].map(NonZeroUsize::new);
    let feed = Settings { fork_every, drop_every, ..Settings::default() };
    let options = Options { pairs: true, feed, ..Options::default() };
    let executor = Tokio::current().unwrap();
    let run = Run::prepare(&options, &executor).await.unwrap();
    let summary = app::summary(&run.finish(executor).await.unwrap());
    let names = ["fills", "gas_gwei", "gwei_after_gas"];
    let [fills, .., gas, after_gas] = totals[0];
    assert_eq!(names.map(|name| count(&summary, name)), [fills, gas, after_gas], "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_and_panics_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let expected = reference(directory.path()).await;
    for (seed, drop_every, connections) in [(1, None, 1), (2, Some(97), 68)] {
        let path = directory.path().join(format!("{seed}.jsonl"));
        let drop_every = drop_every.and_then(NonZeroUsize::new);
        let feed = Settings { drop_every, ..Settings::default() };
        let options = Options { feed, faults: Some(seed), ..Options::default() };
        let (summary, signals) = run(&path, options).await;
        assert_eq!(summary.matches("20 panics of ").count(), 5, "{summary}");
        // A panic of the adapter is a reconnect, too.
        assert!(count(&summary, "connections") >= connections, "{summary}");
        assert_eq!(signals, expected);
    }
}

/// The chain replaces blocks, also while the connection is broken. The signals that are left after
/// the retractions are those of the chain as it is in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reorganisations_take_signals_back() {
    let directory = tempfile::tempdir().unwrap();
    let expected = reference(directory.path()).await;
    let totals =
        |summary: &str| ["fills", "gas_gwei", "gwei_after_gas"].map(|name| count(summary, name));
    let path = directory.path().join("once.jsonl");
    let expected_totals = totals(&run(&path, Options::default()).await.0);
    // As fast as possible the client would see several reorganisations as one.
    for (drop_every, speed) in [(None, Some(20_000.0)), (NonZeroUsize::new(97), None)] {
        let path = directory.path().join("forks.jsonl");
        let feed = Settings { drop_every, fork_every: NonZeroUsize::new(500), speed, offer: None };
        let options = Options { signals: Some(path.clone()), feed, ..Options::default() };
        let executor = Tokio::current().unwrap();
        let run = Run::prepare(&options, &executor).await.unwrap();
        let summary = app::summary(&run.finish(executor).await.unwrap());
        assert_eq!([count(&summary, "drops"), count(&summary, "rejected")], [0, 0], "{summary}");
        assert!(count(&summary, "reorganisations") > 1, "{summary}");
        let mut left: Vec<(Key, String)> = Vec::new();
        let mut retractions = 0;
        for line in fs::read_to_string(path).unwrap().lines() {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            let at = |name: &str| json[name].as_u64().unwrap();
            let key = Key { block: at("block"), log_index: at("log_index") };
            if json["retracts"] == true {
                retractions += 1;
                left.retain(|(other, _)| *other < key);
            } else {
                left.push((key, format!("{line}\n")));
            }
        }
        assert!(retractions > 1, "{summary}");
        assert_eq!(totals(&summary), expected_totals);
        assert_eq!(left.into_iter().map(|(_, line)| line).collect::<String>(), expected);
    }
}

#[tokio::test]
async fn one_thread_and_a_file_of_pools_give_the_same_signals() {
    let directory = tempfile::tempdir().unwrap();
    let expected = reference(directory.path()).await;
    for _ in 0..2 {
        let path = directory.path().join("again.jsonl");
        let store = Some(format!("sqlite:{}", directory.path().join("new.sqlite").display()));
        let (_, signals) = run(&path, Options { store, ..Options::default() }).await;
        assert_eq!(signals, expected);
    }
}

fn in_memory() -> Pools {
    Pools::new(Client::new(None, first_rows(false)).unwrap(), Duration::MAX)
}

mod yesterday {
    use bandit::messages::{self, EnrichedSwap, Key};
    use bandit::stores::Pools;
    use mycelium::fields::{I128, U128, U256};
    use mycelium::{Context, Delivery, Result, message, service};

    /// A swap before it had a tick.
    #[message(topic = "swaps", id = 1, pad)]
    pub(crate) struct Swap {
        key: Key,
        amount0: I128,
        amount1: I128,
        sqrt_price_x96: U256,
        pool: [u8; 20],
    }

    pub(crate) struct MetadataService(pub(crate) Pools);

    #[service(reads(Swap), emits(EnrichedSwap))]
    impl MetadataService {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let mut swaps = ctx.subscribe::<Swap>()?;
            let mut pools = self.0.open(ctx).await?;
            while let Some(delivery) = swaps.recv().await {
                let Delivery::Msg(swap) = delivery else { panic!("a gap") };
                let Swap { key, amount0, amount1, sqrt_price_x96, pool, .. } = *swap;
                let (price, zero) = (sqrt_price_x96, U128::ZERO);
                let swap = messages::Swap::new(key, amount0, amount1, price, pool, 0, false, zero);
                let pool = pools.get(ctx, pool).await.expect("the adapter follows known pools");
                ctx.emit(pool.enrich(&swap)).await?;
            }
            Ok(())
        }
    }
}

/// The collector is newer than the detector.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_of_today_and_a_detector_of_yesterday_give_the_same_signals() {
    let directory = tempfile::tempdir().unwrap();
    let expected = reference(directory.path()).await;
    let bundled = include_str!("../../bundled.toml");
    for transport in ["shm", "unix", "tcp"] {
        let directory = directory.path().join(transport);
        fs::create_dir_all(&directory).unwrap();
        let mut text = format!("{bundled}\n[link.default]\ntransport = \"{transport}\"\n");
        if transport == "tcp" {
            text += "trust = \"network\"\n";
            for (place, node) in ["collector", "detector", "writer"].into_iter().enumerate() {
                let line = format!("[node.{node}]\n");
                let address = format!("{line}address = \"127.0.0.{}:7411\"\n", 41 + place);
                text = text.replace(&line, &address);
            }
        }
        // The program of the detector does not have the other services.
        for node in ["[node.collector]\n", "[node.writer]\n"] {
            text = text.replace(node, &format!("{node}description = \"bandit.json\"\n"));
        }
        let description = app::describe(&Options::default()).unwrap();
        fs::write(directory.join("bandit.json"), description.to_json()).unwrap();
        let topology = directory.join("versions.toml");
        fs::write(&topology, text).unwrap();
        let executor = Tokio::current().unwrap();
        let (url, feed) = app::source(&Options::default(), &executor).await.unwrap();
        let signals = directory.join("signals.jsonl");
        let sockets = directory.join("sockets");
        let member = |node: &str| Options {
            url: Some(url.clone()),
            signals: Some(signals.clone()),
            topology: Some(topology.clone()),
            member: Some(Member {
                node: node.into(),
                directory: sockets.clone(),
                ..Member::default()
            }),
            ..Options::default()
        };
        let [collector, writer] = ["collector", "writer"].map(|node| {
            let (options, executor) = (member(node), executor.clone());
            tokio::spawn(async move {
                let run = Run::prepare(&options, &executor).await.unwrap();
                run.finish(executor).await
            })
        });
        let detector = Node::builder("detector")
            .service(|| yesterday::MetadataService(in_memory()))
            .service(|| ArbitrageDetector {
                detector: Durable::load(None, "ArbitrageDetector").unwrap(),
                faults: Faults::default(),
            });
        let topology = Topology::load(&topology).unwrap().in_directory(&sockets);
        detector.topology(topology).build().unwrap().run(executor).await.unwrap();
        for node in [collector, writer] {
            node.await.unwrap().unwrap();
        }
        feed.unwrap().shutdown();
        assert_eq!(fs::read_to_string(&signals).unwrap(), expected, "{transport}");
    }
}

#[test]
fn a_closed_output_does_not_end_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let signals = directory.path().join("signals.jsonl");
    let mut child = command(&["--signals", signals.to_str().unwrap(), "--speed", "100000"])
        // A warning says that a poll was slow: the machine may be busy.
        .env("RUST_LOG", "error")
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
    let nobody = {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("ws://{}", gone.local_addr().unwrap())
    };
    let text = format!("sqlite:{}", file("text.sqlite", &"not a database".repeat(100)));
    let foreign = directory.path().join("foreign.sqlite");
    rusqlite::Connection::open(&foreign).unwrap().execute("CREATE TABLE t (x)", []).unwrap();
    let foreign = format!("sqlite:{}", foreign.display());
    let cases: [(&[&str], &str); 11] = [
        (&["--signals", "/dev/full"], "/dev/full: No space left on device"),
        (&["--store", &text], "text.sqlite: it cannot be used: file is not a database"),
        (&["--store", &foreign], "foreign.sqlite: it cannot be used: it is a file of another"),
        (&["--store", "sqlite:/dev/null/bandit.sqlite"], "/dev/null/bandit.sqlite: it cannot"),
        (&["--store", "mysql://user:secret@host"], "invalid `--store`: expected `sqlite:FILE`"),
        (&["--store", "sqlite:"], "invalid `--store`: expected `sqlite:FILE`"),
        (&["--signals", "/no/such/folder/signals"], "/no/such/folder/signals"),
        (&["--topology", "/no/such/topology"], "/no/such/topology: cannot read the topology: "),
        (
            &["--topology", &file("service.toml", "[node.main]\nservices = [\"Nobody\"]\n")],
            "service.toml:2:13: unknown service `Nobody`",
        ),
        (&["--url", "http://example/"], "invalid URL of the node `http://example..`"),
        (&["--url", &nobody], "no connection to ws://"),
    ];
    for (arguments, expected) in cases {
        let (succeeded, text) = ran(command(arguments));
        assert!(!succeeded, "{arguments:?} succeeded:\n{text}");
        let errors: Vec<_> = text.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{arguments:?}:\n{text}");
        assert!(errors[0].contains(expected), "{arguments:?}: {}", errors[0]);
        assert!(!text.contains("panicked") && !text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn a_swap_of_an_unknown_pool_is_skipped() {
    let node = Node::builder("main")
        .service(|| MetadataService {
            pools: in_memory(),
            confirms: false,
            faults: Faults::default(),
        })
        .build()
        .unwrap();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    let mut enriched = running.subscribe::<EnrichedSwap>("test", Policy::Block).unwrap();
    let mut swaps = running.publisher::<Swap>("test").unwrap();
    let known = first_rows(false)[0][0].parse::<Address>().unwrap().into_array();
    for (block, pool) in [(1, [7; 20]), (2, known)] {
        let key = Key { block, log_index: 0 };
        let (amount, sqrt_price_x96) = (I128::from(1), U256::from_be_bytes([1; 32]));
        let swap = Swap::new(key, amount, amount, sqrt_price_x96, pool, 0, false, U128::ZERO);
        swaps.emit(swap).await.unwrap();
    }
    let swap = enriched.recv().await.unwrap().message().unwrap();
    assert_eq!((swap.key.block, swap.symbol0.as_str()), (2, "USDC"));
    drop((enriched, swaps));
    running.shutdown();
    running.join().await.unwrap();
}
