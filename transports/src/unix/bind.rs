//! A socket of one's own at a path, for as long as one lives.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustix::process::geteuid;

use super::{Allowed, BindError, PathTooLong};

/// A listening socket, and the right to it. Dropping it removes the socket, unless somebody has put another in its place.
#[derive(Debug)]
pub struct Bound {
    listener: UnixListener,
    path: PathBuf,
    /// Which file it is.
    identity: (u64, u64),
    /// The user whose it is.
    user: u32,
    /// Held as long as this lives; the system lets go of it whichever way the process ends.
    _lock: File,
}

impl Bound {
    /// Listens at a path. Its directory is made if it is missing.
    ///
    /// # Errors
    /// [`BindError::TooLong`] if no socket can have this path; [`BindError::InUse`] while a live process listens there; the others say what is wrong with the path.
    pub fn at(path: impl Into<PathBuf>) -> Result<Bound, BindError> {
        let path = path.into();
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(BindError::Path { path });
        };
        PathTooLong::check(&path).map_err(BindError::TooLong)?;
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let user = geteuid().as_raw();
        prepare(directory, user)?;
        let mut lock_name = name.to_owned();
        lock_name.push(".lock");
        let lock = lock(&directory.join(lock_name), &path)?;
        clear(&path)?;
        let listener = UnixListener::bind(&path).map_err(system("listen at", &path))?;
        // Nobody could have come before: the directory is closed to others.
        fs::set_permissions(&path, Permissions::from_mode(0o600))
            .map_err(system("close", &path))?;
        let found = fs::symlink_metadata(&path).map_err(system("look at", &path))?;
        let identity = (found.dev(), found.ino());
        Ok(Bound { listener, path, identity, user, _lock: lock })
    }

    /// The socket, for an executor to take over. It listens as long as any of its copies is there.
    ///
    /// # Errors
    /// If the process has no descriptor left.
    pub fn socket(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The user of this process, who may connect unless another list is given.
    #[must_use]
    pub fn own_user(&self) -> Allowed {
        Allowed::users([self.user])
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let same = |found: fs::Metadata| (found.dev(), found.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(same) {
            // If it cannot be removed, the next one that listens replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connects to whoever listens at a path, without waiting: [`ErrorKind::WouldBlock`] says that it has more connections
/// to accept than it keeps, [`ErrorKind::NotFound`] and [`ErrorKind::ConnectionRefused`] that nobody is there.
///
/// # Errors
/// As the system says. If no socket can have this path, [`ErrorKind::InvalidInput`] with a [`PathTooLong`] inside: another
/// try would fail in the same way.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    PathTooLong::check(path).map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn system(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BindError {
    let path = path.to_owned();
    move |error| BindError::System { action, path, error }
}

/// Makes the directory, or looks whether it is one that others cannot enter.
fn prepare(directory: &Path, user: u32) -> Result<(), BindError> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(system("make directory", directory)(error)),
    }
    let found = fs::symlink_metadata(directory).map_err(system("look at", directory))?;
    let problem = if !found.is_dir() {
        "is no directory"
    } else if found.mode() & 0o077 != 0 {
        "is open to other users: make it 0700"
    } else if found.uid() != user {
        "belongs to another user"
    } else {
        return Ok(());
    };
    Err(BindError::Directory { directory: directory.to_owned(), problem })
}

/// The lock that whoever listens at `path` holds.
fn lock(file: &Path, path: &Path) -> Result<File, BindError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let lock = options.open(file).map_err(system("open", file))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(BindError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(system("lock", file)(error)),
    }
}

/// Removes the socket of somebody who is dead.
fn clear(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system("look at", path)(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::Occupied { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    // Somebody may listen there who knows of no lock.
    match connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
        Ok(_) => return Err(BindError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            return Err(BindError::InUse { path: path.to_owned() });
        }
        Err(error) => return Err(system("look who listens at", path)(error)),
    }
    fs::remove_file(path).map_err(system("remove", path))
}
