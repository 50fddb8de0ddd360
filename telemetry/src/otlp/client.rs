//! A client of one collector, by `hyper`: one request at a time over HTTP/1.1, on one connection if
//! the collector keeps it open. Host names are resolved on separate threads.

use std::error::Error;
use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{
    CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use mycelium_executor::connect_first;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Endpoint, Headers};

/// The largest head, and the largest body, of an answer in bytes.
const LONGEST: usize = 64 << 10;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The pause that the collector requests.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

/// Why a request got no answer.
#[derive(Debug, Error)]
pub(crate) enum PostError {
    #[error("cannot reach the collector: {0}")]
    Unreachable(String),
    #[error("the collector did not answer in time")]
    Late,
    #[error("the collector closed the connection before it answered")]
    Closed,
    #[error("the answer of the collector is not HTTP: {0}")]
    Garbage(String),
}

#[derive(Debug)]
pub(crate) struct Client {
    /// The URI of the requests.
    uri: Uri,
    headers: HeaderMap,
    address: String,
    /// The connection of the last request, if it is still open.
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// The task of the connection, which ends when this is dropped.
    _task: JoinSet<()>,
}

impl Client {
    /// Creates a client for requests with Protocol Buffers to this path.
    pub(crate) fn new(endpoint: &Endpoint, path: PathAndQuery, headers: &Headers) -> Client {
        let mut headers = headers.0.clone();
        headers.insert(HOST, endpoint.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let agent = concat!("mycelium/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let address = endpoint.authority().to_owned();
        Client { uri: path.into(), headers, address, connection: None }
    }

    /// Sends a request, and waits for the answer.
    ///
    /// If a kept connection ends without an answer, the collector has closed it between two
    /// requests, so the request is sent again over a new connection.
    pub(crate) async fn post(&mut self, body: &Bytes) -> Result<Response, PostError> {
        if let Some(mut kept) = self.connection.take()
            && kept.sender.ready().await.is_ok()
        {
            match self.exchange(kept, body).await {
                Err(PostError::Closed | PostError::Unreachable(_)) => {}
                other => return other,
            }
        }
        let connected = connect_first(self.address.clone(), async |address| {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        let stream = connected.await.map_err(|error| PostError::Unreachable(error.to_string()))?;
        let mut http = Builder::new();
        let (sender, connection) =
            http.max_buf_size(LONGEST).handshake(TokioIo::new(stream)).await?;
        let mut task = JoinSet::new();
        // Ignores the error, which the answer's future returns too.
        task.spawn(async { _ = connection.await });
        self.exchange(Connection { sender, _task: task }, body).await
    }

    async fn exchange(
        &mut self,
        mut connection: Connection,
        body: &Bytes,
    ) -> Result<Response, PostError> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let (head, answer) = connection.sender.send_request(request).await?.into_parts();
        let answer = Limited::new(answer, LONGEST).collect().await;
        let answer = answer.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => (*error).into(),
            Err(error) => PostError::Garbage(error.to_string()),
        })?;
        // Keeps the connection only if the collector has read the whole request. If it has answered
        // before, the sender still has the body.
        self.connection = Some(connection).filter(|_| body.is_unique());
        let (status, retry_after) = (head.status.as_u16(), pause(&head.headers));
        Ok(Response { status, retry_after, body: answer.to_bytes() })
    }
}

impl From<hyper::Error> for PostError {
    fn from(error: hyper::Error) -> PostError {
        let of_system = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        match of_system {
            _ if error.is_incomplete_message() || error.is_canceled() => PostError::Closed,
            Some(of_system) => PostError::Unreachable(of_system.to_string()),
            None => PostError::Garbage(error.to_string()),
        }
    }
}

/// Returns the pause in a `Retry-After`, which is a number of seconds or a date. A date is relative
/// to the `Date` of the answer, because the local clock may differ.
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let retry_after = text(RETRY_AFTER)?;
    if let Ok(seconds) = retry_after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(retry_after).ok()?;
    let now = httpdate::parse_http_date(text(DATE)?).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let date = "Mon, 23 Nov 2026 08:59:50 GMT";
        let until = "Mon, 23 Nov 2026 09:00:20 GMT";
        for (retry_after, date, expected) in [
            ("7", "", Some(7)),
            (until, date, Some(30)),
            ("Mon, 23 Nov 2026 08:00:00 GMT", date, Some(0)),
            // A text that is no date, without the collector's time.
            (until, "", None),
            ("soon", date, None),
            ("", date, None),
        ] {
            let [retry, of_answer] =
                [retry_after, date].map(|it| HeaderValue::from_str(it).unwrap());
            let headers = HeaderMap::from_iter([(RETRY_AFTER, retry), (DATE, of_answer)]);
            let pause = pause(&headers).map(|pause| pause.as_secs());
            assert_eq!(pause, expected, "{retry_after} at {date}");
        }
    }
}
