//! The files of a recording. Entries are encoded into memory; another thread writes whole chunks.
//! While it is slow, at most [`FULL`] bytes wait here, and no deliveries are taken: what publishers
//! overwrite meanwhile is a gap.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use mycelium::subscribe::GapReason;
use mycelium_executor::Executor;
use mycelium_record::{End, RecordError, Recorded, Recording, Stream, StreamId};
use mycelium_smol::Smol;

use super::args::RecordArgs;
use super::recording::Sums;
use crate::peers::sink::{Sink, blocking};
use crate::shared::exit::Failure;
use crate::shared::output::shown;

/// The number of waiting bytes from which no more deliveries are taken.
const FULL: usize = 8 << 20;

/// Clears a line of a terminal.
const CLEAR: &str = "\r\x1b[K";

/// What follows the error of a file that could not be written to its end.
const READABLE: &str = "the file is readable up to its last whole chunk: `mycelium info` shows it";

/// The files of a recording.
pub(super) struct Output<'a> {
    args: &'a RecordArgs,
    recording: Recording,
    file: Arc<File>,
    sink: Sink,
    /// The number in the path of the first file.
    first: usize,
    /// The number of earlier files, and their bytes.
    parts: usize,
    earlier: u64,
    /// The bytes of the present file with which it continues streams.
    begun: u64,
    /// The streams: their numbers in the present file, until they have ended.
    streams: Vec<Option<StreamId>>,
    topics: BTreeSet<String>,
    /// The sums of all files.
    sums: Sums,
    /// The progress, on a terminal.
    progress: Option<Sink>,
    has_failed: bool,
}

/// A stream in all files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot(usize);

/// Checks that the files of the command line do not exist, or may be replaced.
///
/// # Errors
/// If one exists.
pub(super) fn check(args: &RecordArgs) -> Result<(), Failure> {
    if args.force {
        return Ok(());
    }
    // The numbers of parts have no gap, unless somebody has removed one.
    let last = if args.split.is_some() { 1 } else { 0 };
    let paths = (0..=last).map(|part| part_of(&args.output, part));
    match paths.into_iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(exists(&path)),
        None => Ok(()),
    }
}

fn exists(path: &Path) -> Failure {
    let problem = match path.is_dir() {
        true => "is a directory: expected the path of a file",
        false => "exists: use `--force` to replace it",
    };
    Failure::Usage(format!("{} {problem}", shown(path)))
}

/// Returns the path of a part, such as `day.1.mcap`.
fn part_of(path: &Path, part: usize) -> PathBuf {
    if part == 0 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{part}"));
    if let Some(extension) = path.extension() {
        name.push(OsString::from("."));
        name.push(extension);
    }
    path.with_file_name(name)
}

impl<'a> Output<'a> {
    /// Creates the first file. With `continues`, it comes after the files that exist, unless they
    /// are to be replaced.
    pub(super) async fn create(
        args: &'a RecordArgs,
        smol: &Smol,
        continues: bool,
    ) -> Result<Output<'a>, Failure> {
        let is_free = |part: &usize| part_of(&args.output, *part).symlink_metadata().is_err();
        let is_next = continues && !args.force;
        let first = if is_next { (0..).find(is_free).unwrap_or(0) } else { 0 };
        let (file, sink) = open(args, smol, first).await?;
        Ok(Output {
            args,
            recording: recording(args),
            file,
            sink,
            first,
            parts: 0,
            earlier: 0,
            begun: 0,
            streams: Vec::new(),
            topics: BTreeSet::new(),
            sums: Sums::default(),
            progress: io::stderr().is_terminal().then(Sink::errors),
            has_failed: false,
        })
    }

    /// Begins a stream; in a new file, if the present one has no number for it.
    pub(super) async fn begin(
        &mut self,
        smol: &Smol,
        stream: Stream,
        first: u64,
        at: u64,
    ) -> Result<Slot, Failure> {
        let failed = |error: RecordError| Failure::Unavailable(error.to_string());
        if !self.topics.contains(&stream.topic) {
            self.topics.insert(stream.topic.clone());
            self.sums.topics = self.topics.len();
        }
        let id = match self.recording.begin(stream.clone(), first, at) {
            Err(RecordError::Full { .. }) => {
                self.next_file(smol, at).await?;
                self.recording.begin(stream, first, at).map_err(failed)?
            }
            begun => begun.map_err(failed)?,
        };
        self.streams.push(Some(id));
        Ok(Slot(self.streams.len() - 1))
    }

    /// Adds a message.
    pub(super) fn message(
        &mut self,
        slot: Slot,
        message: &Recorded<'_>,
    ) -> Result<(), RecordError> {
        if let Some(id) = self.streams[slot.0] {
            self.recording.message(id, message)?;
            self.sums.messages += 1;
        }
        Ok(())
    }

    /// Adds a gap.
    pub(super) fn gap(
        &mut self,
        slot: Slot,
        next: u64,
        missed: u64,
        reason: GapReason,
        at: u64,
    ) -> Result<(), RecordError> {
        if let Some(id) = self.streams[slot.0] {
            self.recording.gap(id, next, missed, reason, at)?;
            // A peer may report any number, so this does not wrap.
            self.sums.gaps += 1;
            self.sums.missed = self.sums.missed.saturating_add(missed);
        }
        Ok(())
    }

    /// Ends a stream. Without `next` it ends after what is recorded.
    pub(super) fn end(
        &mut self,
        slot: Slot,
        end: End,
        next: Option<u64>,
        at: u64,
    ) -> Result<(), RecordError> {
        if let Some(id) = self.streams[slot.0].take() {
            let next = next.unwrap_or(self.recording.totals().streams[id.index()].next);
            self.recording.end(id, end, next, at)?;
            self.sums.lost += usize::from(end == End::Lost);
        }
        Ok(())
    }

    /// Notes a lost connection.
    pub(super) fn disconnected(&mut self, node: &str, topic: &str, reason: &str, at: u64) {
        self.recording.disconnected(node, topic, reason, at);
    }

    /// Begins to write whole chunks. Waits if too many bytes wait. Begins the next file if this one
    /// has its size.
    pub(super) async fn write(&mut self, smol: &Smol) -> Result<(), Failure> {
        self.pass();
        let begun = self.sink.begin(smol);
        self.checked(begun)?;
        if self.sink.text.len() >= FULL {
            let flushed = self.sink.flush(smol).await;
            self.checked(flushed)?;
        }
        let written = self.recording.written().saturating_sub(self.begun);
        match self.args.split.is_some_and(|size| written >= size) {
            true => self.next_file(smol, nanoseconds(smol.wall_clock())).await,
            false => Ok(()),
        }
    }

    /// Closes the open chunk, and waits until it is in the file.
    pub(super) async fn commit(&mut self, smol: &Smol) -> Result<(), Failure> {
        self.recording.close_chunk();
        self.pass();
        let flushed = self.sink.flush(smol).await;
        self.checked(flushed)
    }

    /// Closes the open chunk, begins to write it, and shows the progress.
    pub(super) async fn tick(&mut self, smol: &Smol) -> Result<(), Failure> {
        self.recording.close_chunk();
        let text = format!("{CLEAR}{}", self.sums());
        if let Some(progress) = &mut self.progress {
            // Ignores an error: without standard error there is no progress.
            progress.text = text.into_bytes();
            _ = progress.begin(smol);
        }
        self.write(smol).await
    }

    /// Ends the files in order. Returns the sums, which are to be written to standard error.
    pub(super) async fn finish(mut self, smol: &Smol) -> (Sink, Result<(), Failure>) {
        let finished = match self.has_failed {
            true => Ok(()),
            false => self.finish_file(smol).await,
        };
        let begin = if self.progress.is_some() { CLEAR } else { "" };
        let first = part_of(&self.args.output, self.first);
        let place = if self.has_failed { "had arrived for" } else { "in" };
        let mut text = format!("{begin}{} {place} {}", self.sums(), shown(&first));
        match self.parts {
            0 => {}
            1 => text += " and 1 more file",
            more => text += &format!(" and {more} more files"),
        }
        text.push('\n');
        let mut errors = self.progress.take().unwrap_or_else(Sink::errors);
        errors.text = text.into_bytes();
        (errors, finished)
    }

    /// Returns the sums so far.
    fn sums(&self) -> String {
        let size = (self.earlier + self.recording.written()) as f64 / f64::from(1 << 20);
        format!("{}, {size:.1} MiB", self.sums)
    }

    /// Passes whole chunks on to the sink.
    fn pass(&mut self) {
        let taken = self.recording.take();
        match self.sink.text.is_empty() {
            true => self.sink.text = taken,
            false => self.sink.text.extend(taken),
        }
    }

    /// Ends the present file, and goes on in the next one, where the streams that have not ended
    /// begin again.
    async fn next_file(&mut self, smol: &Smol, at: u64) -> Result<(), Failure> {
        let streams = self.recording.totals().streams.clone();
        self.finish_file(smol).await?;
        self.has_failed = true;
        (self.file, self.sink) = open(self.args, smol, self.first + self.parts + 1).await?;
        (self.parts, self.has_failed) = (self.parts + 1, false);
        for id in self.streams.iter_mut().flatten() {
            let totals = &streams[id.index()];
            let begun = self.recording.begin((*totals.stream).clone(), totals.next, at);
            *id = begun.map_err(|error| Failure::Unavailable(error.to_string()))?;
        }
        self.begun = self.recording.written();
        Ok(())
    }

    /// Writes the end of the present file, and waits until the disk has it. The recording is then
    /// that of the next file.
    async fn finish_file(&mut self, smol: &Smol) -> Result<(), Failure> {
        self.earlier += self.recording.written();
        let next = recording(self.args);
        let (rest, _) = mem::replace(&mut self.recording, next).finish();
        self.sink.text.extend(rest);
        let flushed = self.sink.flush(smol).await;
        self.checked(flushed)?;
        let file = self.file.clone();
        // Pipes and devices cannot be synchronized.
        let sync = move || match file.metadata()? {
            metadata if !metadata.is_file() => Ok(()),
            metadata if metadata.nlink() == 0 => {
                Err(io::Error::other("the file was removed while it was written"))
            }
            _ => file.sync_all(),
        };
        let path = part_of(&self.args.output, self.first + self.parts);
        let synced = blocking(smol, &shown(&path), sync).await?;
        self.has_failed = synced.is_err();
        synced.map_err(|error| unwritten(&path, &error))
    }

    /// Adds to the error of a write that the file is readable.
    fn checked(&mut self, written: Result<(), Failure>) -> Result<(), Failure> {
        written.map_err(|failure| {
            self.has_failed = true;
            Failure::Unavailable(format!("{failure}; {READABLE}"))
        })
    }
}

/// Creates a recording for the next file.
fn recording(args: &RecordArgs) -> Recording {
    if args.json { Recording::with_json() } else { Recording::new() }
}

/// Opens the file of a part.
async fn open(args: &RecordArgs, smol: &Smol, part: usize) -> Result<(Arc<File>, Sink), Failure> {
    let path = part_of(&args.output, part);
    let mut options = OpenOptions::new();
    options.write(true);
    match args.force {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let place = path.clone();
    // A pipe waits for its reader.
    let file = blocking(smol, &shown(&path), move || options.open(place)).await?;
    let file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(&path),
        _ => unwritten(&path, &error),
    })?;
    let file = Arc::new(file);
    Ok((file.clone(), Sink::file(&shown(&path), file)))
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::Unavailable(format!("{}: {error}", shown(path)))
}

/// Returns a time in nanoseconds since 1970; 0 for every earlier time.
pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
