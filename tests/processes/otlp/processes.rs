//! One trace over three processes and three carriers: shared memory, a Unix socket and TCP.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio, exit};

use mycelium::{Carrier, Topology};
use mycelium_tokio::Tokio;

use super::collector::Collector;
use super::services::{TRACES, pipeline};
use super::trees::{check, found};

/// Which node this process is, if a test runs it as one.
const NODE: &str = "MYCELIUM_TEST_NODE";
const TOPOLOGY: &str = "MYCELIUM_TEST_TOPOLOGY";

/// Each link has another carrier: `ticks` go through memory, `sums` through a Unix socket, and
/// `records` over TCP.
fn topology(collector: &str, port: u16) -> String {
    format!(
        r#"
[telemetry]
traces = "{collector}"
[node.one]
services = ["Feed", "Audit"]
[node.two]
services = ["Work"]
[node.three]
services = ["Store"]
address = "127.0.0.1:{port}"
[link.default]
retry = "1ms"
max_retry = "20ms"
[link."one-two"]
transport = "shm"
[link."two-three"]
transport = "unix"
[link."one-three"]
transport = "tcp"
"#
    )
}

/// Not a test: passes at once unless this process is a node.
#[test]
fn enter() {
    let Ok(name) = std::env::var(NODE) else { return };
    let file = PathBuf::from(std::env::var_os(TOPOLOGY).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let topology = Topology::load(&file).unwrap();
        let topology = topology.in_directory(file.with_file_name("sockets"));
        let node = pipeline(&name, TRACES).topology(topology).build().unwrap();
        let running = node.start(Tokio::current().unwrap()).unwrap();
        let mut links: Vec<_> = running.start_report().links.iter().map(|link| link.used).collect();
        links.sort_by_key(|carrier| format!("{carrier:?}"));
        let expected = match &*name {
            "one" => [Carrier::SharedMemory, Carrier::Tcp],
            "two" => [Carrier::SharedMemory, Carrier::UnixSocket],
            _ => [Carrier::Tcp, Carrier::UnixSocket],
        };
        assert_eq!(links, expected);
        running.join().await.unwrap();
    });
    exit(0)
}

/// A node as a process, which is killed if the test fails.
struct Process(Child);

impl Process {
    fn start(node: &str, file: &Path) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "otlp::processes::enter", "--nocapture", "--test-threads=1"]);
        command.env(NODE, node).env(TOPOLOGY, file).stdout(Stdio::null());
        Process(command.spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_trace_goes_through_three_processes_by_memory_a_unix_socket_and_tcp() {
    let collector = Collector::new([]);
    let directory = std::env::temp_dir().join(format!("mycelium-otlp-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("app.toml");
    // Free, as far as anyone knows.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::write(&file, topology(&collector.url(), port)).unwrap();
    let mut nodes = ["three", "one", "two"].map(|node| Process::start(node, &file));
    let mut requests = Vec::new();
    while found(&requests).len() < 4 * TRACES {
        requests.push(collector.request());
    }
    for process in &mut nodes {
        assert!(process.0.wait().unwrap().success());
    }
    requests.extend(collector.rest());
    let pids = nodes.each_ref().map(|process| process.0.id().to_string());
    let [three, one, two] = &pids;
    let expected = [
        ("Feed", "one", one),
        ("Work", "two", two),
        ("Store", "three", three),
        ("Audit", "one", one),
    ];
    let expected = expected
        .map(|(service, node, process)| (service.to_owned(), node.to_owned(), process.clone()));
    assert_eq!(check(&found(&requests)), expected);
    std::fs::remove_dir_all(&directory).unwrap();
}
