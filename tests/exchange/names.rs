//! Who may call itself what, and what it is told if it may not.

use std::sync::Arc;

use mycelium_executor::Stream;
use mycelium_transports::exchange::TopicServer;
use mycelium_transports::local::Policy;

use crate::harness::{
    Number, Side, TestDir, connect, end, hear, hello, say, subscribe, take, within,
};

const UNWELCOME: u16 = 4;
const NAME_TAKEN: u16 = 7;

/// The reason of the close frame at the end of what a server said.
fn close_reason(heard: &[u8]) -> u16 {
    let mut rest = heard;
    let mut reason = 0;
    while rest.len() >= 24 {
        let length = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        let control = (&rest[2..4] == b"\0\0").then(|| u16::from_le_bytes([rest[24], rest[25]]));
        if control == Some(2) {
            reason = u16::from_le_bytes([rest[26], rest[27]]);
        }
        rest = &rest[length.next_multiple_of(8)..];
    }
    reason
}

/// Says a name, and returns the connection.
async fn calls_itself(dir: &TestDir, node: &str) -> Stream {
    let mut stream = connect(&dir.socket()).await;
    say(&mut stream, &hello(node, 1, 1)).await;
    stream
}

/// Why somebody of a name is not let in.
async fn refusal(dir: &TestDir, node: &str) -> u16 {
    close_reason(&hear(&mut calls_itself(dir, node).await).await)
}

#[tokio::test]
async fn empty_names_and_the_name_of_the_node_are_rejected() {
    let dir = TestDir::new("names-own");
    let there = Side::new("there", 1, 8);
    let serving = there.serve(there.server(None), &dir.socket());
    assert_eq!(refusal(&dir, "").await, UNWELCOME);
    assert_eq!(refusal(&dir, "there").await, UNWELCOME);
    assert_eq!(there.link("there", "rejected_peers"), 2);
    assert_eq!(there.notices.count("up", ""), 0);
    end(&[&there], [serving]).await;
}

#[tokio::test]
async fn a_second_process_with_a_name_is_rejected() {
    let dir = TestDir::new("names-taken");
    let there = Side::new("there", 1, 8);
    let serving = there.serve(there.server(None), &dir.socket());
    let _first = calls_itself(&dir, "left").await;
    there.notices.until("up", "left").await;
    assert_eq!(refusal(&dir, "left").await, NAME_TAKEN);
    let second = Side::new("left", 2, 8);
    let reading = second.read("there", &dir.socket(), Policy::Block);
    second.notices.until("down", "another process with this name is connected").await;
    end(&[&there, &second], [serving, reading]).await;
}

#[tokio::test]
async fn a_name_of_a_user_is_rejected_for_others() {
    let own = rustix::process::geteuid().as_raw();
    for (user, welcome) in [(own, true), (own + 1, false)] {
        let dir = TestDir::new("names-user");
        let there = Side::new("there", 1, 8);
        let mut server = there.server(None);
        server.bind_user("left", user);
        let serving = there.serve(server, &dir.socket());
        // Others are not concerned.
        let _other = calls_itself(&dir, "right").await;
        there.notices.until("up", "right").await;
        if welcome {
            let _left = calls_itself(&dir, "left").await;
            there.notices.until("up", "left").await;
        } else {
            assert_eq!(refusal(&dir, "left").await, UNWELCOME);
        }
        end(&[&there], [serving]).await;
    }
}

/// A launcher starts a node, and later the node's next process.
#[tokio::test]
async fn a_name_of_a_process_is_rejected_for_others() {
    let own = std::process::id();
    let dir = TestDir::new("names-process");
    let (there, here) = Side::pair(8, 8);
    let server: Arc<TopicServer> = Arc::new(there.server_for("here", Policy::Block));
    let serving = there.serve(server, &dir.socket());
    there.control.bind("here", own + 1);
    assert_eq!(refusal(&dir, "here").await, UNWELCOME);
    there.control.bind("here", own);
    let mut reader = here.reader();
    let reading = here.read("there", &dir.socket(), Policy::Block);
    within("they have met", here.control.ready()).await;
    let mut publisher = there.publisher();
    publisher.emit(Number { value: 0 }).await.unwrap();
    take(&mut reader, 0..1).await;
    // What concerns others, or changes nothing, disturbs nobody.
    there.control.bind("other", 1);
    there.control.bind("here", own);
    publisher.emit(Number { value: 1 }).await.unwrap();
    take(&mut reader, 1..2).await;
    assert_eq!(there.notices.count("down", "`here`"), 0);
    // The name goes to the next process: this one has to go.
    there.control.bind("here", own + 1);
    there.notices.until("down", "`here`").await;
    assert_eq!(refusal(&dir, "here").await, UNWELCOME);
    // What was kept for the name is still there for the one that it belongs to.
    publisher.emit(Number { value: 2 }).await.unwrap();
    there.control.bind("here", own);
    take(&mut reader, 2..3).await;
    end(&[&there, &here], [serving, reading]).await;
}

/// What a peer calls itself, and what it asks for, reaches the log without its control characters.
#[tokio::test]
async fn names_are_escaped_where_they_are_shown() {
    let dir = TestDir::new("names-escaped");
    let there = Side::new("there", 1, 8);
    let serving = there.serve(there.server(None), &dir.socket());
    let name = "x\nall is lost";
    let stranger = calls_itself(&dir, name).await;
    there.notices.until("up", "`x\\nall is lost`").await;
    assert_eq!(refusal(&dir, name).await, NAME_TAKEN);
    drop(stranger);
    there.notices.until("down", "`x\\nall is lost`").await;
    assert!(there.notices.all(|words| !words.contains(char::is_control)));
    end(&[&there], [serving]).await;
}

/// A stranger that only watches is served, and holds nobody.
#[tokio::test]
async fn an_unannounced_reader_may_observe() {
    let dir = TestDir::new("names-watch");
    let there = Side::new("there", 1, 8);
    let serving = there.serve(there.server(None), &dir.socket());
    let mut stranger = calls_itself(&dir, "stranger").await;
    say(&mut stranger, &subscribe::<Number>(1, 1)).await;
    there.notices.until("up", "stranger").await;
    let mut publisher = there.publisher();
    for value in 0..1000 {
        within("there is room", publisher.emit(Number { value })).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(there.link("stranger", "refused"), 0);
    assert!(there.link("stranger", "sent") > 0);
    end(&[&there], [serving]).await;
}
