//! Of several readers in one process, the slowest decides what is confirmed.

use std::sync::Arc;

use mycelium_transports::local::{Delivery, Policy, Subscription};

use crate::exchange::harness::{Number, Side, TestDir, end, take, until, within};

/// Takes redelivered numbers.
async fn take_again(reader: &mut Subscription<Number>, numbers: std::ops::Range<u64>) {
    for next in numbers {
        let delivery = within(&format!("number {next}"), reader.recv()).await;
        let Some(Delivery::Msg(number)) = delivery else { panic!("{delivery:?}") };
        assert_eq!((number.value, number.redelivered()), (next, true));
    }
}

#[tokio::test]
async fn unfinished_messages_of_the_slowest_reader_are_redelivered_to_all() {
    let dir = TestDir::new("exchange-slowest");
    let (there, here) = Side::pair(64, 64);
    let server = Arc::new(there.server_for("here", Policy::Block));
    let serving = there.serve(server.clone(), &dir.socket());
    let (mut fast, mut slow) = (here.reader(), here.reader());
    let reading = here.read("there", &dir.socket(), Policy::Block);
    let mut publisher = there.publisher();
    (0..20).for_each(|value| publisher.try_emit(Number { value }).unwrap());
    take(&mut fast, 0..20).await;
    fast.done();
    take(&mut slow, 0..7).await;
    slow.done();
    until("what both are done with is confirmed", || server.progress() == 7).await;
    // Longer than a confirmation of the fast reader takes.
    tokio::time::sleep(4 * here.config.confirm).await;
    assert_eq!(server.progress(), 7);
    // It dies.
    reading.abort();
    there.notices.until("down", "`here`").await;

    let next = Side::new("here", 3, 64);
    let (mut fast, mut slow) = (next.reader(), next.reader());
    let reading = next.read("there", &dir.socket(), Policy::Block);
    take_again(&mut fast, 7..20).await;
    take_again(&mut slow, 7..20).await;
    fast.done();
    slow.done();
    until("all is confirmed", || server.progress() == 20).await;
    end(&[&there, &next], [serving, reading]).await;
}
