//! Messages of the largest size in tests, on a small stack: see `node/large.rs`.

use std::thread;

use mycelium::testing::{ServiceTest, TestActor};
use mycelium::{Context, Delivery, Result, actor, service};

use crate::node::large::{Answers, Ask, Large, Reply, STACK};

struct Echoes;

#[service(reads(Large as input), emits(Large as output))]
impl Echoes {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut larges = ctx.subscribe_on(Self::input)?;
        while let Some(delivery) = larges.recv().await {
            if let Delivery::Msg(large) = delivery {
                ctx.on(Self::output).emit(Large::new(large.bytes[65_534].into())).await?;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Keeps {
    last: u8,
}

#[actor]
impl Keeps {
    /// A mailbox holds values, so a large message is boxed.
    #[tell]
    fn keep(&mut self, large: Box<Large>) {
        self.last = large.bytes[65_534];
    }

    #[remote]
    fn last(&mut self, _: Ask) -> Reply {
        Reply { bytes: [self.last; 65_512] }
    }
}

fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(STACK).spawn(test).unwrap().join().unwrap();
}

#[test]
fn service_test_sends_and_receives() {
    on_a_small_stack(|| {
        let mut test = ServiceTest::new(|| Echoes);
        for value in 0..20 {
            test.send_to("input", Large::new(value));
            assert_eq!(test.expect_from::<Large>("output").bytes[65_534], value as u8);
        }
        test.finish().unwrap();
    });
}

#[test]
fn service_test_requests() {
    on_a_small_stack(|| {
        let mut test = ServiceTest::new(|| Answers);
        let reply = test.request(Ask { bytes: [7; 65_512] });
        assert!(matches!(reply, Some(Ok(reply)) if reply.bytes[65_511] == 7));
        test.finish().unwrap();
    });
}

#[test]
fn test_actor_tells_and_asks() {
    on_a_small_stack(|| {
        let mut actor = TestActor::new(Keeps::default);
        actor.tell(Box::new(Large::new(7)));
        let reply = actor.ask(Ask { bytes: [0; 65_512] });
        assert!(matches!(reply, Ok(reply) if reply.bytes[65_511] == 7));
        actor.stop();
    });
}
