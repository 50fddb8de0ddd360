//! The messages that `up`, `down` and `status` exchange with a launcher: lines of JSON over the
//! control socket.
//!
//! A connection carries one request. Both sides limit the length of lines and the time to wait for
//! a line. Panic contract: no input makes this module panic.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use mycelium_executor::Clock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest line of a request, in bytes.
pub const LONGEST_REQUEST: usize = 64 << 10;
/// The longest line of an answer, in bytes: enough for some thousand nodes.
pub const LONGEST_ANSWER: usize = 4 << 20;

/// A request to a launcher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Runs the nodes of the file. The launcher reads the file again.
    Up(UpRequest),
    /// Ends the bundle.
    Down {
        /// The time for each node to end, in milliseconds.
        timeout: Option<u64>,
    },
    /// Asks for the state of the nodes.
    Status,
}

/// The nodes that a bundle should run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpRequest {
    /// The topology file.
    pub file: PathBuf,
    /// The hosts whose nodes the bundle runs. If empty, it runs the nodes of this machine.
    pub hosts: Vec<String>,
    /// The command for nodes without a command in the file.
    pub program: Vec<String>,
    /// The directory of the nodes' sockets, if it differs from the file's.
    pub directory: Option<PathBuf>,
    /// How long to wait until all nodes are ready, in milliseconds; `None` means not to wait.
    pub wait: Option<u64>,
}

/// An answer of a launcher. The first answer to a request is `Taken`, `Changes` may follow, and the
/// last one is another variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// The launcher has accepted the request, and begins with it.
    Taken,
    /// The changes of each node.
    Changes {
        /// A line for each node, in the order of their names.
        lines: Vec<String>,
    },
    /// The states of the nodes.
    Nodes {
        /// The nodes, in the order of their names.
        nodes: Vec<NodeStatus>,
        /// Why a node is not up, or why the bundle has ended; otherwise `None`.
        problem: Option<String>,
    },
    /// The request failed.
    Failed {
        /// The exit code of the tool.
        code: u8,
        /// The reason.
        message: String,
    },
}

/// The state of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The name of the node.
    pub node: String,
    /// The state of the node, such as `ready`.
    pub state: String,
    /// Whether the node is up, the state for which `up` waits.
    pub is_up: bool,
    /// The id of the node's process.
    pub pid: Option<u32>,
    /// How long the node has had this state, in milliseconds.
    pub since: u64,
    /// The number of restarts.
    pub restarts: u64,
    /// How the node's last process exited.
    pub last_exit: Option<String>,
}

/// One side of a connection.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    /// Bytes that were read after the end of the last line.
    rest: Vec<u8>,
}

impl Channel {
    /// Creates the side of a connection.
    pub fn new(stream: UnixStream) -> Channel {
        Channel { stream, rest: Vec::new() }
    }

    /// Writes a value as a line.
    ///
    /// # Errors
    /// If the other side does not read the line within `limit`.
    pub fn write(&mut self, value: &impl Serialize, limit: Duration) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        let (clock, mut rest) = (Clock::start(), &line[..]);
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

    /// Reads a line of at most `longest` bytes. Returns `None` at the end of the connection.
    /// Without a limit it waits as long as the connection lasts.
    ///
    /// # Errors
    /// If no line arrives within `limit`, or the line is too long or not a valid `T`.
    pub fn read<T: DeserializeOwned>(
        &mut self,
        longest: usize,
        limit: Option<Duration>,
    ) -> io::Result<Option<T>> {
        let clock = Clock::start();
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

/// Returns the remaining time of a limit, or an error if none is left, because a socket accepts no
/// limit of zero.
fn left(clock: Clock, limit: Duration) -> io::Result<Duration> {
    let left = limit.saturating_sub(clock.now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
