//! Messages of the largest size, on stacks of 1 MiB: apart from the argument and the returned
//! value, no stack frame of the runtime holds a message. The build is unoptimised, so the compiler
//! gives each value of a function its own place.

use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use mycelium::subscribe::TryRecv;
use mycelium::{Builder, Context, Delivery, Node, Result, Topology, message, service};
use mycelium_tokio::Tokio;

use crate::node::services::Taker;

/// The stack of each thread of these tests.
pub(crate) const STACK: usize = 1 << 20;
/// More messages than the rings of these tests hold.
const COUNT: usize = 20;

#[message(topic = "large", id = 51)]
pub(crate) struct Large {
    pub(crate) bytes: [u8; 65_535],
}

impl Large {
    pub(crate) fn new(number: usize) -> Large {
        Large { bytes: [number as u8; 65_535] }
    }
}

/// Between nodes, requests and replies have 16 more bytes, and are aligned.
#[message(topic = "large-requests", id = 52, reply = Reply)]
pub(crate) struct Ask {
    pub(crate) bytes: [u8; 65_512],
}

#[message(topic = "large-replies", id = 53)]
pub(crate) struct Reply {
    pub(crate) bytes: [u8; 65_512],
}

/// Runs services on threads with small stacks, and returns the messages that they have sent.
fn run(add: impl FnOnce(Builder, Sender<u8>) -> Builder + Send + 'static) -> Vec<u8> {
    let main = thread::Builder::new().stack_size(STACK).spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(1).thread_stack_size(STACK).enable_all();
        runtime.build().unwrap().block_on(async {
            let (sender, received) = channel();
            let node = add(Node::builder("main"), sender).build().unwrap();
            node.start(Tokio::current().unwrap()).unwrap().join().await.unwrap();
            received.iter().collect()
        })
    });
    main.unwrap().join().unwrap()
}

/// Runs two services: one emits all numbers, the other sends them to the test.
fn carries(add: impl FnOnce(Builder, Sender<u8>) -> Builder + Send + 'static) {
    let topology = || Topology::parse("t", "[topic.large]\ncapacity = 8").unwrap();
    let received = run(move |node, sender| add(node.topology(topology()), sender));
    assert!(received.into_iter().eq(0..COUNT as u8));
}

/// Makes a service that sends the last byte of each message to the test.
fn recv(sender: Sender<u8>) -> impl FnMut() -> Taker<Large, u8> + Send {
    let last = |delivery: Delivery<Large>| match delivery {
        Delivery::Msg(large) => Some(large.bytes[65_534]),
        Delivery::Gap(_) => None,
    };
    move || Taker(sender.clone(), last)
}

struct RecvMany(Sender<u8>);

#[service(reads(Large))]
impl RecvMany {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut larges = ctx.subscribe::<Large>()?;
        let mut batch = Vec::new();
        while larges.recv_many(&mut batch, 4).await > 0 {
            for delivery in &batch {
                if let Delivery::Msg(large) = delivery {
                    self.0.send(large.bytes[65_534])?;
                }
            }
            batch.clear();
        }
        Ok(())
    }
}

struct TryRecvs(Sender<u8>);

#[service(reads(Large))]
impl TryRecvs {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut larges = ctx.subscribe::<Large>()?;
        loop {
            match larges.try_recv() {
                TryRecv::Delivery(Delivery::Msg(large)) => self.0.send(large.bytes[65_534])?,
                TryRecv::Delivery(Delivery::Gap(_)) => {}
                TryRecv::Empty => ctx.yield_now().await,
                TryRecv::Closed => return Ok(()),
            }
        }
    }
}

/// Defines a service that emits all numbers in one way.
macro_rules! emits_all {
    ($service:ident($($port:tt)+), |$ctx:ident, $number:ident| $emit:expr) => {
        struct $service;

        #[service(emits($($port)+))]
        impl $service {
            async fn run(&mut self, $ctx: &mut Context<Self>) -> Result<()> {
                for $number in 0..COUNT {
                    $emit;
                }
                Ok(())
            }
        }
    };
}

emits_all!(Emit(Large), |ctx, number| ctx.emit(Large::new(number)).await?);
emits_all!(EmitOn(Large as out), |ctx, number| ctx.on(Self::out).emit(Large::new(number)).await?);
emits_all!(EmitWithin(Large), |ctx, number| {
    ctx.emit(Large::new(number)).within(Duration::from_secs(60)).await?;
});
emits_all!(TryEmit(Large), |ctx, number| {
    while ctx.try_emit(Large::new(number)).is_err() {
        ctx.yield_now().await;
    }
});

struct EmitBatch;

#[service(emits(Large))]
impl EmitBatch {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let larges: Vec<_> = (0..COUNT).map(Large::new).collect();
        ctx.emit_batch(&larges).await?;
        Ok(())
    }
}

struct Publishers;

#[service(emits(Large))]
impl Publishers {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut publisher = ctx.publisher::<Large>()?;
        for number in 0..COUNT {
            publisher.emit(Large::new(number)).await?;
        }
        Ok(())
    }
}

pub(crate) struct Answers;

#[service(answers(Ask))]
impl Answers {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut requests = ctx.requests::<Ask>();
        while let Some(asked) = requests.recv().await {
            asked.reply_with(|ask| Reply { bytes: ask.bytes });
        }
        Ok(())
    }
}

struct Asks(Sender<u8>);

#[service(requests(Ask))]
impl Asks {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..COUNT {
            let reply = ctx.request(Ask { bytes: [number as u8; 65_512] }).await?;
            self.0.send(reply.bytes[65_511])?;
        }
        Ok(())
    }
}

#[test]
fn emit_and_recv() {
    carries(|node, sender| node.service(|| Emit).service(recv(sender)));
    carries(|node, sender| node.service(|| EmitBatch).service(recv(sender)));
    carries(|node, sender| node.service(|| Publishers).service(recv(sender)));
    carries(|node, sender| {
        node.service(|| EmitOn).bind("EmitOn", "out", "large").service(recv(sender))
    });
}

#[test]
fn emit_and_other_ways_to_receive() {
    carries(|node, sender| node.service(|| EmitWithin).service(move || TryRecvs(sender.clone())));
    carries(|node, sender| node.service(|| TryEmit).service(move || RecvMany(sender.clone())));
}

#[test]
fn request_and_reply() {
    let received =
        run(|node, sender| node.service(|| Answers).service(move || Asks(sender.clone())));
    assert!(received.into_iter().eq(0..COUNT as u8));
}
