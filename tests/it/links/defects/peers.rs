//! The rights of peers, and how a server answers them.

use mycelium_executor::Stream;
use mycelium_transports::local::{Policy, TryRecv};

use crate::links::harness::{
    Carrier, Number, Side, TestDir, Tick, connect_and_say, end, frame, hello, join, next_frame,
    over_each_carrier, ping, say, served, sides_over, subscribe, take, until,
};

over_each_carrier! {
    #[tokio::test]
    a1_only_named_readers_read_and_no_peer_injects;
    a2_a_claimed_length_takes_no_memory;
    a3_junk_is_reported_once_per_connection;
    a5_a_peer_gets_only_topics_it_subscribed_to;
    e5_a_rejected_peer_is_told_why;
    h6_a_peer_that_never_reads_does_not_hold_up_the_end;
}

/// Returns type and payload of each frame, until the connection ends or `most` have arrived.
async fn frames(stream: &mut Stream, most: usize) -> Vec<(u16, Vec<u8>)> {
    let mut frames = Vec::new();
    while frames.len() < most
        && let Some((id, payload)) = next_frame(stream).await
    {
        // The features, which follow each hello, do not matter here.
        if id != 0 || payload[..2] != [16, 0] {
            frames.push((id, payload));
        }
    }
    frames
}

/// In the earlier system, any process could read and inject all messages.
async fn a1_only_named_readers_read_and_no_peer_injects(carrier: Carrier) {
    // Another node of the same user gets the topics that name it, and those without a list of
    // readers.
    let dir = TestDir::over(carrier, "a1-nodes");
    let there = Side::new("there", 1, 8);
    let mut numbers = there.numbers.subscribe::<Number>("local", Policy::Block).unwrap();
    let serving = there.serve(there.exports(Some(&["friend".to_owned()])), dir.place());
    let here = Side::new("stranger", 2, 8);
    let reading = here.read("there", dir.place(), Policy::Block);
    here.notices.until("refused", &mycelium_core::link::RejectReason::Forbidden.to_string()).await;
    // Other peers may not even observe the topic, and do not learn its layout.
    for (peer, bits) in [("observer", 0), ("guesser", 0xff)] {
        let mut observe = subscribe::<Number>(1, 8);
        observe[24 + 8] ^= bits;
        let bytes = [hello(peer, 1, 1), observe].concat();
        let mut stream = connect_and_say(dir.place(), &bytes).await;
        let (_, answer) = frames(&mut stream, 2).await.pop().unwrap();
        let forbidden = [&[7, 0, 3, 0, 7, 0, 0, 0][..], &[0; 16]].concat();
        assert_eq!(answer[..24], forbidden);
    }
    // A message without a subscription ends the link.
    let message = frame(1, 3, 0, &7_u64.to_le_bytes());
    let bytes = [hello("intruder", 1, 1), message].concat();
    let _stream = connect_and_say(dir.place(), &bytes).await;
    there.notices.until("down", "`intruder`").await;
    assert_eq!(numbers.try_recv(), TryRecv::Empty);
    end(&[&there, &here], [serving, reading]).await;
}

/// In the earlier system, each connection allocated the length that a header claimed.
async fn a2_a_claimed_length_takes_no_memory(carrier: Carrier) {
    const PEERS: u64 = 100;
    const CLAIM: u32 = 1 << 30;
    let dir = TestDir::over(carrier, "a2");
    let mut there = Side::new("there", 1, 8);
    there.config.max_frame = CLAIM;
    there.config.per_process = PEERS as usize;
    let serving = there.serve(there.exports(None), dir.place());
    let size = || {
        let said = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = said.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        1024 * line.trim_end_matches("kB").trim().parse::<u64>().unwrap()
    };
    let before = size();
    let mut peers = Vec::new();
    for peer in 0..PEERS {
        let mut giant = frame(2, 0, 0, &[0; 8]);
        giant[4..8].copy_from_slice(&CLAIM.to_le_bytes());
        let bytes = [hello(&format!("peer-{peer}"), 1, 1), ping(), giant].concat();
        let mut stream = connect_and_say(dir.place(), &bytes).await;
        // The server answers the ping, so it has read all bytes before it.
        assert_eq!(frames(&mut stream, 2).await[1].1[0], 14);
        peers.push(stream);
    }
    // Other tests allocate at the same time, but less than this.
    let grown = size().saturating_sub(before);
    assert!(grown < PEERS * u64::from(CLAIM) / 2, "{grown} bytes");
    end(&[&there], [serving]).await;
}

/// In the earlier system, each unknown frame wrote a log line, at the speed of its sender.
async fn a3_junk_is_reported_once_per_connection(carrier: Carrier) {
    let (dir, there, serving) = served(carrier, "a3", 8);
    // Unknown control frames are allowed if they are marked as skippable.
    let unknown = frame(0, 0, 0, &[0xe8, 3, 0, 0, 0, 0, 0, 0]);
    let bytes = [hello("joker", 1, 1), unknown.repeat(10_000), ping()].concat();
    let mut stream = connect_and_say(dir.place(), &bytes).await;
    assert_eq!(frames(&mut stream, 2).await[1].1[0], 14);
    assert_eq!((there.notices.count("up", ""), there.notices.total()), (1, 1));
    // Messages without a subscription are not allowed; all of them cause one notice.
    let message = frame(9, 9, 0, &[0; 8]);
    say(&mut stream, &message.repeat(10_000)).await;
    there.notices.until("down", "`joker`").await;
    assert_eq!(there.notices.total(), 2);
    end(&[&there], [serving]).await;
}

/// In the earlier system, each client got all messages, and a burst of one type displaced others.
async fn a5_a_peer_gets_only_topics_it_subscribed_to(carrier: Carrier) {
    const COUNT: u64 = 1000;
    let (dir, there, here) = sides_over(carrier, "a5", 64);
    let mut ticks = here.ticks.subscribe::<Tick>("reader", Policy::DropOldest).unwrap();
    let (_, mut reader, tasks) = join(&dir, &there, &here).await;
    let mut numbers = there.publisher();
    let mut burst = there.ticks.publisher::<Tick>("burst", 8).unwrap();
    let writing = tokio::spawn(async move {
        for value in 0..COUNT {
            for _ in 0..100 {
                burst.emit(Tick { value, rest: [0; 31] }).await.unwrap();
            }
            numbers.emit(Number { value }).await.unwrap();
        }
        numbers
    });
    take(&mut reader, 0..COUNT).await;
    let _publisher = writing.await.unwrap();
    assert_eq!((there.link("here", "sent"), here.link("there", "received")), (COUNT, COUNT));
    assert_eq!(ticks.try_recv(), TryRecv::Empty);
    end(&[&there, &here], tasks).await;
}

/// In the earlier system, nothing named the protocol, its version, or the reason of a close.
async fn e5_a_rejected_peer_is_told_why(carrier: Carrier) {
    let (dir, there, serving) = served(carrier, "e5", 8);
    let mut another_layout = subscribe::<Number>(0, 8);
    another_layout[24 + 8] ^= 1;
    let mut unknown_topic = subscribe::<Number>(0, 8);
    unknown_topic[24 + 34] ^= 1;
    let known = || hello("known", 1, 1);
    // The bytes that are sent; the kind and the reason of the frame after the server's hello.
    let cases = [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), [2, 0, 2, 0]),
        (hello("future", 1, 2), [2, 0, 3, 0]),
        ([known(), another_layout].concat(), [7, 0, 2, 0]),
        ([known(), unknown_topic].concat(), [7, 0, 1, 0]),
        ([known(), known()].concat(), [2, 0, 2, 0]),
    ];
    for (index, (said, expected)) in cases.into_iter().enumerate() {
        let mut stream = connect_and_say(dir.place(), &said).await;
        let heard = frames(&mut stream, 2).await;
        let kinds = heard.iter().map(|(id, payload)| (*id, &payload[..4]));
        // The server's hello has its versions.
        assert!(kinds.eq([(0, &[1, 0, 1, 1][..]), (0, &expected)]), "case {index}: {heard:?}");
        drop(stream);
        until("it has gone", || there.notices.count("down", "") == index + 1).await;
    }
    // The client reports that another node is at this address.
    let here = Side::new("here", 2, 8);
    let reading = here.read("elsewhere", dir.place(), Policy::Block);
    here.notices.until("rejected", "expected node `elsewhere`").await;
    end(&[&there, &here], [serving, reading]).await;
}

/// In the earlier system, a client that never read blocked the shutdown.
async fn h6_a_peer_that_never_reads_does_not_hold_up_the_end(carrier: Carrier) {
    let (dir, there, serving) = served(carrier, "h6", 64);
    let bytes = [hello("deaf", 1, 1), subscribe::<Tick>(1, 1 << 20)].concat();
    let deaf = connect_and_say(dir.place(), &bytes).await;
    there.notices.until("up", "`deaf`").await;
    let mut ticks = there.ticks.publisher::<Tick>("ticker", 7).unwrap();
    // Until the socket is full and the ring has been overwritten.
    let (mut before, mut sent) = (0, 1);
    while sent == 0 || sent > before {
        before = sent;
        for value in 0..5000 {
            ticks.emit(Tick { value, rest: [0; 31] }).await.unwrap();
            tokio::task::yield_now().await;
        }
        sent = there.link("deaf", "sent");
    }
    end(&[&there], [serving]).await;
    drop(deaf);
}
