//! Nodes with a clock or a reader, what the reader finds, and a cable that can be cut.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mycelium::{Builder, Context, Delivery, Node, Policy, Result, Running, message, service};
use mycelium_tokio::Tokio;
use mycelium_transports::seam::Transport;

#[message(topic = "ticks", id = 1)]
#[derive(Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) number: u64,
}

/// Emits ticks until `stops`.
pub(crate) struct Clock {
    pause: Duration,
    next: Arc<AtomicU64>,
    stops: Arc<AtomicBool>,
}

#[service(emits(Tick))]
impl Clock {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        while !self.stops.load(Ordering::Relaxed) {
            ctx.emit(Tick { number: self.next.load(Ordering::Relaxed) }).await?;
            self.next.fetch_add(1, Ordering::Relaxed);
            if !self.pause.is_zero() {
                ctx.sleep(self.pause).await?;
            }
        }
        Ok(())
    }
}

/// A node that emits ticks.
pub(crate) struct Ticking {
    pub(crate) node: Running,
    pub(crate) sent: Arc<AtomicU64>,
    stops: Arc<AtomicBool>,
}

impl Ticking {
    /// Emits a tick each millisecond.
    pub(crate) fn start(transport: impl Transport) -> Ticking {
        Ticking::with(transport, Duration::from_millis(1))
    }

    /// Emits ticks as fast as it can.
    #[allow(dead_code, reason = "not for each engine")]
    pub(crate) fn flood(transport: impl Transport) -> Ticking {
        Ticking::with(transport, Duration::ZERO)
    }

    fn with(transport: impl Transport, pause: Duration) -> Ticking {
        let (sent, stops) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (next, stop) = (sent.clone(), stops.clone());
        let clock = move || Clock { pause, next: next.clone(), stops: stop.clone() };
        let node = Node::builder("main").service(clock).transport(transport, &["ticks"], &[]);
        Ticking { node: start(node), sent, stops }
    }

    /// Ends the clock and its node. Returns the number of sent ticks.
    pub(crate) async fn end(self) -> u64 {
        self.stops.store(true, Ordering::Relaxed);
        self.node.join().await.unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

/// What a reader has found, from its first message or gap on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) messages: Arc<AtomicU64>,
    pub(crate) missed: Arc<AtomicU64>,
    pub(crate) inexact: Arc<AtomicU64>,
    pub(crate) first: Arc<AtomicU64>,
    pub(crate) next: Arc<AtomicU64>,
}

impl Found {
    pub(crate) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Whether all ticks from the first to the last one were received or missed.
    pub(crate) fn is_whole(&self) -> bool {
        let [first, next, missed] =
            [&self.first, &self.next, &self.missed].map(|it| it.load(Ordering::Relaxed));
        next - first == self.messages() + missed
    }

    /// Waits until this is true.
    pub(crate) async fn until(&self, is_so: impl Fn(&Found) -> bool) {
        let waiting = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(40), waiting).await;
        assert!(waited.is_ok(), "{self:?}");
    }

    /// Waits until this number of further messages has arrived.
    pub(crate) async fn more(&self, count: u64) {
        let before = self.messages();
        self.until(|found| found.messages() >= before + count).await;
    }
}

pub(crate) struct Reader(pub(crate) Found);

#[service(reads(Tick))]
impl Reader {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(delivery) = ticks.recv().await {
            let found = &self.0;
            match delivery {
                Delivery::Msg(tick) => {
                    if found.messages() == 0 {
                        let missed = found.missed.load(Ordering::Relaxed);
                        found.first.store(tick.number - missed, Ordering::Relaxed);
                    }
                    found.next.store(tick.number + 1, Ordering::Relaxed);
                    found.messages.fetch_add(1, Ordering::Relaxed);
                }
                Delivery::Gap(gap) => {
                    found.missed.fetch_add(gap.count, Ordering::Relaxed);
                    found.next.fetch_add(gap.count, Ordering::Relaxed);
                    found.inexact.fetch_add((!gap.exact()).into(), Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }
}

/// Starts a node that reads ticks.
pub(crate) fn reading(found: &Found, transport: impl Transport) -> Running {
    let found = found.clone();
    let node = Node::builder("there").service(move || Reader(found.clone()));
    let node = node.subscription("Reader", "ticks", Policy::DropOldest);
    start(node.transport(transport, &[], &["ticks"]))
}

fn start(node: Builder) -> Running {
    node.build().unwrap().start(Tokio::current().unwrap()).unwrap()
}

pub(crate) async fn end(node: Running) {
    node.shutdown();
    node.join().await.unwrap();
}

/// Returns an address of loopback at which nobody listens.
pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A cable to an address, which can be cut. What is sent while it is cut arrives nowhere.
pub(crate) struct Cable {
    pub(crate) at: SocketAddr,
    state: Arc<Mutex<CableState>>,
}

#[derive(Default)]
struct CableState {
    is_cut: bool,
    streams: Vec<TcpStream>,
}

impl Cable {
    pub(crate) fn to(target: SocketAddr) -> Cable {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, state) = (listener.local_addr().unwrap(), Arc::<Mutex<CableState>>::default());
        let shared = state.clone();
        thread::spawn(move || {
            for near in listener.incoming().map_while(io::Result::ok) {
                let mut state = shared.lock().unwrap();
                let Some(far) = TcpStream::connect(target).ok().filter(|_| !state.is_cut) else {
                    continue;
                };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || copy(from, to));
                }
                state.streams.extend([near, far]);
            }
        });
        Cable { at, state }
    }

    /// Ends all connections, and accepts no others.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_cut = true;
        for stream in state.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn mend(&self) {
        self.state.lock().unwrap().is_cut = false;
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
