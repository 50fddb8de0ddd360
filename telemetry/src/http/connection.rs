//! One connection: its request, its response, and its end. It reads and writes what it can, and
//! knows its deadlines; the endpoint has the clock.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;

use super::response::{Request, Responder};

/// The most bytes of a request.
const LONGEST: usize = 8 << 10;
/// The most bytes that are read after the response, so that the client gets it: a connection that
/// is closed with unread bytes is reset.
const LEFT: usize = 64 << 10;
/// The time for a request, for its response, and for the client to close.
const REQUEST: Duration = Duration::from_secs(5);
const RESPONSE: Duration = Duration::from_secs(30);
const CLOSING: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    stage: Stage,
    /// When it is closed if the stage has not ended.
    pub(super) deadline: Duration,
}

enum Stage {
    /// The bytes of the request until now.
    Request(Vec<u8>),
    /// The bytes of the response, and how many are written.
    Response(Vec<u8>, usize),
    /// The number of bytes that were read after the request.
    Closing(usize),
}

impl Connection {
    pub(super) fn new(stream: TcpStream, now: Duration) -> Connection {
        let deadline = now.saturating_add(REQUEST);
        Connection { stream, stage: Stage::Request(Vec::new()), deadline }
    }

    /// Whether its request has not arrived.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Request(_))
    }

    /// Reads and writes as far as possible. Returns whether the connection is over.
    pub(super) fn advance(&mut self, now: Duration, responder: &mut Responder) -> bool {
        loop {
            let done = match &mut self.stage {
                Stage::Request(bytes) => read_request(&mut self.stream, bytes),
                Stage::Response(bytes, written) => write(&mut self.stream, bytes, written),
                Stage::Closing(read) => discard(&mut self.stream, read),
            };
            match done {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
            self.stage = match &self.stage {
                Stage::Request(bytes) => {
                    self.deadline = now.saturating_add(RESPONSE);
                    let request = match Request::parse(bytes) {
                        Request::Incomplete => Request::TooLong,
                        request => request,
                    };
                    Stage::Response(responder.respond(&request), 0)
                }
                Stage::Response(..) => {
                    self.deadline = now.saturating_add(CLOSING);
                    if self.stream.shutdown(Shutdown::Write).is_err() {
                        return true;
                    }
                    Stage::Closing(0)
                }
                Stage::Closing(_) => return true,
            };
        }
    }

    /// The deadline has passed. A client that began a request learns why; it is not waited for.
    pub(super) fn expire(&mut self, responder: &mut Responder) {
        if let Stage::Request(bytes) = &self.stage
            && !bytes.is_empty()
        {
            let _ = self.stream.write(&responder.respond(&Request::Incomplete));
        }
    }
}

/// Reads until the request is complete or cannot become so.
fn read_request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut part = [0; 1024];
    loop {
        if !bytes.is_empty() && Request::parse(bytes) != Request::Incomplete {
            return Ok(());
        }
        let room = (LONGEST - bytes.len()).min(part.len());
        if room == 0 {
            return Ok(());
        }
        match stream.read(&mut part[..room]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn write(stream: &mut TcpStream, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while *written < bytes.len() {
        match stream.write(&bytes[*written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until the client closes.
fn discard(stream: &mut TcpStream, read: &mut usize) -> io::Result<()> {
    let mut part = [0; 1024];
    while *read < LEFT {
        match stream.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(count) => *read += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
