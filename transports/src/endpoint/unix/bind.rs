//! Listening sockets at paths, which no other process can take over while their process lives.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mycelium_executor::{Credentials, Executor, Listener, Peer, Stream};
use rustix::fs::{FlockOperation, Gid, Mode, OFlags, fcntl_lock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustix::process::{Pid, test_kill_process};

use super::options::{peer_credentials, refuse_descriptors};
use super::{Access, AllowedPeers, ROOT, own_user};
use crate::endpoint::error::{BindError, PathTooLong, UntrustedSocket};

/// A listening socket and its path. Dropping it removes the socket's file, unless another file has
/// replaced it.
#[derive(Debug)]
pub struct BoundSocket {
    // Dropped first: the file is removed while this process has the lock.
    file: SocketFile,
    listener: UnixListener,
    /// The user of this process.
    user: u32,
    access: Access,
    /// The kind of the socket: a stream of bytes, or packets.
    kind: SocketType,
    /// The lock of the path. The system releases it when the process ends, for whatever reason.
    lock: Lock,
}

/// The file of a socket. Dropping it removes the file, unless another file has replaced it.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// The device and the inode.
    identity: (u64, u64),
}

impl BoundSocket {
    /// Starts to listen at a path, for this user only. Creates the directory if it is missing.
    ///
    /// # Errors
    /// [`BindError::TooLong`] if no socket can have this path, [`BindError::InUse`] while a live
    /// process listens there, and others if the path is invalid.
    pub fn at(path: impl Into<PathBuf>) -> Result<BoundSocket, BindError> {
        BoundSocket::with_access(path, Access::default())
    }

    /// Listens as [`at`](BoundSocket::at) does, for more users. If the directory exists and belongs
    /// to this user, it is opened to these users as far as they need.
    ///
    /// # Errors
    /// The same as for [`at`](BoundSocket::at); [`BindError::Directory`] if the directory is open
    /// to more users than these, [`BindError::Unreachable`] if a directory above it is closed to
    /// them.
    pub fn with_access(path: impl Into<PathBuf>, access: Access) -> Result<BoundSocket, BindError> {
        BoundSocket::of_kind(SocketType::STREAM, path.into(), access)
    }

    /// Listens as [`with_access`](BoundSocket::with_access) does, at a socket of this kind.
    pub(crate) fn of_kind(
        kind: SocketType,
        path: PathBuf,
        access: Access,
    ) -> Result<BoundSocket, BindError> {
        let (directory, lock_file) = places(&path)?;
        PathTooLong::check(&path)?;
        let user = own_user();
        prepare(&directory, &access, user)?;
        let lock = lock(&lock_file, &path)?;
        clear(&path, kind)?;
        let (listener, identity) = listen(&path, &access, user, kind)?;
        let file = SocketFile { path, identity };
        Ok(BoundSocket { file, listener, user, access, kind, lock })
    }

    /// Checks that the socket's file is still at its path. If it has vanished, creates it again,
    /// with its directory and its lock if needed. Returns whether there is a new
    /// [`socket`](BoundSocket::socket): the previous one can no longer be reached.
    ///
    /// # Errors
    /// [`BindError::Displaced`] if another file is at the path, which stays; [`BindError::InUse`]
    /// if another process has the lock; otherwise as [`with_access`](BoundSocket::with_access). The
    /// next call tries again.
    pub fn restore(&mut self) -> Result<bool, BindError> {
        Ok(self.replace()?.is_some())
    }

    /// Restores the file as [`restore`](BoundSocket::restore) does. Returns the previous socket if
    /// there is a new one.
    ///
    /// # Errors
    /// The same as for [`restore`](BoundSocket::restore).
    pub(crate) fn replace(&mut self) -> Result<Option<UnixListener>, BindError> {
        let SocketFile { path, identity } = &mut self.file;
        match fs::symlink_metadata(&*path) {
            // The listener keeps the inode in use, so no other file has its number.
            Ok(found) if (found.dev(), found.ino()) == *identity => return Ok(None),
            Ok(_) => return Err(BindError::Displaced { path: path.clone() }),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(system("read the metadata of", path)(error)),
        }
        let (directory, lock_file) = places(path)?;
        prepare(&directory, &self.access, self.user)?;
        if !self.lock.is_at(&lock_file)? {
            self.lock = lock(&lock_file, path)?;
        }
        let listener;
        (listener, *identity) = listen(path, &self.access, self.user, self.kind)?;
        Ok(Some(mem::replace(&mut self.listener, listener)))
    }

    /// Removes the file. Returns the socket, whose close may wait if its peers can send
    /// descriptors.
    pub(crate) fn into_socket(self) -> UnixListener {
        self.listener
    }

    /// Returns a copy of the socket, for an executor. The address stays in use as long as any copy
    /// is open.
    ///
    /// # Errors
    /// If the process has no descriptor left.
    pub fn socket(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    /// Returns a listener that accepts connections on an executor.
    ///
    /// # Errors
    /// If the process has no descriptor left, or the executor has no network.
    pub fn listener(&self, executor: &dyn Executor) -> io::Result<Listener> {
        executor.unix_listener(self.socket()?)
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Returns the peers that may connect.
    #[must_use]
    pub fn allowed(&self) -> AllowedPeers {
        self.access.allowed(self.user)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = |found: fs::Metadata| (found.dev(), found.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(same) {
            // If the file cannot be removed, the next process that listens replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connects to the process of this user, or of root, that listens at a path, without waiting.
/// [`ErrorKind::WouldBlock`] means that its queue of connections is full; [`ErrorKind::NotFound`]
/// and [`ErrorKind::ConnectionRefused`] mean that no process listens there.
///
/// # Errors
/// The system's error. If no socket can have this path, [`ErrorKind::InvalidInput`] with a
/// [`PathTooLong`] inside: another attempt cannot succeed. If a process of another user listens
/// there, or another user can replace the socket, [`ErrorKind::PermissionDenied`] with an
/// [`UntrustedSocket`] inside.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    connect_as(path, &Access::default())
}

/// Connects as [`connect`] does, to a process of the [owner](Access::owner), and gives the stream
/// to an executor.
pub(crate) fn open(path: &Path, access: &Access, executor: &dyn Executor) -> io::Result<Stream> {
    executor.unix_stream(connect_as(path, access)?)
}

fn connect_as(path: &Path, access: &Access) -> io::Result<UnixStream> {
    let socket = connect_unchecked(path, SocketType::STREAM, access)?;
    check_listener(socket.as_fd(), path, access)?;
    Ok(socket.into())
}

/// Connects to a socket of this kind, without waiting. Call [`check_listener`] before anything is
/// read. If this is a socket of packets, closing it may wait.
pub(crate) fn connect_unchecked(
    path: &Path,
    kind: SocketType,
    access: &Access,
) -> io::Result<OwnedFd> {
    PathTooLong::check(path).map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
    if let Some(directory) = path.parent() {
        // Accepts a directory that others can enter (mode 755), because users that may connect must
        // enter it.
        check_directory(or_here(directory), 0o755, access.listener(own_user()))?;
    }
    let socket = socket_of_kind(kind, SocketFlags::NONBLOCK)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Checks the process that listens at the other end of a socket: it must live, and belong to the
/// [owner](Access::owner) or to root. Returns its credentials.
///
/// # Errors
/// The same as for [`connect`].
pub(crate) fn check_listener(
    socket: BorrowedFd<'_>,
    path: &Path,
    access: &Access,
) -> io::Result<Credentials> {
    let found = peer_credentials(socket)?;
    if is_dead(found) {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    // The directory may have been replaced since its check, so only this check decides whose
    // messages are read.
    let expected = access.listener(own_user());
    match AllowedPeers::users([expected, ROOT]).check(&Peer::Unix(found)) {
        Ok(()) => Ok(found),
        Err(_) => Err(UntrustedSocket::Listener { path: path.to_owned(), found, expected }.into()),
    }
}

/// Creates a socket that listens at a free path. Also returns the device and the inode of its file.
//
// Listens as the last step: after an error there are no connections, whose close may wait.
fn listen(
    path: &Path,
    access: &Access,
    user: u32,
    kind: SocketType,
) -> Result<(UnixListener, (u64, u64)), BindError> {
    let failed = |error: rustix::io::Errno| system("listen at", path)(error.into());
    let socket = socket_of_kind(kind, SocketFlags::empty()).map_err(failed)?;
    // Sets the permissions of the socket before it is bound, so that its file has them from the
    // beginning: the directory may be open to others already.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path).map_err(failed)?).map_err(failed)?;
    if let Some(group) = access.owning_group() {
        give_to(path, group)?;
    }
    let permissions = Permissions::from_mode(access.socket_mode(user));
    fs::set_permissions(path, permissions).map_err(system("set permissions of", path))?;
    let found = fs::symlink_metadata(path).map_err(system("read the metadata of", path))?;
    rustix::net::listen(&socket, BACKLOG).map_err(failed)?;
    Ok((UnixListener::from(socket), (found.dev(), found.ino())))
}

/// Creates a socket. Only packets carry descriptors.
fn socket_of_kind(kind: SocketType, flags: SocketFlags) -> Result<OwnedFd, Errno> {
    let socket = socket_with(AddressFamily::UNIX, kind, flags | SocketFlags::CLOEXEC, None)?;
    if kind == SocketType::STREAM {
        refuse_descriptors(&socket);
    }
    Ok(socket)
}

/// The length of the queue of connections that wait to be accepted; the system may have a lower
/// limit.
const BACKLOG: i32 = 4096;

/// Returns the directory and the lock file of a socket. A process that listens holds the lock.
fn places(path: &Path) -> Result<(PathBuf, PathBuf), BindError> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(BindError::Path { path: path.to_owned() });
    };
    let directory = or_here(directory);
    let mut lock = name.to_owned();
    lock.push(".lock");
    Ok((directory.to_owned(), directory.join(lock)))
}

/// Returns the directory; `.` if it is empty, because the path is only a file name.
fn or_here(directory: &Path) -> &Path {
    if directory.as_os_str().is_empty() { Path::new(".") } else { directory }
}

/// The lock of the process that listens at a path. It belongs to the process: unlike an `flock`, it
/// is not held by a forked child after the end of the parent.
#[derive(Debug)]
struct Lock {
    /// The only descriptor of the lock file in this process: closing another one would release the
    /// lock. A process of the same user can cause that by passing one; it could also remove the
    /// file.
    file: Option<File>,
    identity: (u64, u64),
}

/// The device and the inode of each lock file that this process holds: the system would give the
/// same process a lock twice.
static HELD: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

impl Lock {
    fn held() -> MutexGuard<'static, Vec<(u64, u64)>> {
        HELD.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the lock file is still the file at `path`.
    fn is_at(&self, path: &Path) -> Result<bool, BindError> {
        Ok(identity_at(path)? == Some(self.identity))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut held = Lock::held();
        // Closes the file under the mutex: this process must not lock the file again before this
        // descriptor is closed.
        drop(self.file.take());
        held.retain(|identity| *identity != self.identity);
    }
}

/// Returns the device and the inode of the file at a path, if there is one.
fn identity_at(path: &Path) -> Result<Option<(u64, u64)>, BindError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(system("read the metadata of", path)(error)),
    }
}

/// Takes the lock of the process that listens at `path`.
fn lock(file: &Path, path: &Path) -> Result<Lock, BindError> {
    let in_use = || BindError::InUse { path: path.to_owned() };
    let mut held = Lock::held();
    // A file that this process has locked must not be opened, because closing it again would
    // release the lock.
    if identity_at(file)?.is_some_and(|found| held.contains(&found)) {
        return Err(in_use());
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let lock = options.open(file).map_err(system("open", file))?;
    match fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::ACCESS | Errno::AGAIN) => return Err(in_use()),
        Err(error) => return Err(system("lock", file)(error.into())),
    }
    let own = lock.metadata().map_err(system("read the metadata of", file))?;
    let identity = (own.dev(), own.ino());
    if identity_at(file)? != Some(identity) {
        // The file was removed meanwhile, so another process may hold the lock of a new one.
        return Err(in_use());
    }
    held.push(identity);
    Ok(Lock { file: Some(lock), identity })
}

/// Removes the socket of a dead process.
fn clear(path: &Path, kind: SocketType) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system("read the metadata of", path)(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::Occupied { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    // A process may listen at this path without our lock. If it has another kind of socket, the
    // connection fails with `EPROTOTYPE`.
    let failed = |error: Errno| system("connect to", path)(error.into());
    let socket = socket_of_kind(kind, SocketFlags::NONBLOCK).map_err(failed)?;
    refuse_descriptors(&socket);
    match rustix::net::connect(&socket, &SocketAddrUnix::new(path).map_err(failed)?) {
        Err(Errno::CONNREFUSED) => {}
        // A forked child of a dead process, which never accepts, may still have its socket.
        Ok(()) if peer_credentials(socket.as_fd()).is_ok_and(is_dead) => {}
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => {
            return Err(BindError::InUse { path: path.to_owned() });
        }
        Err(error) => return Err(failed(error)),
    }
    fs::remove_file(path).map_err(system("remove", path))
}

/// Whether the process that has these credentials has ended.
fn is_dead(found: Credentials) -> bool {
    let process = found.process.and_then(|number| i32::try_from(number).ok());
    let process = process.and_then(Pid::from_raw);
    process.is_some_and(|process| test_kill_process(process) == Err(Errno::SRCH))
}

// The directory of a socket. It is created, or opened as [`Access`] says, and refused if it belongs
// to another user or is open to more users.

/// Checks a directory: it must not be a symlink, must belong to `user` or root, and may be open to
/// other users at most as far as `mode` allows.
///
/// # Errors
/// An [`UntrustedSocket`] of kind [`PermissionDenied`](ErrorKind::PermissionDenied) if the
/// directory breaks one of these rules; the system's error if the directory cannot be found.
pub fn check_directory(directory: &Path, mode: u32, user: u32) -> io::Result<()> {
    match problem(&fs::symlink_metadata(directory)?, mode, user) {
        None => Ok(()),
        Some(problem) => {
            Err(UntrustedSocket::Directory { directory: directory.to_owned(), problem }.into())
        }
    }
}

/// Creates the directory, or checks that it is open only to users that may reach the socket.
pub(super) fn prepare(directory: &Path, access: &Access, user: u32) -> Result<(), BindError> {
    let mode = access.directory_mode(user);
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let problem = "cannot be created, because its parent directory does not exist: create \
                           it, or choose another address (`socket`)";
            let (directory, problem) = (directory.to_owned(), problem.to_owned());
            return Err(BindError::Directory { directory, problem });
        }
        Err(error) => return Err(system("make directory", directory)(error)),
    }
    let found =
        fs::symlink_metadata(directory).map_err(system("read the metadata of", directory))?;
    if let Some(problem) = problem(&found, mode, user) {
        let problem = format!("{problem}, or choose another address (`socket`)");
        return Err(BindError::Directory { directory: directory.to_owned(), problem });
    }
    if mode != 0o700 {
        check_way(directory, access, user)?;
    }
    if let Some(group) = access.owning_group().filter(|group| *group != found.gid()) {
        give_to(directory, group)?;
    }
    if found.mode() & mode != mode {
        let opened = Permissions::from_mode(found.mode() & 0o7777 | mode);
        fs::set_permissions(directory, opened).map_err(system("open", directory))?;
    }
    Ok(())
}

/// Returns the problem of a directory, if it has one: it must belong to `user` or root, and grant
/// no more than `mode`.
fn problem(found: &Metadata, mode: u32, user: u32) -> Option<String> {
    let owner = found.uid();
    if found.is_symlink() {
        return Some(format!(
            "is a symbolic link of user {owner}: expected a directory of user {user}; name the \
             directory itself"
        ));
    }
    if !found.is_dir() {
        return Some("is not a directory: move it".to_owned());
    }
    if ![user, ROOT].contains(&owner) {
        return Some(format!(
            "belongs to another user: expected user {user}, found {owner}; name another directory \
             (`XDG_RUNTIME_DIR`)"
        ));
    }
    if found.mode() & 0o077 & !mode != 0 {
        // A directory with the sticky bit, such as one for temporary files, is open to all users on
        // purpose.
        let is_shared = found.mode() & 0o1000 != 0;
        let found = found.mode() & 0o777;
        if is_shared {
            return Some(format!(
                "is open to other users: expected mode {mode:04o}, found {found:04o}; use a \
                 directory of your own below it"
            ));
        }
        return Some(format!(
            "is open to other users: expected mode {mode:04o}, found {found:04o}; change it \
             (`chmod {mode:04o}`)"
        ));
    }
    None
}

/// Checks that the users that may reach the socket can enter all directories above it.
///
/// Membership in groups is not checked: a directory that a group may enter counts as open.
fn check_way(directory: &Path, access: &Access, user: u32) -> Result<(), BindError> {
    let way = fs::canonicalize(directory).map_err(system("read the metadata of", directory))?;
    for step in way.ancestors().skip(1) {
        let found = fs::metadata(step).map_err(system("read the metadata of", step))?;
        if found.mode() & 0o011 != 0 {
            continue;
        }
        let stopped = access.others(user).find(|other| *other != found.uid());
        let is_for_group = access.others(user).next().is_none();
        if stopped.is_some() || is_for_group {
            let (directory, socket) = (step.to_owned(), directory.to_owned());
            return Err(BindError::Unreachable { directory, socket, user: stopped });
        }
    }
    Ok(())
}

/// Gives a file to a group.
pub(super) fn give_to(path: &Path, group: u32) -> Result<(), BindError> {
    rustix::fs::chown(path, None, Some(Gid::from_raw(group)))
        .map_err(|error| system("change the group of", path)(error.into()))
}

pub(super) fn system(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BindError {
    let path = path.to_owned();
    move |error| BindError::System { action, path, error }
}
