//! Services behind a listener, and clients of the original system.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use mycelium::counters::{Kind, Reading};
use mycelium::legacy::LegacyCodec;
use mycelium::observe::Report;
use mycelium::{Builder, Context, Node, Result, Running, message, service};
use mycelium_core::channel::mpmc;
use mycelium_executor::Executor;
use mycelium_tokio::Tokio;
use tokio::sync::Notify;

use crate::loopback::host;
use crate::running::main_with;

pub(crate) const SWAP: u16 = 11;
pub(crate) const ORDER: u16 = 12;
pub(crate) const BLOB: u16 = 14;

#[message(topic = "swaps", id = 1)]
pub(crate) struct Swap {
    pub(crate) pool: u64,
    pub(crate) price: u64,
}

#[message(topic = "orders", id = 2)]
pub(crate) struct Order {
    pub(crate) pool: u64,
    pub(crate) amount: u64,
}

/// The digest of the contract that clients have compiled in.
pub(crate) const DIGEST: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Answers each swap with an order whose amount is the price. A late one answers only after the
/// shutdown has begun, and with a delay.
pub(crate) struct Broker {
    pub(crate) is_late: bool,
}

pub(crate) const BROKER: Broker = Broker { is_late: false };

#[service(reads(Swap), emits(Order))]
impl Broker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut swaps = ctx.subscribe::<Swap>()?;
        let pauses = if self.is_late { 100 } else { 0 };
        if self.is_late {
            ctx.shutdown_requested().await;
        }
        while let Some(delivery) = swaps.recv().await {
            for _ in 0..pauses {
                ctx.yield_now().await;
            }
            let Swap { pool, price } = delivery.message().expect("no gap");
            ctx.emit(Order { pool, amount: price }).await?;
        }
        Ok(())
    }
}

/// Sends each swap to a channel, after the notification if there is one.
pub(crate) struct Taker(pub(crate) Sender<(u64, u64)>, pub(crate) Option<Arc<Notify>>);

#[service(reads(Swap))]
impl Taker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut swaps = ctx.subscribe::<Swap>()?;
        if let Some(notify) = &self.1 {
            notify.notified().await;
        }
        while let Some(delivery) = swaps.recv().await {
            let Swap { pool, price } = delivery.message().expect("no gap");
            self.0.send((pool, price))?;
        }
        Ok(())
    }
}

#[message(topic = "blobs", id = 4)]
pub(crate) struct Blob {
    pub(crate) number: u64,
    pub(crate) bytes: [u64; 511],
}

/// Answers a swap with as many blobs as its price.
pub(crate) struct Flood;

#[service(reads(Swap), emits(Blob))]
impl Flood {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut swaps = ctx.subscribe::<Swap>()?;
        while let Some(delivery) = swaps.recv().await {
            for number in 0..delivery.message().expect("no gap").price {
                ctx.emit(Blob { number, bytes: [number; 511] }).await?;
            }
        }
        Ok(())
    }
}

/// A listener `floor`, at an address that no other test uses.
pub(crate) struct Floor {
    pub(crate) address: String,
    pub(crate) text: String,
}

impl Floor {
    /// Returns a listener with this `wire`, more keys, and these types.
    pub(crate) fn new(wire: &str, keys: &str, types: &str) -> Floor {
        let address = format!("{}:7401", host());
        let text = format!(
            "[node.main]\nshutdown = \"20s\"\n[legacy.floor]\nlisten = \"{address}\"\nwire = {wire}\n{keys}\n\
             [legacy.floor.types]\n{types}\n"
        );
        Floor { address, text }
    }

    /// Returns a listener whose clients send swaps and receive orders.
    pub(crate) fn of_broker(wire: &str, keys: &str) -> Floor {
        let types = "11 = { topic = \"swaps\", clients = \"send\" }\n\
                     12 = { topic = \"orders\", clients = \"receive\" }";
        Floor::new(wire, keys, types)
    }

    /// Returns a listener for swaps and orders without a digest.
    pub(crate) fn plain(keys: &str) -> Floor {
        Floor::of_broker("\"plain\"", keys)
    }

    /// Returns a listener for swaps and orders whose clients begin with the digest.
    pub(crate) fn of_digest(keys: &str) -> Floor {
        Floor::of_broker(&format!("{{ digest = [\"{}\", \"{DIGEST}\"] }}", "ff".repeat(32)), keys)
    }

    /// Returns a listener whose clients send swaps.
    pub(crate) fn of_taker(keys: &str) -> Floor {
        Floor::new("\"plain\"", keys, "11 = { topic = \"swaps\", clients = \"send\" }")
    }

    /// Returns a listener whose clients send swaps and receive blobs.
    pub(crate) fn of_flood(keys: &str) -> Floor {
        let types = "11 = { topic = \"swaps\", clients = \"send\" }\n\
                     14 = { topic = \"blobs\", clients = \"receive\" }";
        Floor::new("\"plain\"", keys, types)
    }

    pub(crate) fn builder(&self) -> Builder {
        main_with(&self.text)
            .legacy(LegacyCodec::<Swap>::same_bytes())
            .legacy(LegacyCodec::<Order>::same_bytes())
            .legacy(LegacyCodec::<Blob>::same_bytes())
    }

    pub(crate) fn broker(&self) -> Node {
        self.builder().service(|| BROKER).build().unwrap()
    }

    pub(crate) fn taker(&self) -> (Node, Receiver<(u64, u64)>) {
        let (sender, taken) = channel();
        let node = self.builder().service(move || Taker(sender.clone(), None)).build().unwrap();
        (node, taken)
    }

    pub(crate) fn connect(&self) -> Client {
        Client::new(TcpStream::connect(&self.address).unwrap())
    }
}

/// A client of the original system.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) fn new(stream: TcpStream) -> Client {
        // Reached only by a test that fails.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(stream)
    }

    /// Sends bytes. A connection that the listener has closed is not an error.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        _ = self.0.write_all(bytes);
    }

    /// Returns type and payload of the next frame; `None` at the end of the connection.
    pub(crate) fn frame(&mut self) -> Option<(u16, Vec<u8>)> {
        let mut header = [0; 6];
        match self.0.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if is_end(&error) => return None,
            Err(error) => panic!("{error}"),
        }
        let type_id = u16::from_le_bytes([header[0], header[1]]);
        let length = u32::from_le_bytes([header[2], header[3], header[4], header[5]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).unwrap();
        Some((type_id, payload))
    }

    /// Returns type and content of the next frame, which must have two words.
    pub(crate) fn words(&mut self) -> Option<(u16, u64, u64)> {
        let (type_id, payload) = self.frame()?;
        let word = |at: usize| u64::from_le_bytes(payload[at..at + 8].try_into().unwrap());
        assert_eq!(payload.len(), 16);
        Some((type_id, word(0), word(8)))
    }

    /// Ends the sending side of the connection.
    pub(crate) fn end(&self) {
        _ = self.0.shutdown(Shutdown::Write);
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

pub(crate) fn frame(type_id: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&type_id.to_le_bytes()[..], &length.to_le_bytes(), payload].concat()
}

/// Returns a frame with two words.
pub(crate) fn words(type_id: u16, first: u64, second: u64) -> Vec<u8> {
    frame(type_id, &[first.to_le_bytes(), second.to_le_bytes()].concat())
}

/// Returns the first frame of a client, which proves its contract.
pub(crate) fn hello() -> Vec<u8> {
    [hex("2000"), hex(DIGEST)].concat()
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// Runs a node on an executor and `clients` on a separate thread, and then shuts the node down.
pub(crate) async fn run_on<T: Send + 'static>(
    node: Node,
    executor: impl Executor,
    clients: impl FnOnce(&Running) -> T + Send + 'static,
) -> (T, Report) {
    let running = Arc::new(node.start(executor).unwrap());
    let (mut done, mut result) = mpmc::bounded(2).unwrap();
    let shared = running.clone();
    let thread = std::thread::spawn(move || {
        let value = clients(&shared);
        drop(shared);
        _ = done.try_send(value);
    });
    let value = result.recv().await;
    // Passes on a panic of the clients.
    thread.join().unwrap();
    running.shutdown();
    let running = Arc::into_inner(running).expect("the thread has ended");
    (value.unwrap(), running.join().await.unwrap())
}

/// Runs a node and clients as [`run_on`] does, on tokio.
pub(crate) fn run<T: Send + 'static>(
    node: Node,
    clients: impl FnOnce(&Running) -> T + Send + 'static,
) -> (T, Report) {
    crate::running::threads(2)
        .block_on(async { run_on(node, Tokio::current().unwrap(), clients).await })
}

/// Runs clients as [`run`] does, with a broker behind a listener.
pub(crate) fn run_broker<T: Send + 'static>(
    floor: Floor,
    clients: impl FnOnce(&Floor, &Running) -> T + Send + 'static,
) -> (T, Report) {
    run(floor.broker(), move |running| clients(&floor, running))
}

/// Returns the value of one of the listener's counters.
pub(crate) fn counter(counters: &[Reading], value: &str) -> u64 {
    let line = counters.iter().find(|line| line.kind == Kind::Legacy);
    let line = line.expect("the listener has a line");
    assert_eq!(line.label, "legacy=floor");
    line.value(value)
}

/// Waits until a counter of the listener has this value.
pub(crate) fn until(running: &Running, value: &str, expected: u64) {
    until_at_least(running, value, expected);
    assert_eq!(counter(&running.counters(), value), expected, "{value}");
}

pub(crate) fn until_at_least(running: &Running, value: &str, expected: u64) {
    while counter(&running.counters(), value) < expected {
        std::thread::yield_now();
    }
}
