//! A listener in a process of its own: what it logs, and few descriptors. The process is this test
//! binary in another role.

use std::env;
use std::io::{Read, Write, stdin};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mycelium::{LegacyCodec, Node, Topology};
use mycelium_tokio::Tokio;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::{Broker, Floor, ORDER, Order, SWAP, Swap, counter, frame, hex, run, words};

/// The topology of the other process.
const TOPOLOGY: &str = "MYCELIUM_TEST_TOPOLOGY";
/// The number of descriptors that it may have.
const DESCRIPTORS: &str = "MYCELIUM_TEST_DESCRIPTORS";

const DIGEST: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn broker_process(floor: &Floor, descriptors: u64) -> Child {
    let mut program = Command::new(env::current_exe().unwrap());
    program.args(["--exact", "processes::the_process_of_a_broker", "--ignored", "--nocapture"]);
    program.env(TOPOLOGY, &floor.text).env(DESCRIPTORS, descriptors.to_string());
    program.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
    program.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
#[ignore = "not a test: the program that the tests start"]
fn the_process_of_a_broker() {
    let descriptors = env::var(DESCRIPTORS).unwrap().parse().unwrap();
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(descriptors), maximum }).unwrap();
    let topology = Topology::parse("t.toml", &env::var(TOPOLOGY).unwrap()).unwrap();
    let builder = Node::builder("main").topology(topology).service(|| Broker);
    let builder = builder.legacy(LegacyCodec::<Swap>::same_bytes());
    let node = builder.legacy(LegacyCodec::<Order>::same_bytes()).build().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    // Until the test closes it.
    stdin().read_to_end(&mut Vec::new()).unwrap();
    running.shutdown();
    runtime.block_on(running.join()).unwrap();
}

/// Ends the process, and returns the lines that the listener has logged.
fn end(mut process: Child) -> Vec<String> {
    drop(process.stdin.take());
    let output = process.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    text.lines().filter(|line| line.contains("legacy listener")).map(str::to_owned).collect()
}

/// The listener of another process may not listen yet.
fn connect(floor: &Floor) -> crate::harness::Client {
    loop {
        match std::net::TcpStream::connect(&floor.address) {
            Ok(stream) => return crate::harness::Client::new(stream),
            Err(_) => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_client_in_python_sends_and_receives() {
    let floor = Floor::of_broker(&format!("{{ digest = \"{DIGEST}\" }}"), "");
    let node = floor.broker();
    let (output, report) = run(node, move |_| {
        let (host, port) = floor.address.split_once(':').unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/legacy_client.py");
        let mut program = Command::new("python3");
        program.arg(script).args([host, port, DIGEST]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let expects = "this test needs python3 (3.9 or later) in the path, to run legacy_client.py";
        let mut client = program.spawn().expect(expects);
        let swaps = b"11 0700000000000000e803000000000000\n11 08000000000000000100000000000000\n";
        client.stdin.take().unwrap().write_all(swaps).unwrap();
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    });
    assert_eq!(
        output,
        "12 0700000000000000e803000000000000\n12 08000000000000000100000000000000\n"
    );
    assert_eq!(counter(&report.counters, "errors"), 0);
}

/// Each frame of an unknown type was a line of the log, as fast as a client could send them.
#[test]
fn a3_junk_is_logged_once_for_each_cause() {
    let floor = Floor::of_broker("\"plain\"", "invalid = \"drop\"\nconnections = 1");
    let process = broker_process(&floor, 1024);
    let mut client = connect(&floor);
    let bad = [frame(9, b"unknown"), frame(9, b""), frame(SWAP, b"invalid")].concat();
    for number in 0..1000 {
        client.send(&bad);
        if number % 10 == 0 {
            assert_eq!(connect(&floor).frame(), None, "it is rejected");
        }
    }
    client.send(&words(SWAP, 1, 2));
    assert_eq!(client.words(), Some((ORDER, 1, 2)));
    drop(client);
    let lines = end(process);
    for (cause, more) in [
        ("sends frames of type 9, which has no topic", 1999),
        ("sends an invalid payload of type 11: ", 999),
        ("is rejected: the limit of 1 connections is reached", 99),
    ] {
        let of_cause: Vec<_> = lines.iter().filter(|line| line.contains(cause)).collect();
        let [first, count] = &of_cause[..] else { panic!("{cause}: {lines:#?}") };
        assert!(count.ends_with(&format!("({more} more within a minute)")), "{first}\n{count}");
    }
    assert!(lines.len() < 10, "{lines:#?}");
}

/// One line for each address hid all types but the first, and all digests.
#[test]
fn each_unknown_type_and_each_wrong_digest_is_named_once() {
    let digest = format!("{{ digest = \"{DIGEST}\" }}");
    let floor = Floor::of_broker(&digest, "");
    let process = broker_process(&floor, 1024);
    for other in ["aa", "bb", "aa", "bb"] {
        let mut client = connect(&floor);
        client.send(&[hex("2000"), hex(&other.repeat(32))].concat());
        assert_eq!(client.frame(), None, "it is disconnected");
    }
    let mut client = connect(&floor);
    client.send(&[hex("2000"), hex(DIGEST)].concat());
    for round in 0..2 {
        for type_id in 100..1000 {
            client.send(&frame(type_id, b""));
        }
        client.send(&words(SWAP, round, 2));
        assert_eq!(client.words(), Some((ORDER, round, 2)));
    }
    drop(client);
    let lines = end(process);
    let of = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    // A line, and a count.
    assert_eq!([of(&"aa".repeat(32)), of(&"bb".repeat(32))], [2, 2], "{lines:#?}");
    for type_id in 100..132 {
        assert_eq!(of(&format!("sends frames of type {type_id}, ")), 2, "{lines:#?}");
    }
    // All others share one.
    assert_eq!(of("sends frames of type "), 33 * 2, "{lines:#?}");
}

/// An error of accept ended the endpoint, or made its task spin.
#[test]
fn h5_a_client_gets_in_when_descriptors_run_short() {
    let digest = format!("{{ digest = \"{DIGEST}\" }}");
    let floor = Floor::of_broker(&digest, "connections = 1000\ntimeout = \"1h\"");
    let process = broker_process(&floor, 40);
    let silent: Vec<_> = (0..100).map(|_| connect(&floor)).collect();
    for number in 0..10 {
        let mut client = connect(&floor);
        client.send(&[hex("2000"), hex(DIGEST), words(SWAP, number, 2)].concat());
        assert_eq!(client.words(), Some((ORDER, number, 2)));
    }
    drop(silent);
    let lines = end(process);
    assert!(lines.iter().any(|line| line.contains("cannot accept a connection: ")), "{lines:#?}");
}
