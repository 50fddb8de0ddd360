//! What `up`, `down` and `status` say to a launcher, and what it answers: lines of JSON over the
//! control socket.
//!
//! A connection carries one request. Both sides limit the length of lines and the time that they
//! wait for one. Panic contract: no input makes this module panic.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::shared::clock::Clock;

/// The longest line of a request.
pub const LONGEST_REQUEST: usize = 64 << 10;
/// The longest line of an answer: some thousand nodes.
pub const LONGEST_ANSWER: usize = 4 << 20;

/// A request to a launcher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Runs the nodes of the file, which is read again.
    Up(UpRequest),
    /// Ends the bundle.
    Down {
        /// How long each node has to end, in milliseconds.
        timeout: Option<u64>,
    },
    /// How the nodes are.
    Status,
}

/// What a bundle is to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpRequest {
    /// The topology file.
    pub file: PathBuf,
    /// The hosts whose nodes it runs; if there are none, those of this machine.
    pub hosts: Vec<String>,
    /// The command of nodes that have none in the file.
    pub program: Vec<String>,
    /// The directory of the nodes' sockets, if it is not that of the file.
    pub directory: Option<PathBuf>,
    /// How long to wait until all nodes are ready, in milliseconds; `None` does not wait.
    pub wait: Option<u64>,
}

/// An answer of a launcher. `Taken` precedes all others, and `Changes` another one; each other one
/// is the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// The launcher has read the request, and begins with it.
    Taken,
    /// What happens to each node.
    Changes {
        /// In the order of their names.
        nodes: Vec<NodeChange>,
    },
    /// How the nodes are.
    Nodes {
        /// In the order of their names.
        nodes: Vec<NodeStatus>,
        /// Why a node is not up, or the bundle has ended, if that is so.
        problem: Option<String>,
    },
    /// The request failed.
    Failed {
        /// The exit code of the tool.
        code: u8,
        /// Why.
        message: String,
    },
}

/// What happens to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeChange {
    /// Its name.
    pub node: String,
    /// Such as `started` or `restarted: [topic.swaps] changed`.
    pub change: String,
}

impl fmt::Display for NodeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.change)
    }
}

/// How a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// Its state, such as `ready`.
    pub state: String,
    /// Whether it is what `up` waits for.
    pub is_up: bool,
    /// Its process.
    pub pid: Option<u32>,
    /// For how long it has been in this state, in milliseconds.
    pub since: u64,
    /// How often it was started again.
    pub restarts: u64,
    /// How its last process exited.
    pub last_exit: Option<String>,
}

/// One side of a connection.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    /// Bytes that were read, beyond the last line.
    rest: Vec<u8>,
}

impl Channel {
    /// Over a connection.
    pub fn new(stream: UnixStream) -> Channel {
        Channel { stream, rest: Vec::new() }
    }

    /// Writes a value as a line.
    ///
    /// # Errors
    /// If the other side does not take it within `limit`.
    pub fn write(&mut self, value: &impl Serialize, limit: Duration) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        let (clock, mut rest) = (Clock::default(), &line[..]);
        while !rest.is_empty() {
            self.stream.set_write_timeout(Some(left(clock, limit)?))?;
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads a line of at most `longest` bytes, or `None` at the end of the connection. Without
    /// a limit it waits as long as the other side lives.
    ///
    /// # Errors
    /// If it does not come within `limit`, is too long, or is not what is expected.
    pub fn read<T: DeserializeOwned>(
        &mut self,
        longest: usize,
        limit: Option<Duration>,
    ) -> io::Result<Option<T>> {
        let clock = Clock::default();
        let invalid = |problem| Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        let mut searched = 0;
        loop {
            if let Some(end) = self.rest[searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=searched + end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            searched = self.rest.len();
            if searched > longest {
                return invalid("the line is too long");
            }
            let limit = limit.map(|limit| left(clock, limit)).transpose()?;
            self.stream.set_read_timeout(limit)?;
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) if self.rest.is_empty() => return Ok(None),
                Ok(0) => return invalid("the connection ended within a line"),
                Ok(read) => self.rest.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The rest of a time limit. A socket takes no time limit of zero.
fn left(clock: Clock, limit: Duration) -> io::Result<Duration> {
    let left = limit.saturating_sub(clock.now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
