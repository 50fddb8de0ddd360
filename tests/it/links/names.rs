//! Which names peers may have, and how a peer with a rejected name is answered.

use mycelium_transports::local::Policy;

use crate::links::harness::{
    Carrier, Side, TestDir, emit, end, named, next_frame, over_each_carrier, served, sides, take,
    within,
};

over_each_carrier! {
    #[tokio::test]
    empty_names_and_the_name_of_the_node_are_rejected;
    a_second_process_with_a_name_is_rejected;
}

const UNWELCOME: u16 = 4;
const NAME_TAKEN: u16 = 7;

/// Returns the reason of the rejection of a name.
async fn refusal(dir: &TestDir, node: &str) -> u16 {
    let (mut stream, mut reason) = (named(dir.place(), node).await, 0);
    while let Some((id, payload)) = next_frame(&mut stream).await {
        if id == 0 && payload[..2] == [2, 0] {
            reason = u16::from_le_bytes([payload[2], payload[3]]);
        }
    }
    reason
}

async fn empty_names_and_the_name_of_the_node_are_rejected(carrier: Carrier) {
    let (dir, there, serving) = served(carrier, "names-own", 8);
    assert_eq!(refusal(&dir, "").await, UNWELCOME);
    assert_eq!(refusal(&dir, "there").await, UNWELCOME);
    assert_eq!(there.link("there", "rejected_peers"), 2);
    assert_eq!(there.notices.count("up", ""), 0);
    end(&[&there], [serving]).await;
}

async fn a_second_process_with_a_name_is_rejected(carrier: Carrier) {
    let (dir, there, serving) = served(carrier, "names-taken", 8);
    let _first = named(dir.place(), "left").await;
    there.notices.until("up", "left").await;
    assert_eq!(refusal(&dir, "left").await, NAME_TAKEN);
    let second = Side::new("left", 2, 8);
    let reading = second.read("there", dir.place(), Policy::Block);
    second.notices.until("down", "another process with this name is connected").await;
    end(&[&there, &second], [serving, reading]).await;
}

/// The launcher starts a node, and later the node's next process.
#[tokio::test]
async fn a_name_of_a_process_is_rejected_for_others() {
    let own = std::process::id();
    let (dir, there, here) = sides("names-process", 8);
    let serving = there.serve(there.exports_for("here", Policy::Block), dir.place());
    there.control.bind("here", own + 1);
    assert_eq!(refusal(&dir, "here").await, UNWELCOME);
    there.control.bind("here", own);
    let mut reader = here.reader();
    let reading = here.read("there", dir.place(), Policy::Block);
    within("they have met", here.control.ready()).await;
    let mut publisher = there.publisher();
    emit(&mut publisher, 0..1).await;
    take(&mut reader, 0..1).await;
    // Neither a binding of another name nor the same binding again changes anything.
    there.control.bind("other", 1);
    there.control.bind("here", own);
    emit(&mut publisher, 1..2).await;
    take(&mut reader, 1..2).await;
    assert_eq!(there.notices.count("down", "`here`"), 0);
    // The name is bound to the next process, so this connection has to end.
    there.control.bind("here", own + 1);
    there.notices.until("down", "`here`").await;
    assert_eq!(refusal(&dir, "here").await, UNWELCOME);
    // Messages for this name are still kept for the process that owns it.
    emit(&mut publisher, 2..3).await;
    there.control.bind("here", own);
    take(&mut reader, 2..3).await;
    end(&[&there, &here], [serving, reading]).await;
}
