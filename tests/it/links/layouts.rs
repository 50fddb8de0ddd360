//! Topics whose messages have another layout at the other side.

use std::time::Duration;

use futures_util::io::AsyncWriteExt;
use mycelium_core::descriptor::Digest;
use mycelium_core::{Message, message};
use mycelium_executor::{Executor, Listener, Stream};
use mycelium_transports::endpoint::unix::BoundSocket;
use mycelium_transports::local::{Delivery, GapReason, Policy};
use tokio::task::JoinHandle;

use crate::links::harness::{
    Carrier, Number, Side, TestDir, Wide, ask, connect_and_say, end, frame, hello, next_frame,
    over_each_carrier, say, served, sides_over, subscribe, until, within,
};

/// Messages of one layout, of which two programs allow different lengths.
#[message(topic = "numbers", id = 1, max = "1 MiB")]
struct Long {
    text: String,
}

#[message(topic = "numbers", id = 1)]
struct Short {
    text: String,
}

over_each_carrier! {
    #[tokio::test]
    messages_that_are_too_long_for_one_side_are_a_gap_there;
    both_sides_report_a_mismatch_and_the_reader_names_the_field;
}

/// Returns the next control frame of this kind.
async fn next_of(stream: &mut Stream, kind: u8) -> Vec<u8> {
    loop {
        let (_, payload) = next_frame(stream).await.expect("a frame");
        if payload[..2] == [kind, 0] {
            return payload;
        }
    }
}

async fn messages_that_are_too_long_for_one_side_are_a_gap_there(carrier: Carrier) {
    let (dir, mut there, mut here) = sides_over(carrier, "layouts-max", 64);
    there.carry::<Long>(64);
    here.carry::<Short>(64);
    let serving = there.serve(there.exports_for("here", Policy::Block), dir.place());
    let mut texts = here.numbers.subscribe::<Short>("reader", Policy::Block).unwrap();
    let mut publisher = there.numbers.publisher::<Long>("publisher", 7).unwrap();
    let reading = here.read("there", dir.place(), Policy::Block);
    here.notices.until("up", "").await;
    within("the reader counts", there.control.ready()).await;
    // In one frame, in fragments, and longer than the window of the reader.
    let lengths = [3, 65_528, 65_529, 100_000, 7, 150_000, 600_000, 8];
    for length in lengths {
        within("room", publisher.emit(Long { text: "t".repeat(length) })).await.unwrap();
    }
    let mut found = Vec::new();
    while found.len() < lengths.len() {
        match within("a message or a gap", texts.recv()).await.unwrap() {
            Delivery::Msg(short) => found.push(Some(short.text.len())),
            Delivery::Gap(gap) => {
                assert_eq!(gap.reason, GapReason::Undecodable);
                found.extend((0..gap.count).map(|_| None));
            }
        }
    }
    let expected = [Some(3), Some(65_528), None, None, Some(7), None, None, Some(8)];
    assert_eq!(found, expected);
    assert_eq!((here.notices.count("down", ""), there.notices.count("down", "")), (0, 0));
    drop(publisher);
    end(&[&there, &here], [serving, reading]).await;
}

async fn both_sides_report_a_mismatch_and_the_reader_names_the_field(carrier: Carrier) {
    let (dir, mut there, here) = sides_over(carrier, "layouts-both", 8);
    there.carry::<Wide>(8);
    let serving = there.serve(there.exports_for("here", Policy::Block), dir.place());
    let reading = here.read("there", dir.place(), Policy::Block);
    let words = format!(
        "8 bytes, digest {} here; 16 bytes, digest {} there; \
         first difference: field `rest` is missing here and u64 there",
        Number::DIGEST,
        Wide::DIGEST
    );
    here.notices.until("layout differs", &words).await;
    let words = format!(
        "node `here` cannot read topic `numbers`, layouts differ: 16 bytes, digest {} here; digest {} there",
        Wide::DIGEST,
        Number::DIGEST
    );
    assert_eq!((there.link("here", "refused"), here.link("there", "refused")), (1, 1));
    within("the reader counts it as found", here.control.ready()).await;
    within("so does the server", there.control.ready()).await;
    end(&[&there, &here], [serving, reading]).await;
    there.notices.until("reader differs", &words).await;
}

/// Returns a reader's side that connects to the returned listener, while the socket is kept.
fn listening(test: &str) -> (TestDir, Side, (BoundSocket, Listener), JoinHandle<()>) {
    let (dir, here) = (TestDir::new(test), Side::new("here", 2, 8));
    let bound = BoundSocket::at(dir.socket()).unwrap();
    let listener = here.executor.unix_listener(bound.socket().unwrap()).unwrap();
    let reading = here.read("there", dir.place(), Policy::Block);
    (dir, here, (bound, listener), reading)
}

/// Returns a reader's side that has connected to the returned stream.
async fn dialed(test: &str) -> (TestDir, Side, Stream, JoinHandle<()>) {
    let (dir, here, (_bound, mut listener), reading) = listening(test);
    let (stream, _) = within("it connects", listener.accept()).await.unwrap();
    (dir, here, stream, reading)
}

/// Plays a server with these features, which rejects a subscription because of this layout.
async fn reject(stream: &mut Stream, features: Option<u32>, digest: Digest) {
    let mut said = hello("there", 1, 1);
    if let Some(bits) = features {
        said.extend(frame(0, 0, 0, &[&[16, 0, 0, 0], &bits.to_le_bytes()[..]].concat()));
    }
    say(stream, &said).await;
    let subscribed = next_of(stream, 3).await;
    let reject = [&[7, 0, 2, 0], &subscribed[4..8], &digest.0].concat();
    say(stream, &frame(0, 0, 0, &reject)).await;
}

/// Plays a server with these features, which rejects the layout and answers a request for it with
/// these frames. Returns the reader's side.
async fn answers(test: &str, features: Option<u32>, answers: &[Vec<u8>]) -> Side {
    let (_dir, here, mut stream, reading) = dialed(test).await;
    reject(&mut stream, features, Digest([9; 16])).await;
    for answer in answers {
        // The client sends no request after the last answer.
        let asked = tokio::select! {
            asked = next_of(&mut stream, 17) => asked,
            () = here.notices.until("layout differs", "") => break,
        };
        assert_eq!(asked[8..17], *b"\x07\x00numbers");
        _ = stream.write_all(answer).await;
    }
    here.notices.until("layout differs", "").await;
    end(&[&here], [reading]).await;
    here
}

fn piece(length: u16, offset: u32, total: u32, bytes: &[u8]) -> Vec<u8> {
    let mut payload = [&[18, 0], &length.to_le_bytes()[..]].concat();
    payload.extend([offset.to_le_bytes(), total.to_le_bytes()].concat());
    payload.extend(bytes);
    payload.resize(96, 0);
    frame(0, 0, 0, &payload)
}

#[tokio::test]
async fn a_peer_without_descriptions_is_not_asked_and_still_fails_the_reader() {
    for features in [None, Some(0), Some(!1)] {
        let here = answers("layouts-mute", features, &[]).await;
        let words = format!("digest {} here; digest {} there", Number::DIGEST, "09".repeat(16));
        let notices =
            ["first difference", &words].map(|it| here.notices.count("layout differs", it));
        assert_eq!(notices, [0, 1], "{features:?}");
    }
}

#[tokio::test]
async fn no_answer_of_a_peer_hides_a_mismatch() {
    // The canonical form of `Number`, except for the type of its field.
    let mut u32_form = [0; 55];
    assert_eq!(Number::DESCRIPTOR.canonical(0, &mut u32_form), (55, 55));
    u32_form[54] = 0x03;
    let cases = [
        ("nothing", vec![piece(0, 0, 0, &[])]),
        ("too much", vec![piece(84, 0, u32::MAX, &[0x50; 84])]),
        // If they were joined in this order, these two pieces would give `value` another type.
        ("elsewhere", vec![piece(55, 1, 56, &u32_form), piece(1, 55, 56, &[0])]),
        ("never whole", vec![piece(84, 0, 168, &[0x50; 84]), piece(0, 84, 168, &[])]),
        ("nonsense", vec![piece(4, 0, 4, &[0xff; 4])]),
        ("a lie", vec![piece(85, 0, 100, &[0; 84])]),
        ("goodbye", vec![frame(0, 0, 0, &[&[2, 0, 1, 0][..], &[0; 68]].concat())]),
    ];
    for (name, frames) in cases {
        let here = answers("layouts-liar", Some(1), &frames).await;
        let words = ["first difference", "cannot read topic `numbers`"];
        let notices = words.map(|it| here.notices.count("layout differs", it));
        assert_eq!(notices, [0, 1], "{name}");
    }
}

#[tokio::test]
async fn a_reader_describes_no_layout() {
    let (_dir, here, mut stream, reading) = dialed("layouts-reader").await;
    say(&mut stream, &[hello("there", 1, 1), ask("numbers", 0), ask("elsewhere", 7)].concat())
        .await;
    for offset in [0_u32, 7] {
        let piece = next_of(&mut stream, 18).await;
        // A length of 0, and a total of 0.
        assert_eq!(piece[2..12], [&[0; 2], &offset.to_le_bytes()[..], &[0; 4]].concat());
    }
    end(&[&here], [reading]).await;
}

#[tokio::test]
async fn only_permitted_readers_get_a_layout() {
    let dir = TestDir::new("layouts-forbidden");
    let there = Side::new("there", 1, 8);
    let serving = there.serve(there.exports(Some(&["here".to_owned()])), dir.place());
    let cases = [
        ("here", "numbers", 0, 55_u16, 55_u32),
        ("here", "numbers", 50, 5, 55),
        ("here", "numbers", u32::MAX, 0, 55),
        ("here", "elsewhere", 0, 0, 0),
        ("stranger", "numbers", 0, 0, 0),
    ];
    for (index, (node, topic, offset, length, total)) in cases.into_iter().enumerate() {
        let bytes = [hello(node, 3, 1), ask(topic, offset)].concat();
        let mut stream = connect_and_say(dir.place(), &bytes).await;
        let piece = next_of(&mut stream, 18).await;
        let numbers = [&length.to_le_bytes()[..], &offset.to_le_bytes(), &total.to_le_bytes()];
        assert_eq!(piece[2..12], numbers.concat(), "{node} {topic} {offset}");
        drop(stream);
        until("it has gone", || there.notices.count("down", "") == index + 1).await;
    }
    // In a flood of requests, each is answered or replaced by a later one; none is queued.
    let mut stream = connect_and_say(dir.place(), &hello("here", 4, 1)).await;
    say(&mut stream, &ask("numbers", 1).repeat(1000)).await;
    say(&mut stream, &ask("numbers", 54)).await;
    while next_of(&mut stream, 18).await[4..8] != 54_u32.to_le_bytes() {}
    drop(stream);
    end(&[&there], [serving]).await;
}

/// A server that ends waits for a peer that compares the layouts, but not for long.
#[tokio::test]
async fn a_layout_is_sent_after_the_end_of_the_server_has_begun() {
    let (dir, there, serving) = served(Carrier::Unix, "layouts-late", 8);
    let bytes = [hello("reader", 3, 1), subscribe::<Wide>(1, 8)].concat();
    let mut stream = connect_and_say(dir.place(), &bytes).await;
    assert_eq!(next_of(&mut stream, 7).await[2..4], [2, 0]);
    there.control.drain();
    tokio::time::sleep(Duration::from_millis(50)).await;
    say(&mut stream, &ask("numbers", 0)).await;
    assert_eq!(next_of(&mut stream, 18).await[2..4], [55, 0]);
    // The reason of the end is the shutdown.
    assert_eq!(next_of(&mut stream, 2).await[2..4], [1, 0]);
    drop(stream);
    end(&[&there], [serving]).await;
}

/// A connection that ends before the layouts were compared is followed by another one.
#[tokio::test]
async fn a_layout_is_requested_again_on_the_next_connection() {
    let (_dir, here, (_bound, mut listener), reading) = listening("layouts-again");
    let mut form = [0; 84];
    let (length, total) = Wide::DESCRIPTOR.canonical(0, &mut form);
    assert_eq!(length, total);
    for answer in [None, Some(piece(length as u16, 0, total as u32, &form[..length]))] {
        let (mut stream, _) = within("it connects", listener.accept()).await.unwrap();
        reject(&mut stream, Some(1), Wide::DIGEST).await;
        next_of(&mut stream, 17).await;
        assert_eq!(here.notices.count("layout differs", ""), 0);
        if let Some(answer) = answer {
            say(&mut stream, &answer).await;
            here.notices.until("layout differs", "first difference: field `rest`").await;
        }
    }
    end(&[&here], [reading]).await;
}

#[tokio::test]
async fn a_duplicate_subscription_is_rejected() {
    let (dir, there, serving) = served(Carrier::Unix, "layouts-twice", 8);
    // The observing mode is open to every peer.
    let first = subscribe::<Number>(1, 8);
    let mut second = first.clone();
    second[24 + 4] += 1;
    let bytes = [hello("reader", 3, 1), first, second].concat();
    let mut stream = connect_and_say(dir.place(), &bytes).await;
    assert_eq!(next_of(&mut stream, 7).await[2..4], [6, 0]);
    drop(stream);
    end(&[&there], [serving]).await;
}
