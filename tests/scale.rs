//! A node with many services, topics and members that come and go: what each of them costs.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use mycelium::{Context, Node, Result, Running, Topology, message, service};
use mycelium_tokio::Tokio;

/// The system's allocator, with the number of bytes in use.
struct Counting;

static BYTES: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is passed unchanged to the system's allocator; counting is an addition.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`; `pointer` came from `System.alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn bytes() -> isize {
    BYTES.load(Ordering::Relaxed)
}

#[message(topic = "ticks", id = 1)]
struct Tick {
    number: u64,
}

/// The services that wait for their first message.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Waits for messages of one topic.
struct Waiting;

#[service(reads(Tick as input))]
impl Waiting {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe_on(Self::input)?;
        WAITING.fetch_add(1, Ordering::Relaxed);
        while ticks.recv().await.is_some() {}
        Ok(())
    }
}

/// Publishes one topic, and waits for the shutdown.
struct Source;

#[service(emits(Tick as output))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.shutdown_requested().await;
        Ok(())
    }
}

/// A node in which `services` wait for the messages of one of `topics` each.
fn many(services: usize, topics: usize) -> Node {
    let topology = Topology::parse("scale.toml", "[node.main]\nmemory = \"1024 MiB\"").unwrap();
    let mut builder = Node::builder("main").topology(topology);
    for topic in 0..topics {
        let name = format!("source-{topic}");
        builder =
            builder.named_service(&name, || Source).bind(&name, "output", &format!("t{topic}"));
    }
    for number in 0..services {
        let (name, topic) = (format!("waiting-{number}"), format!("t{}", number % topics));
        builder = builder.named_service(&name, || Waiting).bind(&name, "input", &topic);
    }
    builder.build().unwrap()
}

/// Starts the node, and returns when all of its services wait.
async fn start(node: Node, services: usize) -> Running {
    WAITING.store(0, Ordering::Relaxed);
    let running = node.start(Tokio::current().unwrap()).unwrap();
    while WAITING.load(Ordering::Relaxed) < services {
        tokio::task::yield_now().await;
    }
    running
}

/// The bytes that a node with this number of services takes, beside its rings.
async fn bytes_of(services: usize) -> isize {
    let before = bytes();
    let node = many(services, 10);
    let rings = node.memory().cast_signed();
    let running = start(node, services).await;
    let took = bytes() - before - rings;
    running.shutdown();
    running.join().await.unwrap();
    took
}

#[tokio::test]
async fn a_waiting_service_is_small() {
    // What the first node of a process allocates stays.
    bytes_of(10).await;
    let (few, many) = (bytes_of(100).await, bytes_of(1_100).await);
    let each = (many - few) / 1_000;
    println!("a waiting service takes {each} bytes beside its rings");
    assert!(each <= 4096, "a waiting service takes {each} bytes beside its rings");
}
