//! Threads on cores of their own.

use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::wait::{ALONE, WaitStrategy};

/// The first two cores that this process may use.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    usable: Vec<usize>,
    refused: Option<String>,
    reader: Arc<ThreadPool>,
}

/// Which of two threads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Writer = 0,
    Reader = 1,
}

impl Cores {
    /// Looks which cores there are, and pins the calling thread as the writer.
    pub(crate) fn take() -> Cores {
        #[cfg(target_os = "linux")]
        crate::loops::executor::host::look_at_cores();
        let usable = usable();
        let on = |side: Side| match usable.get(side as usize) {
            Some(core) => pin(*core),
            None => Err("there are not two cores".into()),
        };
        // The reader's core first: if that is refused, nothing must look pinned.
        let refused = on(Side::Reader).and_then(|()| on(Side::Writer)).err();
        let core = refused.is_none().then(|| usable[Side::Reader as usize]);
        let reader = ThreadPoolBuilder::new()
            .num_threads(1)
            // What it says was tried above.
            .start_handler(move |_| _ = core.map(pin))
            .build()
            .expect("the process may start a thread");
        Cores { usable, refused, reader: Arc::new(reader) }
    }

    /// The thread on the reader's core, which is there from round to round: a fresh one for each would begin with cold
    /// memory, and between two of them its core would sleep.
    pub(crate) fn reader(&self) -> &ThreadPool {
        &self.reader
    }

    pub(crate) fn count(&self) -> usize {
        self.usable.len()
    }

    /// Whether two threads can run at the same time.
    fn are_two(&self) -> bool {
        self.count() > 1
    }

    /// The ways of waiting for two threads, each on a core of its own if there are two. On one core, who spins keeps
    /// the other from running.
    pub(crate) fn sweep(&self) -> Vec<WaitStrategy> {
        ALONE.into_iter().filter(|wait| self.are_two() || *wait == WaitStrategy::Yield).collect()
    }

    /// Pins the calling thread, if pinning was granted at all.
    pub(crate) fn pin(&self, side: Side) -> Result<(), String> {
        if let Some(refused) = &self.refused {
            return Err(refused.clone());
        }
        match self.usable.get(side as usize) {
            Some(core) => pin(*core),
            None => Err("there are not two cores".into()),
        }
    }

    /// Pins the calling thread as one of many: the `number`-th, in turn over the writer's and the reader's core.
    pub(crate) fn pin_in_turn(&self, number: usize) -> Result<(), String> {
        self.pin(if number.is_multiple_of(2) { Side::Writer } else { Side::Reader })
    }

    /// The core of one of the two threads, if these are pinned.
    pub(crate) fn of(&self, side: Side) -> Option<usize> {
        self.usable.get(side as usize).copied().filter(|_| self.refused.is_none())
    }

    /// What was granted, in words.
    pub(crate) fn granted(&self) -> String {
        match (&self.refused, self.usable.as_slice()) {
            (None, [writer, reader, ..]) => {
                format!(
                    "granted, the one thread and the writer on core {writer}, the reader on core {reader}"
                )
            }
            (refused, _) => {
                format!("not granted ({})", refused.as_deref().unwrap_or("no cores known"))
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn usable() -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};

    sched_getaffinity(None).map_or_else(
        |_| Vec::new(),
        |set| (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect(),
    )
}

#[cfg(target_os = "linux")]
fn pin(core: usize) -> Result<(), String> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).map_err(|error| format!("core {core}: {error}"))
}

#[cfg(not(target_os = "linux"))]
fn usable() -> Vec<usize> {
    (0..std::thread::available_parallelism().map_or(1, usize::from)).collect()
}

#[cfg(not(target_os = "linux"))]
fn pin(_core: usize) -> Result<(), String> {
    Err("not on this system".into())
}
