//! The directories of a bundle: for its sockets, and for its saved states. They are removed at its
//! end. Those of a bundle that was killed are removed when the next one starts or ends.
//!
//! Each process of a bundle has a shared lock on a file in the directory of the states, which the
//! system frees when the process ends, however it does. So a directory whose lock is free belongs
//! to nobody.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process,
};

use rustix::process::geteuid;

/// The end of the name of the directory of the states.
const STATE: &str = "state";

/// The directories of one bundle, removed at its end.
pub(crate) struct Directories {
    /// The sockets; the processes create it.
    pub(crate) sockets: PathBuf,
    /// The saved states.
    pub(crate) state: PathBuf,
    _lock: File,
}

impl Directories {
    /// Creates those of this process, and removes those of bundles that were killed.
    ///
    /// # Errors
    /// If the system refuses them.
    pub(crate) fn new() -> io::Result<Self> {
        let sockets = mycelium::private_directory(&format!("bandit-{}", process::id()));
        let state = sockets.with_added_extension(STATE);
        loop {
            match DirBuilder::new().mode(0o700).create(&state) {
                // That of an earlier process with this number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => remove(&state)?,
                result => result?,
            }
            if let Some(lock) = hold(&state)? {
                remove_left(&state);
                return Ok(Self { sockets, state, _lock: lock });
            }
        }
    }
}

impl Drop for Directories {
    fn drop(&mut self) {
        // Processes of a bundle that was killed may have ended since the start.
        remove_left(&self.state);
        // If this fails, the next bundle does it.
        let _ = fs::remove_dir_all(&self.sockets);
        let _ = fs::remove_dir_all(&self.state);
    }
}

/// Keeps others from removing the directories of this bundle while the file is open. `None` if one
/// has just done it.
///
/// # Errors
/// If the system refuses the lock.
pub(crate) fn hold(state: &Path) -> io::Result<Option<File>> {
    let path = state.join("lock");
    let lock = match OpenOptions::new().append(true).create(true).mode(0o600).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        lock => lock?,
    };
    lock.lock_shared()?;
    let own = lock.metadata()?;
    Ok(fs::symlink_metadata(&path)
        .is_ok_and(|found| (found.dev(), found.ino()) == (own.dev(), own.ino()))
        .then_some(lock))
}

/// Removes the directories of bundles of this user none of whose processes runs.
fn remove_left(own: &Path) {
    let first = mycelium::private_directory("bandit-");
    let is_state = |path: &Path| {
        let name = path.file_name().zip(first.file_name());
        let name = name.and_then(|(name, first)| name.to_str()?.strip_prefix(first.to_str()?));
        let process = name.and_then(|name| name.strip_suffix(STATE)?.strip_suffix('.'));
        process.is_some_and(|process| process.parse::<u32>().is_ok())
    };
    let Some(Ok(entries)) = own.parent().map(fs::read_dir) else { return };
    for state in entries.flatten().map(|entry| entry.path()) {
        if is_state(&state) && state != own {
            // What cannot be removed does no harm.
            let _ = remove(&state);
        }
    }
}

/// Removes the directories of a bundle of which no process runs.
///
/// # Errors
/// If one runs, or they are not those of this user, or the system refuses it.
fn remove(state: &Path) -> io::Result<()> {
    check(state)?;
    let lock = OpenOptions::new().append(true).create(true).mode(0o600).open(state.join("lock"))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            refused(io::ErrorKind::AlreadyExists, state, "is in use by another bundle")
        }
        TryLockError::Error(error) => error,
    })?;
    // First the sockets: if this is killed, the other one says that something is left.
    let sockets = state.with_extension("");
    match check(&sockets) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
        Ok(()) => fs::remove_dir_all(sockets)?,
    }
    fs::remove_dir_all(state)
}

/// Checks that nobody else can have put anything there: a link, or files of others.
fn check(directory: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(directory)?;
    let is_own = found.is_dir() && found.uid() == geteuid().as_raw();
    if is_own && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    let problem = "is not a directory of this user that is closed to others";
    Err(refused(io::ErrorKind::PermissionDenied, directory, problem))
}

fn refused(kind: io::ErrorKind, directory: &Path, problem: &str) -> io::Error {
    io::Error::new(kind, format!("{} {problem}", directory.display()))
}
