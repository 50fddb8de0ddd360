//! The HTTP endpoint of a node for Prometheus and for programs that supervise processes:
//! `/metrics`, `/live` and `/ready` over HTTP/1.1, by `hyper` on its own single-threaded runtime.
//!
//! A connection serves one request, with limits in bytes and in time; the response has a time
//! limit. The number of connections is limited: for a new one the oldest is closed, whatever its
//! state. So clients that are slow, silent or do not close lock nobody out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, sleep, timeout};

use crate::Source;
use crate::metrics::Collector;
use crate::metrics::text::Format;
use crate::runtime::Runtime;

/// The largest number of connections. Another one closes the oldest.
const CONNECTIONS: usize = 32;
/// The largest request in bytes.
const LONGEST: usize = 8 << 10;
/// The time limit for a request; `CONNECTION` is the limit for a request and its response.
const REQUEST: Duration = Duration::from_secs(5);
const CONNECTION: Duration = Duration::from_secs(35);
/// The pause after an error of accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// An endpoint that is bound but not served yet: clients wait in its queue.
#[derive(Debug)]
pub struct Endpoint {
    runtime: Runtime,
    listener: TcpListener,
    stopper: Stopper,
}

/// Ends the service of an endpoint.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Makes [`Endpoint::run`] return after its current response. Any thread may call this.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Endpoint {
    /// Binds an address.
    ///
    /// # Errors
    /// If the system refuses the address.
    pub fn bind(address: SocketAddr) -> io::Result<Endpoint> {
        let runtime = Runtime::new()?;
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener)?
        };
        Ok(Endpoint { runtime, listener, stopper: Stopper(watch::Sender::new(false)) })
    }

    /// Returns the address, with the port chosen by the system if it was 0.
    ///
    /// # Errors
    /// If the system does not return it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns a stopper, which ends [`run`](Endpoint::run).
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Serves clients on this thread until the endpoint is stopped, then closes all connections and
    /// the address.
    pub fn run(self, source: Box<dyn Source>, collector: Collector) {
        let Endpoint { runtime, listener, stopper } = self;
        let mut stopped = stopper.0.subscribe();
        let responder = Responder::new(source, collector, stopped.clone());
        runtime.spawn(accept(listener, Arc::new(responder)));
        // Cannot fail, because the sender of `stopped` still exists.
        let _ = runtime.block_on(stopped.wait_for(|is_stopped| *is_stopped));
    }
}

async fn accept(listener: TcpListener, responder: Arc<Responder>) {
    let mut connections: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        connections.retain(|it| !it.is_finished());
        if connections.len() >= CONNECTIONS
            && let Some(oldest) = connections.pop_front()
        {
            oldest.abort();
        }
        let connection = tokio::spawn(serve(stream, responder.clone()));
        connections.push_back(connection.abort_handle());
        // Reads first what has arrived at the accepted connections, because a new one may close
        // them.
        yield_now().await;
    }
}

async fn serve(stream: TcpStream, responder: Arc<Responder>) {
    let service = service_fn(async |request: Request<_>| {
        Ok::<_, Infallible>(responder.respond(&request).await)
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).half_close(true).max_buf_size(LONGEST);
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST);
    // Ignores an error, because it concerns only the client, which has been told if possible.
    let _ = timeout(CONNECTION, http.serve_connection(TokioIo::new(stream), service)).await;
}

/// Answers requests from a source.
struct Responder {
    source: Mutex<Box<dyn Source>>,
    /// Locked during a scrape, so that there is only one at a time.
    collector: Arc<tokio::sync::Mutex<Collector>>,
    stopped: watch::Receiver<bool>,
}

impl Responder {
    fn new(source: Box<dyn Source>, collector: Collector, stopped: watch::Receiver<bool>) -> Self {
        let collector = Arc::new(tokio::sync::Mutex::new(collector));
        Responder { source: Mutex::new(source), collector, stopped }
    }

    async fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "expected GET or HEAD\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match request.uri().path() {
            "/metrics" => self.scrape(format_of(request)).await,
            "/live" => self.ask(|source| probe(source.live())),
            "/ready" => self.ask(|source| probe(source.ready())),
            _ => plain(StatusCode::NOT_FOUND, "expected /metrics, /live or /ready\n"),
        }
    }

    async fn scrape(&self, format: Format) -> Response<Full<Bytes>> {
        let mut collector = self.collector.clone().lock_owned().await;
        let begin = Instant::now();
        let answer = self.ask(|source| match source.snapshot() {
            Some(snapshot) => {
                answer(StatusCode::OK, format, format.write(&collector.collect(&snapshot)))
            }
            None => plain(StatusCode::SERVICE_UNAVAILABLE, "the node has ended\n"),
        });
        // Keeps the lock for as long as the scrape took. So scrapes take at most half of the time,
        // and scrapes of many clients do not lock a probe out.
        tokio::spawn(async move {
            sleep(begin.elapsed()).await;
            drop(collector);
        });
        answer
    }

    fn ask(
        &self,
        question: impl FnOnce(&dyn Source) -> Response<Full<Bytes>>,
    ) -> Response<Full<Bytes>> {
        // Asks the node nothing after a stop: a scrape takes a while, and each connection may
        // request one.
        if *self.stopped.borrow() {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "the node has ended\n");
        }
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        // A panic of the source must not end the thread.
        catch_unwind(AssertUnwindSafe(|| question(&**source))).unwrap_or_else(|_| {
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the node panicked at this request\n")
        })
    }
}

fn probe(result: Result<String, String>) -> Response<Full<Bytes>> {
    match result {
        Ok(text) => plain(StatusCode::OK, &text),
        Err(text) => plain(StatusCode::SERVICE_UNAVAILABLE, &text),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    answer(status, Format::Plain, text.to_owned())
}

fn answer(status: StatusCode, format: Format, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let headers = [
        (CONTENT_TYPE, format.content_type()),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    answer.headers_mut().extend(headers.map(|(name, it)| (name, HeaderValue::from_static(it))));
    answer
}

/// Returns OpenMetrics if the client accepts it: if a media range in an `accept` header is
/// OpenMetrics, with a quality above 0.
fn format_of<B>(request: &Request<B>) -> Format {
    let quality = |part: &str| part.strip_prefix("q=")?.parse::<f32>().ok();
    let is_open_metrics = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        name.eq_ignore_ascii_case("application/openmetrics-text")
            && parts.all(|part| quality(part) != Some(0.0))
    };
    let accepted = request.headers().get_all(ACCEPT).into_iter();
    let mut ranges = accepted.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(','));
    if ranges.any(is_open_metrics) { Format::OpenMetrics } else { Format::Plain }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use tokio::runtime::Builder;

    use super::*;
    use crate::Snapshot;

    /// A node with a long name in each sample, for long responses.
    struct Node;

    impl Source for Node {
        fn snapshot(&self) -> Option<Snapshot> {
            Some(Snapshot { node: "n".repeat(1 << 20), ..Snapshot::default() })
        }

        fn live(&self) -> Result<String, String> {
            unreachable!("scrapes only")
        }

        fn ready(&self) -> Result<String, String> {
            unreachable!("scrapes only")
        }
    }

    /// Serves one client until its time is over. The virtual clock advances while it waits.
    fn serve_until_late(send: &[u8]) -> Vec<u8> {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
        let client = runtime.unwrap().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            client.write_all(send).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            // Waits until the request has arrived.
            stream.readable().await.unwrap();
            let stopped = watch::Sender::new(false).subscribe();
            let responder = Responder::new(Box::new(Node), Collector::new(), stopped);
            serve(stream, Arc::new(responder)).await;
            client
        });
        let mut bytes = Vec::new();
        let _ = { client }.read_to_end(&mut bytes);
        bytes
    }

    #[test]
    fn a_client_that_does_not_end_its_request_is_closed_at_its_deadline() {
        assert_eq!(serve_until_late(b"GET /metrics HTTP/1.1\r\nx: "), b"");
    }

    #[test]
    fn a_client_that_never_reads_is_closed_at_its_deadline() {
        let part = serve_until_late(b"GET /metrics HTTP/1.1\r\n\r\n");
        assert!(part.starts_with(b"HTTP/1.1 200 ") && part.len() < 7 << 20, "{}", part.len());
    }
}
