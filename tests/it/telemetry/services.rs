//! Services, nodes and an HTTP client for the tests of telemetry.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mycelium::{Builder, Context, Node, Result, Running, message, service};
use mycelium_executor::Executor;

#[message(topic = "tones", id = 1)]
#[derive(Debug)]
pub(crate) struct Tone {
    pub(crate) number: u64,
}

crate::support::idle_services! {
    Idle();
}

/// Emits until the node shuts down.
pub(crate) struct Organ;

#[service(emits(Tone))]
impl Organ {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0.. {
            ctx.emit(Tone { number }).await?;
            if number % 64 == 0 {
                ctx.sleep(Duration::from_micros(100)).await?;
            }
        }
        Ok(())
    }
}

/// Counts its messages.
pub(crate) struct Listener(pub(crate) Arc<AtomicU64>);

#[service(reads(Tone))]
impl Listener {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut counted = ctx.metrics().counter("tones.heard")?;
        let mut numbers = ctx.metrics().histogram("numbers")?;
        let mut tones = ctx.subscribe::<Tone>()?;
        while let Some(delivery) = tones.recv().await {
            let Some(Tone { number }) = delivery.message() else { continue };
            counted.increment();
            numbers.record(number);
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

pub(crate) fn builder() -> (Builder, Arc<AtomicU64>) {
    let heard = Arc::<AtomicU64>::default();
    let counted = heard.clone();
    let builder = Node::builder("hall")
        .service(|| Organ)
        .service(move || Listener(counted.clone()))
        .listen_metrics("127.0.0.1:0".parse().unwrap());
    (builder, heard)
}

pub(crate) fn address(running: &Running) -> SocketAddr {
    running.start_report().metrics_address.expect("the node serves its metrics")
}

/// Returns the values of a scrape by their names with labels.
pub(crate) fn scrape(address: SocketAddr) -> BTreeMap<String, f64> {
    let text = get(address, "/metrics").expect("a response");
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let values = lines.iter().map(|line| {
        let (name, value) = line.rsplit_once(' ').expect(line);
        (name.to_owned(), value.parse().expect(line))
    });
    let scraped: BTreeMap<String, f64> = values.collect();
    assert_eq!(scraped.len(), lines.len(), "no twins");
    scraped
}

/// Returns the body of a successful response, or the status of another one.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String, u16> {
    match ureq::get(format!("http://{address}{path}")).call() {
        Ok(mut response) => {
            let body = response.body_mut().with_config().limit(256 << 20).read_to_string();
            Ok(body.unwrap())
        }
        Err(ureq::Error::StatusCode(status)) => Err(status),
        Err(error) => panic!("{path}: {error}"),
    }
}

/// Waits for a condition.
pub(crate) async fn until(executor: &dyn Executor, what: &str, holds: impl FnMut() -> bool) {
    crate::running::until_on(executor, || what, holds).await;
}

pub(crate) fn is_free(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

/// Returns an address that no other test uses, so that its port stays free between two uses.
pub(crate) fn own_address(number: u8) -> SocketAddr {
    let host = if cfg!(target_os = "linux") { [127, 77, 0, number] } else { [127, 0, 0, 1] };
    (host, 0).into()
}
