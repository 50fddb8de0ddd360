//! The *place* of a bundle: its directory, with its lock, its control socket, its logs, the copies
//! of files that its nodes read, and a record of its processes.
//!
//! It is in the runtime directory of this user, and its name is derived from the path of the
//! topology file, so that each command finds the bundle of a file. The lock belongs to the launcher
//! that runs the bundle; the system frees it when that process ends, for whatever reason.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Take, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use mycelium_transports::endpoint::UntrustedSocket;
use mycelium_transports::endpoint::unix::{check_directory, own_user};

use crate::shared::exit::Failure;
use crate::shared::output::{printable, shown};

/// The longest part of a file's name in the name of a directory, in characters: enough for a person
/// to recognize.
const LONGEST_NAME: usize = 32;
/// The size in bytes at which a log is begun anew. The old log is kept, up to this size.
const LONGEST_LOG: u64 = 16 << 20;
/// The largest number of lines, and of bytes, from the end of a log in a message.
const TAIL: (usize, u64) = (10, 4096);

/// The directory of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    directory: PathBuf,
    /// The name of the bundle in texts for people.
    title: String,
}

/// The bundle that a command is about.
#[derive(Debug, Args)]
pub struct BundleArgs {
    /// The topology file.
    #[arg(value_name = "FILE", required_unless_present = "name")]
    file: Option<PathBuf>,
    /// The name of the bundle, as given to `up`.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl BundleArgs {
    /// Returns the place of the bundle.
    ///
    /// # Errors
    /// As [`Place::find`].
    pub fn place(&self) -> Result<Place, Failure> {
        Place::find(self.file.as_deref().unwrap_or(Path::new("")), self.name.as_deref())
    }
}

impl Place {
    /// Returns the place of the bundle with this name, or without a name the place of this file's
    /// bundle.
    ///
    /// # Errors
    /// If the name or the file is invalid, or the place is open to other users.
    pub fn find(file: &Path, name: Option<&str>) -> Result<Place, Failure> {
        let place = match name {
            Some(name) => Place::of_name(name)?,
            None => Place::of_file(file)?,
        };
        match place.check() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(place.refused(&error)),
            _ => Ok(place),
        }
    }

    /// Returns the place of the bundle of a topology file, which need not exist any more.
    ///
    /// # Errors
    /// If the path names no file.
    fn of_file(file: &Path) -> Result<Place, Failure> {
        let path = real(file).map_err(|error| {
            Failure::Usage(format!("the topology file `{}`: {error}", shown(file)))
        })?;
        if path.to_str().is_none() {
            let path = shown(&path);
            return Err(Failure::Usage(format!("the path `{path}` is not UTF-8")));
        }
        let stem = path.file_stem().unwrap_or(OsStr::new("topology")).to_string_lossy();
        let stem: String = stem.chars().map(plain).take(LONGEST_NAME).collect();
        let hash = hash(path.as_os_str().as_encoded_bytes());
        let directory = mycelium::untyped::private_directory(&format!("up-{stem}-{hash:016x}"));
        Ok(Place { directory, title: format!("`{}`", shown(file)) })
    }

    /// Returns the place of the bundle with this name.
    ///
    /// # Errors
    /// If the name is empty or too long, or has characters other than letters, digits, `-` and `_`.
    fn of_name(name: &str) -> Result<Place, Failure> {
        let is_plain = !name.is_empty() && name.chars().all(|char| plain(char) == char);
        if !is_plain || name.len() > LONGEST_NAME {
            return Err(Failure::Usage(format!(
                "invalid name of a bundle `{}`: expected 1 to {LONGEST_NAME} letters, digits, `-` and `_`",
                name.escape_debug()
            )));
        }
        let directory = mycelium::untyped::private_directory(&format!("up-{name}"));
        Ok(Place { directory, title: format!("bundle `{name}`") })
    }

    /// Creates the place of a known directory.
    pub fn at(directory: PathBuf) -> Place {
        let title = format!("`{}`", shown(&directory));
        Place { directory, title }
    }

    /// Returns the directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the name of the bundle in messages.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Returns the control socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("control")
    }

    /// Returns the log of a node, or of the launcher.
    pub fn log(&self, node: &str) -> PathBuf {
        self.directory.join(format!("{node}.log"))
    }

    /// Returns the path of the copy, with this number, of the files that nodes read.
    pub fn files(&self, number: u64) -> PathBuf {
        self.directory.join(format!("files-{number}"))
    }

    /// Returns the path of the file with the processes that a launcher has started.
    pub fn processes(&self) -> PathBuf {
        self.directory.join("processes")
    }

    /// Creates the directory, closed to other users.
    ///
    /// # Errors
    /// If it cannot be created, or belongs to another user, or others may enter it.
    pub fn create(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result,
        }
        self.check()
    }

    /// Checks that the directory is closed to others: if others may write to it, its files cannot
    /// be trusted.
    ///
    /// # Errors
    /// If it does not exist, or belongs to another user, or others may enter it.
    pub fn check(&self) -> io::Result<()> {
        check_directory(&self.directory, 0o700, own_user())
    }

    /// Returns the failure of a directory that cannot be used, for example because
    /// `XDG_RUNTIME_DIR` does not exist.
    pub fn refused(&self, error: &io::Error) -> Failure {
        if let Some(untrusted) = untrusted(error) {
            return Failure::Unavailable(untrusted);
        }
        let directory = shown(&self.directory);
        Failure::Unavailable(format!("the directory `{directory}` of the bundle: {error}"))
    }

    /// Takes the lock, which lasts as long as the returned file. Returns `None` if another process
    /// has it. The directory must exist.
    ///
    /// # Errors
    /// If the system refuses the file.
    pub fn lock(&self) -> io::Result<Option<File>> {
        let path = self.directory.join("lock");
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Compares the locked file with the file at the path, because the previous launcher may
            // have removed it, and a third process may lock a new one.
            let own = file.metadata()?;
            match fs::metadata(&path) {
                Ok(found) if (found.dev(), found.ino()) == (own.dev(), own.ino()) => {
                    return Ok(Some(file));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.create()?,
            }
        }
    }

    /// Takes the lock if the directory exists and no launcher has the lock.
    pub fn lock_if_there(&self) -> Option<File> {
        self.check().and_then(|()| self.lock()).ok().flatten()
    }

    /// Removes the copies of files that a launcher left behind.
    pub fn remove_files(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let is_copy = |name: &OsStr| {
            let number = name.to_str().and_then(|name| name.strip_prefix("files-"));
            // Other names that begin with `files-` are logs of nodes.
            number.is_some_and(|number| number.parse::<u64>().is_ok())
        };
        for entry in entries.flatten().filter(|entry| is_copy(&entry.file_name())) {
            let _ = fs::remove_file(entry.path());
        }
    }

    /// Opens a log to append to it.
    ///
    /// # Errors
    /// If the system refuses the file.
    pub fn open_log(&self, node: &str) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.log(node))
    }

    /// Returns the last lines of a node's log, for a message. Empty if there is no log.
    pub fn log_tail(&self, node: &str) -> String {
        let (path, mut bytes) = (self.log(node), Vec::new());
        // If reading fails, the bytes before the error are shown all the same.
        let _ = end_of(&path, TAIL.1).and_then(|mut end| end.read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        if lines.is_empty() {
            return String::new();
        }
        let last = lines[lines.len().saturating_sub(TAIL.0)..].iter();
        let last: String = last.map(|line| format!("\n    {}", printable(line))).collect();
        format!("; the end of `{}`:{last}", shown(&path))
    }

    /// Begins a node's log anew if it has reached the limit. The old log is kept in `NODE.log.old`,
    /// up to the limit.
    ///
    /// The process continues to write to the file: lines that it writes meanwhile may be in neither
    /// file.
    pub fn limit_log(&self, node: &str) {
        let path = self.log(node);
        if !fs::metadata(&path).is_ok_and(|file| file.len() >= LONGEST_LOG) {
            return;
        }
        let old = self.directory.join(format!("{node}.log.old"));
        // If there is no room for a copy, the old lines are lost.
        let kept = end_of(&path, LONGEST_LOG).and_then(|mut end| {
            let mut open = OpenOptions::new();
            let open = open.write(true).create(true).truncate(true).mode(0o600);
            io::copy(&mut end, &mut open.open(&old)?)
        });
        let _ = OpenOptions::new().append(true).open(&path).and_then(|mut log| {
            let (length, kept, old) = (log.metadata()?.len(), kept.unwrap_or(0), shown(&old));
            log.set_len(0)?;
            writeln!(log, "mycelium: {length} bytes were here; the last {kept} are in `{old}`")
        });
    }

    /// Removes the directory. The caller has the lock.
    pub fn remove(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten().filter(|entry| entry.file_name() != "lock") {
            // Ignores errors: a file that cannot be removed is replaced when it is needed.
            let _ = fs::remove_file(entry.path());
        }
        // Ignores errors: if a launcher starts meanwhile, the directory has new files and stays.
        let _ = fs::remove_file(self.directory.join("lock"));
        let _ = fs::remove_dir(&self.directory);
    }

    /// Keeps the logs of a failed bundle, and writes the reason of the failure.
    pub fn leave(&self, problem: &str) {
        let _ = fs::remove_file(self.socket());
        let _ = fs::remove_file(self.processes());
        // Ignores an error: if there is no room for this text, the logs still exist.
        let _ = File::create(self.directory.join("problem"))
            .and_then(|mut file| file.write_all(problem.as_bytes()));
    }

    /// Returns why the last bundle failed, if that was written.
    pub fn problem(&self) -> Option<String> {
        fs::read_to_string(self.directory.join("problem")).ok()
    }
}

/// Opens a log at most `most` bytes before its end.
fn end_of(log: &Path, most: u64) -> io::Result<Take<File>> {
    let mut log = File::open(log)?;
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    Ok(log.take(most))
}

/// Returns the text of an error with its code, if the error means that another user could
/// interfere.
pub fn untrusted(error: &io::Error) -> Option<String> {
    let untrusted = error.get_ref()?.downcast_ref::<UntrustedSocket>()?;
    Some(format!("{untrusted} [{}]", untrusted.code()))
}

/// Returns the path with all symlinks resolved. The file itself may be missing.
fn real(file: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let path = std::path::absolute(file)?;
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(error);
            };
            Ok(fs::canonicalize(parent)?.join(name))
        }
        found => found,
    }
}

fn plain(char: char) -> char {
    if char.is_ascii_alphanumeric() || matches!(char, '-' | '_') { char } else { '_' }
}

/// Returns the FNV-1a hash, because it is the same in all versions of the tool.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn each_path_to_a_file_finds_one_place() {
        let here = Place::of_file(Path::new("Cargo.toml")).unwrap();
        let there = Place::of_file(Path::new("src/../Cargo.toml")).unwrap();
        assert_eq!(here.directory, there.directory);
        let missing = Place::of_file(Path::new("missing.toml")).unwrap();
        assert_ne!(here.directory, missing.directory);
        assert!(Place::of_file(Path::new("missing/missing.toml")).is_err());
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let directory = std::env::temp_dir().join(format!("mycelium-open-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&directory).unwrap();
        let place = Place::at(directory.clone());
        place.create().unwrap();
        let log = place.open_log("feed").unwrap();
        assert_eq!(log.metadata().unwrap().mode() & 0o077, 0, "logs are closed to others");
        for mode in [0o710, 0o701, 0o750] {
            fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
            let error = place.create().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{mode:o}");
            assert_eq!(place.check().unwrap_err().to_string(), error.to_string());
            assert!(place.lock_if_there().is_none());
        }
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        place.remove();
        assert_eq!(place.check().unwrap_err().kind(), io::ErrorKind::NotFound);
        std::os::unix::fs::symlink(std::env::temp_dir(), &directory).unwrap();
        assert!(place.create().is_err(), "a link to another directory");
        fs::remove_file(&directory).unwrap();
    }

    #[test]
    fn one_lock_for_one_directory_even_after_it_was_removed() {
        let directory = std::env::temp_dir().join(format!("mycelium-lock-{}", std::process::id()));
        let place = Place::at(directory);
        place.create().unwrap();
        let first = place.lock().unwrap();
        assert!(first.is_some() && place.lock().unwrap().is_none());
        place.remove();
        place.create().unwrap();
        let second = place.lock().unwrap();
        assert!(second.is_some(), "the file of the first lock is gone");
        drop(first);
        place.leave("it failed");
        assert_eq!(place.problem().as_deref(), Some("it failed"));
        place.remove();
        assert!(!place.directory().exists());
    }
}
