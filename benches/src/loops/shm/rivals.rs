//! Bytes through memory that two processes share: ringfire's blobs, which are copied out, and
//! slices of iceoryx2, which are read in place.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::{env, fs};

use iceoryx2::config::Config;
use iceoryx2::node::{Node, NodeBuilder};
use iceoryx2::port::{publisher::Publisher, subscriber::Subscriber};
use iceoryx2::prelude::{
    BackpressureStrategy, FileName, Path, SemanticString, SignalHandlingMode, ipc,
};
use ringfire::{BlobConsumer, BlobProducer, BlobProducerBuilder};
use rustix::fs::{MemfdFlags, memfd_create};
use zerocopy::IntoBytes;

use super::duplex::{Duplex, capacity};
use crate::machine::processes::{Talk, number};

const FITS: &str = "the processes can share memory";

/// Blobs in each direction. ringfire overwrites what was not read, so the writer asks for room.
pub(crate) struct Ringfire {
    writer: BlobProducer<()>,
    room: u64,
    reader: BlobConsumer<()>,
}

impl<const W: usize> Duplex<W> for Ringfire {
    const KIND: &'static str = "ringfire";

    fn meet(other: &mut Talk) -> Ringfire {
        let file = memfd_create("blobs of a bench", MemfdFlags::CLOEXEC).expect(FITS);
        let path = |descriptor| format!("/proc/self/fd/{descriptor}");
        let bytes = capacity::<W>() * size_of::<[usize; W]>();
        // A look for room checks the entry of each possible reader.
        let writer = BlobProducerBuilder::new(capacity::<W>() as u64, bytes).max_readers(1);
        let writer = writer.build(path(number(&file))).expect(FITS);
        other.say(number(&file));
        let [theirs] = other.numbers();
        let theirs = other.open(theirs, true);
        let reader = BlobConsumer::attach(path(number(&theirs))).expect(FITS);
        other.say("");
        other.hear();
        Ringfire { writer, room: 0, reader }
    }

    #[inline]
    fn send(&mut self, message: &[usize; W]) -> bool {
        if self.room == 0 {
            self.room = self.writer.headroom();
        }
        let is_sent = self.room > 0 && self.writer.push_payload(message.as_bytes()).is_ok();
        self.room -= u64::from(is_sent);
        is_sent
    }

    #[inline]
    fn receive(&mut self, message: &mut [usize; W]) -> bool {
        matches!(self.reader.recv_payload(message.as_mut_bytes()), Ok(Some(_)))
    }
}

/// Slices in each direction. A sender without room waits within iceoryx2, which yields.
pub(crate) struct Iceoryx {
    publisher: Publisher<ipc::Service, [usize], ()>,
    subscriber: Subscriber<ipc::Service, [usize], ()>,
    _node: Node<ipc::Service>,
    _left: Left,
}

/// Removes, when dropped, the files of iceoryx2 with this prefix: the other process, which is killed,
/// and a node that ends leave some.
struct Left(String);

impl Left {
    fn directory(&self) -> PathBuf {
        env::temp_dir().join(&self.0)
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.directory());
        for file in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with(&self.0) {
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

impl<const W: usize> Duplex<W> for Iceoryx {
    const KIND: &'static str = "iceoryx2";

    fn meet(other: &mut Talk) -> Iceoryx {
        // Both processes use the prefix of the one that was first.
        let own = std::process::id();
        other.say(own);
        let [theirs] = other.numbers();
        let first = own.min(u32::try_from(theirs).expect("a process"));
        let left = Left(format!("mycelium-benches-{first}-{W}-"));
        let mut config = Config::default();
        let text = "a name of a file";
        config.global.prefix = FileName::new(left.0.as_bytes()).expect(text);
        let directory = left.directory();
        config.global.set_root_path(&Path::new(directory.as_os_str().as_bytes()).expect(text));
        let node = NodeBuilder::new().config(&config);
        let node = node.signal_handling_mode(SignalHandlingMode::Disabled);
        let node = node.create::<ipc::Service>().expect(FITS);
        let service = |name: &str| {
            let name = name.try_into().expect("a name");
            let service = node.service_builder(&name).publish_subscribe::<[usize]>();
            let service = service.enable_safe_overflow(false);
            service.subscriber_max_buffer_size(capacity::<W>()).open_or_create().expect(FITS)
        };
        let name = format!("mycelium-benches/{}/{W}", std::process::id());
        let publisher = service(&name)
            .publisher_builder()
            .initial_max_slice_len(W)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()
            .expect(FITS);
        other.say(name);
        let theirs = other.hear().expect("the other process runs");
        let subscriber = service(&theirs).subscriber_builder().create().expect(FITS);
        other.say("");
        other.hear();
        Iceoryx { publisher, subscriber, _node: node, _left: left }
    }

    #[inline]
    fn send(&mut self, message: &[usize; W]) -> bool {
        let Ok(slice) = self.publisher.loan_slice_uninit(W) else { return false };
        slice.write_from_slice(message).send().is_ok()
    }

    #[inline]
    fn receive(&mut self, message: &mut [usize; W]) -> bool {
        let Ok(Some(slice)) = self.subscriber.receive() else { return false };
        // Only what the loop looks at is copied.
        (message[0], message[W - 1]) = (slice[0], slice[W - 1]);
        true
    }
}
