//! A reader that shuts down, may restart, and whose last confirmations were lost.

use mycelium_transports::exchange::Redelivery;
use mycelium_transports::local::{Delivery, GapReason, Policy};

use crate::exchange::harness::{Number, Side, TestDir, Wire, end, take, until, within};

/// The connection is lost while it confirms, and it closes the next one before its stream resumes.
async fn leaves_unheard(name: &str, redelivery: Redelivery) -> Option<Delivery<Number>> {
    let dir = TestDir::new(name);
    let (there, here) = Side::pair(64, 64);
    let mut server = there.server_for("here", Policy::Block);
    server.redeliver("numbers", redelivery);
    let serving = there.serve(server, &dir.socket());
    let mut publisher = there.publisher();
    (0..3).for_each(|value| publisher.try_emit(Number { value }).unwrap());
    let mut reader = here.reader();
    let wire = Wire::new();
    // Its hello and its subscriptions; not its confirmations.
    wire.limit_up(Some(2));
    let reading = here.read_over(&wire, &dir.socket(), Policy::Block);
    take(&mut reader, 0..3).await;
    reader.done();
    wire.until_held("it confirms").await;
    wire.cut().await;
    wire.limit_down(Some(0));
    until("it is there again", || there.notices.count("up", "`here`") == 2).await;
    here.control.shut_down();
    drop(reader);
    here.control.drain();
    within("it has left", reading).await.unwrap();
    until("that is seen", || there.notices.count("down", "`here`") == 2).await;

    let next = Side::new("here", 3, 64);
    let mut reader = next.reader();
    let reading = next.read("there", &dir.socket(), Policy::Block);
    let delivery = within("something", reader.recv()).await;
    end(&[&there, &next], [serving, reading]).await;
    delivery
}

#[tokio::test]
async fn possibly_delivered_messages_are_marked() {
    let redelivery = Redelivery::AtLeastOnce { deaths: 3 };
    let delivery = leaves_unheard("away-marked", redelivery).await;
    let Some(Delivery::Msg(number)) = delivery else { panic!("{delivery:?}") };
    assert_eq!((number.value, number.redelivered()), (0, true));
}

#[tokio::test]
async fn possibly_delivered_messages_are_not_repeated_at_most_once() {
    let delivery = leaves_unheard("away-once", Redelivery::AtMostOnce).await;
    let Some(Delivery::Gap(gap)) = delivery else { panic!("{delivery:?}") };
    assert_eq!((gap.count, gap.exact, gap.reason), (3, true, GapReason::Disconnected));
}

/// No reader gets messages that arrive between the end of the last subscription and the end of the
/// link: they stay unconfirmed.
#[tokio::test]
async fn messages_after_the_last_unsubscribe_go_to_the_next_process() {
    let dir = TestDir::new("away-after");
    let (there, here) = Side::pair(64, 64);
    let serving = there.serve(there.server_for("here", Policy::Block), &dir.socket());
    let mut publisher = there.publisher();
    (0..3).for_each(|value| publisher.try_emit(Number { value }).unwrap());
    let mut reader = here.reader();
    let reading = here.read("there", &dir.socket(), Policy::Block);
    take(&mut reader, 0..3).await;
    reader.done();
    here.control.shut_down();
    drop(reader);
    (3..6).for_each(|value| publisher.try_emit(Number { value }).unwrap());
    publisher.flush();
    until("they arrive", || here.link("there", "received") == 6).await;
    // Longer than a confirmation takes.
    tokio::time::sleep(4 * here.config.confirm).await;
    here.control.drain();
    within("it has left", reading).await.unwrap();

    let next = Side::new("here", 3, 64);
    let mut reader = next.reader();
    let reading = next.read("there", &dir.socket(), Policy::Block);
    take(&mut reader, 3..6).await;
    end(&[&there, &next], [serving, reading]).await;
}
