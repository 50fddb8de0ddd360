//! Both ends of a link over real sockets, for tests: where they meet (`place`), servers and clients
//! (`side`), their notices (`notices`), processes of peers (`child`), a connection that can be
//! delayed and cut (`wire`), the bytes of a peer that does not use our code (`raw_peer`), and such
//! a peer over TLS (`tls`).

mod child;
mod notices;
mod place;
mod raw_peer;
mod side;
#[cfg(feature = "tls")]
mod tls;
mod wire;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::{Message, message};
use mycelium_transports::link::Exports;
use mycelium_transports::local::{Delivery, Policy, Publisher, Received, Subscription};
use tokio::task::JoinHandle;

use crate::loopback::host;
use crate::support::Directory;

pub(crate) use crate::frames::{frame, hello};
pub(crate) use child::{child, drip, limit_descriptors, part};
pub(crate) use notices::Notices;
pub(crate) use place::{Carrier, Place, over_each_carrier};
pub(crate) use raw_peer::{
    ask, connect, connect_and_say, hear, named, next_frame, ping, say, subscribe,
};
pub(crate) use side::Side;
pub(crate) use wire::Wire;

/// Longer than any test here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[message(topic = "numbers", id = 1)]
#[derive(Debug, PartialEq)]
pub(crate) struct Number {
    pub(crate) value: u64,
}

/// A message of the topic of numbers with another layout.
#[message(topic = "numbers", id = 1)]
pub(crate) struct Wide {
    pub(crate) rest: u64,
    pub(crate) value: u64,
}

#[message(topic = "ticks", id = 2)]
#[derive(Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: u64,
    pub(crate) rest: [u64; 31],
}

/// A directory for one test, removed on drop, and the place where its server listens.
pub(crate) struct TestDir {
    directory: Directory,
    place: Place,
}

impl TestDir {
    pub(crate) fn new(name: &str) -> TestDir {
        TestDir::over(Carrier::Unix, name)
    }

    pub(crate) fn over(carrier: Carrier, name: &str) -> TestDir {
        let directory = Directory::new(&format!("{carrier:?}-{name}"));
        let path = &directory.0;
        // A previous run of the test may have left the directory.
        _ = std::fs::remove_dir_all(path);
        #[cfg(feature = "tls")]
        if carrier == Carrier::Tls {
            tls::write_files(path);
        }
        let address = match carrier {
            Carrier::Unix => path.join("node.sock").display().to_string(),
            _ => format!("{}:7400", host()),
        };
        let place = Place { carrier, address, directory: path.clone() };
        TestDir { directory, place }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.directory.0
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the path of the Unix socket in this directory.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.0.join("node.sock")
    }
}

/// Returns a directory, a publisher's side `there` and a reader's side `here`, whose rings have
/// this number of slots.
pub(crate) fn sides(name: &str, capacity: usize) -> (TestDir, Side, Side) {
    sides_over(Carrier::Unix, name, capacity)
}

pub(crate) fn sides_over(carrier: Carrier, name: &str, capacity: usize) -> (TestDir, Side, Side) {
    let side = |name, boot| Side::new(name, boot, capacity);
    (TestDir::over(carrier, name), side("there", 1), side("here", 2))
}

/// Returns a directory, and a side `there` that serves every reader.
pub(crate) fn served(
    carrier: Carrier,
    name: &str,
    capacity: usize,
) -> (TestDir, Side, JoinHandle<()>) {
    let (dir, there) = (TestDir::over(carrier, name), Side::new("there", 1, capacity));
    let serving = there.serve(there.exports(None), dir.place());
    (dir, there, serving)
}

/// Serves numbers at one side, reads them at the other, and waits until both are connected.
pub(crate) async fn join(
    dir: &TestDir,
    there: &Side,
    here: &Side,
) -> (Arc<Exports>, Subscription<Number>, [JoinHandle<()>; 2]) {
    let (exports, reader) = (Arc::new(there.exports_for("here", Policy::Block)), here.reader());
    let serving = there.serve(exports.clone(), dir.place());
    let tasks = [serving, here.read("there", dir.place(), Policy::Block)];
    within("both have met", there.control.ready()).await;
    (exports, reader, tasks)
}

/// Waits for the future, and panics if it takes too long.
pub(crate) async fn within<R>(what: &str, future: impl Future<Output = R>) -> R {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// Waits until the condition holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(what, waiting).await;
}

/// Returns the next message. Panics if there is a gap before it.
pub(crate) async fn next<M: Message>(reader: &mut Subscription<M>) -> Received<M> {
    match within("a message", reader.recv()).await {
        Some(Delivery::Msg(message)) => message,
        Some(Delivery::Gap(gap)) => panic!("{gap} instead of a message"),
        None => panic!("the end instead of a message"),
    }
}

/// Takes these numbers in order, and panics at a gap.
pub(crate) async fn take(reader: &mut Subscription<Number>, numbers: Range<u64>) {
    for value in numbers {
        let number = next(reader).await;
        assert_eq!((number.value, number.sequence()), (value, value));
    }
}

/// Emits these numbers, waiting for room.
pub(crate) async fn emit(publisher: &mut Publisher<Number>, numbers: Range<u64>) {
    for value in numbers {
        within("room", publisher.emit(Number { value })).await.unwrap();
    }
}

/// Stops all links of these sides, and waits for their tasks.
pub(crate) async fn end(sides: &[&Side], tasks: impl IntoIterator<Item = JoinHandle<()>>) {
    sides.iter().for_each(|side| side.control.stop());
    for task in tasks {
        within("a link ends", task).await.unwrap();
    }
}
