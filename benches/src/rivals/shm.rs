//! Bytes through memory that two processes share: ringfire's blobs, which are copied out.

use ringfire::{BlobConsumer, BlobProducer, BlobProducerBuilder};
use rustix::fs::{MemfdFlags, memfd_create};
use zerocopy::IntoBytes;

use crate::loops::shm::duplex::{Duplex, capacity};
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
