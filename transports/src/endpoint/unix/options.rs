//! Options of Unix sockets for which no safe function exists.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use mycelium_executor::Credentials;
use rustix::io::Errno;
use zerocopy::FromBytes;

/// Since Linux 6.16; `libc` does not have it yet.
const SO_PASSRIGHTS: libc::c_int = if cfg!(target_arch = "sparc64") { 0x5c } else { 83 };

/// Makes the system refuse descriptors that a peer sends to this socket, and to the connections
/// that are accepted from it. Otherwise the thread that reads or closes the socket would close
/// them, and wait for as long as the peer likes. Does nothing before Linux 6.16.
pub(crate) fn refuse_descriptors(socket: impl AsFd) {
    let no: libc::c_int = 0;
    // SAFETY: the system reads four bytes from `no`, which is as long.
    let _ = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const no).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
}

/// Opens a descriptor of the process at the other end of a Unix socket, which becomes readable when
/// that process has ended. The descriptor refers to that process even if another process has its
/// number now.
///
/// # Errors
/// The system's error: `ENOPROTOOPT` before Linux 6.5, `ESRCH` if the process has ended.
pub(crate) fn peer_process(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let found: libc::c_int = socket_option(socket, libc::SO_PEERPIDFD, -1)?;
    // SAFETY: the system has opened it for this call.
    Ok(unsafe { OwnedFd::from_raw_fd(found) })
}

/// Returns the credentials of the process at the other end of a Unix socket. The number in them is
/// `None` if that process is not visible in the namespace of this process.
///
/// # Errors
/// The system's error.
pub(crate) fn peer_credentials(socket: BorrowedFd<'_>) -> Result<Credentials, Errno> {
    let found: [u32; 3] = socket_option(socket, libc::SO_PEERCRED, [0; 3])?;
    let [process, user, group] = found;
    Ok(Credentials { process: Some(process).filter(|process| *process != 0), user, group })
}

/// Returns the value of a socket option that is as long as `T`.
fn socket_option<T: FromBytes>(
    socket: BorrowedFd<'_>,
    option: libc::c_int,
    mut value: T,
) -> Result<T, Errno> {
    let mut length = libc::socklen_t::try_from(size_of::<T>()).map_err(|_| Errno::INVAL)?;
    // SAFETY: the system writes at most `length` bytes to `value`, for which all bytes are valid,
    // and the length to `length`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    match result {
        0 if length as usize == size_of::<T>() => Ok(value),
        0 => Err(Errno::INVAL),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}
