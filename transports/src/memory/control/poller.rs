//! The sockets and processes that the control thread watches.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

/// An epoll instance, and an eventfd by which other threads end its wait.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
    wake: OwnedFd,
}

/// What an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The eventfd.
    Wake,
    /// The listening socket.
    Listener,
    /// The socket of a connection.
    Socket(u64),
    /// The process of a connection's peer.
    Process(u64),
}

impl Source {
    fn to_data(self) -> EventData {
        EventData::new_u64(match self {
            Source::Wake => 0,
            Source::Listener => 1,
            Source::Socket(id) => id << 1,
            Source::Process(id) => id << 1 | 1,
        })
    }

    fn of(data: EventData) -> Source {
        match data.u64() {
            0 => Source::Wake,
            1 => Source::Listener,
            socket if socket & 1 == 0 => Source::Socket(socket >> 1),
            process => Source::Process(process >> 1),
        }
    }
}

/// The first number of a connection: lower numbers stand for the other sources.
pub(super) const FIRST_ID: u64 = 1;

impl Poller {
    pub(super) fn new() -> Result<Poller, Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let poller = Poller { epoll, wake };
        poller.add(&poller.wake, Source::Wake)?;
        Ok(poller)
    }

    /// Reports when `watched` is readable or has ended.
    pub(super) fn add(&self, watched: impl AsFd, source: Source) -> Result<(), Errno> {
        epoll::add(&self.epoll, watched, source.to_data(), EventFlags::IN)
    }

    /// Sets whether to report also when a socket is writable.
    pub(super) fn report_room(&self, socket: impl AsFd, id: u64, on: bool) -> Result<(), Errno> {
        let mut flags = EventFlags::IN;
        flags.set(EventFlags::OUT, on);
        epoll::modify(&self.epoll, socket, Source::Socket(id).to_data(), flags)
    }

    pub(super) fn remove(&self, watched: impl AsFd) {
        // Fails for a descriptor that is not watched.
        let _ = epoll::delete(&self.epoll, watched);
    }

    /// Ends the wait.
    pub(super) fn wake(&self) {
        // Fails if the eventfd is full, which ends the wait, too.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Waits for events: the source of each, and whether a socket is writable.
    pub(super) fn wait(
        &self,
        events: &mut Vec<(Source, bool)>,
        timeout: Option<Timespec>,
    ) -> Result<(), Errno> {
        events.clear();
        let none = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut room = [none; 64];
        let found = match epoll::wait(&self.epoll, &mut room[..], timeout.as_ref()) {
            Ok(found) => found,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error),
        };
        for event in &room[..found] {
            // Copied, because the fields are not aligned.
            let (flags, source) = (event.flags, Source::of(event.data));
            if source == Source::Wake {
                let _ = rustix::io::read(&self.wake, &mut [0; 8]);
            }
            events.push((source, flags.contains(EventFlags::OUT)));
        }
        Ok(())
    }
}
