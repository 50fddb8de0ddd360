//! The directory of a socket: it is created, or opened as [`Access`] says. It is refused if it is
//! open to more users, or belongs to another user.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Gid;

use super::super::error::{BindError, UntrustedSocket};
use super::{Access, ROOT};

/// Checks a directory: it must be no symlink, belong to `user` or to root, and be open to other
/// users at most as far as `mode` says.
///
/// # Errors
/// An [`UntrustedSocket`] of kind [`PermissionDenied`](ErrorKind::PermissionDenied) if one of these
/// does not hold; the system's error if the directory cannot be found.
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

/// Returns the problem of a directory, if it has one: it must belong to `user` or to root, and have
/// `mode` at most.
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
        // A directory for temporary files is open to all users on purpose.
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

/// Checks that the users that may reach the socket can pass all directories above it.
///
/// Membership of groups is not checked: a directory that a group may pass counts as passable.
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
