//! A publisher and a subscriber of iceoryx2 in each direction.
//!
//! A message that finds no room is discarded and sent again, so none is lost and none is
//! overwritten: the same terms as those of the rings. It is written to a loaned sample and copied
//! out of the received one.
//!
//! Every file of a column is in its directory, or in `/dev/shm` with the name of that directory as
//! a prefix. The side that ends last removes them all, because iceoryx2 keeps one for each prefix,
//! and more if a process is killed.

use std::fs;

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{
    BackpressureStrategy, Config, FileName, LogLevel, Node, NodeBuilder, Path, SemanticString, ipc,
    set_log_level,
};

use super::directory::Directory;
use super::duplex::{Duplex, capacity};
use crate::processes::{Parent, Talk, Worker};

const WORKS: &str = "iceoryx2 works on this machine";
const LETTERS: &str = "a short path of letters";

/// An end of both directions.
pub(super) struct Iceoryx<const W: usize> {
    publisher: Publisher<ipc::Service, [usize; W], ()>,
    subscriber: Subscriber<ipc::Service, [usize; W], ()>,
    // In this order: ports, their node, the files of all.
    _node: Node<ipc::Service>,
    _files: Files,
}

impl<const W: usize> Iceoryx<W> {
    /// The side of the run.
    pub(super) fn host(worker: &mut Worker) -> Iceoryx<W> {
        let files = Files(Directory::new());
        worker.say(&files.0.path().display());
        let end = Iceoryx::new(files, ["there", "back"]);
        worker.hear().expect("the other process runs");
        end
    }

    /// The other process.
    pub(super) fn join(parent: &mut Parent) -> Iceoryx<W> {
        let path = parent.hear().expect("the other process runs");
        let end = Iceoryx::new(Files(Directory::of(path.trim_end())), ["back", "there"]);
        parent.say(&"");
        end
    }

    fn new(files: Files, [to, from]: [&str; 2]) -> Iceoryx<W> {
        set_log_level(LogLevel::Fatal);
        let node = NodeBuilder::new().config(&files.config()).create().expect(WORKS);
        let service = |name: &str| {
            node.service_builder(&name.try_into().expect("a name"))
                .publish_subscribe::<[usize; W]>()
                .enable_safe_overflow(false)
                .subscriber_max_buffer_size(capacity::<W>())
                .max_publishers(1)
                .max_subscribers(1)
                .open_or_create()
                .expect(WORKS)
        };
        let (to, from) = (service(to), service(from));
        let publisher =
            to.publisher_builder().backpressure_strategy(BackpressureStrategy::DiscardData);
        Iceoryx {
            publisher: publisher.create().expect(WORKS),
            subscriber: from.subscriber_builder().create().expect(WORKS),
            _node: node,
            _files: files,
        }
    }
}

impl<const W: usize> Duplex<W> for Iceoryx<W> {
    #[inline]
    fn send(&mut self, message: &[usize; W]) -> bool {
        let Ok(sample) = self.publisher.loan_uninit() else { return false };
        // The number of subscribers that have it.
        matches!(sample.write_payload(*message).send(), Ok(1))
    }

    #[inline]
    fn receive(&mut self, message: &mut [usize; W]) -> bool {
        let Some(sample) = self.subscriber.receive().expect(WORKS) else { return false };
        message.copy_from_slice(sample.payload());
        true
    }
}

/// The files of a column, which are removed when this is dropped.
struct Files(Directory);

impl Files {
    fn prefix(&self) -> String {
        let name = self.0.path().file_name().expect("a directory with a name");
        format!("{}-", name.to_str().expect(LETTERS))
    }

    fn config(&self) -> Config {
        let path = self.0.path().to_str().expect(LETTERS);
        let mut config = Config::default();
        config.global.set_root_path(&Path::new(path.as_bytes()).expect(LETTERS));
        config.global.prefix = FileName::new(self.prefix().as_bytes()).expect(LETTERS);
        config
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let prefix = self.prefix();
        for file in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with(&prefix) {
                // It fails if the other side has removed it.
                let _ = fs::remove_file(file.path());
            }
        }
    }
}
