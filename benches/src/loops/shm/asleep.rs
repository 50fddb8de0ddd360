//! Two processes that sleep until the other one wakes them, by the means of the system.

use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};
use rustix::thread::futex;

use super::bare::Pages;
use crate::affinity::Cores;
use crate::harness::{Column, Round};
use crate::processes::{Parent, Worker, command};
use crate::stats::Times;

/// Two eventfds, which are the standard input and output of the other process.
struct Eventfds {
    there: OwnedFd,
    back: OwnedFd,
    child: Child,
}

impl Eventfds {
    fn start(cores: &Cores) -> Eventfds {
        let new = || eventfd(0, EventfdFlags::CLOEXEC).expect("the process may open a descriptor");
        let (there, back) = (new(), new());
        let copy = |file: &OwnedFd| Stdio::from(file.try_clone().expect("a descriptor is free"));
        let child = command(cores, "eventfd").stdin(copy(&there)).stdout(copy(&back)).spawn();
        Eventfds { there, back, child: child.expect("the process may start another one") }
    }
}

impl Drop for Eventfds {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other process: answers until it is killed.
pub(super) fn answer_eventfd() {
    let (input, output) = (std::io::stdin(), std::io::stdout());
    let [input, output]: [std::os::fd::BorrowedFd<'_>; 2] =
        [std::os::fd::AsFd::as_fd(&input), std::os::fd::AsFd::as_fd(&output)];
    let mut value = [0; 8];
    while read(input, &mut value).is_ok_and(|count| count == 8) {
        if write(output, &1u64.to_ne_bytes()).is_err() {
            return;
        }
    }
}

/// A column of trips by eventfds.
pub(crate) fn eventfds(name: &'static str, cores: &Cores) -> Column {
    let (mut made, cores) = (None, cores.clone());
    Column::new(name, move |operations| {
        let Eventfds { there, back, .. } = made.get_or_insert_with(|| Eventfds::start(&cores));
        let mut times = Times::default();
        for _ in 0..operations {
            let start = Instant::now();
            write(&*there, &1u64.to_ne_bytes()).expect("its counter is far from full");
            read(&*back, &mut [0; 8]).expect("it is open");
            times.record(start.elapsed());
        }
        Ok(Round::Each(times))
    })
}

/// Waits until the word of the other side is another one than before.
fn sleep(pages: &Pages, last: &mut u32) {
    let word = pages.half(0);
    loop {
        let found = word.load(Ordering::Acquire);
        if found != *last {
            *last = found;
            return;
        }
        // It fails if the word has changed, or after a signal.
        let _ = futex::wait(word, futex::Flags::empty(), found, None);
    }
}

fn wake(pages: &Pages) {
    let word = pages.half(0);
    word.fetch_add(1, Ordering::Release);
    let _ = futex::wake(word, futex::Flags::empty(), 1);
}

/// The other process: answers until it is killed.
pub(super) fn answer_futex(parent: &mut Parent) {
    let [own, theirs] = Pages::meet(parent, 4096);
    let mut last = 0;
    loop {
        sleep(&theirs, &mut last);
        wake(&own);
    }
}

/// A column of trips by futexes.
pub(crate) fn futexes(name: &'static str, cores: &Cores) -> Column {
    let (mut made, cores) = (None, cores.clone());
    Column::new(name, move |operations| {
        let (_worker, [own, theirs], last) = made.get_or_insert_with(|| {
            let mut worker = Worker::start(&cores, "futex");
            let pages = Pages::meet(&mut worker, 4096);
            (worker, pages, 0)
        });
        let mut times = Times::default();
        for _ in 0..operations {
            let start = Instant::now();
            wake(own);
            sleep(theirs, last);
            times.record(start.elapsed());
        }
        Ok(Round::Each(times))
    })
}
