//! A node without free descriptors, in a separate process, which is this test binary in another
//! role. The node can neither accept all connections nor reload its certificates.

use std::env;
use std::io::{Read, stdin};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use crate::certificates::Certificates;
use crate::links::harness::limit_descriptors;
use crate::support::{in_role, retried, until_said};
use crate::tls::pair::{NONE, PORT, Pair, there, two_hosts};

/// The variable with the topology of the child process.
const TOPOLOGY: &str = "MYCELIUM_TEST_TOPOLOGY";
/// How many descriptors the child may open after its start.
const SPARE: u64 = 16;
/// The number of connections that are open at a time, and how many times all of them are made.
const CROWD: usize = 100;
const WAVES: usize = 10;
/// The line that the child prints once its descriptors are limited.
const LIMITED: &str = "limited";

#[expect(clippy::print_stdout, reason = "the test waits for the line")]
#[test]
#[ignore = "not a test: the program that the tests start"]
fn the_process_of_a_node() {
    let (pair, _received) = Pair::new("descriptors", env::var(TOPOLOGY).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let far = pair.start("far", NONE);
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    limit_descriptors(Some(open + SPARE));
    println!("{LIMITED}");
    // Waits until the test closes the input.
    stdin().read_to_end(&mut Vec::new()).unwrap();
    far.shutdown();
    runtime.block_on(far.join()).unwrap();
}

/// Each connection once wrote a log line that the certificates had changed.
#[test]
fn strangers_without_descriptors_the_log_has_few_lines() {
    let certificates = Certificates::of("descriptors", &["far", "near"]);
    let text = two_hosts(&certificates, "");
    let mut program = in_role("tls::descriptors::the_process_of_a_node");
    program.env(TOPOLOGY, &text);
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = program.spawn().unwrap();
    // Connections that are accepted before would raise the limit.
    until_said(&mut process, LIMITED);
    let connect = || retried(|| TcpStream::connect((there(&text), PORT)));
    for _ in 0..WAVES {
        let mut crowd: Vec<_> = (0..CROWD).map(|_| connect()).collect();
        // The second half has waited for the descriptors of the first half.
        for stream in &mut crowd[..CROWD / 2] {
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            assert!(!matches!(stream.read(&mut [0]), Ok(1)), "the node sends nothing");
        }
    }
    drop(process.stdin.take());
    let output = process.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    let of = |words: &str| text.lines().filter(|line| line.contains(words)).count();
    assert_eq!(of("the certificates have changed"), 0, "{text}");
    // One line, and a second one with a count if it happened again.
    assert!((1..=2).contains(&of("the certificates cannot be read again")), "{text}");
    assert!(text.contains(": cannot read it: Too many open files"), "{text}");
    assert!(text.lines().count() < 20, "{text}");
}
