//! Finds the counters of other processes among their descriptors, and maps them read-only.
//!
//! The other process takes no part: it may spin, hang, or be stopped. This code changes nothing in
//! it, and gives it nothing to read.
//!
//! **Panic contract.** Processes may be hostile. No descriptor of a process and no content of its
//! memory makes this code panic, wait for the process, or read memory that could be freed.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use mycelium_core::{Code, debug_as_display};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use thiserror::Error;

use super::view::{
    ATTEMPTS, CountersView, FIRST_NAME, FURTHER_NAME, Layout, Listed, MADE_BY, ViewError,
};
use crate::memory::{Mapping, MemoryError};
use crate::sync::ForeignWords;

/// The limit on the mapped words of a region: twice the size of the largest region.
const MOST_WORDS: usize = 1 << 27;

/// A region of counters of another process, or of this one, mapped read-only.
///
/// ```
/// use mycelium_transports::counters::{Attached, Region, ServiceValue};
///
/// let region = Region::shared(16)?;
/// let line = region.line("service=Detector");
/// line.add(ServiceValue::Starts, 1);
///
/// // Usually in another process, which knows the number of this one.
/// let mut found = Attached::of_process(std::process::id())?;
/// let view = found.regions[0].read()?;
/// let service = view.lines.iter().find(|line| line.label("service") == "Detector").unwrap();
/// assert_eq!((&*service.kind.name, service.value("starts")), ("service", Some(1)));
///
/// // Later counts are seen, too: reading makes no system call.
/// line.add(ServiceValue::Starts, 1);
/// let again = found.regions[0].read()?;
/// assert_eq!(again.lines[0].value("starts"), Some(2));
/// assert!(!found.regions[0].has_ended());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Attached {
    process: Arc<Process>,
    /// Whether the region says that this process made it.
    is_own: bool,
    layout: Layout,
    first: Piece,
    /// The further segments listed so far; `None` for one that was not found.
    further: Vec<Option<Piece>>,
}

/// A segment, mapped.
#[derive(Debug)]
struct Piece {
    inode: u64,
    mapping: Mapping,
}

impl Piece {
    fn words(&self) -> ForeignWords<'_> {
        self.mapping.foreign_words()
    }
}

/// The regions of counters that a search found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Found {
    /// Regions that can be read. A process has one for each node, and one for actors outside nodes.
    pub regions: Vec<Attached>,
    /// Why other regions cannot be read.
    pub refused: Vec<AttachError>,
    /// How many processes were left out because they belong to other users. Always 0 except after
    /// [`Attached::of_all_processes`].
    pub of_others: usize,
}

/// Why the counters of a process cannot be read.
#[derive(Error)]
#[non_exhaustive]
pub enum AttachError {
    /// There is no such process, or it has ended.
    #[error("no process has the number {process} [{code}]", code = self.code())]
    NoProcess {
        /// The number of the process.
        process: u32,
    },
    /// The system does not let this process see the descriptors of the other one.
    #[error(
        "not permitted to see the descriptors of process {process}: its counters can be read by \
         its own user and by root [{code}]",
        code = self.code()
    )]
    Permission {
        /// The number of the process.
        process: u32,
    },
    /// The process has no region that others can read.
    #[error(
        "process {process} has no counters: expected a descriptor of a memfd `mycelium-counters` \
         [{code}]",
        code = self.code()
    )]
    NoCounters {
        /// The number of the process.
        process: u32,
    },
    /// A descriptor of the process has the name, but is not sealed memory.
    #[error(
        "counters of process {process}, descriptor {descriptor}: {error} [{code}]",
        code = self.code()
    )]
    Memory {
        /// The number of the process.
        process: u32,
        /// The number of the descriptor.
        descriptor: u32,
        /// What is wrong.
        #[source]
        error: MemoryError,
    },
    /// The memory of a descriptor contains no counters, or counters of another version.
    #[error(
        "counters of process {process}, descriptor {descriptor}: {} [{code}]",
        Code::split(&error.to_string()).0,
        code = self.code()
    )]
    View {
        /// The number of the process.
        process: u32,
        /// The number of the descriptor.
        descriptor: u32,
        /// What is wrong.
        #[source]
        error: ViewError,
    },
    /// A system call failed.
    #[error("cannot {action}: {error} [{code}]", code = self.code())]
    System {
        /// The purpose of the call.
        action: String,
        /// The system's error.
        #[source]
        error: io::Error,
    },
}

debug_as_display!(AttachError);

impl AttachError {
    /// Returns the code at the end of the error's text. For unreadable memory it is the code of the
    /// reason.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            AttachError::NoProcess { .. } => Code::NO_PROCESS,
            AttachError::Permission { .. } => Code::COUNTERS_OF_OTHERS,
            AttachError::NoCounters { .. } => Code::NO_COUNTERS,
            AttachError::Memory { error, .. } => error.code(),
            AttachError::View { error, .. } => error.code(),
            AttachError::System { .. } => Code::COUNTERS_SYSTEM,
        }
    }

    /// Returns the number of the process, if a process is the reason.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        match self {
            AttachError::NoProcess { process }
            | AttachError::Permission { process }
            | AttachError::NoCounters { process }
            | AttachError::Memory { process, .. }
            | AttachError::View { process, .. } => Some(*process),
            AttachError::System { .. } => None,
        }
    }
}

/// A process. It refers to the same process even after the end, when another process may get the
/// number.
#[derive(Debug)]
struct Process {
    number: u32,
    /// Becomes readable when the process ends.
    end: OwnedFd,
}

/// A descriptor of a process.
struct Descriptor {
    number: u32,
    /// The path that the link in `/proc/<pid>/fd` names.
    link: PathBuf,
}

impl Attached {
    /// Finds the regions of a process.
    ///
    /// # Errors
    /// If the process does not exist, belongs to another user, or has no region that can be read.
    pub fn of_process(process: u32) -> Result<Found, AttachError> {
        let mut found = Found::default();
        Attached::add_process(process, &mut found)?;
        if found.regions.is_empty() {
            return Err(match found.refused.into_iter().next() {
                Some(error) => error,
                None => AttachError::NoCounters { process },
            });
        }
        Ok(found)
    }

    /// Finds the regions of all processes that this process may inspect, in the order of their
    /// numbers. A region that several processes share, such as a process and its forked children,
    /// is listed for the one that made it, and not at all after the end of that one.
    ///
    /// # Errors
    /// If there is no list of processes.
    pub fn of_all_processes() -> Result<Found, AttachError> {
        let failed = |error| AttachError::System { action: "list all processes".into(), error };
        let mut numbers = Vec::new();
        for entry in fs::read_dir("/proc").map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        let mut found = Found::default();
        for process in numbers {
            match Attached::add_process(process, &mut found) {
                // Leaves out a process that has ended meanwhile.
                Ok(()) | Err(AttachError::NoProcess { .. }) => {}
                Err(AttachError::Permission { .. }) => found.of_others += 1,
                Err(error) => found.refused.push(error),
            }
        }
        found.regions.retain(Attached::is_own);
        Ok(found)
    }

    /// Copies all lines. Values of one line may be from slightly different moments. Makes no system
    /// call unless the region has grown. After the end of the process it returns the last values.
    ///
    /// # Errors
    /// If the region contradicts itself.
    pub fn read(&mut self) -> Result<CountersView, ViewError> {
        let mut attempts = 1;
        loop {
            let listed = self.layout.listed(self.first.words())?;
            self.map_further(&listed);
            let first = self.first.words();
            let further = self.further.iter().map(|piece| piece.as_ref().map(Piece::words));
            let pieces: Vec<Option<ForeignWords<'_>>> =
                std::iter::once(Some(first)).chain(further).collect();
            let view = self.layout.read(first, &listed, &pieces)?;
            // If the region has grown, values may have moved to a new segment. A hostile list may
            // grow and shrink for ever.
            if attempts == ATTEMPTS || self.layout.listed(first)?.len() <= listed.len() {
                return Ok(view);
            }
            attempts += 1;
        }
    }

    /// Returns the number of the process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.process.number
    }

    /// Whether the process made the region. If not, it has a descriptor from the process that did,
    /// such as its parent.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.is_own
    }

    /// Whether the process has ended. Then [`read`](Attached::read) returns the final values.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.process.has_ended()
    }

    /// Returns a number that no other region has while this one exists.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.first.inode
    }

    /// Adds the regions of a process to `found`.
    fn add_process(number: u32, found: &mut Found) -> Result<(), AttachError> {
        // Opens the process before its descriptors are listed, so that they belong to the opened
        // process.
        let process = Arc::new(Process::open(number)?);
        let descriptors = process.descriptors(FIRST_NAME);
        // A process that has ended keeps its number until its parent has waited for it.
        if process.has_ended() {
            return Err(AttachError::NoProcess { process: number });
        }
        let descriptors = descriptors?;
        let inner = if descriptors.is_empty() { None } else { process.inner_number() };
        for descriptor in descriptors {
            match process.attach(&descriptor, MOST_WORDS) {
                // Leaves out a descriptor that was closed meanwhile, or is another file now.
                Ok(None) => {}
                Ok(Some(first)) => {
                    let is_same = |region: &Attached| {
                        region.first.inode == first.inode && region.process() == number
                    };
                    if found.regions.iter().any(is_same) {
                        continue;
                    }
                    let is_own = inner.is_some() && first.words().load(MADE_BY) == inner;
                    match Layout::of(first.words()) {
                        Ok(layout) => {
                            let (process, further) = (process.clone(), Vec::new());
                            found.regions.push(Attached {
                                process,
                                is_own,
                                layout,
                                first,
                                further,
                            });
                        }
                        Err(error) => {
                            let descriptor = descriptor.number;
                            found.refused.push(AttachError::View {
                                process: number,
                                descriptor,
                                error,
                            });
                        }
                    }
                }
                Err(error) => {
                    let (process, descriptor) = (number, descriptor.number);
                    found.refused.push(AttachError::Memory { process, descriptor, error });
                }
            }
        }
        Ok(())
    }

    /// Maps the segments that were added to the list. Segments that cannot be found are counted as
    /// out of reach.
    fn map_further(&mut self, listed: &[Listed]) {
        let new = listed.get(1 + self.further.len()..).unwrap_or(&[]);
        if new.is_empty() {
            return;
        }
        // Tries the descriptor that the list names first: it is usually right.
        let descriptors = self.process.descriptors(FURTHER_NAME).unwrap_or_default();
        for listed in new {
            let mapped = || std::iter::once(&self.first).chain(self.further.iter().flatten());
            let most = MOST_WORDS.saturating_sub(mapped().map(|piece| piece.words().len()).sum());
            let is_new = mapped().all(|piece| piece.inode != listed.inode);
            let mut by_number: Vec<&Descriptor> = descriptors.iter().collect();
            by_number.sort_by_key(|found| u64::from(found.number) != listed.descriptor);
            let may_be = listed.inode != 0 && is_new;
            let mut by_number = by_number.into_iter().filter(|_| may_be);
            let piece = by_number.find_map(|descriptor| {
                let piece = self.process.attach(descriptor, most).ok()??;
                (piece.inode == listed.inode).then_some(piece)
            });
            self.further.push(piece);
        }
    }
}

impl Process {
    fn open(number: u32) -> Result<Process, AttachError> {
        let no_process = AttachError::NoProcess { process: number };
        let Some(pid) = i32::try_from(number).ok().and_then(Pid::from_raw) else {
            return Err(no_process);
        };
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(end) => Ok(Process { number, end }),
            // The second error means that the number belongs to a thread.
            Err(Errno::SRCH | Errno::INVAL) => Err(no_process),
            Err(error) => {
                let action = format!("watch process {number}");
                Err(AttachError::System { action, error: error.into() })
            }
        }
    }

    fn has_ended(&self) -> bool {
        let mut ends = [PollFd::new(&self.end, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(rustix::event::poll(&mut ends, Some(&now)), Ok(1..))
    }

    /// Returns the number of the process in its own namespace.
    fn inner_number(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.number)).ok()?;
        // A kernel without namespaces has no such line.
        let Some(numbers) = status.lines().find_map(|line| line.strip_prefix("NSpid:")) else {
            return Some(u64::from(self.number));
        };
        numbers.split_ascii_whitespace().last()?.parse().ok()
    }

    /// Returns the process's descriptors of memfds with this name, in the order of their numbers.
    fn descriptors(&self, name: &str) -> Result<Vec<Descriptor>, AttachError> {
        let process = self.number;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => AttachError::NoProcess { process },
            io::ErrorKind::PermissionDenied => AttachError::Permission { process },
            _ if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
                AttachError::NoProcess { process }
            }
            _ => {
                let action = format!("list the descriptors of process {process}");
                AttachError::System { action, error }
            }
        };
        let directory = PathBuf::from(format!("/proc/{process}/fd"));
        let link = PathBuf::from(format!("/memfd:{name} (deleted)"));
        let mut found = Vec::new();
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            if fs::read_link(directory.join(&name)).is_ok_and(|target| target == link) {
                found.push(Descriptor { number, link: link.clone() });
            }
        }
        found.sort_by_key(|descriptor| descriptor.number);
        Ok(found)
    }

    /// Maps the memfd of a descriptor, with at most this many words. Returns `None` if the
    /// descriptor is another file by now.
    fn attach(
        &self,
        descriptor: &Descriptor,
        most_words: usize,
    ) -> Result<Option<Piece>, MemoryError> {
        let path = format!("/proc/{}/fd/{}", self.number, descriptor.number);
        // Opens the file as a path only: this neither waits nor has an effect, even if the
        // descriptor is another file by now.
        let place =
            match rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
                Ok(place) => place,
                Err(Errno::NOENT | Errno::SRCH) => return Ok(None),
                Err(error) => return Err(system("look at a descriptor of the process")(error)),
            };
        let own = format!("/proc/self/fd/{}", place.as_raw_fd());
        let is_same = fs::read_link(&own).is_ok_and(|link| link == descriptor.link);
        let (device, inode) = device_and_inode(place.as_fd())?;
        if !is_same || device != device_of_memfds()? {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::openat(CWD, own, flags, Mode::empty())
            .map_err(system("open the memfd of the process"))?;
        Ok(Some(Piece { inode, mapping: Mapping::attach(file, most_words, false)? }))
    }
}

/// Returns the device and the inode of a file. The call does not wait for a file system.
fn device_and_inode(file: BorrowedFd<'_>) -> Result<((u32, u32), u64), MemoryError> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(file, "", flags, StatxFlags::INO)
        .map_err(system("examine a descriptor of the process"))?;
    Ok(((stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino))
}

/// Returns the device of all memfds. No other file is on this device.
fn device_of_memfds() -> Result<(u32, u32), MemoryError> {
    static DEVICE: OnceLock<(u32, u32)> = OnceLock::new();
    if let Some(device) = DEVICE.get() {
        return Ok(*device);
    }
    let (_mapping, own) = Mapping::create(1, "mycelium-reader", false)?;
    let (device, _) = device_and_inode(own.as_fd())?;
    Ok(*DEVICE.get_or_init(|| device))
}

fn system(action: &'static str) -> impl Fn(Errno) -> MemoryError {
    move |error| MemoryError::System { action, error: error.into() }
}
