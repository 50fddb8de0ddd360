//! Threads with a name, a set of cores and a scheduling class.
//!
//! Every adapter dedicates a thread in the same way: start it, pin it, set its class, create the
//! executor on it, and report the granted placement before any work runs. This file does so for all
//! adapters.

use std::fmt;
use std::sync::{OnceLock, mpsc};
use std::thread::{self, JoinHandle};

use mycelium_core::{Code, debug_as_display};

/// The requested properties of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// The name, as tools show it. The system truncates it to 15 bytes.
    pub name: String,
    /// The cores to which the thread is pinned. Empty means all cores of the process: a thread does
    /// not inherit the cores of the thread that starts it.
    pub cores: Vec<usize>,
    /// The scheduling class.
    pub class: Class,
    /// What to do if the system refuses the cores or the class.
    pub fallback: PlacementFallback,
}

/// How the system schedules a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// The default class. A thread does not inherit the class of the thread that starts it.
    #[default]
    Normal,
    /// `SCHED_FIFO` with a priority from 1 to 99: the thread runs until it waits or a thread with a
    /// higher priority can run. Linux grants it to root, with `CAP_SYS_NICE`, or up to `ulimit -r`.
    Fifo(u8),
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Class::Normal => f.write_str("the normal scheduling class"),
            Class::Fifo(priority) => write!(f, "SCHED_FIFO with priority {priority}"),
        }
    }
}

/// What to do if the system refuses the cores or the class of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlacementFallback {
    /// Do not start the thread.
    #[default]
    Fail,
    /// Start the thread without them. [`GrantedPlacement::refused`] has the errors.
    Warn,
}

/// The cores and the class that the system granted to a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantedPlacement {
    /// The cores that the thread may use. Empty if the system does not report them.
    pub cores: Vec<usize>,
    /// The class.
    pub class: Class,
    /// What the system refused. Always empty with [`PlacementFallback::Fail`].
    pub refused: Vec<ThreadError>,
}

impl Thread {
    /// Starts the thread, applies its properties, and calls `prepare` on it, which returns the
    /// work. The work runs only if all of this succeeds.
    ///
    /// ```
    /// use mycelium_executor::{Class, Thread};
    ///
    /// let request = Thread { name: "engine".to_owned(), ..Thread::default() };
    /// let (thread, granted) = request.start(|| Ok(|| println!("runs")))?;
    /// assert_eq!((granted.class, granted.refused.len()), (Class::Normal, 0));
    /// thread.join().unwrap();
    /// # Ok::<(), mycelium_executor::ThreadError>(())
    /// ```
    ///
    /// # Errors
    /// If the system refuses the thread, its cores or its class, or if `prepare` fails. The thread
    /// has ended then.
    pub fn start<R: FnOnce()>(
        self,
        prepare: impl FnOnce() -> Result<R, ThreadError> + Send + 'static,
    ) -> Result<(JoinHandle<()>, GrantedPlacement), ThreadError> {
        let _ = process_cores();
        let (sender, receiver) = mpsc::sync_channel(1);
        let builder = thread::Builder::new().name(self.name.clone());
        let thread = builder.spawn(move || {
            let prepared = self.apply_to_current().and_then(|granted| Ok((granted, prepare()?)));
            match prepared {
                Ok((granted, run)) => {
                    let _ = sender.send(Ok(granted));
                    run();
                }
                Err(error) => drop(sender.send(Err(error))),
            }
        });
        let thread = thread.map_err(|error| ThreadError::Start { error: error.to_string() })?;
        let panicked =
            |_| Err(ThreadError::Start { error: "it panicked during its preparation".to_owned() });
        match receiver.recv().unwrap_or_else(panicked) {
            Ok(granted) => Ok((thread, granted)),
            Err(error) => {
                let _ = thread.join();
                Err(error)
            }
        }
    }

    /// Applies the cores and the class to the calling thread. Use it for threads that
    /// [`start`](Thread::start) did not start, such as pool threads:
    /// `Thread::default().apply_to_current()` undoes an inherited placement.
    ///
    /// # Errors
    /// If the system refuses the cores or the class, with [`PlacementFallback::Fail`].
    pub fn apply_to_current(&self) -> Result<GrantedPlacement, ThreadError> {
        let mut granted = GrantedPlacement { class: self.class, ..GrantedPlacement::default() };
        for applied in [system::pin(&self.cores), self.enter_class()] {
            let Err(error) = applied else { continue };
            if self.fallback == PlacementFallback::Fail {
                return Err(error);
            }
            if let ThreadError::Class { .. } = error {
                granted.class = Class::Normal;
            }
            granted.refused.push(error);
        }
        granted.cores = system::allowed().unwrap_or_default();
        Ok(granted)
    }

    fn enter_class(&self) -> Result<(), ThreadError> {
        match self.class {
            Class::Normal => system::leave_fifo(),
            Class::Fifo(priority) => system::enter_fifo(priority),
        }
        .map_err(|error| ThreadError::Class { asked: self.class, error })
    }
}

/// Why a thread did not start or was not placed as requested.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ThreadError {
    /// The system did not start the thread.
    #[error("the thread did not start: {error}")]
    Start {
        /// The system's error.
        error: String,
    },
    /// The core does not exist, or the process may not use it.
    #[error("core {core} does not exist or is outside this process's set; choose from {allowed:?}")]
    Core {
        /// The requested core.
        core: usize,
        /// The cores that the process may use.
        allowed: Vec<usize>,
    },
    /// The system did not pin the thread.
    #[error("the system did not pin the thread to cores {cores:?}: {error}")]
    Pin {
        /// The requested cores.
        cores: Vec<usize>,
        /// The system's error.
        error: String,
    },
    /// The system did not grant the scheduling class.
    #[error(
        "the system did not grant {asked} ({error}); run with CAP_SYS_NICE, raise `ulimit -r`, \
         or set the fallback to `warn`"
    )]
    Class {
        /// The requested class.
        asked: Class,
        /// The system's error.
        error: String,
    },
    /// The executor could not be created on the thread.
    #[error("{executor}: {error}")]
    Executor {
        /// The kind of executor.
        executor: String,
        /// What is wrong, and what to change.
        error: String,
    },
    /// The executor does not support this.
    #[error("{executor} cannot give {what}")]
    Unsupported {
        /// The executor.
        executor: String,
        /// The requested setting.
        what: String,
    },
}

debug_as_display!(ThreadError);

impl ThreadError {
    /// Returns the code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            ThreadError::Start { .. } => Code::NO_THREAD,
            ThreadError::Core { .. } => Code::NO_CORE,
            ThreadError::Pin { .. } => Code::NOT_PINNED,
            ThreadError::Class { .. } => Code::NO_CLASS,
            ThreadError::Executor { .. } => Code::NO_EXECUTOR,
            ThreadError::Unsupported { .. } => Code::PLACEMENT_UNSUPPORTED,
        }
    }
}

/// Returns the cores that the calling thread may use. Returns `None` if the system does not report
/// them.
#[must_use]
pub fn allowed_cores() -> Option<Vec<usize>> {
    system::allowed()
}

/// Returns the cores that the process may use. Read once, before this file pins any thread.
fn process_cores() -> Option<&'static [usize]> {
    static CORES: OnceLock<Option<Vec<usize>>> = OnceLock::new();
    CORES.get_or_init(system::allowed).as_deref()
}

// Miri does not support these system calls.
#[cfg(all(target_os = "linux", not(miri)))]
mod system {
    use std::fs;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use thread_priority::unix::{
        NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
    };
    use thread_priority::{ThreadPriority, ThreadPriorityValue};

    use super::{ThreadError, process_cores};

    pub(super) fn allowed() -> Option<Vec<usize>> {
        let set = sched_getaffinity(None).ok()?;
        Some((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
    }

    pub(super) fn pin(cores: &[usize]) -> Result<(), ThreadError> {
        let allowed = process_cores().unwrap_or_default();
        let cores = if cores.is_empty() { allowed } else { cores };
        if self::allowed().is_some_and(|now| now == cores) {
            return Ok(());
        }
        if !cores.iter().all(|core| allowed.contains(core)) {
            // A process does not inherit the isolated cores, but its threads may be pinned to them.
            let allowed = [allowed, &isolated()].concat();
            if let Some(&core) = cores.iter().find(|core| !allowed.contains(core)) {
                return Err(ThreadError::Core { core, allowed });
            }
        }
        let mut set = CpuSet::new();
        cores.iter().for_each(|core| set.set(*core));
        sched_setaffinity(None, &set)
            .map_err(|error| ThreadError::Pin { cores: cores.to_vec(), error: error.to_string() })
    }

    /// Returns the cores of the kernel's parameter `isolcpus`.
    fn isolated() -> Vec<usize> {
        let list = fs::read_to_string("/sys/devices/system/cpu/isolated").unwrap_or_default();
        cores_of(&list)
    }

    /// Reads a list of cores such as `2-4,7`. Skips parts that are not numbers.
    pub(super) fn cores_of(list: &str) -> Vec<usize> {
        let ranges = list.trim().split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse::<usize>().ok()?..=last.parse().ok()?)
        });
        ranges.flatten().take(CpuSet::MAX_CPU).filter(|core| *core < CpuSet::MAX_CPU).collect()
    }

    pub(super) fn leave_fifo() -> Result<(), String> {
        let normal = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
        match thread_schedule_policy() {
            Ok(ThreadSchedulePolicy::Realtime(_)) => {
                set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, normal)
                    .map_err(|error| error.to_string())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn enter_fifo(priority: u8) -> Result<(), String> {
        let value = ThreadPriorityValue::try_from(priority).map_err(|error| error.to_string())?;
        let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
        set_thread_priority_and_policy(
            thread_native_id(),
            ThreadPriority::Crossplatform(value),
            policy,
        )
        .map_err(|error| error.to_string())
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
mod system {
    use super::ThreadError;

    pub(super) fn allowed() -> Option<Vec<usize>> {
        None
    }

    pub(super) fn pin(cores: &[usize]) -> Result<(), ThreadError> {
        if cores.is_empty() {
            return Ok(());
        }
        let error = "threads can be pinned on Linux only".to_owned();
        Err(ThreadError::Pin { cores: cores.to_vec(), error })
    }

    pub(super) fn leave_fifo() -> Result<(), String> {
        Ok(())
    }

    pub(super) fn enter_fifo(_: u8) -> Result<(), String> {
        Err("it is supported on Linux only".to_owned())
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::system::cores_of;

    #[test]
    fn a_list_of_the_kernel_has_cores_and_ranges() {
        assert_eq!(cores_of("2-4,7\n"), [2, 3, 4, 7]);
        assert_eq!(cores_of("\n"), []);
        assert_eq!(cores_of("4-2,x,99999999999999999999,1-,3"), [3]);
        assert_eq!(cores_of("0-18446744073709551615").len(), 1024);
    }
}
