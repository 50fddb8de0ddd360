//! A client of one collector: requests over HTTP/1.1, one after the other, on one connection where
//! the collector keeps it.
//!
//! All of it waits in one poll, which any thread can wake: for the name of the host, the
//! connection, the room for a request and the answer. After each wake it checks how much time is
//! left, so a request can be ended early. Names are resolved on threads of their own.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll as Progress, Wake};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use mycelium_executor::resolve;
use thiserror::Error;

use super::date::unix_time;
use super::{Endpoint, Headers};

/// The longest answer: the head and the body.
const LONGEST_ANSWER: usize = 64 * 1024;
/// The most headers of an answer.
const HEADERS: usize = 64;
/// The most of an answer that is read before the room for the request is checked again.
const CHUNK: usize = 8 * 1024;
const WAKER: Token = Token(0);
const STREAM: Token = Token(1);

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The pause that the collector requests.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

/// Why a request has no answer.
#[derive(Debug, Error)]
pub(crate) enum PostError {
    #[error("cannot reach the collector: {0}")]
    Io(#[from] io::Error),
    #[error("the collector did not answer in time")]
    Late,
    #[error("the collector closed the connection before it answered")]
    Closed,
    #[error("the answer of the collector is not HTTP: {0}")]
    Garbage(&'static str),
}

/// How much time a request has left; none if it is to end now.
pub(crate) trait TimeLeft {
    fn left(&self) -> Option<Duration>;
}

#[derive(Debug)]
pub(crate) struct Client {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    /// Where requests go, without the length of their bodies.
    head: String,
    address: String,
    /// Kept from the request before.
    connection: Option<TcpStream>,
}

/// A complete answer.
struct Parsed {
    response: Response,
    keeps_connection: bool,
}

impl Client {
    /// A client for requests with Protocol Buffers to this path.
    pub(crate) fn new(endpoint: &Endpoint, path: &str, headers: &Headers) -> io::Result<Client> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: mycelium/{}\r\n\
             content-type: application/x-protobuf\r\n",
            endpoint.authority(),
            env!("CARGO_PKG_VERSION"),
        );
        for (name, value) in headers.iter() {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let address = endpoint.authority().to_owned();
        let events = Events::with_capacity(8);
        Ok(Client { poll, events, waker, head, address, connection: None })
    }

    /// Wakes the client from any thread.
    pub(crate) fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// Waits this long, or until something happens.
    pub(crate) fn wait(&mut self, longest: Option<Duration>) {
        // An error is that of a signal: the caller looks at the time again.
        let _ = self.poll.poll(&mut self.events, longest);
    }

    /// Sends a request, and waits for the answer.
    ///
    /// If a kept connection ends without an answer, the request goes over a new one: the collector
    /// has closed the old one between two requests.
    pub(crate) fn post(
        &mut self,
        body: &[u8],
        time: &impl TimeLeft,
    ) -> Result<Response, PostError> {
        let request = format!("{}content-length: {}\r\n\r\n", self.head, body.len());
        let request = [request.as_bytes(), body].concat();
        if let Some(kept) = self.take_kept() {
            match self.exchange(kept, &request, time) {
                Err(PostError::Closed | PostError::Io(_)) => {}
                other => return other,
            }
        }
        let stream = self.connect(time)?;
        self.exchange(stream, &request, time)
    }

    /// The kept connection, unless the collector has closed it or has sent something unasked.
    fn take_kept(&mut self) -> Option<TcpStream> {
        let mut stream = self.connection.take()?;
        match stream.read(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Some(stream),
            Ok(_) | Err(_) => None,
        }
    }

    fn connect(&mut self, time: &impl TimeLeft) -> Result<TcpStream, PostError> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
        for address in self.resolve(time)? {
            match self.connect_to(address, time) {
                Ok(stream) => return Ok(stream),
                Err(PostError::Io(error)) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(PostError::Io(last))
    }

    fn resolve(&mut self, time: &impl TimeLeft) -> Result<Vec<SocketAddr>, PostError> {
        let waker = Arc::new(WakeClient(self.waker.clone())).into();
        let address = self.address.clone();
        let mut resolving = pin!(resolve(&address));
        loop {
            if let Progress::Ready(found) =
                resolving.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return Ok(found?);
            }
            self.wait_for(time)?;
        }
    }

    fn connect_to(
        &mut self,
        address: SocketAddr,
        time: &impl TimeLeft,
    ) -> Result<TcpStream, PostError> {
        let mut stream = TcpStream::connect(address)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, STREAM, interest)?;
        loop {
            if let Some(error) = stream.take_error()? {
                return Err(error.into());
            }
            match stream.peer_addr() {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::NotConnected => self.wait_for(time)?,
                Err(error) => return Err(error.into()),
            }
        }
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Writes a request, and reads its answer meanwhile: a collector may refuse a request that it
    /// has not read.
    fn exchange(
        &mut self,
        mut stream: TcpStream,
        request: &[u8],
        time: &impl TimeLeft,
    ) -> Result<Response, PostError> {
        let (mut rest, mut answer, mut is_closed) = (request, Vec::new(), false);
        let mut chunk = [0; CHUNK];
        loop {
            let mut progress = false;
            while !rest.is_empty() && !is_closed {
                match stream.write(rest) {
                    Ok(written) => (rest, progress) = (&rest[written..], true),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // It may have answered before it closed the connection.
                    Err(_) => rest = &[],
                }
            }
            match stream.read(&mut chunk) {
                Ok(0) => (is_closed, progress) = (true, true),
                Ok(read) => {
                    answer.extend(&chunk[..read]);
                    progress = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => progress = true,
                Err(_) if !answer.is_empty() => (is_closed, progress) = (true, true),
                Err(error) => return Err(error.into()),
            }
            if let Some(Parsed { response, keeps_connection }) = parse(&answer, is_closed)? {
                if keeps_connection && rest.is_empty() && !is_closed {
                    self.connection = Some(stream);
                } else {
                    let _ = stream.shutdown(Shutdown::Both);
                }
                return Ok(response);
            }
            if is_closed {
                return Err(PostError::Closed);
            }
            if answer.len() > LONGEST_ANSWER {
                return Err(PostError::Garbage("it is too long"));
            }
            // A collector that never stops sending has the same time as another one.
            match time.left() {
                None => return Err(PostError::Late),
                Some(_) if progress => {}
                Some(_) => self.wait_for(time)?,
            }
        }
    }

    fn wait_for(&mut self, time: &impl TimeLeft) -> Result<(), PostError> {
        let left = time.left().ok_or(PostError::Late)?;
        self.wait(Some(left));
        Ok(())
    }
}

/// Wakes the client's poll.
struct WakeClient(Arc<Waker>);

impl Wake for WakeClient {
    fn wake(self: Arc<Self>) {
        // Without its poll the client waits for nothing.
        let _ = self.0.wake();
    }
}

/// Reads an answer; none while it is incomplete.
fn parse(mut bytes: &[u8], is_closed: bool) -> Result<Option<Parsed>, PostError> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let parsed = head.parse(bytes).map_err(|_| PostError::Garbage("its head is invalid"))?;
        let (httparse::Status::Complete(length), Some(status)) = (parsed, head.code) else {
            return Ok(None);
        };
        let body = &bytes[length..];
        // A response before the response, such as `100 Continue`.
        if (100..200).contains(&status) {
            bytes = body;
            continue;
        }
        return parse_body(status, &head, body, is_closed);
    }
}

fn parse_body(
    status: u16,
    head: &httparse::Response<'_, '_>,
    body: &[u8],
    is_closed: bool,
) -> Result<Option<Parsed>, PostError> {
    let header = |name: &str| {
        let mut headers = head.headers.iter();
        let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok().map(str::trim)
    };
    let is = |name, token: &str| {
        header(name).is_some_and(|value| {
            value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token))
        })
    };
    let mut keeps_connection = head.version == Some(1) && !is("connection", "close");
    let body = if status == 204 || status == 304 {
        Vec::new()
    } else if is("transfer-encoding", "chunked") {
        let Some(body) = unchunked(body)? else { return Ok(None) };
        body
    } else if let Some(length) = header("content-length") {
        let length: usize =
            length.parse().map_err(|_| PostError::Garbage("its length is not a number"))?;
        if length > LONGEST_ANSWER {
            return Err(PostError::Garbage("it is too long"));
        }
        let Some(body) = body.get(..length) else { return Ok(None) };
        body.to_owned()
    } else if is_closed {
        body.to_owned()
    } else {
        return Ok(None);
    };
    keeps_connection &= !is_closed;
    let retry_after = header("retry-after").and_then(|value| pause(value, header("date")));
    Ok(Some(Parsed { response: Response { status, retry_after, body }, keeps_connection }))
}

/// The pause of a `Retry-After`: a number of seconds, or a date. The time until a date is counted
/// from the `Date` of the answer, as the clock here may be another one.
fn pause(retry_after: &str, date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = retry_after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(unix_time(retry_after)?.saturating_sub(unix_time(date?)?))
}

/// The content of a body in chunks; none while it is incomplete.
fn unchunked(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, PostError> {
    let mut body = Vec::new();
    loop {
        let size = httparse::parse_chunk_size(bytes);
        let size = size.map_err(|_| PostError::Garbage("a chunk has no size"))?;
        let httparse::Status::Complete((start, size)) = size else { return Ok(None) };
        let size = usize::try_from(size).ok().filter(|size| *size <= LONGEST_ANSWER);
        let size = size.ok_or(PostError::Garbage("it is too long"))?;
        let rest = &bytes[start..];
        if size == 0 {
            // Trailers, then an empty line.
            let ends = rest.starts_with(b"\r\n") || rest.windows(4).any(|end| end == b"\r\n\r\n");
            return Ok(ends.then_some(body));
        }
        let Some(chunk) = rest.get(..size) else { return Ok(None) };
        body.extend(chunk);
        let Some(end) = rest.get(size..size + 2) else { return Ok(None) };
        if end != b"\r\n" {
            return Err(PostError::Garbage("a chunk does not end"));
        }
        bytes = &rest[size + 2..];
    }
}

#[cfg(test)]
mod tests;
