//! Readers in processes of their own, which are stopped and killed.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{client_of, connecting, listening};
use crate::ticks::{Found, Ticking, end, free, reading};

/// The variable with the address of a role.
const ADDRESS: &str = "MYCELIUM_ZENOH_ADDRESS";

/// A role: reads ticks until its standard input has a line, and prints what it has found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a role of other tests"]
async fn role_read() {
    let at: SocketAddr = std::env::var(ADDRESS).unwrap().parse().unwrap();
    let found = Found::default();
    let node = reading(&found, connecting(at));
    found.more(1).await;
    let mut out = std::io::stdout();
    writeln!(out, "reads").unwrap();
    tokio::task::spawn_blocking(|| std::io::stdin().lines().next()).await.unwrap();
    found.until(Found::is_whole).await;
    let [missed, inexact] = [&found.missed, &found.inexact].map(|it| it.load(Ordering::Relaxed));
    writeln!(out, "found {} {missed} {inexact}", found.messages()).unwrap();
    end(node).await;
}

/// A role: a router that runs until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a role of other tests"]
async fn role_route() {
    let at = std::env::var(ADDRESS).unwrap();
    let text = format!(
        "{{ mode: \"router\", listen: {{ endpoints: [\"tcp/{at}\"] }},
            scouting: {{ multicast: {{ enabled: false }} }} }}"
    );
    let router = zenoh::open(zenoh::Config::from_json5(&text).unwrap()).await.unwrap();
    writeln!(std::io::stdout(), "reads").unwrap();
    std::future::pending::<()>().await;
    drop(router);
}

struct Reading {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Reading {
    fn start(at: SocketAddr) -> Reading {
        Reading::role("role_read", at)
    }

    fn role(name: &str, at: SocketAddr) -> Reading {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new(program);
        let role = format!("processes::{name}");
        command.args(["--exact", &role, "--ignored", "--nocapture"]);
        command.env(ADDRESS, at.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Reading { child, lines }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for a line that begins so, and returns the numbers after it.
    fn line(&mut self, begins: &str) -> Vec<u64> {
        let found =
            self.lines.find_map(|line| Some(line.unwrap().split_once(begins)?.1.to_owned()));
        found.unwrap().split_whitespace().map(|number| number.parse().unwrap()).collect()
    }
}

async fn a_stopped_reader_gets_an_exact_gap(stopped: Duration) {
    let at = free();
    let clock = Ticking::start(listening(at));
    let mut reader = Reading::start(at);
    reader.line("reads");
    tokio::time::sleep(Duration::from_millis(200)).await;
    reader.signal("-STOP");
    tokio::time::sleep(stopped).await;
    reader.signal("-CONT");
    let sent = clock.sent.load(Ordering::Relaxed);
    while clock.sent.load(Ordering::Relaxed) < sent + 3000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    clock.end().await;
    reader.child.stdin.take().unwrap().write_all(b"enough\n").unwrap();
    let [messages, _, inexact] = reader.line("found ").try_into().unwrap();
    assert!(messages > 1000 && inexact == 0, "{messages} messages, {inexact} inexact");
    assert!(reader.child.wait().unwrap().success());
}

/// Zenoh closes a session whose reader is blocked for 5 seconds, if its publisher waits for room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_stopped_for_8_seconds_keeps_its_session() {
    a_stopped_reader_gets_an_exact_gap(Duration::from_secs(8)).await;
}

/// After 10 seconds its peers have given it up, and it them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_stopped_for_15_seconds_comes_back() {
    a_stopped_reader_gets_an_exact_gap(Duration::from_secs(15)).await;
}

/// Zenoh waits for 10 seconds until a reader that takes nothing has taken what it was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_reader_does_not_delay_the_end_of_a_publisher() {
    let at = free();
    let clock = Ticking::start(listening(at));
    let mut reader = Reading::start(at);
    reader.line("reads");
    reader.signal("-STOP");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ended = tokio::time::timeout(Duration::from_secs(6), clock.end()).await;
    reader.signal("-KILL");
    reader.child.wait().unwrap();
    ended.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_reader_does_not_disturb_the_others() {
    let (found, at) = (Found::default(), free());
    let clock = Ticking::start(listening(at));
    let other = reading(&found, connecting(at));
    for _ in 0..3 {
        let mut reader = Reading::start(at);
        reader.line("reads");
        reader.signal("-KILL");
        reader.child.wait().unwrap();
        found.more(300).await;
    }
    let sent = clock.end().await;
    found.until(|found| found.next.load(Ordering::Relaxed) == sent).await;
    assert!(found.is_whole(), "{found:?}");
    // A busy machine may be too slow for a few messages.
    assert_eq!(found.inexact.load(Ordering::Relaxed), 0);
    end(other).await;
}

/// Kills the router between two nodes, starts another one after this time, and returns the number
/// of inexact gaps.
async fn a_router_that_is_away_for(time: Duration) -> u64 {
    let (at, found) = (free(), Found::default());
    let start = || {
        let mut router = Reading::role("role_route", at);
        router.line("reads");
        router
    };
    let mut router = start();
    let there = reading(&found, client_of(at));
    let clock = Ticking::start(client_of(at));
    found.more(50).await;
    router.signal("-KILL");
    router.child.wait().unwrap();
    tokio::time::sleep(time).await;
    router = start();
    found.more(200).await;
    clock.end().await;
    let inexact = found.inexact.load(Ordering::Relaxed);
    if inexact == 0 {
        found.until(Found::is_whole).await;
    }
    end(there).await;
    router.signal("-KILL");
    router.child.wait().unwrap();
    inexact
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_is_away_shortly_is_an_exact_gap() {
    for millis in [0, 100, 1000, 4000] {
        let inexact = a_router_that_is_away_for(Duration::from_millis(millis)).await;
        assert_eq!(inexact, 0, "{millis} ms");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_is_away_for_long_ends_what_was_open() {
    let away = |seconds| a_router_that_is_away_for(Duration::from_secs(seconds));
    assert_eq!(tokio::join!(away(15), away(60)), (1, 1));
}
