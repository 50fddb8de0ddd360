//! Sockets at a path: a live process keeps its own, a dead one's is taken over, and nobody else comes in.
#![cfg(all(target_os = "linux", not(miri)))]

use std::error::Error;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use mycelium_executor::{Credentials, Peer};
use mycelium_transports::endpoint::unix::{Access, AllowedPeers, BoundSocket, connect};
use mycelium_transports::endpoint::{BindError, LONGEST_PATH, PathTooLong};

/// A directory of its own for each test.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Place {
        let path = std::env::temp_dir().join(format!("mycelium-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Place(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("node.sock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A user whose processes are none of these tests.
const STRANGER: u32 = 65534;

/// A group that files of this process can be given to.
fn own_group() -> u32 {
    rustix::process::getegid().as_raw()
}

fn mode(path: &PathBuf) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn directory_and_socket_are_closed_to_others() {
    let place = Place::new("closed");
    let bound = BoundSocket::at(place.socket()).unwrap();
    assert_eq!((mode(&place.0), mode(&place.socket())), (0o700, 0o600));
    connect(bound.path()).unwrap();
    drop(bound);
    assert!(!place.socket().exists(), "nothing is left but the lock");
    assert_eq!(connect(&place.socket()).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_live_socket_is_never_taken_away() {
    let place = Place::new("live");
    let bound = BoundSocket::at(place.socket()).unwrap();
    let refused = BoundSocket::at(place.socket()).unwrap_err();
    assert!(matches!(refused, BindError::InUse { .. }), "{refused}");
    connect(bound.path()).unwrap();
    drop(bound);
    BoundSocket::at(place.socket()).unwrap();
}

#[test]
fn one_that_listens_without_a_lock_is_live_too() {
    let place = Place::new("lockless");
    drop(BoundSocket::at(place.socket()).unwrap());
    let _listener = UnixListener::bind(place.socket()).unwrap();
    let refused = BoundSocket::at(place.socket()).unwrap_err();
    assert!(matches!(refused, BindError::InUse { .. }), "{refused}");
}

/// This test's program again, as a process that listens until it is killed.
fn listener(place: &Place) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "listens_until_it_is_killed", "--ignored", "--nocapture"])
        .env("MYCELIUM_TEST_SOCKET", place.socket())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.map_while(Result::ok).any(|line| line.contains("listening"));
    assert!(said, "the other process listens");
    child
}

#[test]
#[ignore = "a part of another test"]
#[expect(clippy::print_stdout, reason = "this is how the other process knows")]
fn listens_until_it_is_killed() {
    let Some(path) = std::env::var_os("MYCELIUM_TEST_SOCKET") else { return };
    let _bound = BoundSocket::at(path).unwrap();
    println!("listening");
    loop {
        std::thread::park();
    }
}

#[test]
fn a_dead_ones_socket_is_replaced_and_a_live_ones_is_not() {
    let place = Place::new("dead");
    let mut child = listener(&place);
    let refused = BoundSocket::at(place.socket()).unwrap_err();
    assert!(matches!(refused, BindError::InUse { .. }), "{refused}");

    child.kill().unwrap();
    child.wait().unwrap();
    assert!(place.socket().exists(), "it had no time to remove it");
    let bound = BoundSocket::at(place.socket()).unwrap();
    connect(bound.path()).unwrap();
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let place = Place::new("occupied");
    drop(BoundSocket::at(place.socket()).unwrap());
    fs::write(place.socket(), "mine").unwrap();
    let refused = BoundSocket::at(place.socket()).unwrap_err();
    assert!(matches!(refused, BindError::Occupied { .. }), "{refused}");
    assert_eq!(fs::read_to_string(place.socket()).unwrap(), "mine");
}

#[test]
fn a_socket_that_somebody_put_in_its_place_is_not_removed() {
    let place = Place::new("replaced");
    let bound = BoundSocket::at(place.socket()).unwrap();
    fs::remove_file(place.socket()).unwrap();
    let _other = UnixListener::bind(place.socket()).unwrap();
    drop(bound);
    connect(&place.socket()).unwrap();
}

#[test]
fn a_directory_that_others_can_enter_is_refused() {
    let place = Place::new("open");
    fs::create_dir(&place.0).unwrap();
    fs::set_permissions(&place.0, Permissions::from_mode(0o755)).unwrap();
    let refused = BoundSocket::at(place.socket()).unwrap_err().to_string();
    assert!(refused.contains("open to other users"), "{refused}");

    let link = Place::new("link");
    symlink(&place.0, &link.0).unwrap();
    let refused = BoundSocket::at(link.socket()).unwrap_err().to_string();
    fs::remove_file(&link.0).unwrap();
    assert!(refused.contains("is not a directory"), "{refused}");
}

#[test]
fn a_lock_that_leads_elsewhere_is_not_followed() {
    let place = Place::new("lock-link");
    drop(BoundSocket::at(place.socket()).unwrap());
    let lock = place.0.join("node.sock.lock");
    fs::remove_file(&lock).unwrap();
    let elsewhere = place.0.join("elsewhere");
    symlink(&elsewhere, &lock).unwrap();
    let refused = BoundSocket::at(place.socket()).unwrap_err();
    assert!(matches!(refused, BindError::System { action: "open", .. }), "{refused}");
    assert!(!elsewhere.exists());
}

#[test]
fn a_path_without_a_directory_is_an_error_that_names_it() {
    let refused = BoundSocket::at("/").unwrap_err();
    assert_eq!(refused.to_string(), "`/` names no file in a directory");
}

#[test]
fn directory_and_socket_are_as_open_as_access_says() {
    let own = mycelium_transports::endpoint::unix::own_user();
    let cases = [
        (Access::default().users([own]), 0o700, 0o600),
        (Access::default().users([own, 0]), 0o700, 0o600),
        (Access::default().users([own, STRANGER]), 0o711, 0o666),
        (Access::default().users([STRANGER]).mode(0o606), 0o701, 0o606),
        (Access::default().group(own_group()), 0o710, 0o660),
        (Access::default().users([STRANGER]).group(own_group()), 0o710, 0o660),
    ];
    for (access, directory, socket) in cases {
        let place = Place::new("access");
        let _bound = BoundSocket::with_access(place.socket(), access.clone()).unwrap();
        let found = (mode(&place.0), mode(&place.socket()));
        assert_eq!(found, (directory, socket), "{access:?}");
        assert_eq!(mode(&place.0.join("node.sock.lock")), 0o600, "the lock is nobody else's");
    }
}

#[test]
fn a_directory_is_opened_as_far_as_asked_and_refused_if_it_is_open_to_more() {
    let access = Access::default().users([STRANGER]);
    for (before, after) in
        [(0o700, Some(0o711)), (0o711, Some(0o711)), (0o755, None), (0o722, None)]
    {
        let place = Place::new("opened");
        fs::create_dir(&place.0).unwrap();
        fs::set_permissions(&place.0, Permissions::from_mode(before)).unwrap();
        let bound = BoundSocket::with_access(place.socket(), access.clone());
        match (after, &bound) {
            (Some(after), Ok(_)) => assert_eq!(mode(&place.0), after),
            (None, Err(BindError::Directory { problem, .. })) => {
                assert!(problem.contains("make it 0711"), "{problem}");
                assert_eq!(mode(&place.0), before, "it is left as it is");
            }
            _ => panic!("{before:o}: {bound:?}"),
        }
    }
}

#[test]
fn a_directory_above_that_is_closed_to_them_is_named() {
    let place = Place::new("closed-above");
    fs::create_dir(&place.0).unwrap();
    fs::set_permissions(&place.0, Permissions::from_mode(0o700)).unwrap();
    let inside = place.0.join("run");
    for (access, user) in [
        (Access::default().users([STRANGER]), Some(STRANGER)),
        (Access::default().group(own_group()), None),
    ] {
        let refused = BoundSocket::with_access(inside.join("node.sock"), access).unwrap_err();
        let BindError::Unreachable { directory, user: found, .. } = &refused else {
            panic!("{refused}")
        };
        assert_eq!((directory, *found), (&place.0, user));
        assert_eq!(mode(&inside), 0o700, "it is not opened for nothing");
    }
}

/// Connects as another user, in a process of its own, and says how that went.
fn connects_as(user: u32, group: u32, place: &Place) -> String {
    // Another user may not reach the directory that tests are built in.
    let program = place.0.with_extension("exe");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(&program)
        .args(["--exact", "connects_and_says_how_it_went", "--ignored", "--nocapture"])
        .env("MYCELIUM_TEST_SOCKET", place.socket())
        .current_dir("/")
        .uid(user)
        .gid(group)
        .output()
        .unwrap();
    fs::remove_file(&program).unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().find_map(|line| line.split_once("result: ")).unwrap().1.to_owned()
}

#[test]
#[ignore = "a part of another test"]
#[expect(clippy::print_stdout, reason = "this is how the other process knows")]
fn connects_and_says_how_it_went() {
    let Some(path) = std::env::var_os("MYCELIUM_TEST_SOCKET") else { return };
    let connected = connect(path.as_ref());
    println!(
        "\nresult: {}",
        connected.map_or_else(|error| error.kind().to_string(), |_| "ok".into())
    );
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
fn other_users_reach_the_socket_as_far_as_access_says() {
    const GROUP: u32 = 54321;
    if mycelium_transports::endpoint::unix::own_user() != 0 {
        return eprintln!("skipped: only root can run processes of other users");
    }
    let denied = ErrorKind::PermissionDenied.to_string();
    let cases = [
        (Access::default(), GROUP, &*denied),
        (Access::default().users([0, STRANGER]), GROUP, "ok"),
        (Access::default().group(GROUP), GROUP, "ok"),
        (Access::default().group(GROUP), GROUP + 1, &*denied),
        (Access::default().users([STRANGER]).mode(0o600), GROUP, &*denied),
    ];
    for (access, group, expected) in cases {
        let place = Place::new("others");
        let bound = BoundSocket::with_access(place.socket(), access.clone()).unwrap();
        assert_eq!(connects_as(STRANGER, group, &place), expected, "{access:?}");
        if expected == "ok" {
            let (stream, _) = bound.socket().unwrap().accept().unwrap();
            let peer = Peer::Unix(Credentials::of(&stream).unwrap());
            assert_eq!(bound.allowed().check(&peer), Ok(()), "{access:?}");
            let others = Access::default().users([STRANGER + 1]).allowed(0);
            assert!(others.check(&peer).is_err());
        }
    }
}

#[test]
fn a_socket_that_vanished_is_made_again() {
    let lock = |place: &Place| place.0.join("node.sock.lock");
    type Harm = fn(&Place);
    let harms: [(Harm, bool); 4] = [
        (|_| {}, false),
        (|place| fs::remove_file(place.socket()).unwrap(), true),
        (|place| fs::remove_dir_all(&place.0).unwrap(), true),
        (|place| fs::rename(place.socket(), place.0.join("moved")).unwrap(), true),
    ];
    for (harm, expected) in harms {
        let place = Place::new("vanished");
        let access = Access::default().users([STRANGER]);
        let mut bound = BoundSocket::with_access(place.socket(), access).unwrap();
        harm(&place);
        assert_eq!(bound.restore().unwrap(), expected);
        assert!(!bound.restore().unwrap(), "once is enough");
        assert_eq!((mode(&place.0), mode(&place.socket())), (0o711, 0o666));
        let _connected = connect(&place.socket()).unwrap();
        bound.socket().unwrap().accept().unwrap();
        assert!(lock(&place).exists());
        let refused = BoundSocket::with_access(place.socket(), Access::default().users([STRANGER]));
        assert!(matches!(refused, Err(BindError::InUse { .. })), "the lock is held: {refused:?}");
        drop(bound);
        assert!(!place.socket().exists(), "it is removed as the first one would have been");
    }
}

#[test]
fn what_another_process_put_in_its_place_is_left_alone() {
    let place = Place::new("displaced");
    let mut bound = BoundSocket::at(place.socket()).unwrap();
    fs::remove_file(place.socket()).unwrap();
    let other = UnixListener::bind(place.socket()).unwrap();
    let refused = bound.restore().unwrap_err();
    assert!(matches!(refused, BindError::Displaced { .. }), "{refused}");
    let _connected = connect(&place.socket()).unwrap();
    other.accept().unwrap();
    // It goes, and the place is free again.
    fs::remove_file(place.socket()).unwrap();
    assert!(bound.restore().unwrap());

    // Another process has taken everything over, since the lock had vanished too.
    fs::remove_dir_all(&place.0).unwrap();
    let other = BoundSocket::at(place.socket()).unwrap();
    fs::remove_file(place.socket()).unwrap();
    let refused = bound.restore().unwrap_err();
    assert!(matches!(refused, BindError::InUse { .. }), "{refused}");
    drop(other);
    assert!(bound.restore().unwrap(), "its lock is gone");
}

#[test]
fn a_path_of_the_longest_length_works_and_a_longer_one_is_a_typed_error() {
    let place = Place::new("long");
    let longest = place.0.join("x".repeat(LONGEST_PATH - 1 - place.0.as_os_str().len()));
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
fn who_is_not_on_the_list_is_not_welcome() {
    let of = |user| Peer::Unix(Credentials { process: Some(7), user, group: 0 });
    let allowed = AllowedPeers::users([1000, 1001]);
    assert_eq!(allowed.check(&of(1001)), Ok(()));
    let unwelcome = allowed.check(&of(1002)).unwrap_err();
    assert_eq!(
        unwelcome.to_string(),
        "process 7 of user 1002 is not on the list of users that may connect"
    );
    let address = "127.0.0.1:1".parse().unwrap();
    assert!(allowed.check(&Peer::Tcp(address)).is_err(), "nobody knows whose it is");
}
