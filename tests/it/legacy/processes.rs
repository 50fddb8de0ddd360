//! A listener in a separate process, with few descriptors, whose log is read. The process is this
//! test binary in another role.

use std::env;
use std::io::{ErrorKind, Read, Write, stdin};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mycelium_tokio::Tokio;

use crate::legacy::harness::{
    Client, DIGEST, Floor, ORDER, SWAP, counter, frame, hello, hex, run, run_broker, until, words,
};
use crate::links::harness::limit_descriptors;
use crate::running::Says;
use crate::support::{Directory, Process, in_role, retried, until_said};

/// The variable with the topology of the child process.
const TOPOLOGY: &str = "MYCELIUM_TEST_TOPOLOGY";
/// The variable with the number of descriptors that the child may have.
const DESCRIPTORS: &str = "MYCELIUM_TEST_DESCRIPTORS";

/// The variable with the address to which silent clients connect, and their number.
const ADDRESS: &str = "MYCELIUM_TEST_ADDRESS";
const SILENT: usize = 200;

fn broker_process(floor: &Floor, descriptors: u64) -> Child {
    let mut program = in_role("legacy::processes::the_process_of_a_broker");
    program.env(TOPOLOGY, &floor.text).env(DESCRIPTORS, descriptors.to_string());
    program.stdin(Stdio::piped());
    program.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Returns a process that holds silent connections, all of which it has made.
fn silent_clients(address: &str) -> Process {
    let mut program = in_role("legacy::processes::the_process_of_silent_clients");
    program.env(ADDRESS, address).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process(program.spawn().unwrap());
    until_said(&mut process.0, "all are connected");
    process
}

#[test]
#[ignore = "not a test: the program that the tests start"]
#[expect(clippy::print_stdout, reason = "the test waits for the line")]
fn the_process_of_silent_clients() {
    let address = env::var(ADDRESS).unwrap();
    let connect = || match address.starts_with('/') {
        true => OwnedFd::from(UnixStream::connect(&address).unwrap()),
        false => OwnedFd::from(TcpStream::connect(&address).unwrap()),
    };
    let _silent: Vec<_> = (0..SILENT).map(|_| connect()).collect();
    println!("all are connected");
    // Waits until the test closes the input.
    stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
#[ignore = "not a test: the program that the tests start"]
fn the_process_of_a_broker() {
    let descriptors = env::var(DESCRIPTORS).unwrap().parse().unwrap();
    limit_descriptors(Some(descriptors));
    let node = Floor { address: String::new(), text: env::var(TOPOLOGY).unwrap() }.broker();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    // Waits until the test closes the input.
    stdin().read_to_end(&mut Vec::new()).unwrap();
    running.shutdown();
    runtime.block_on(running.join()).unwrap();
}

/// Ends the process, and returns the lines that its listener has logged.
fn end(mut process: Child) -> Vec<String> {
    drop(process.stdin.take());
    let output = process.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    text.lines().filter(|line| line.contains("legacy listener")).map(str::to_owned).collect()
}

/// Connects, and retries until the listener of the other process listens.
fn connect(floor: &Floor) -> Client {
    Client::new(retried(|| TcpStream::connect(&floor.address)))
}

/// Sends a swap, and waits for its order. The client also gets the orders for other clients.
fn answered(client: &mut Client, number: u64) {
    client.send(&words(SWAP, number, 2));
    while client.words().expect("it is served") != (ORDER, number, 2) {}
}

#[test]
fn a_client_in_python_sends_and_receives() {
    let (output, report) = run_broker(Floor::of_digest(""), move |floor, _| {
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
    output.says("12 0700000000000000e803000000000000\n12 08000000000000000100000000000000\n");
    assert_eq!(counter(&report.counters, "errors"), 0);
}

/// In the original system, each frame of an unknown type wrote a log line, at the speed of a
/// client.
#[test]
fn a3_junk_is_logged_once_for_each_cause() {
    let floor = Floor::plain("invalid = \"drop\"\nconnections = 1");
    let process = broker_process(&floor, 1024);
    let mut client = connect(&floor);
    // After its first frame, a client cannot be evicted.
    client.send(&words(SWAP, 0, 2));
    assert_eq!(client.words(), Some((ORDER, 0, 2)));
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

/// With one line per address, all types but the first were hidden, and all digests.
#[test]
fn each_unknown_type_and_each_wrong_digest_is_named_once() {
    let floor = Floor::of_digest("");
    let process = broker_process(&floor, 1024);
    for other in ["aa", "bb", "aa", "bb"] {
        let mut client = connect(&floor);
        client.send(&[hex("2000"), hex(&other.repeat(32))].concat());
        assert_eq!(client.frame(), None, "it is disconnected");
    }
    let mut client = connect(&floor);
    client.send(&hello());
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
    // The first line, and a line with the count of the repetitions.
    assert_eq!([of(&"aa".repeat(32)), of(&"bb".repeat(32))], [2, 2], "{lines:#?}");
    for type_id in 100..132 {
        assert_eq!(of(&format!("sends frames of type {type_id}, ")), 2, "{lines:#?}");
    }
    // All further types share one line and one count.
    assert_eq!(of("sends frames of type "), 33 * 2, "{lines:#?}");
}

/// Silent connections once took all 64 places, and every other client was rejected.
#[test]
fn strangers_silent_legacy_clients_keep_nobody_out() {
    let floor = Floor::plain("");
    let process = broker_process(&floor, 1024);
    let mut clients = vec![connect(&floor)];
    answered(&mut clients[0], 0);
    let mut silent = vec![silent_clients(&floor.address)];
    for number in 1..40 {
        let mut client = connect(&floor);
        answered(&mut client, number);
        clients.push(client);
    }
    // Clients that have sent a frame keep their places.
    silent.push(silent_clients(&floor.address));
    // This client is accepted after the silent ones.
    clients.push(connect(&floor));
    for (number, client) in (100..).zip(&mut clients) {
        answered(client, number);
    }
    drop((silent, clients));
    let lines = end(process);
    let evicted = "another client needed its place before it had sent a whole frame";
    let of_cause: Vec<_> = lines.iter().filter(|line| line.contains(evicted)).collect();
    // 441 clients without a place of their own in 64 places: 400 silent ones and 41 others.
    let [_, count] = &of_cause[..] else { panic!("{lines:#?}") };
    assert!(count.ends_with("(376 more within a minute)"), "{count}");
    assert!(lines.len() < 10, "{lines:#?}");
}

/// The system knows the process at the other end of a Unix socket: silent connections of one
/// process are evicted before a client of another process that only receives.
#[test]
fn strangers_silent_legacy_clients_evict_each_other_first() {
    let directory = Directory::new("silent");
    let socket = directory.0.join("floor.sock");
    let mut floor = Floor::plain("connections = 8");
    let listen = format!("listen = \"{}\"", floor.address);
    floor.text = floor.text.replace(&listen, &format!("socket = \"{}\"", socket.display()));
    let node = floor.broker();
    let (_, report) = run(node, move |running| {
        let connect = || {
            let stream = UnixStream::connect(&socket).unwrap();
            stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
            stream
        };
        let mut listening = connect();
        until(running, "connections", 1);
        let silent = silent_clients(socket.to_str().unwrap());
        let mut client = connect();
        client.write_all(&words(SWAP, 1, 2)).unwrap();
        let mut order = [0; 22];
        for receives in [&mut client, &mut listening] {
            receives.read_exact(&mut order).unwrap();
            assert_eq!(order[..], words(ORDER, 1, 2));
        }
        // A silent client was evicted for each connection without a place.
        until(running, "evicted", 2 + SILENT as u64 - 8);
        drop(silent);
    });
    assert_eq!(counter(&report.counters, "evicted"), 2 + SILENT as u64 - 8);
    assert_eq!(counter(&report.counters, "rejected"), 0);
}

/// Silent clients once took all descriptors, and no other client was accepted.
#[test]
fn strangers_silent_legacy_clients_give_up_their_descriptors() {
    let floor = Floor::plain("connections = 1000");
    let process = broker_process(&floor, 40);
    let mut client = connect(&floor);
    answered(&mut client, 0);
    let mut silent = Vec::new();
    let mut number = 0;
    let mut add = |silent: &mut Vec<Client>| {
        silent.push(connect(&floor));
        // An order shows that the newest client is served.
        let newest = silent.last_mut().unwrap();
        newest.0.set_nonblocking(true).unwrap();
        for _ in 0..10_000 {
            number += 1;
            answered(&mut client, number);
            match newest.0.read(&mut [0; 22]) {
                Ok(count) => return assert_eq!(count, 22, "the newest one was evicted"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        panic!("client {} is not accepted", silent.len());
    };
    let ended = |silent: &mut Vec<Client>| {
        let mut bytes = [0; 4096];
        let mut is_over = |client: &mut Client| loop {
            match client.0.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        };
        silent.iter_mut().map(|client| usize::from(is_over(client))).sum::<usize>()
    };
    (0..100).for_each(|_| add(&mut silent));
    let before = ended(&mut silent);
    assert!(before > 0, "40 descriptors are not enough for all");
    (0..10).for_each(|_| add(&mut silent));
    // Each new client evicts one, and without a new client none is evicted.
    assert_eq!(ended(&mut silent), before + 10);
    drop((silent, client));
    let lines = end(process);
    assert!(lines.len() < 10, "{lines:#?}");
}
