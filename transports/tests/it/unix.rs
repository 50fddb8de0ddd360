//! Sockets at a path: a live process keeps its socket, the socket of a dead process is replaced,
//! and only allowed users may connect.
#![cfg(all(target_os = "linux", not(miri)))]

#[path = "../../../tests/sleeper/mod.rs"]
mod sleeper;

use std::error::Error;
use std::fmt::Debug;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use mycelium_executor::{Credentials, Peer};
use mycelium_transports::endpoint::unix::{Access, AllowedPeers, BoundSocket, connect, own_user};
use mycelium_transports::endpoint::{BindError, LONGEST_PATH, PathTooLong, UntrustedSocket};
use sleeper::fork_a_sleeper;

use crate::support::{
    Other, STRANGER, TestDir, assert_refused_descriptor, given, say, stranger, wait_to_be_killed,
};

/// Returns a group to which files of this process can be given.
fn own_group() -> u32 {
    rustix::process::getegid().as_raw()
}

fn mode(path: &PathBuf) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[track_caller]
fn assert_in_use<T: Debug>(bound: Result<T, BindError>) {
    assert!(matches!(bound, Err(BindError::InUse { .. })), "{bound:?}");
}

#[test]
fn h12_a_live_socket_is_never_taken_away() {
    let dir = TestDir::new("live");
    let bound = BoundSocket::at(dir.socket()).unwrap();
    assert_in_use(BoundSocket::at(dir.socket()));
    connect(bound.path()).unwrap();
    drop(bound);
    assert!(!dir.socket().exists(), "nothing is left but the lock");
    assert_eq!(connect(&dir.socket()).unwrap_err().kind(), ErrorKind::NotFound);
    BoundSocket::at(dir.socket()).unwrap();
}

#[test]
fn a_listener_without_a_lock_is_live_too() {
    let dir = TestDir::new("lockless");
    drop(BoundSocket::at(dir.socket()).unwrap());
    let _listener = UnixListener::bind(dir.socket()).unwrap();
    assert_in_use(BoundSocket::at(dir.socket()));
}

const LISTENS: &str = "unix::listens_until_it_is_killed";

const FORKS: &str = "MYCELIUM_TEST_FORKS";

/// Starts another process, which listens until it is killed.
fn listens(role: Command) -> Other {
    let mut other = Other::start(role);
    other.line("listening");
    other
}

#[test]
#[ignore = "a part of another test"]
fn listens_until_it_is_killed() {
    let Some(path) = given() else { return };
    let _bound = BoundSocket::at(path).unwrap();
    if std::env::var(FORKS).is_ok_and(|forks| forks == "true") {
        fork_a_sleeper(10);
    }
    say("listening", "");
    wait_to_be_killed();
}

#[test]
fn a_forked_child_does_not_keep_the_socket_of_a_dead_process() {
    for forks in [false, true] {
        let dir = TestDir::new("dead");
        let mut role = dir.role(LISTENS);
        role.env(FORKS, forks.to_string());
        let other = listens(role);
        assert_in_use(BoundSocket::at(dir.socket()));
        other.kill();
        assert!(dir.socket().exists(), "it had no time to remove it");
        let is_open = UnixStream::connect(dir.socket()).is_ok();
        assert_eq!(is_open, forks, "its child still has the socket");
        assert_eq!(connect(&dir.socket()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let bound = BoundSocket::at(dir.socket()).unwrap();
        connect(bound.path()).unwrap();
        assert_in_use(BoundSocket::at(dir.socket()));
    }
}

#[test]
fn a_file_that_is_not_a_socket_is_kept() {
    let dir = TestDir::new("occupied");
    drop(BoundSocket::at(dir.socket()).unwrap());
    fs::write(dir.socket(), "mine").unwrap();
    let refused = BoundSocket::at(dir.socket()).unwrap_err();
    assert!(matches!(refused, BindError::Occupied { .. }), "{refused}");
    assert_eq!(fs::read_to_string(dir.socket()).unwrap(), "mine");
}

#[test]
fn a_directory_that_others_can_enter_is_refused() {
    let dir = TestDir::of_mode("open", 0o755);
    let refused = BoundSocket::at(dir.socket()).unwrap_err().to_string();
    assert!(refused.contains("open to other users"), "{refused}");

    let link = TestDir::new("link");
    symlink(&dir.0, &link.0).unwrap();
    let refused = BoundSocket::at(link.socket()).unwrap_err().to_string();
    let own = own_user();
    let problem = format!(
        "directory `{}` is a symbolic link of user {own}: expected a directory of user {own}; name \
         the directory itself",
        link.0.display()
    );
    assert!(refused.starts_with(&problem), "{refused}");
}

#[test]
fn a_lock_that_leads_elsewhere_is_not_followed() {
    let dir = TestDir::new("lock-link");
    drop(BoundSocket::at(dir.socket()).unwrap());
    let lock = dir.0.join("node.sock.lock");
    fs::remove_file(&lock).unwrap();
    let elsewhere = dir.0.join("elsewhere");
    symlink(&elsewhere, &lock).unwrap();
    let refused = BoundSocket::at(dir.socket()).unwrap_err();
    assert!(matches!(refused, BindError::System { action: "open", .. }), "{refused}");
    assert!(refused.source().is_some_and(|error| error.is::<io::Error>()), "{refused}");
    assert!(!elsewhere.exists());
}

#[test]
fn a_path_without_a_directory_is_an_error_that_names_it() {
    let refused = BoundSocket::at("/").unwrap_err();
    assert_eq!(refused.to_string(), "invalid socket path `/`: expected a file in a directory");
}

#[test]
fn directory_and_socket_have_the_permissions_of_access() {
    let own = own_user();
    let cases = [
        (Access::default(), 0o700, 0o600),
        (Access::default().users([own]), 0o700, 0o600),
        (Access::default().users([own, 0]), 0o700, 0o600),
        (Access::default().users([own, STRANGER]), 0o711, 0o666),
        (Access::default().users([STRANGER]).mode(0o606), 0o701, 0o606),
        (Access::default().group(own_group()), 0o710, 0o660),
        (Access::default().users([STRANGER]).group(own_group()), 0o710, 0o660),
    ];
    for (access, directory, socket) in cases {
        let dir = TestDir::new("access");
        let _bound = BoundSocket::with_access(dir.socket(), access.clone()).unwrap();
        let found = (mode(&dir.0), mode(&dir.socket()));
        assert_eq!(found, (directory, socket), "{access:?}");
        assert_eq!(mode(&dir.0.join("node.sock.lock")), 0o600, "the lock is nobody else's");
    }
}

#[test]
fn a_directory_is_opened_as_asked_and_refused_if_it_is_more_open() {
    let access = Access::default().users([STRANGER]);
    let cases = [(0o700, Some(0o711)), (0o711, Some(0o711)), (0o755, None), (0o722, None)];
    for (before, after) in cases {
        let dir = TestDir::of_mode("opened", before);
        let bound = BoundSocket::with_access(dir.socket(), access.clone());
        match (after, &bound) {
            (Some(after), Ok(_)) => assert_eq!(mode(&dir.0), after),
            (None, Err(BindError::Directory { problem, .. })) => {
                assert!(problem.contains("expected mode 0711"), "{problem}");
                assert_eq!(mode(&dir.0), before, "it is unchanged");
            }
            _ => panic!("{before:o}: {bound:?}"),
        }
    }
}

#[test]
fn a_directory_above_that_is_closed_is_named() {
    let dir = TestDir::of_mode("closed-above", 0o700);
    let inside = dir.0.join("run");
    for (access, expected) in [
        (Access::default().users([STRANGER]), Some(STRANGER)),
        (Access::default().group(own_group()), None),
    ] {
        let refused = BoundSocket::with_access(inside.join("node.sock"), access).unwrap_err();
        let BindError::Unreachable { directory, user, .. } = &refused else { panic!("{refused}") };
        assert_eq!((directory, *user), (&dir.0, expected));
        assert_eq!(mode(&inside), 0o700, "it is not opened for nothing");
    }
}

#[test]
#[ignore = "a part of another test"]
fn connects_and_says_how_it_went() {
    let Some(path) = given() else { return };
    let connected = connect(path.as_ref());
    let result = connected.map_or_else(|error| error.kind().to_string(), |_| "ok".into());
    say("result", &result);
}

#[test]
fn other_users_reach_the_socket_if_access_permits() {
    const GROUP: u32 = 54321;
    let Some(stranger) = stranger() else { return };
    let denied = ErrorKind::PermissionDenied.to_string();
    let cases = [
        (Access::default(), GROUP, &*denied),
        (Access::default().users([0, stranger]), GROUP, "ok"),
        (Access::default().group(GROUP), GROUP, "ok"),
        (Access::default().group(GROUP), GROUP + 1, &*denied),
        (Access::default().users([stranger]).mode(0o600), GROUP, &*denied),
    ];
    for (access, group, expected) in cases {
        let dir = TestDir::new("others");
        let bound = BoundSocket::with_access(dir.socket(), access.clone()).unwrap();
        let role = dir.role_as("unix::connects_and_says_how_it_went", stranger, group);
        assert_eq!(Other::start(role).line("result"), expected, "{access:?}");
        if expected == "ok" {
            let (stream, _) = bound.socket().unwrap().accept().unwrap();
            let peer = Peer::Unix(Credentials::of(&stream).unwrap());
            assert_eq!(bound.allowed().check(&peer), Ok(()), "{access:?}");
            let others = Access::default().users([stranger + 1]).allowed(0);
            assert!(others.check(&peer).is_err());
        }
    }
}

#[test]
fn a_listener_of_another_user_is_refused() {
    let Some(stranger) = stranger() else { return };
    let dir = TestDir::new("other-users-listener");
    let other = listens(dir.role_as(LISTENS, stranger, stranger));
    let refusal = |path: &Path| {
        let error = connect(path).map(drop).expect_err("another user listens there");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        *error.into_inner().unwrap().downcast::<UntrustedSocket>().unwrap()
    };
    let of_directory = |path: &Path| match refusal(path) {
        UntrustedSocket::Directory { directory, problem } => {
            assert_eq!(directory, path.parent().unwrap());
            problem
        }
        error => panic!("{error}"),
    };
    let problem = of_directory(&dir.socket());
    let expected = "belongs to another user: expected user 0, found 65534; ";
    assert!(problem.starts_with(expected), "{problem}");
    // The directory belongs to this user, and is open to the other user at first.
    std::os::unix::fs::chown(&dir.0, Some(0), Some(own_group())).unwrap();
    for mode in [0o777, 0o720, 0o702] {
        fs::set_permissions(&dir.0, Permissions::from_mode(mode)).unwrap();
        let problem = of_directory(&dir.socket());
        assert!(problem.starts_with("is open to other users: "), "{problem}");
    }
    fs::set_permissions(&dir.0, Permissions::from_mode(0o755)).unwrap();
    let UntrustedSocket::Listener { path, found, expected } = refusal(&dir.socket()) else {
        panic!("the directory is closed by now")
    };
    assert_eq!((path, found.user, expected), (dir.socket(), stranger, 0));
    assert_eq!(found.process, Some(other.child.id()));
    let link = TestDir::new("other-users-link");
    symlink(&dir.0, &link.0).unwrap();
    let problem = of_directory(&link.socket());
    assert!(problem.starts_with("is a symbolic link of user 0: expected"), "{problem}");
    other.kill();
}

#[test]
fn a_vanished_socket_is_restored() {
    type Harm = fn(&TestDir);
    let harms: [(Harm, bool); 4] = [
        (|_| {}, false),
        (|dir| fs::remove_file(dir.socket()).unwrap(), true),
        (|dir| fs::remove_dir_all(&dir.0).unwrap(), true),
        (|dir| fs::rename(dir.socket(), dir.0.join("moved")).unwrap(), true),
    ];
    for (harm, expected) in harms {
        let dir = TestDir::new("vanished");
        let access = Access::default().users([STRANGER]);
        let mut bound = BoundSocket::with_access(dir.socket(), access.clone()).unwrap();
        harm(&dir);
        assert_eq!(bound.restore().unwrap(), expected);
        assert!(!bound.restore().unwrap(), "once is enough");
        assert_eq!((mode(&dir.0), mode(&dir.socket())), (0o711, 0o666));
        let _connected = connect(&dir.socket()).unwrap();
        bound.socket().unwrap().accept().unwrap();
        assert!(dir.0.join("node.sock.lock").exists());
        // The lock is held.
        assert_in_use(BoundSocket::with_access(dir.socket(), access));
        drop(bound);
        assert!(!dir.socket().exists(), "it is removed as the first one would have been");
    }
}

/// The thread that reads or closes a socket would wait for files in it that are slow to close.
#[test]
fn a_peer_passes_no_descriptors() {
    let dir = TestDir::new("no-descriptors");
    let bound = BoundSocket::at(dir.socket()).unwrap();
    let other = UnixStream::connect(dir.socket()).unwrap();
    assert_refused_descriptor(&other);
    drop(bound);
    let listener = UnixListener::bind(dir.socket()).unwrap();
    let _own = connect(&dir.socket()).unwrap();
    assert_refused_descriptor(listener.accept().unwrap().0);
}

#[test]
fn a_file_of_another_process_at_the_path_is_kept() {
    let dir = TestDir::new("displaced");
    let mut bound = BoundSocket::at(dir.socket()).unwrap();
    fs::remove_file(dir.socket()).unwrap();
    let other = UnixListener::bind(dir.socket()).unwrap();
    let refused = bound.restore().unwrap_err();
    assert!(matches!(refused, BindError::Displaced { .. }), "{refused}");
    let _connected = connect(&dir.socket()).unwrap();
    other.accept().unwrap();
    // The other process ends, and the path is free again.
    fs::remove_file(dir.socket()).unwrap();
    assert!(bound.restore().unwrap());

    // The lock has vanished as well, so another process can take the path.
    fs::remove_dir_all(&dir.0).unwrap();
    let other = BoundSocket::at(dir.socket()).unwrap();
    fs::remove_file(dir.socket()).unwrap();
    assert_in_use(bound.restore());
    drop(other);
    assert!(bound.restore().unwrap(), "its lock is gone");
}

#[test]
fn a_path_of_the_longest_length_works_and_a_longer_one_is_a_typed_error() {
    let dir = TestDir::new("long");
    let longest = dir.0.join("x".repeat(LONGEST_PATH - 1 - dir.0.as_os_str().len()));
    let bound = BoundSocket::at(&longest).unwrap();
    connect(bound.path()).unwrap();

    let longer = longest.with_extension("");
    let longer = longer.with_file_name(format!("{}x", longer.file_name().unwrap().display()));
    let refused = BoundSocket::at(&longer).unwrap_err();
    assert!(matches!(&refused, BindError::TooLong(error) if error.found == 108), "{refused}");
    assert!(refused.source().is_none(), "a chain of errors says it once");
    let refused = connect(&longer).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    let inner = refused.into_inner().unwrap();
    assert!(inner.is::<PathTooLong>(), "{inner}");
}

#[test]
fn a_user_that_is_not_listed_is_rejected() {
    let of = |user| Peer::Unix(Credentials { process: Some(7), user, group: 0 });
    let allowed = AllowedPeers::users([1000, 1001]);
    assert_eq!(allowed.check(&of(1001)), Ok(()));
    let unwelcome = allowed.check(&of(1002)).unwrap_err().to_string();
    assert_eq!(unwelcome, "process 7 of user 1002 is not on the list of users that may connect");
    let address = "127.0.0.1:1".parse().unwrap();
    assert!(allowed.check(&Peer::Tcp(address)).is_err(), "nobody knows whose it is");
}
