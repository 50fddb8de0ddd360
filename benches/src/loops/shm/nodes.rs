//! Columns of services: two nodes in two processes, over shared memory or a socket, and the same
//! services in one node.

use std::error::Error;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::{env, fs, thread};

use mycelium::execution::{Execution, WaitStrategy};
use mycelium::{Builder, Node, Topology};

use super::services::{Basin, Client, Echo, Flooder, Sink, Source, long, longest, short};
use crate::harness::{Column, Mismatch, Round};
use crate::loops::executor::host::Runtime;
use crate::loops::executor::services::{FITS, Found, Task};
use crate::loops::link::{SocketKind, write_certificates};
use crate::machine::affinity::{Cores, Side};
use crate::machine::processes::{Talk, Worker};
use crate::wait::DEADLINE;

const LATE: &str = "a message was lost, or the other process has ended";
const TOPOLOGY: &str = "bench.toml";

/// The two services of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pair {
    /// Round trips of 48 bytes, beside messages of this number of bytes from the first service's
    /// node; 0 for none.
    Trip(usize),
    /// 56 bytes one way.
    Flow,
    /// A list of this number of bytes one way.
    Bytes(usize),
    /// The same, written in place.
    InPlace(usize),
}

impl Pair {
    /// The names of the services, and the topic that the first one reads.
    fn names(self) -> [&'static str; 3] {
        match self {
            Pair::Trip(_) => ["Client", "Echo", "pongs"],
            Pair::Flow => ["Source", "Sink", "tallies"],
            Pair::Bytes(_) => ["Filler", "Drain", "tallies"],
            Pair::InPlace(_) => ["Writer", "Drain", "tallies"],
        }
    }

    /// Returns the topology of one node, or of two nodes with this between them.
    fn topology(self, between: Option<Between>) -> String {
        let [here, there, answers] = self.names();
        // This subscription may lose messages, so that the two services cannot block each other.
        // None is lost, because only one is in transit.
        let policy = format!("[subscription.\"{here}.{answers}\"]\npolicy = \"drop-oldest\"\n");
        let Some(between) = between else { return policy };
        let tcp = !matches!(between, Between::Memory | Between::Socket(SocketKind::Unix));
        let [at_here, at_there] = [("here", 2), ("there", 3)].map(|(host, last)| {
            let address = format!("127.0.0.{last}");
            let port = || TcpListener::bind((address.as_str(), 0))?.local_addr();
            let text = |port| format!("host = \"{host}\"\nport = {port}\n");
            if tcp { text(port().expect("a free port").port()) } else { String::new() }
        });
        let more = match between {
            Between::Memory => "transport = \"shm\"\n".to_owned(),
            Between::Socket(_) => {
                let kind = if tcp { "" } else { "transport = \"unix\"\n" };
                let fast = "preset = \"high-throughput\"\n";
                match self {
                    Pair::Trip(_) => kind.to_owned(),
                    Pair::Flow => format!("{kind}{fast}[topic.samples]\ncapacity = 16384\n"),
                    Pair::Bytes(_) | Pair::InPlace(_) => format!("{kind}{fast}"),
                }
            }
        };
        let arena = match self {
            // As much as the rivals have.
            Pair::Bytes(size) | Pair::InPlace(size) if size > 64 << 10 => {
                format!("[topic.blobs]\narena = {}\n", 4 * size)
            }
            _ => String::new(),
        };
        let [and_here, and_there] = match self {
            Pair::Trip(1..) => [", \"Flooder\"", ", \"Basin\""],
            _ => ["", ""],
        };
        let mut text = format!(
            "[node.here]\n{at_here}services = [\"{here}\"{and_here}]\nmemory = \"1 GiB\"\n\
             [node.there]\n{at_there}services = [\"{there}\"{and_there}]\nmemory = \"1 GiB\"\n\
             {arena}{policy}[link.default]\nretry = \"1ms\"\nmax_retry = \"5ms\"\n{more}"
        );
        if tcp {
            text += "[host.here]\naddress = \"127.0.0.2\"\n[host.there]\naddress = \"127.0.0.3\"\n";
        }
        if between == Between::Socket(SocketKind::Tls) {
            text += "[tls]\ncertificate = \"{node}.pem\"\nkey = \"{node}.key\"\nauthorities = \"ca.pem\"\n";
        }
        text
    }

    fn add(self, builder: Builder, task: &Arc<Task>) -> Builder {
        let task = task.clone();
        match self {
            Pair::Trip(0) => builder.service(move || Client(task.clone())).service(|| Echo),
            Pair::Trip(size) => {
                let other = task.clone();
                let builder = builder.service(move || Client(task.clone())).service(|| Echo);
                let builder = builder.service(move || Flooder(other.clone(), size));
                // On threads of their own: only the link is shared.
                let own = || Execution::dedicated();
                builder.service(|| Basin).execution("Flooder", own()).execution("Basin", own())
            }
            Pair::Flow => builder.service(move || Source(task.clone())).service(|| Sink),
            Pair::Bytes(size) | Pair::InPlace(size) => {
                macro_rules! add {
                    ($module:ident) => {{
                        let builder = builder.service(|| $module::Drain);
                        match self {
                            Pair::InPlace(_) => {
                                builder.service(move || $module::Writer(task.clone(), size))
                            }
                            _ => builder.service(move || $module::Filler(task.clone(), size)),
                        }
                    }};
                }
                match size >> 10 {
                    ..=64 => add!(short),
                    65..=1024 => add!(long),
                    _ => add!(longest),
                }
            }
        }
    }

    /// Returns the line that names the pair to the other process.
    fn line(self) -> String {
        let size = match self {
            Pair::Trip(size) | Pair::Bytes(size) | Pair::InPlace(size) => size,
            Pair::Flow => 0,
        };
        format!("{} {size}", self.names()[0])
    }

    /// Returns the pair with this line.
    fn of(line: &str) -> Pair {
        let (name, size) = line.split_once(' ').expect("a name and a size");
        let size = size.parse().expect("a size");
        let mut pairs =
            [Pair::Trip(size), Pair::Flow, Pair::Bytes(size), Pair::InPlace(size)].into_iter();
        pairs.find(|pair| pair.names()[0] == name).expect("a name of a service")
    }

    fn round(self, name: &'static str, task: &Task) -> Result<Round, Mismatch> {
        let Found { took, times, right, .. } = task.found();
        match self {
            _ if !right => Err(Mismatch::new(name, "a message was lost or changed")),
            Pair::Trip(_) => Ok(Round::Each(times)),
            Pair::Flow | Pair::Bytes(_) | Pair::InPlace(_) => Ok(Round::Total(took)),
        }
    }
}

/// The connection between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Between {
    Memory,
    /// A link with the settings for high throughput.
    Socket(SocketKind),
}

/// Where the services run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// As tasks of an executor.
    On(Runtime),
    /// On a pinned thread with a loop of its own.
    Thread,
    /// As `Thread`, but it never sleeps.
    Spinning,
}

impl Place {
    /// Returns the place with this name in jobs.
    pub(super) fn of(name: &str) -> Place {
        let on = [Runtime::Tokio, Runtime::Smol, Runtime::Glommio].map(Place::On);
        let mut all = on.into_iter().chain([Place::Thread, Place::Spinning]);
        all.find(|place| format!("{place:?}") == name).expect("a place")
    }

    fn execution(self, cores: &Cores, side: Side) -> Execution {
        let own = match (self, cores.of(side)) {
            (Place::Thread | Place::Spinning, Some(core)) => Execution::pinned([core]),
            (Place::Thread | Place::Spinning, None) => Execution::dedicated(),
            _ => Execution::shared(),
        };
        let spins = self == Place::Spinning;
        own.wait(if spins { WaitStrategy::Spin } else { WaitStrategy::Park })
    }

    fn run(self, name: &'static str, builder: Builder) -> Result<(), Mismatch> {
        self.runtime().run_node(name, builder.build().expect(FITS))
    }

    /// The executor of the process.
    pub(super) fn runtime(self) -> Runtime {
        if let Place::On(runtime) = self { runtime } else { Runtime::Tokio }
    }
}

/// Removes, when dropped, the directory of one column with all its content. No other column or run
/// uses its name.
struct Directory(PathBuf);

impl Directory {
    /// Creates the directory, with the files of two nodes.
    fn new(pair: Pair, between: Between) -> Result<Directory, Box<dyn Error>> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("mycelium-benches-{}-{number}", process::id()));
        fs::create_dir(&path)?;
        fs::write(path.join(TOPOLOGY), pair.topology(Some(between)))?;
        if between == Between::Socket(SocketKind::Tls) {
            write_certificates(&path, ["here", "there"])?;
        }
        Ok(Directory(path))
    }

    fn topology(&self) -> Topology {
        let topology = Topology::load(self.0.join(TOPOLOGY)).expect(FITS);
        topology.in_directory(self.0.join("sockets"))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A column of two nodes in two processes, which run a node each in each round.
pub(crate) fn two_processes(
    name: &'static str,
    pair: Pair,
    between: Between,
    place: Place,
    cores: &Cores,
) -> Column {
    // Declared in this order, so that the directory is removed after the worker has ended.
    let (mut made, cores): (Option<(Worker, Talk, Directory)>, _) = (None, cores.clone());
    Column::new(name, move |operations| {
        let (_, other, directory) = made.get_or_insert_with(|| {
            let directory = Directory::new(pair, between).expect("a directory for two nodes");
            let job = format!("services {place:?} {}", directory.0.display());
            let (worker, mut other) = Worker::talking(&cores, &job);
            other.hear();
            (worker, other, directory)
        });
        let task = Task::of(operations);
        let builder = Node::builder("here").topology(directory.topology());
        let execution = place.execution(&cores, Side::Writer);
        let builder = pair.add(builder, &task).execution(pair.names()[0], execution);
        other.say(pair.line());
        let _watch = watch(name, &directory.0);
        place.run(name, builder)?;
        other.hear().ok_or_else(|| Mismatch::new(name, "the other process failed"))?;
        pair.round(name, &task)
    })
}

/// A column of one node, whose services never sleep.
pub(crate) fn in_one_process(name: &'static str, pair: Pair, cores: &Cores) -> Column {
    let cores = cores.clone();
    let topology = Topology::parse(TOPOLOGY, &pair.topology(None)).expect(FITS);
    Column::new(name, move |operations| {
        let task = Task::of(operations);
        let mut builder = pair.add(Node::builder("bench").topology(topology.clone()), &task);
        for (service, side) in pair.names().into_iter().zip([Side::Writer, Side::Reader]) {
            builder = builder.execution(service, Place::Spinning.execution(&cores, side));
        }
        Place::Spinning.run(name, builder)?;
        pair.round(name, &task)
    })
}

/// Runs the other process: a node for each line, which names the services.
pub(super) fn serve(place: &str, directory: &str, cores: &Cores) {
    let (place, directory) = (Place::of(place), Directory(directory.into()));
    let mut parent = Talk::parent();
    parent.say("");
    while let Some(line) = parent.hear() {
        let pair = Pair::of(&line);
        let builder = Node::builder("there").topology(directory.topology());
        let execution = place.execution(cores, Side::Reader);
        let builder = pair.add(builder, &Arc::default()).execution(pair.names()[1], execution);
        let _watch = watch("the other process", &directory.0);
        place.run("the other process", builder).unwrap_or_else(|error| panic!("{error}"));
        parent.say("");
    }
}

/// Ends this process if its round is not over at the deadline: the node of a process whose peer was
/// killed waits for the next one. The round is over when the returned value is dropped.
fn watch(name: &'static str, directory: &Path) -> Sender<()> {
    let (round, over) = mpsc::channel();
    let directory = directory.to_owned();
    thread::spawn(move || {
        if over.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
            // If a file cannot be removed or written, the exit code still tells the failure.
            let _ = fs::remove_dir_all(directory);
            let _ = writeln!(io::stderr(), "error: {}", Mismatch::new(name, LATE));
            process::exit(1);
        }
    });
    round
}
