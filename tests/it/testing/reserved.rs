//! Reservations of services: deadlines, a shutdown, and reservations that are never sent.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use mycelium::emit::Refusal;
use mycelium::testing::ServiceTest;
use mycelium::{Context, Delivery, Result, message, service};

use crate::running::main_with;

const SECOND: Duration = Duration::from_secs(1);

#[message(topic = "images", max = "64 KiB")]
#[derive(Debug, PartialEq)]
struct Image {
    number: u64,
    pixels: Vec<u8>,
}

fn image(number: u64) -> Image {
    Image { number, pixels: Vec::new() }
}

/// Holds two places at a time, which fill the ring, and one across a shutdown.
struct Camera(Sender<(u64, Duration, &'static str)>);

#[service(emits(Image))]
impl Camera {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..2 {
            let mut image = ctx.reserve(image(number), 100).await?;
            assert!(image.is_in_place());
            image.bytes_mut().fill(number as u8);
            image.send()?;
        }
        let (start, refused) = (ctx.now(), ctx.reserve(image(2), 100).within(2 * SECOND).await);
        let error = refused.expect_err("the ring is full");
        assert!(matches!(error.refusal, Refusal::Deadline { .. }), "{error}");
        assert_eq!(error.message, image(2), "the message comes back");
        self.0.send((2, ctx.now() - start, "late"))?;
        // Waits for the viewer. What is not sent blocks nobody.
        for number in 3..5 {
            ctx.reserve(image(number), 100).await?.bytes_mut().fill(9);
        }
        self.0.send((4, ctx.now() - start, "not sent"))?;
        // Held across a shutdown: the room is still there.
        let shutdown = ctx.shutdown_requested();
        let mut last = ctx.reserve(image(5), 100).await?;
        last.bytes_mut().fill(5);
        shutdown.await;
        last.truncate(50);
        last.send()?;
        let refused = ctx.reserve(image(6), 100).await.expect_err("the node shuts down");
        assert_eq!(refused.refusal, Refusal::ShuttingDown);
        Err(refused.into())
    }
}

/// Reads nothing in its first ten seconds.
struct Viewer(Sender<(u64, Vec<u8>)>);

#[service(reads(Image))]
impl Viewer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut images = ctx.subscribe::<Image>()?;
        let _ = ctx.sleep(10 * SECOND).await;
        while let Some(delivery) = images.recv_view().await {
            let Delivery::Msg(image) = delivery else { panic!("a gap") };
            self.0.send((image.number(), image.pixels().to_vec()))?;
        }
        Ok(())
    }
}

#[test]
fn a_reservation_waits_and_ends_as_an_emit_does() {
    let ((sender, got), (shown, seen)) = (channel(), channel());
    let node = main_with("[topic.images]\ncapacity = 2");
    let node = node.service(move || Camera(sender.clone())).service(move || Viewer(shown.clone()));
    let mut test = ServiceTest::of(node);
    test.advance(2 * SECOND);
    assert_eq!(got.try_iter().collect::<Vec<_>>(), [(2, 2 * SECOND, "late")]);
    assert!(seen.try_recv().is_err(), "the viewer sleeps");
    test.advance(8 * SECOND);
    assert_eq!(got.try_iter().collect::<Vec<_>>(), [(4, 10 * SECOND, "not sent")]);
    test.finish().unwrap();
    let images: Vec<_> = seen.try_iter().collect();
    assert_eq!(images, [(0, vec![0; 100]), (1, vec![1; 100]), (5, vec![5; 50])]);
}
