//! Which names peers may have, and the answer to a peer that may not have its name.

use mycelium_transports::local::Policy;

use crate::exchange::harness::{
    Carrier, Side, TestDir, end, named, next_frame, over_each_carrier, served,
};

over_each_carrier! {
    #[tokio::test]
    empty_names_and_the_name_of_the_node_are_rejected;
    #[tokio::test]
    a_second_process_with_a_name_is_rejected;
}

const UNWELCOME: u16 = 4;
const NAME_TAKEN: u16 = 7;

/// The reason for which a name is rejected.
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
