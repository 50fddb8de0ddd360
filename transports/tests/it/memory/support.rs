//! The descriptors and mappings of this process, and handlers that record events.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mycelium_transports::endpoint::unix::Access;
use mycelium_transports::memory::{
    Connection, ControlLimits, ControlThread, Gone, Handler, Mapping, Packet, PacketKind, Token,
};

use crate::support::TestDir;

/// Returns how many descriptors of this process refer to a memfd with this name.
pub(crate) fn open_files(name: &str) -> usize {
    let expected = format!("/memfd:{name} (deleted)");
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
    links.filter_map(|link| fs::read_link(link.path()).ok()).filter(|to| *to == *expected).count()
}

/// Returns the mappings of memfds with this name, each with its flags from `/proc/self/smaps`: `dc`
/// means that children do not inherit it.
pub(crate) fn mappings_of(name: &str) -> Vec<String> {
    let end = format!("/memfd:{name} (deleted)");
    let all = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = all.lines();
    let mut found = Vec::new();
    while lines.any(|line| line.ends_with(&end)) {
        let flags = lines.find_map(|line| line.strip_prefix("VmFlags: ")).unwrap();
        found.push(flags.to_owned());
    }
    found
}

/// A call of a handler.
#[derive(Debug)]
pub(crate) enum Event {
    Connected(Arc<Connection>),
    Packet(Packet, Option<OwnedFd>),
    Wake,
    Gone(Gone),
}

/// A handler that calls a function with each event, and then records the event.
pub(crate) struct Recorder(Mutex<mpsc::Sender<Event>>, Box<dyn Fn(&Event) + Send + Sync>);

/// The events of a [`Recorder`].
pub(crate) struct Events(mpsc::Receiver<Event>);

impl Recorder {
    pub(crate) fn new() -> (Arc<Recorder>, Events) {
        Recorder::that(|_| {})
    }

    /// Returns a recorder that passes a region with this name as soon as it can.
    pub(crate) fn passing(name: &str) -> (Arc<Recorder>, Events) {
        let name = name.to_owned();
        Recorder::that(move |event| {
            let Event::Connected(connection) = event else { return };
            let (_mapping, file) = Mapping::create(1, &name, false).unwrap();
            let packet = Packet::new(PacketKind::Region, 1, [0; 4]);
            // The other side may have ended the connection.
            let _ = connection.send(packet, Some(file.as_fd()));
        })
    }

    /// Returns a recorder that calls this function at each event, before it records the event.
    pub(crate) fn that(acts: impl Fn(&Event) + Send + Sync + 'static) -> (Arc<Recorder>, Events) {
        let (sender, receiver) = mpsc::channel();
        (Arc::new(Recorder(Mutex::new(sender), Box::new(acts))), Events(receiver))
    }

    fn record(&self, event: Event) {
        (self.1)(&event);
        let _ = self.0.lock().unwrap().send(event);
    }
}

/// Returns the default limits, of an old system or of this one.
pub(crate) fn limits(old_system: bool) -> ControlLimits {
    let mut limits = ControlLimits::default();
    limits.assume_old_system = old_system;
    limits
}

/// Returns a control thread that listens at the socket of a new directory.
pub(crate) fn listening(test: &str, limits: ControlLimits) -> (TestDir, Arc<ControlThread>) {
    let dir = TestDir::new(test);
    let listening = ControlThread::start(test, limits).unwrap();
    listening.listen(dir.socket(), Access::default()).unwrap();
    (dir, listening)
}

/// Expects a connection with this token.
pub(crate) fn expect(listening: &ControlThread, token: Token) -> Events {
    let (handler, events) = Recorder::new();
    listening.expect(token, None, handler);
    events
}

/// One end of a connection, and the events of its handler.
pub(crate) type End = (Arc<Connection>, Events);

/// Connects to a socket of this user.
pub(crate) fn connect(connecting: &ControlThread, dir: &TestDir, token: Token) -> End {
    let (handler, events) = Recorder::new();
    let connection = connecting.connect(&dir.socket(), &Access::default(), token, handler);
    (connection.unwrap(), events)
}

impl Handler for Recorder {
    fn connected(&self, connection: &Arc<Connection>) {
        self.record(Event::Connected(connection.clone()));
    }

    fn packet(&self, _: &Arc<Connection>, packet: Packet, descriptor: Option<OwnedFd>) {
        self.record(Event::Packet(packet, descriptor));
    }

    fn wake(&self) {
        self.record(Event::Wake);
    }

    fn gone(&self, reason: Gone) {
        self.record(Event::Gone(reason));
    }
}

impl Events {
    /// Returns the next event, within a minute, which is longer than any test takes.
    pub(crate) fn next(&self) -> Event {
        self.0.recv_timeout(Duration::from_secs(60)).expect("an event")
    }

    pub(crate) fn connected(&self) -> Arc<Connection> {
        let event = self.next();
        let Event::Connected(connection) = event else { panic!("{event:?}") };
        connection
    }

    pub(crate) fn packet(&self) -> (Packet, Option<OwnedFd>) {
        let event = self.next();
        let Event::Packet(packet, descriptor) = event else { panic!("{event:?}") };
        (packet, descriptor)
    }

    /// Returns the reason of the end, after which the handler is dropped.
    pub(crate) fn gone(&self) -> Gone {
        let Event::Gone(reason) = self.next() else { panic!("it has not ended") };
        let after = self.0.recv_timeout(Duration::from_secs(60));
        assert!(matches!(after, Err(mpsc::RecvTimeoutError::Disconnected)), "{after:?}");
        reason
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.0.try_recv(), Err(mpsc::TryRecvError::Empty))
    }
}

pub(crate) const TOKEN: Token = *b"a token of tests";
