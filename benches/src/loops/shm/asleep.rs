//! Two processes that sleep until the other one writes to its eventfd. The eventfd is awaited by
//! hand in tokio or smol, or read by a thread that blocks.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use async_io::Async;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::nodes::Place;
use crate::harness::{Column, Round};
use crate::loops::executor::host::Runtime;
use crate::machine::affinity::Cores;
use crate::machine::processes::Worker;
use crate::stats::Times;

/// An eventfd that a process waits for.
enum Waited {
    Tokio(AsyncFd<OwnedFd>),
    Smol(Async<OwnedFd>),
    Blocking(OwnedFd),
}

impl Waited {
    /// Waits inside the executor.
    #[expect(deprecated, reason = "an `OwnedFd` stays the same; the replacement is unsafe")]
    fn of(place: Place, file: OwnedFd) -> io::Result<Waited> {
        Ok(match place {
            Place::On(Runtime::Tokio) => {
                Waited::Tokio(AsyncFd::with_interest(file, Interest::READABLE)?)
            }
            Place::On(Runtime::Smol) => Waited::Smol(Async::new(file)?),
            _ => Waited::Blocking(file),
        })
    }

    async fn next(&self) -> io::Result<()> {
        let take = |file: &OwnedFd| Ok(read(file, &mut [0; 8]).map(|_| ())?);
        match self {
            Waited::Tokio(file) => file.async_io(Interest::READABLE, take).await,
            Waited::Smol(file) => file.read_with(take).await,
            Waited::Blocking(file) => take(file),
        }
    }
}

fn wake(file: &OwnedFd) -> io::Result<()> {
    Ok(write(file, &1u64.to_ne_bytes()).map(|_| ())?)
}

fn copy(file: impl AsFd) -> OwnedFd {
    file.as_fd().try_clone_to_owned().expect("a descriptor is free")
}

/// Runs the other process, whose standard input and output are the eventfds: it answers until it is
/// killed.
pub(super) fn answer(place: &str) {
    let place = Place::of(place);
    let (there, back) = (copy(io::stdin()), copy(io::stdout()));
    let answered = place.runtime().run(async move |_| {
        let there = Waited::of(place, there)?;
        loop {
            there.next().await?;
            wake(&back)?;
        }
    });
    let Err(error): io::Result<()> = answered else { return };
    panic!("an eventfd failed: {error}");
}

/// A column of trips by eventfds, both processes in this place.
pub(crate) fn eventfds(name: &'static str, place: Place, cores: &Cores) -> Column {
    let (mut made, cores) = (None, cores.clone());
    Column::new(name, move |operations| {
        let (_, there, back) = made.get_or_insert_with(|| {
            let awaited = matches!(place, Place::On(_));
            let nonblocking = if awaited { EventfdFlags::NONBLOCK } else { EventfdFlags::empty() };
            let new = || eventfd(0, EventfdFlags::CLOEXEC | nonblocking).expect("a descriptor");
            let (there, back) = (new(), new());
            let job = format!("eventfd {place:?}");
            let worker = Worker::start(&cores, &job, copy(&there).into(), copy(&back).into());
            (worker, there, back)
        });
        let (there, back) = (copy(there), copy(back));
        let times = place.runtime().run(async move |_| -> io::Result<Times> {
            let (back, mut times) = (Waited::of(place, back)?, Times::default());
            for _ in 0..operations {
                let start = Instant::now();
                wake(&there)?;
                back.next().await?;
                times.record(start.elapsed());
            }
            Ok(times)
        });
        Ok(Round::Each(times.expect("the eventfds are open")))
    })
}
