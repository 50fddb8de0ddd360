//! The page: a service that passes windows and reports on to browsers, as server-sent events.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{collections::VecDeque, convert::Infallible, net::Ipv4Addr, time::Duration};

use axum::extract::State;
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::serve::ListenerExt;
use axum::{Router, routing::get, serve};
use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use mycelium::{Context, Delivery, Error, Result, service};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, mpsc::error::TrySendError, oneshot};
use tokio::time::timeout;

use crate::messages::{Report, Window};

/// The items that a new browser gets: those of about ten minutes.
const HISTORY: usize = 4_000;
/// The most browsers.
const BROWSERS: usize = 32;
/// The items that wait for a browser. One that leaves more is dropped, and connects again.
const WAITING: usize = 64;
/// A browser that reads nothing for this long loses its connection. It was dropped long before.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the end waits for browsers to read the last items.
const LINGER: Duration = Duration::from_secs(2);

/// What browsers have got and will get.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    history: VecDeque<Arc<str>>,
    browsers: Vec<mpsc::Sender<Arc<str>>>,
    /// Browsers that did not read.
    dropped: u64,
    /// Windows and reports that were overwritten before they were read.
    missed: u64,
}

impl Content {
    /// Sends an item to all browsers. One that does not read is dropped, and nothing waits for it.
    fn send(&mut self, item: &Value) {
        let text: Arc<str> = item.to_string().into();
        self.history.push_back(text.clone());
        self.history.drain(..self.history.len().saturating_sub(HISTORY));
        self.browsers.retain(|browser| {
            let sent = browser.try_send(text.clone());
            self.dropped += u64::from(matches!(sent, Err(TrySendError::Full(_))));
            sent.is_ok()
        });
    }
}

impl Page {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a window to all browsers, and to those that come in the next minutes.
    fn window(&self, window: &Window) {
        self.lock().send(&json!({ "window": window }));
    }

    /// Sends a report, and what is known about the browsers.
    fn report(&self, report: &Report) {
        let mut content = self.lock();
        let Content { browsers, dropped, missed, .. } = &*content;
        let page = json!({ "browsers": browsers.len(), "dropped": dropped, "missed": missed });
        content.send(&json!({ "report": report, "page": page }));
    }

    /// Answers a browser with what has happened, and then with what happens.
    async fn events(State(page): State<Page>) -> Response {
        let mut content = page.lock();
        content.browsers.retain(|browser| !browser.is_closed());
        if content.browsers.len() >= BROWSERS {
            return (StatusCode::SERVICE_UNAVAILABLE, "too many browsers").into_response();
        }
        let (sender, mut receiver) = mpsc::channel(WAITING);
        content.browsers.push(sender);
        let next = stream::poll_fn(move |context| receiver.poll_recv(context));
        let items = stream::iter(content.history.clone())
            .chain(next)
            .map(|item| Event::default().data(&*item));
        let start = Event::default().event("start").retry(Duration::from_secs(1)).data("all");
        let events = stream::iter([start]).chain(items).map(Ok::<_, Infallible>);
        Sse::new(events).keep_alive(KeepAlive::default()).into_response()
    }

    /// Listens at a port of this machine. The returned future serves the page until `end`; then all
    /// answers end, and browsers get what was sent before.
    ///
    /// # Errors
    /// If the port cannot be used.
    async fn serve(
        self,
        port: u16,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> Result<impl Future<Output = ()> + Send> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
            let text = format!("cannot listen at port {port}: {error}; `--port` sets another one");
            Error::msg(text).permanent()
        })?;
        let file = |kind, text: &'static str| get(async move || ([(CONTENT_TYPE, kind)], text));
        let router = Router::new()
            .route("/", get(Html(include_str!("../page/index.html"))))
            .route("/uPlot.css", file("text/css", include_str!("../page/uPlot.min.css")))
            .route("/uPlot.js", file("text/javascript", include_str!("../page/uPlot.iife.min.js")))
            .route("/events", get(Page::events))
            .with_state(self.clone());
        let end = end.map(move |()| self.lock().browsers.clear());
        let server = serve(listener.tap_io(limit), router).with_graceful_shutdown(end);
        // Cannot fail: an error of `accept` is followed by a pause.
        Ok(async move { drop(server.await) })
    }
}

/// Bounds what the system keeps for a browser that does not read, and for how long.
fn limit(stream: &mut TcpStream) {
    let socket = SockRef::from(&*stream);
    // After an error the limits of the system remain.
    let _ = socket.set_send_buffer_size(1 << 14);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(PATIENCE));
}

/// Serves the page.
pub struct Dashboard {
    /// The port of this machine.
    pub port: u16,
}

#[service(reads(Window, Report))]
impl Dashboard {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (page, (end, ended)) = (Page::default(), oneshot::channel::<()>());
        let server = ctx.spawn(page.clone().serve(self.port, ended.map(drop)).await?);
        let (mut windows, mut reports) = (ctx.subscribe::<Window>()?, ctx.subscribe::<Report>()?);
        let (mut has_windows, mut has_reports) = (true, true);
        while has_windows || has_reports {
            tokio::select! {
                window = windows.recv(), if has_windows => match window {
                    Some(Delivery::Msg(window)) => page.window(&window),
                    Some(Delivery::Gap(gap)) => page.lock().missed += gap.count,
                    None => has_windows = false,
                },
                report = reports.recv(), if has_reports => match report {
                    Some(Delivery::Msg(report)) => page.report(&report),
                    Some(Delivery::Gap(gap)) => page.lock().missed += gap.count,
                    None => has_reports = false,
                },
            }
        }
        drop(end);
        // Browsers that still do not read lose their connections at the end of the process.
        let _ = timeout(LINGER, server).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net};

    use super::*;

    #[tokio::test]
    async fn a_browser_that_does_not_read_is_dropped_and_counted() {
        let (page, end) = (Page::default(), std::future::pending());
        let port = net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        tokio::spawn(page.clone().serve(port, end).await.unwrap());
        let mut silent = net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        silent.write_all(b"GET /events HTTP/1.1\r\nhost: here\r\n\r\n").unwrap();
        let dropped = async {
            while page.lock().dropped == 0 {
                page.report(&Report::default());
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(60), dropped).await.expect("it is dropped");
        let content = page.lock();
        assert_eq!((content.dropped, content.browsers.len()), (1, 0));
    }
}
