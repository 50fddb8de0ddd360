//! `bandit bundled --observe` as a user runs it: where it says to look, what is there, and that the
//! signals are the same.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use crate::program::{Program, command, undisturbed};

const CLOSE: &str = "connection: close\r\n";
const NODES: [&str; 3] = ["collector", "detector", "writer"];

/// The address of a node's metrics, as the output has it.
fn metrics(program: &mut Program, node: &str) -> String {
    let end = format!("/metrics and /ready: node {node}\n");
    program.until(&end, |output| {
        let (before, _) = output.split_once(&end)?;
        before.rsplit_once("http://").map(|(_, address)| address.to_owned())
    })
}

/// The status and the body, if there is an answer.
fn http(address: &str, request: &[u8]) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    // Ignores an error: the answer may come before all is written.
    let _ = stream.write_all(request);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn get(address: &str, path: &str) -> Option<(u16, String)> {
    http(address, format!("GET {path} HTTP/1.1\r\nhost: a\r\n{CLOSE}\r\n").as_bytes())
}

/// The services and spans of the tree that was printed, with their nodes.
fn tree(output: &str) -> Vec<[&str; 3]> {
    let lines = output.lines().skip_while(|line| !line.starts_with("service "));
    let rows = lines.skip(1).take_while(|line| !line.is_empty());
    let columns = rows.map(|line| {
        let mut columns = line.trim_start_matches(['│', '├', '└', '─', ' ']).split("  ");
        [(); 3].map(|()| columns.by_ref().map(str::trim).find(|it| !it.is_empty()).unwrap())
    });
    columns.collect()
}

#[test]
fn three_processes_are_seen_in_one_trace_and_send_the_same_signals() {
    let directory = tempfile::tempdir().unwrap();
    let expected = undisturbed(directory.path());
    let signals = directory.path().join("signals.jsonl");
    // The address of a collector at which nobody listens.
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command = command(&["bundled", "--observe", "--speed", "14400", "--signals"]);
    command.arg(&signals).env("OTLP", format!("http://{receiver}"));
    let mut observed = Program::start(command);
    for node in NODES {
        let address = metrics(&mut observed, node);
        observed.until(&format!("/ready of {node}"), |_| {
            get(&address, "/ready").filter(|(status, _)| *status == 200)
        });
        let (status, metrics) = get(&address, "/metrics").unwrap();
        assert_eq!(status, 200);
        assert!(metrics.contains(&format!("node=\"{node}\"")), "{metrics}");
    }
    // Other requests are refused, and the bundle continues.
    let bad = "POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\n";
    for (length, body) in [(4, "\u{ff}\u{ff}"), (1 << 30, "x"), (3, "\n\n\n")] {
        let request = format!("{bad}content-length: {length}\r\n{CLOSE}\r\n{body}");
        let (status, _) = http(&receiver, request.as_bytes()).unwrap();
        assert!((400..500).contains(&status), "{status}");
    }
    let (succeeded, output) = observed.end();
    assert!(succeeded && output.contains("done in "), "{output}");
    assert!(fs::read(&signals).unwrap() == expected, "other signals:\n{output}");
    let all = [
        ["PolygonAdapter", "send swaps", "collector"],
        ["MetadataService", "process swaps", "detector"],
        ["ArbitrageDetector", "process enriched-swaps", "detector"],
        ["FillSimulator", "process signals", "writer"],
        ["SignalWriter", "process signals", "writer"],
    ];
    let mut tree = tree(&output);
    // The two that read signals are in the order in which they began.
    tree.get_mut(3..).unwrap_or_default().sort();
    assert_eq!(tree, all, "{output}");
}
