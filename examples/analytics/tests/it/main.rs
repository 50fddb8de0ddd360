//! The pipeline as a whole: its results, its losses, its page and its errors.

mod browser;
mod kills;
mod page;
mod pipeline;
mod recording;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use analytics::app::Options;
use serde_json::Value;

/// The longest time for each wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port that nobody uses.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The recorded day.
fn day() -> PathBuf {
    file("../bandit/data/usdc-weth-2024-01-05.jsonl.gz")
}

fn options(rate: u64, end: u64) -> Options {
    let directory = PathBuf::new();
    Options { rate, port: free_port(), data: day(), origin: 0, end, directory }
}

/// The program, which is killed when this is dropped.
struct Program(Child);

impl Program {
    fn start(arguments: &[&str], port: u16) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_analytics"));
        command.args(arguments).args(["--port", &port.to_string()]);
        Program(command.stdout(Stdio::null()).spawn().unwrap())
    }

    /// Asks it to end, and waits until it has.
    fn end(mut self) -> bool {
        kill("-TERM", u64::from(self.0.id()));
        self.0.wait().unwrap().success()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn kill(signal: &str, pid: u64) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// The items that the page of a port gets, until its server ends.
fn items(port: u16) -> impl Iterator<Item = Value> {
    let begin = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(error) => {
                let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
                assert!(now < begin + PATIENCE, "no page: {error}");
            }
        }
        std::thread::yield_now();
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Without the chunks of HTTP/1.1.
    stream.write_all(b"GET /events HTTP/1.0\r\n\r\n").unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let data = lines.filter_map(|line| line.strip_prefix("data: {").map(|it| format!("{{{it}")));
    data.map(|text| serde_json::from_str(&text).unwrap())
}
