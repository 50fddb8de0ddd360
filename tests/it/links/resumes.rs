//! How a server answers resumes, and a reader without any, as docs/wire-format.md describes it. The
//! peer does not use our code.

use futures_util::io::AsyncReadExt;
use mycelium_core::{FrameView, Limits};
use mycelium_executor::Stream;
use mycelium_transports::counters::Kind;
use mycelium_transports::link::{Exports, Redelivery};
use mycelium_transports::local::{Policy, Publisher};
use tokio::task::JoinHandle;

use crate::links::harness::{
    Number, Place, Side, TestDir, connect_and_say, frame, hello, say, subscribe, until, within,
};

/// The publisher's epoch, the number of messages, and the number of confirmed ones.
const EPOCH: u64 = 7;
const COUNT: u64 = 8;
const CONFIRMED: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Stream { number: u32, first: u64 },
    Gone(u64),
    Message { sequence: u64, again: bool },
    Other(u16),
}

impl Heard {
    /// Returns whether this is the message with this sequence.
    fn is(&self, expected: u64) -> bool {
        matches!(self, Heard::Message { sequence, .. } if *sequence == expected)
    }

    fn of(frame: &FrameView<'_>) -> Heard {
        let (header, payload) = (frame.header(), frame.payload());
        let sequence = header.sequence();
        if header.type_id() != 0 {
            return Heard::Message { sequence, again: frame.is_redelivered() };
        }
        match u16::from_le_bytes([payload[0], payload[1]]) {
            8 => Heard::Stream { number: header.stream(), first: sequence },
            9 => Heard::Gone(u64::from_le_bytes(payload[8..16].try_into().unwrap())),
            kind => Heard::Other(kind),
        }
    }
}

/// A raw connection of the reader `here`.
struct Peer {
    stream: Stream,
    bytes: Vec<u8>,
}

impl Peer {
    /// Subscribes as an observer, which starts at the oldest message.
    async fn late(place: &Place, boot: u64, resumes: &[u64]) -> Peer {
        let mut wish = subscribe::<Number>(1, 64);
        wish[49] = 1;
        Peer::with(place, boot, resumes, wish).await
    }

    async fn with(place: &Place, boot: u64, resumes: &[u64], mut wish: Vec<u8>) -> Peer {
        let count = resumes.len() as u16;
        let mut hello = hello("here", boot, 1);
        // Fields as in the document: `known` before the name, `resumes` before the window.
        hello[54..56].copy_from_slice(&count.to_le_bytes());
        wish[50..52].copy_from_slice(&count.to_le_bytes());
        let mut said = [hello, wish].concat();
        for next in resumes {
            let mut payload = vec![4, 0, 0, 0, 7, 0, 0, 0];
            payload.extend(EPOCH.to_le_bytes());
            payload.extend(next.to_le_bytes());
            said.extend(frame(0, 0, 0, &payload));
        }
        Peer { stream: connect_and_say(place, &said).await, bytes: Vec::new() }
    }

    /// Returns the frames of the server up to the first for which `is_last` holds.
    async fn hear(&mut self, is_last: impl Fn(&Heard) -> bool) -> Vec<Heard> {
        let mut received = Vec::new();
        loop {
            let mut used = 0;
            while let Ok((frame, rest)) = FrameView::parse(&self.bytes[used..], &Limits::default())
            {
                received.push(Heard::of(&frame));
                used = self.bytes.len() - rest.len();
            }
            self.bytes.drain(..used);
            if received.last().is_some_and(&is_last) {
                received.retain(|received| !matches!(received, Heard::Other(1 | 6 | 16)));
                return received;
            }
            let mut more = [0; 4096];
            let count = within("the server continues", self.stream.read(&mut more)).await.unwrap();
            assert!(count > 0, "the server has ended the link: {received:?}");
            self.bytes.extend(&more[..count]);
        }
    }

    /// Confirms the messages of a stream before `confirmed`, and grants more credit.
    async fn confirm(&mut self, stream: u32, confirmed: u64) {
        let mut window = vec![12, 0, 0, 0, 0, 0, 0, 0];
        window.extend(64_u64.to_le_bytes());
        say(&mut self.stream, &frame(0, stream, confirmed, &window)).await;
    }

    async fn all(&mut self) -> Vec<Heard> {
        self.hear(|received| received.is(COUNT - 1)).await
    }
}

/// A server whose reader `here`, boot 1, has received all messages and confirmed some.
struct Scene {
    there: Side,
    dir: TestDir,
    publisher: Publisher<Number>,
    connections: usize,
}

impl Scene {
    async fn new(name: &str) -> (Scene, impl Sized) {
        let (dir, there) = (TestDir::new(name), Side::new("there", 1, 64));
        let exports = there.exports_for("here", Policy::Block);
        let (mut scene, serving) = Scene::serving(dir, there, exports);
        let mut peer = scene.connect(1, &[]).await;
        let received = peer.all().await;
        let Heard::Stream { number, first: 0 } = received[0] else { panic!("{received:?}") };
        peer.confirm(number, CONFIRMED).await;
        let taken = || scene.there.sum(Kind::Edge, "taken");
        until("that is seen", || taken() == CONFIRMED).await;
        scene.lose(peer).await;
        (scene, serving)
    }

    fn serving(dir: TestDir, there: Side, exports: Exports) -> (Scene, JoinHandle<()>) {
        let serving = there.serve(exports, dir.place());
        let mut publisher = there.publisher();
        (0..COUNT).for_each(|value| publisher.try_emit(Number { value }).unwrap());
        (Scene { there, dir, publisher, connections: 0 }, serving)
    }

    /// Subscribes to numbers with these resumes, in the gating mode.
    async fn connect(&mut self, boot: u64, resumes: &[u64]) -> Peer {
        self.connections += 1;
        Peer::with(self.dir.place(), boot, resumes, subscribe::<Number>(0, 64)).await
    }

    async fn lose(&self, peer: Peer) {
        drop(peer);
        let down = || self.there.notices.count("down", "`here`") == self.connections;
        until("that is seen", down).await;
    }
}

/// Checks that the unconfirmed messages arrive on a new stream, with this mark.
fn rest(received: &[Heard], again: bool) {
    assert!(matches!(received[0], Heard::Stream { first: CONFIRMED, .. }), "{received:?}");
    let messages = (CONFIRMED..COUNT).map(|sequence| Heard::Message { sequence, again });
    assert!(received[1..].iter().copied().eq(messages), "{received:?}, again: {again}");
}

#[tokio::test]
async fn a_resume_below_the_confirmed_sequence_has_no_gap() {
    let (mut scene, _kept) = Scene::new("resume-behind").await;
    let mut peer = scene.connect(1, &[2]).await;
    let received = peer.hear(|received| matches!(received, Heard::Stream { .. })).await;
    let [Heard::Stream { number, first: CONFIRMED }] = received[..] else { panic!("{received:?}") };
    peer.confirm(number, CONFIRMED).await;
    let messages = (CONFIRMED..COUNT).map(|sequence| Heard::Message { sequence, again: false });
    assert!(peer.all().await.into_iter().eq(messages));
}

#[tokio::test]
async fn a_stream_without_a_resume_or_with_one_beyond_what_was_sent_restarts() {
    let (mut scene, _kept) = Scene::new("resume-new").await;
    for resumes in [&[][..], &[1000]] {
        let mut peer = scene.connect(1, resumes).await;
        let mut received = peer.all().await;
        if !resumes.is_empty() {
            assert_eq!(received.remove(0), Heard::Gone(EPOCH), "{received:?}");
        }
        rest(&received, false);
        scene.lose(peer).await;
    }
}

#[tokio::test]
async fn an_earlier_boot_is_another_process() {
    let (mut scene, _kept) = Scene::new("resume-boots").await;
    let mut peer = scene.connect(2, &[COUNT]).await;
    let received = peer.all().await;
    assert_eq!(received[0], Heard::Gone(EPOCH), "{received:?}");
    rest(&received[1..], true);
    scene.lose(peer).await;
    // After two deaths the messages arrive one by one.
    let mut peer = scene.connect(1, &[]).await;
    let received = peer.hear(|received| matches!(received, Heard::Message { .. })).await;
    assert_eq!(received[1..], [Heard::Message { sequence: CONFIRMED, again: true }]);
}

impl Scene {
    /// Returns a server that knows no reader, and a publisher that has sent [`COUNT`] messages.
    fn late(name: &str, redelivery: Redelivery) -> (Scene, impl Sized) {
        let (dir, there) = (TestDir::new(name), Side::new("there", 1, 64));
        let mut exports = there.exports(None);
        exports.redeliver("numbers", redelivery);
        Scene::serving(dir, there, exports)
    }

    /// Connects, and returns what the reader gets up to one more message after its stream began.
    async fn read(&mut self, boot: u64, resumes: &[u64]) -> Vec<Heard> {
        self.connections += 1;
        let mut peer = Peer::late(self.dir.place(), boot, resumes).await;
        let value = self.publisher.sent();
        let has_begun = |heard: &Heard| match heard {
            Heard::Stream { .. } => true,
            // The last message so far; it may arrive in the same read as its stream.
            heard => heard.is(value - 1),
        };
        let mut received = peer.hear(has_begun).await;
        if !resumes.is_empty() {
            // A resumed stream has no credit, so no message follows.
            self.lose(peer).await;
            return received;
        }
        self.publisher.try_emit(Number { value }).unwrap();
        received.extend(peer.hear(|heard| heard.is(value)).await);
        self.lose(peer).await;
        received
    }

    /// Reads, and checks that all retained messages arrive with this mark.
    async fn gets_all(&mut self, boot: u64, again: bool) {
        let sent = self.publisher.sent();
        let received = self.read(boot, &[]).await;
        assert!(matches!(received[0], Heard::Stream { first: 0, .. }), "{received:?}");
        let retained = (0..sent).map(|sequence| Heard::Message { sequence, again });
        let new = Heard::Message { sequence: sent, again: false };
        assert!(received[1..].iter().copied().eq(retained.chain([new])), "{received:?}, {again}");
    }

    /// Reads, and checks that no retained message arrives.
    async fn gets_the_next(&mut self, boot: u64, resumes: &[u64]) {
        let sent = self.publisher.sent();
        let received = self.read(boot, resumes).await;
        assert!(matches!(received[0], Heard::Stream { first, .. } if first == sent));
        let new = Heard::Message { sequence: sent, again: false };
        assert!(received[1..].iter().all(|heard| *heard == new), "{received:?}");
    }
}

#[tokio::test]
async fn a_reader_that_is_not_known_may_start_at_the_oldest_message() {
    let (mut late, _serving) = Scene::late("late-first", Redelivery::default());
    late.gets_all(1, false).await;
    // On its next connection, the reader's stream resumes at the publisher's position.
    late.gets_the_next(1, &[3]).await;
    // A stream that the server does not know begins at its start, because no process has had it.
    late.gets_all(1, false).await;
}

#[tokio::test]
async fn another_process_of_the_reader_gets_marked_messages_or_none_at_most_once() {
    let (mut late, _serving) = Scene::late("late-again", Redelivery::default());
    late.gets_all(1, false).await;
    for boot in [2, 2, 1] {
        late.gets_all(boot, true).await;
    }
    let (mut late, _serving) = Scene::late("late-once", Redelivery::AtMostOnce);
    late.gets_all(1, false).await;
    late.gets_the_next(2, &[]).await;
}

/// The reader has not confirmed everything that it had received when its connection was lost, and
/// the server no longer knows the reader's position.
#[tokio::test]
async fn a_reader_that_is_not_known_may_confirm_earlier_messages() {
    let (mut late, _serving) = Scene::late("late-confirms", Redelivery::default());
    late.gets_all(1, false).await;
    let sent = late.publisher.sent();
    let mut peer = Peer::late(late.dir.place(), 1, &[5]).await;
    let received = peer.hear(|heard| matches!(heard, Heard::Stream { .. })).await;
    let Some(&Heard::Stream { number, first }) = received.last() else { panic!("{received:?}") };
    assert_eq!(first, sent);
    for confirmed in [2, 5] {
        peer.confirm(number, confirmed).await;
    }
    late.publisher.try_emit(Number { value: sent }).unwrap();
    let received = peer.hear(|heard| matches!(heard, Heard::Message { .. })).await;
    assert_eq!(received, [Heard::Message { sequence: sent, again: false }]);
}
