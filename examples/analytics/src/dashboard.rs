//! The page: a service that passes windows and reports on to browsers, as server-sent events.

use std::sync::Arc;
use std::{collections::VecDeque, convert::Infallible, net::Ipv4Addr, time::Duration};

use axum::extract::State;
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::serve::ListenerExt;
use axum::{Router, routing::get};
use futures_util::stream::{self, StreamExt};
use mycelium::{Context, Delivery, Message, Result, Subscription, service};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, mpsc::error::TrySendError, oneshot};
use tokio::time::timeout;

use crate::messages::{Report, Window};

/// The items that a new browser gets: with two pools, those of about ten minutes.
const HISTORY: usize = 4_000;
/// The most browsers.
const BROWSERS: usize = 32;
/// The items that wait for a browser: a second may have a thousand windows. One that leaves more is
/// dropped, and connects again.
const WAITING: usize = 4_000;
/// A browser that reads nothing for this long loses its connection. It was dropped long before.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the end waits for browsers to read the last items.
const LINGER: Duration = Duration::from_secs(2);

/// Serves the page.
pub struct Dashboard {
    /// The port of this machine.
    pub port: u16,
}

#[service(reads(Window, Report))]
impl Dashboard {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (page, (end, ended)) = (Arc::default(), oneshot::channel());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await?;
        let server = ctx.spawn(serve(listener, Arc::clone(&page), ended));
        let windows = pass_on("window", ctx.subscribe::<Window>()?, &page);
        let reports = pass_on("report", ctx.subscribe::<Report>()?, &page);
        tokio::join!(windows, reports);
        drop(end);
        // Browsers that still do not read lose their connections at the end of the process.
        let _ = timeout(LINGER, server).await;
        Ok(())
    }
}

/// Passes messages on to browsers, until their publishers have ended.
async fn pass_on<M>(kind: &str, mut messages: Subscription<M>, page: &Mutex<Page>)
where
    M: Message + Serialize,
{
    while let Some(delivery) = messages.recv().await {
        match delivery {
            Delivery::Msg(message) => page.lock().send(kind, &*message),
            Delivery::Gap(gap) => page.lock().missed += gap.count,
        }
    }
}

/// What browsers have got and will get.
#[derive(Default)]
struct Page {
    history: VecDeque<Arc<str>>,
    browsers: Vec<mpsc::Sender<Arc<str>>>,
    /// Browsers that did not read.
    dropped: u64,
    /// Windows and reports that were overwritten before they were read.
    missed: u64,
}

impl Page {
    /// Sends a message, and what is known about the browsers, to all browsers, and to those that
    /// come in the next minutes. One that does not read is dropped, and nothing waits for it.
    fn send(&mut self, kind: &str, message: &impl Serialize) {
        let Page { history, browsers, dropped, missed } = self;
        let page = json!({ "browsers": browsers.len(), "dropped": dropped, "missed": missed });
        let text: Arc<str> = json!({ kind: message, "page": page }).to_string().into();
        history.push_back(text.clone());
        history.drain(..history.len().saturating_sub(HISTORY));
        browsers.retain(|browser| {
            let sent = browser.try_send(text.clone());
            *dropped += u64::from(matches!(sent, Err(TrySendError::Full(_))));
            sent.is_ok()
        });
    }
}

/// Serves the page until `end`. Then all answers end, and browsers get what was sent before.
async fn serve(listener: TcpListener, page: Arc<Mutex<Page>>, end: oneshot::Receiver<()>) {
    let file = |kind, text: &'static str| get(async move || ([(CONTENT_TYPE, kind)], text));
    let router = Router::new()
        .route("/", get(Html(include_str!("../page/index.html"))))
        .route("/uPlot.css", file("text/css", include_str!("../page/uPlot.min.css")))
        .route("/uPlot.js", file("text/javascript", include_str!("../page/uPlot.iife.min.js")))
        .route("/events", get(events))
        .with_state(page.clone());
    let end = async move {
        let _ = end.await;
        page.lock().browsers.clear();
    };
    // Bounds what the system keeps for a browser that does not read, and for how long. After an
    // error the limits of the system remain.
    let listener = listener.tap_io(|stream: &mut TcpStream| {
        let socket = SockRef::from(&*stream);
        let _ = socket.set_send_buffer_size(1 << 14);
        let _ = socket.set_tcp_user_timeout(Some(PATIENCE));
    });
    // Cannot fail: an error of `accept` is followed by a pause.
    let _ = axum::serve(listener, router).with_graceful_shutdown(end).await;
}

/// Answers a browser with what has happened, and then with what happens.
async fn events(State(page): State<Arc<Mutex<Page>>>) -> Response {
    let mut page = page.lock();
    page.browsers.retain(|browser| !browser.is_closed());
    if page.browsers.len() >= BROWSERS {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many browsers").into_response();
    }
    let (sender, mut receiver) = mpsc::channel(WAITING);
    page.browsers.push(sender);
    let next = stream::poll_fn(move |context| receiver.poll_recv(context));
    let items = stream::iter(page.history.clone()).chain(next);
    let start = Event::default().event("start").retry(Duration::from_secs(1)).data("all");
    let events = stream::iter([start]).chain(items.map(|item| Event::default().data(&*item)));
    Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::default()).into_response()
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net};

    use super::*;

    #[tokio::test]
    async fn a_browser_that_does_not_read_is_dropped_and_counted() {
        let (page, (_end, ended)) = (Arc::<Mutex<Page>>::default(), oneshot::channel());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut silent = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        tokio::spawn(serve(listener, page.clone(), ended));
        silent.write_all(b"GET /events HTTP/1.1\r\nhost: here\r\n\r\n").unwrap();
        let dropped = async {
            while page.lock().dropped == 0 {
                page.lock().send("report", &Report::default());
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(60), dropped).await.expect("it is dropped");
        let page = page.lock();
        assert_eq!((page.dropped, page.browsers.len()), (1, 0));
    }
}
