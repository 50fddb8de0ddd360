//! A process that writes the frames of `docs/wire-format.md` by hand, with the content that a test
//! wants.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;

use mycelium_core::{Digest, Message};

use crate::frames::{frame, hello, name};
use crate::roles::source::Swap;
use crate::world::World;

/// The number of the only stream.
pub(crate) const STREAM: u32 = 7;
/// The most bytes in one piece of a catalogue or layout.
const PIECE: usize = 84;

/// Plays one connection, which stays open afterwards, except after an error.
pub(crate) trait Play: Fn(&mut Liar) -> io::Result<()> + Send + Sync + 'static {}

impl<P: Fn(&mut Liar) -> io::Result<()> + Send + Sync + 'static> Play for P {}

/// Closes the connection at the end of a play.
pub(crate) fn leave() -> io::Result<()> {
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// One connection of the lying node.
pub(crate) struct Liar {
    stream: UnixStream,
    /// The number of this connection, from 0.
    pub(crate) number: usize,
}

/// Runs a node `liar` in the directory of the test, which plays this on each connection.
pub(crate) fn lies(world: &World, play: impl Play) {
    let listener = UnixListener::bind(world.runtime().join("liar.sock")).unwrap();
    let play = Arc::new(play);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let (play, mut liar) = (play.clone(), Liar { stream, number });
            // Errors only mean that the tool or the node has left.
            thread::spawn(move || {
                if play(&mut liar).is_ok() {
                    _ = liar.stream.read_to_end(&mut Vec::new());
                }
            });
        }
    });
}

/// Returns these arguments of `tap`, with those that lead to the lying node.
pub(crate) fn args<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &["--directory", "run", "--node", "liar"]].concat()
}

/// Returns the canonical form of a swap's layout.
pub(crate) fn swap_form() -> Vec<u8> {
    let (_, total) = Swap::DESCRIPTOR.canonical(0, &mut []);
    let mut form = vec![0; total];
    _ = Swap::DESCRIPTOR.canonical(0, &mut form);
    form
}

/// Returns the form of a struct with one field, of type `kind`.
pub(crate) fn byte_form(kind: u8) -> Vec<u8> {
    let numbers = [1_u64, 1, 1, 0, 1, 4].map(u64::to_le_bytes).concat();
    [&[0x50][..], &numbers, b"open", &[kind]].concat()
}

/// Returns a catalogue with `swaps`, whose layout has this digest.
pub(crate) fn catalogue(type_id: u16, digest: Digest) -> Vec<u8> {
    catalogue_of(&["swaps"], type_id, digest)
}

/// Returns a catalogue with these topics.
pub(crate) fn catalogue_of(topics: &[&str], type_id: u16, digest: Digest) -> Vec<u8> {
    let mut bytes = (topics.len() as u64).to_le_bytes().to_vec();
    for topic in topics {
        bytes.extend(type_id.to_le_bytes());
        bytes.extend((topic.len() as u16).to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(digest.0);
        bytes.extend(topic.as_bytes());
    }
    bytes
}

impl Liar {
    pub(crate) fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Returns the payload of the next control frame of this kind.
    fn until(&mut self, kind: u16) -> io::Result<Vec<u8>> {
        loop {
            let mut header = [0; 24];
            self.stream.read_exact(&mut header)?;
            let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
            let mut payload = vec![0; length.next_multiple_of(8) - 24];
            self.stream.read_exact(&mut payload)?;
            if header[2..4] == [0, 0] && payload[..2] == kind.to_le_bytes() {
                return Ok(payload);
            }
        }
    }

    /// Sends a hello with this name, and features with which it answers describe.
    pub(crate) fn hello_as(&mut self, node: &str) -> io::Result<()> {
        self.say(&hello(node, 9, 1))?;
        self.say(&frame(0, 0, 0, &[16, 0, 0, 0, 1, 0, 0, 0]))
    }

    /// Sends a hello, and answers the first describe with a piece that claims to be of `total`
    /// bytes.
    pub(crate) fn first_piece(&mut self, total: u32, bytes: &[u8]) -> io::Result<()> {
        self.hello()?;
        let offset = self.asked()?;
        self.piece(offset, total, bytes)
    }

    pub(crate) fn hello(&mut self) -> io::Result<()> {
        self.until(1)?;
        self.hello_as("liar")
    }

    /// Waits for the next describe, and returns its offset.
    pub(crate) fn asked(&mut self) -> io::Result<u32> {
        let payload = self.until(17)?;
        Ok(u32::from_le_bytes([payload[4], payload[5], payload[6], payload[7]]))
    }

    /// Sends a piece that claims to be at `offset` of `total` bytes.
    pub(crate) fn piece(&mut self, offset: u32, total: u32, bytes: &[u8]) -> io::Result<()> {
        let mut payload = vec![18, 0];
        payload.extend((bytes.len() as u16).to_le_bytes());
        payload.extend(offset.to_le_bytes());
        payload.extend(total.to_le_bytes());
        payload.extend(bytes);
        payload.resize(12 + PIECE, 0);
        self.say(&frame(0, 0, 0, &payload))
    }

    /// Answers describes until all of these bytes are sent.
    pub(crate) fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        loop {
            let offset = self.asked()?;
            let rest = &bytes[offset as usize..];
            self.piece(offset, bytes.len() as u32, &rest[..rest.len().min(PIECE)])?;
            if rest.len() <= PIECE {
                return Ok(());
            }
        }
    }

    /// Sends a hello and a catalogue with `swaps`, whose layout has this form.
    pub(crate) fn listed(&mut self, form: &[u8]) -> io::Result<()> {
        self.hello()?;
        self.answer(&catalogue(1, Digest::of_canonical(form)))
    }

    /// Lists the topic, and answers with its layout.
    pub(crate) fn laid_out(&mut self, form: &[u8]) -> io::Result<()> {
        self.listed(form)?;
        self.answer(form)
    }

    /// Plays a node until it gets a subscription, and returns its number.
    pub(crate) fn subscribed(&mut self, form: &[u8]) -> io::Result<u32> {
        self.laid_out(form)?;
        self.subscription()
    }

    /// Returns the number of the next subscription.
    pub(crate) fn subscription(&mut self) -> io::Result<u32> {
        let payload = self.until(3)?;
        Ok(u32::from_le_bytes([payload[4], payload[5], payload[6], payload[7]]))
    }

    /// Plays a node until it gets a subscription, on any connection. The tool uses one connection
    /// for the catalogue and the next ones to read. On later ones it knows the topic.
    pub(crate) fn subscribed_again(&mut self, form: &[u8]) -> io::Result<u32> {
        if self.number <= 1 {
            return self.subscribed(form);
        }
        self.hello()?;
        self.subscription()
    }

    pub(crate) fn reject(&mut self, subscription: u32, reason: u16) -> io::Result<()> {
        let head = [&[7, 0][..], &reason.to_le_bytes(), &subscription.to_le_bytes()].concat();
        self.say(&frame(0, 0, 0, &[&head[..], &[0; 16]].concat()))
    }

    /// Accepts a subscription, and begins a stream of this publisher.
    pub(crate) fn begin(&mut self, subscription: u32, publisher: &str) -> io::Result<()> {
        self.accept(subscription)?;
        self.stream(subscription, STREAM, (publisher, 3))
    }

    pub(crate) fn accept(&mut self, subscription: u32) -> io::Result<()> {
        self.say(&frame(0, 0, 0, &[&[6, 0, 0, 0][..], &subscription.to_le_bytes()].concat()))
    }

    /// Begins a stream with this number, of a publisher with this epoch.
    pub(crate) fn stream(
        &mut self,
        subscription: u32,
        number: u32,
        (publisher, epoch): (&str, u64),
    ) -> io::Result<()> {
        let subscription = subscription.to_le_bytes();
        let head = [&[8, 0, 0, 0][..], &subscription, &epoch.to_le_bytes(), &[0; 8]].concat();
        self.say(&frame(0, number, 0, &[&head[..], &name(publisher)].concat()))
    }

    /// Closes the link with this reason and text.
    pub(crate) fn close(&mut self, reason: u16, detail: u32, words: &str) -> io::Result<()> {
        let head = [&[2, 0][..], &reason.to_le_bytes(), &detail.to_le_bytes()].concat();
        self.say(&frame(0, 0, 0, &[&head[..], &name(words)].concat()))
    }

    /// Begins a stream as a real node does.
    pub(crate) fn began(&mut self, form: &[u8]) -> io::Result<()> {
        let subscription = self.subscribed(form)?;
        self.begin(subscription, "Source")
    }

    pub(crate) fn message(&mut self, sequence: u64, bytes: &[u8]) -> io::Result<()> {
        self.message_of(STREAM, sequence, bytes)
    }

    pub(crate) fn message_of(&mut self, stream: u32, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.say(&frame(1, stream, at, bytes))
    }
}

/// Returns the report that messages of a stream before the one at `next` are missing.
pub(crate) fn gap(stream: u32, next: u64, missed: u64) -> Vec<u8> {
    let payload = [&[10, 0, 1, 0, 0, 0, 0, 0][..], &missed.to_le_bytes()].concat();
    frame(0, stream, next, &payload)
}
