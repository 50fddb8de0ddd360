//! Pins threads to cores.

use std::sync::Arc;
use std::thread::available_parallelism;

use mycelium_executor::{Thread, allowed_cores};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::wait::{ALONE, Idle};

/// The first two cores that this process may use.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    usable: Vec<usize>,
    /// Why threads are not pinned.
    refused: Option<String>,
    reader: Arc<ThreadPool>,
}

/// One of two threads, each with a core.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Writer = 0,
    Reader = 1,
}

impl Cores {
    /// Finds the usable cores and pins the calling thread as the writer.
    pub(crate) fn take() -> Cores {
        // The executors must learn the usable cores before this thread is pinned.
        let _ = Thread::default().apply_to_current();
        let all = || (0..available_parallelism().map_or(1, usize::from)).collect();
        let usable = allowed_cores().unwrap_or_else(all);
        let on = |side: Side| match usable.get(side as usize) {
            Some(core) => pin(*core),
            None => Err("the process may use one core only".into()),
        };
        // The reader's core comes first: if it is refused, no thread must stay pinned to the
        // writer's core.
        let refused = on(Side::Reader).and_then(|()| on(Side::Writer)).err();
        let core = refused.is_none().then(|| usable[Side::Reader as usize]);
        let reader = ThreadPoolBuilder::new()
            .num_threads(1)
            // The result needs no check: pinning to this core worked above.
            .start_handler(move |_| _ = core.map(pin))
            .build()
            .expect("the process may start a thread");
        Cores { usable, refused, reader: Arc::new(reader) }
    }

    /// Finds the same cores in another process, which was started with their [names](Cores::names).
    #[cfg(target_os = "linux")]
    pub(crate) fn named(names: &str) -> Cores {
        // This process has inherited the one core of the thread that started it.
        let mut set = rustix::thread::CpuSet::new();
        names.split(',').filter_map(|name| name.parse().ok()).for_each(|core| set.set(core));
        let _ = rustix::thread::sched_setaffinity(None, &set);
        Cores::take()
    }

    /// The numbers of the cores.
    #[cfg(target_os = "linux")]
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.usable.iter().map(usize::to_string).collect();
        names.join(",")
    }

    /// Pins the calling thread to the core of one of the two threads.
    pub(crate) fn pin_to(&self, side: Side) {
        // The result needs no check: pinning to this core worked before.
        let _ = self.of(side).map(pin);
    }

    /// The reader's thread. It lives for the whole run: a new one in each round would start with
    /// cold caches, on a core that has slept.
    pub(crate) fn reader(&self) -> &ThreadPool {
        &self.reader
    }

    pub(crate) fn count(&self) -> usize {
        self.usable.len()
    }

    /// The idle strategies for two threads. On a single core only a yield lets the other one run.
    pub(crate) fn sweep(&self) -> Vec<Idle> {
        ALONE.into_iter().filter(|idle| self.count() > 1 || *idle == Idle::Yield).collect()
    }

    /// Pins the calling thread, one of many: even numbers to the writer's core, odd to the
    /// reader's.
    pub(crate) fn pin_in_turn(&self, number: usize) {
        self.pin_to(if number.is_multiple_of(2) { Side::Writer } else { Side::Reader });
    }

    /// Returns the core of one of the two threads, if they are pinned.
    pub(crate) fn of(&self, side: Side) -> Option<usize> {
        self.usable.get(side as usize).copied().filter(|_| self.refused.is_none())
    }

    /// Whether and how threads are pinned, in words.
    pub(crate) fn granted(&self) -> String {
        match (&self.refused, self.usable.as_slice()) {
            (None, [writer, reader, ..]) => {
                format!("single thread and writer on core {writer}, reader on core {reader}")
            }
            (refused, _) => format!("none ({})", refused.as_deref().unwrap_or("unknown cores")),
        }
    }
}

fn pin(core: usize) -> Result<(), String> {
    let thread = Thread { cores: vec![core], ..Thread::default() };
    thread.apply_to_current().map(drop).map_err(|error| error.to_string())
}
