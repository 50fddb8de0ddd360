//! Connections with other processes: of other users, killed at any time, and with forked children.
//!
//! Other processes are this program again, running one of the ignored tests below.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use mycelium_core::doorbell::WakePath;
use mycelium_core::ring::region::Memory;
use mycelium_transports::endpoint::UntrustedSocket;
use mycelium_transports::endpoint::unix::{Access, own_user};
use mycelium_transports::memory::{
    ControlLimits, ControlThread, Gone, Mapping, PacketKind, VERSION,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, getrlimit, setrlimit, waitpid};

use super::hostile::{self, Raw, slow_to_close};
use super::support::{
    Event, Events, Recorder, TOKEN, expect, limits, listening, mappings_of, open_files,
};
use crate::support::{Other, TestDir, given, resources, say, stranger, until, wait_to_be_killed};

const OLD_SYSTEM: &str = "MYCELIUM_TEST_OLD_SYSTEM";

/// Starts another process with a role of this file.
fn other(name: &str, dir: &TestDir, old_system: bool) -> Other {
    let mut command = dir.role(&format!("memory::processes::{name}"));
    command.env(OLD_SYSTEM, old_system.to_string());
    Other::start(command)
}

/// Returns the socket and the limits of this process's role, if it has one.
fn own_role() -> Option<(PathBuf, ControlLimits)> {
    let old_system = std::env::var(OLD_SYSTEM).is_ok_and(|old_system| old_system == "true");
    Some((given()?.into(), limits(old_system)))
}

/// Returns the name of a role's memory, which belongs to its test, so that other tests ignore it.
fn memory_of_role(socket: &Path) -> String {
    let directory = socket.parent().and_then(Path::file_name).unwrap();
    directory.to_string_lossy().into_owned()
}

#[test]
#[ignore = "a part of another test"]
fn connects() {
    let Some((socket, limits)) = own_role() else { return };
    let control = ControlThread::start("connects", limits).unwrap();
    let (handler, events) = Recorder::passing(&memory_of_role(&socket));
    if let Err(error) = control.connect(&socket, &Access::default(), TOKEN, handler) {
        return say("result", &error.kind().to_string());
    }
    let event = events.next();
    let Event::Connected(_) = event else { return say("result", &format!("{event:?}")) };
    let (_, file) = events.packet();
    let words = Mapping::attach(file.unwrap(), 512, false).unwrap().words().len();
    say("result", &format!("{words} words"));
    wait_to_be_killed();
}

#[test]
#[ignore = "a part of another test"]
fn listens() {
    let Some((socket, limits)) = own_role() else { return };
    let control = ControlThread::start("listens", limits).unwrap();
    control.listen(&socket, Access::default().users([0, own_user()])).unwrap();
    let (handler, events) = Recorder::passing(&memory_of_role(&socket));
    control.expect(TOKEN, None, handler);
    say("listens", "now");
    let _connection = events.connected();
    say("connected", "now");
    wait_to_be_killed();
}

/// Has a child that inherits this process's end of the connection.
#[test]
#[ignore = "a part of another test"]
fn connects_with_a_child() {
    let Some((socket, limits)) = own_role() else { return };
    let raw = Raw::connect(&socket);
    raw.send(&hostile::hello(TOKEN, VERSION));
    if limits.assume_old_system {
        assert_eq!(raw.receive(), Some(hostile::PING));
        raw.send(&hostile::bytes(hostile::PONG, [0; 4]));
    }
    assert_eq!(raw.receive(), Some(hostile::WELCOME));
    // The child ends when its input ends, which is a pipe of the test; this process is killed
    // before.
    #[expect(clippy::zombie_processes, reason = "the system waits for it")]
    let child = Command::new("cat").stdin(Stdio::inherit()).stdout(Stdio::null()).spawn().unwrap();
    let link = |process: &str, file: &str| fs::read_link(format!("/proc/{process}/fd/{file}"));
    let socket = link("self", &raw.0.as_raw_fd().to_string()).unwrap();
    let child = child.id().to_string();
    let inherited = fs::read_dir(format!("/proc/{child}/fd")).unwrap().flatten();
    let mut names = inherited.filter_map(|file| file.file_name().into_string().ok());
    assert!(names.any(|file| link(&child, &file).is_ok_and(|found| found == socket)));
    say("child", "has the socket");
    wait_to_be_killed();
}

/// Returns a control thread of this process that expects one connection, and its events.
fn expecting(dir: &TestDir, old_system: bool, access: Access) -> (Arc<ControlThread>, Events) {
    let control = ControlThread::start("expecting", limits(old_system)).unwrap();
    control.listen(dir.socket(), access).unwrap();
    let (handler, events) = Recorder::passing("of-the-expecting");
    control.expect(TOKEN, None, handler);
    (control, events)
}

/// Checks that a connected process of `user` passes memory, and that its death is noticed.
fn passes_memory_and_dies(mut other: Other, events: &Events, user: u32) {
    let connection = events.connected();
    assert_eq!(connection.peer().process, Some(other.child.id()));
    assert_eq!(connection.peer().user, user);
    let (_, file) = events.packet();
    let mapping = Mapping::attach(file.unwrap(), 512, false).unwrap();
    assert_eq!(other.line("result"), "512 words");
    other.kill();
    let reason = events.gone();
    assert!(matches!(reason, Gone::PeerClosed | Gone::PeerDied), "{reason}");
    assert_eq!(mapping.words().len(), 512, "its memory stays");
}

#[test]
fn the_death_of_a_peer_that_connected_is_noticed() {
    for old_system in [false, true] {
        for _ in 0..5 {
            let dir = TestDir::new(&format!("kill-connected-{old_system}"));
            let (control, events) = expecting(&dir, old_system, Access::default());
            passes_memory_and_dies(other("connects", &dir, old_system), &events, own_user());
            control.stop();
            let name = memory_of_role(&dir.socket());
            assert_eq!((open_files(&name), mappings_of(&name).len()), (0, 0));
        }
    }
}

#[test]
fn the_death_of_a_peer_that_listened_is_noticed_and_its_socket_is_replaced() {
    for old_system in [false, true] {
        let dir = TestDir::new(&format!("kill-listening-{old_system}"));
        let control = ControlThread::start("connecting", limits(old_system)).unwrap();
        for _ in 0..5 {
            let mut other = other("listens", &dir, old_system);
            other.line("listens");
            let (handler, events) = Recorder::passing("of-a-survivor");
            control.connect(&dir.socket(), &Access::default(), TOKEN, handler).unwrap();
            let connection = events.connected();
            assert_eq!(connection.peer().process, Some(other.child.id()));
            let (_, file) = events.packet();
            drop(Mapping::attach(file.unwrap(), 512, false).unwrap());
            other.line("connected");
            other.kill();
            let reason = events.gone();
            assert!(matches!(reason, Gone::PeerClosed | Gone::PeerDied), "{reason}");
            let (recorder, _) = Recorder::new();
            let error =
                control.connect(&dir.socket(), &Access::default(), TOKEN, recorder).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            let name = memory_of_role(&dir.socket());
            assert_eq!((open_files(&name), mappings_of(&name).len()), (0, 0));
        }
    }
    assert_eq!((open_files("of-a-survivor"), mappings_of("of-a-survivor").len()), (0, 0));
}

/// The child keeps the socket open, so only the end of the process is visible.
#[test]
fn a_child_with_the_socket_does_not_hide_the_death_of_its_parent() {
    for old_system in [false, true] {
        let (dir, control) = listening(&format!("forked-{old_system}"), limits(old_system));
        let events = expect(&control, TOKEN);
        let mut other = other("connects_with_a_child", &dir, old_system);
        let _connection = events.connected();
        assert_eq!(other.line("child"), "has the socket");
        let input_of_child = other.child.stdin.take();
        assert!(events.is_empty());
        other.kill();
        assert_eq!(events.gone(), Gone::PeerDied);
        drop(input_of_child);
    }
}

/// Starts a process of another user.
fn other_user(name: &str, user: u32, dir: &TestDir) -> Other {
    Other::start(dir.role_as(&format!("memory::processes::{name}"), user, user))
}

#[test]
fn descriptors_pass_between_two_users_if_access_permits() {
    let Some(stranger) = stranger() else { return };
    // Permissions or the list of users refuse the process before any descriptor is passed.
    for (access, expected) in [
        (Access::default(), ErrorKind::PermissionDenied.to_string()),
        (Access::default().users([1000]), format!("{:?}", Event::Gone(Gone::PeerClosed))),
    ] {
        let dir = TestDir::new("two-users-refused");
        let (control, events) = expecting(&dir, false, access);
        let mut other = other_user("connects", stranger, &dir);
        assert_eq!(other.line("result"), expected);
        assert!(events.is_empty() && control.forget(&TOKEN));
    }
    let dir = TestDir::new("two-users");
    let (_control, events) = expecting(&dir, false, Access::default().users([0, stranger]));
    let other = other_user("connects", stranger, &dir);
    passes_memory_and_dies(other, &events, stranger);
}

#[test]
fn a_control_socket_of_another_user_is_refused_unless_it_is_the_owner() {
    let Some(stranger) = stranger() else { return };
    let dir = TestDir::new("other-user");
    let mut other = other_user("listens", stranger, &dir);
    other.line("listens");
    let control = ControlThread::start("connecting", limits(false)).unwrap();
    let connect = |access: &Access| {
        let (handler, events) = Recorder::passing(&memory_of_role(&dir.socket()));
        control.connect(&dir.socket(), access, TOKEN, handler).map(|_| events)
    };
    for (access, user) in [(Access::default(), 0), (Access::default().owner(1000), 1000)] {
        let refused = connect(&access).map(drop).unwrap_err();
        let text = refused.to_string();
        let users = format!("expected user {user}, found 65534");
        assert!(text.contains(&users), "{text}");
        assert!(refused.into_inner().unwrap().is::<UntrustedSocket>());
    }
    let events = connect(&Access::default().owner(stranger)).unwrap();
    assert_eq!(events.connected().peer().user, stranger);
    other.line("connected");
}

/// This runs in a separate process, where no other test opens anything.
#[test]
fn nothing_is_left_in_a_process() {
    let dir = TestDir::new("nothing-left");
    let mut other = other("leaves_nothing", &dir, false);
    assert_eq!(other.line("left"), "nothing");
    assert!(other.child.wait().unwrap().success());
    let files: Vec<_> = fs::read_dir(&dir.0).unwrap().flatten().map(|file| file.path()).collect();
    assert_eq!(files, [dir.0.join("node.sock.lock")]);
}

#[test]
#[ignore = "a part of another test"]
fn leaves_nothing() {
    let Some((socket, limits)) = own_role() else { return };
    let round = || {
        let listening = ControlThread::start("listening", limits).unwrap();
        let connecting = ControlThread::start("connecting", limits).unwrap();
        listening.listen(&socket, Access::default()).unwrap();
        for number in 0..20 {
            let (handler, events) = Recorder::passing("round");
            listening.expect([number; 16], None, handler);
            let (handler, other) = Recorder::passing("round");
            // Every second connection ends before it is established, or during that.
            let connection =
                connecting.connect(&socket, &Access::default(), [number; 16], handler).unwrap();
            if number % 2 == 0 {
                let (a, b) = (events.connected(), other.connected());
                let mapped = Mapping::attach(other.packet().1.unwrap(), 512, false).unwrap();
                a.wake(WakePath::Thread);
                b.wake(WakePath::Thread);
                drop(mapped);
            }
            if number % 3 != 0 {
                connection.close();
            }
        }
        listening.stop();
        connecting.stop();
    };
    let in_use = || (resources(), fs::read_dir("/proc/self/task").unwrap().count());
    let before = in_use();
    (0..10).for_each(|_| round());
    until("all is as before", || in_use() == before);
    say("left", "nothing");
}

/// Without a free descriptor, a connection waits to be accepted, and a packet arrives without its
/// descriptor. The file of such a packet may take long to close, and the node does not wait for it.
#[test]
fn exhausted_descriptors_end_nothing_else() {
    let dir = TestDir::new("exhausted");
    let mut other = other("has_no_descriptor_left", &dir, false);
    other.line("listens");
    let hostile = [(); 3].map(|()| Raw::connect(&dir.socket()));
    let first = Raw::welcome(&dir.socket(), TOKEN);
    assert_eq!(other.line("descriptors"), "none");
    let (_mapping, file) = Mapping::create(1, "too-many", false).unwrap();
    while_stopped(&other, || {
        let pass = |_| first.pass(&hostile::bytes(hostile::REGION, [0; 4]), &[file.as_fd()]);
        (0..3).for_each(pass);
    });
    assert_eq!(other.line("first"), "3 times Region without a descriptor");
    let slow = while_stopped(&other, || {
        let pass = |raw: &Raw| {
            let (slow, other) = slow_to_close();
            raw.pass(&hostile::bytes(hostile::REGION, [0; 4]), &[slow.as_fd()]);
            other
        };
        hostile.each_ref().map(pass)
    });
    first.send(&hostile::bytes(hostile::PING, [0; 4]));
    assert_eq!(first.receive(), Some(hostile::PONG));
    drop((slow, hostile));
    other.go_on();
    assert_eq!(first.receive(), None);

    assert_eq!(other.line("descriptors"), "none");
    let second = Raw::connect(&dir.socket());
    second.send(&hostile::hello(TOKEN, VERSION));
    other.go_on();
    assert_eq!(second.receive(), Some(hostile::WELCOME));
}

/// Stops a process while `act` runs, so that it has no copy yet of what is sent to it.
fn while_stopped<T>(other: &Other, act: impl FnOnce() -> T) -> T {
    other.signal(Signal::STOP);
    waitpid(Some(Pid::from_child(&other.child)), WaitOptions::UNTRACED).unwrap();
    let result = act();
    other.signal(Signal::CONT);
    result
}

#[test]
#[ignore = "a part of another test"]
fn has_no_descriptor_left() {
    let Some((socket, limits)) = own_role() else { return };
    let limit = Rlimit { current: Some(64), maximum: Some(64) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let exhaust = || std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect::<Vec<_>>();
    let control = ControlThread::start("listens", limits).unwrap();
    control.listen(&socket, Access::default()).unwrap();
    let events = expect(&control, TOKEN);
    let before = resources();
    say("listens", "now");
    let connection = events.connected();
    let first = exhaust();
    say("descriptors", "none");
    for _ in 0..3 {
        let (packet, descriptor) = events.packet();
        assert!(packet.kind == PacketKind::Region && descriptor.is_none());
    }
    say("first", "3 times Region without a descriptor");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    connection.close();
    assert_eq!(events.gone(), Gone::Closed);
    drop((connection, first));
    until("the connection is closed", || resources() == before);

    let events = expect(&control, TOKEN);
    let second = exhaust();
    say("descriptors", "none");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    assert!(events.is_empty(), "it waits");
    drop(second);
    let _connection = events.connected();
    wait_to_be_killed();
}

/// A node that could start no thread to close connections accepts others once it can, also if the
/// threads that it has are blocked.
#[test]
fn connections_that_no_thread_could_close_are_closed_later() {
    let dir = TestDir::new("no-thread");
    let mut other = other("has_no_thread_left", &dir, false);
    other.line("listens");
    let slow = pass_slow(&dir, &other);
    assert_eq!(other.line("threads"), "none");
    // They break the protocol, and fill what waits to be closed.
    let hostile = [(); 80].map(|()| Raw::connect(&dir.socket()));
    hostile.iter().for_each(|raw| raw.send(&[0]));
    assert_eq!(other.line("waiting"), "many");
    drop(hostile);
    other.go_on();
    Raw::welcome(&dir.socket(), TOKEN);
    drop(slow);
}

/// Passes a file that is slow to close to a node, which ends the connection. Returns what the close
/// waits for.
fn pass_slow(dir: &TestDir, other: &Other) -> impl Sized + use<> {
    while_stopped(other, || {
        let (raw, (slow, end)) = (Raw::connect(&dir.socket()), slow_to_close());
        raw.pass(&hostile::bytes(hostile::REGION, [0; 4]), &[slow.as_fd()]);
        (end, raw)
    })
}

#[test]
#[ignore = "a part of another test"]
fn has_no_thread_left() {
    let Some((socket, limits)) = own_role() else { return };
    let control = ControlThread::start("listens", limits).unwrap();
    control.listen(&socket, Access::default()).unwrap();
    let events = expect(&control, TOKEN);
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let before = (resources(), threads());
    say("listens", "now");
    // It has the file no more, and another thread has closed the connection.
    let is_blocked = || threads() == before.1 + 1;
    until("one is blocked", || is_blocked() && resources() == before.0 && is_blocked());
    let memory = without_threads();
    say("threads", "none");
    until("many wait", || resources().0 >= before.0.0 + 64);
    say("waiting", "many");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    setrlimit(Resource::As, memory).unwrap();
    let _connection = events.connected();
    wait_to_be_killed();
}

/// Makes the start of a thread fail. Returns the previous limit.
fn without_threads() -> Rlimit {
    // The memory that the process has, and less than the stack of a thread.
    let status = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
    let memory = getrlimit(Resource::As);
    let most = pages * rustix::param::page_size() as u64 + (1 << 20);
    setrlimit(Resource::As, Rlimit { current: Some(most), ..memory }).unwrap();
    // Stacks of threads that have ended may be left.
    while thread::Builder::new().spawn(thread::park).is_ok() {}
    memory
}

#[test]
fn a_node_that_has_no_thread_left_stops() {
    let dir = TestDir::new("no-thread-at-the-end");
    let mut other = other("stops_without_threads", &dir, false);
    other.line("listens");
    let _slow = pass_slow(&dir, &other);
    other.go_on();
    assert_eq!(other.line("control thread"), "dropped");
}

#[test]
#[ignore = "a part of another test"]
fn stops_without_threads() {
    let Some((socket, limits)) = own_role() else { return };
    let control = ControlThread::start("listens", limits).unwrap();
    control.listen(&socket, Access::default()).unwrap();
    without_threads();
    say("listens", "now");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    drop(control);
    say("control thread", "dropped");
    wait_to_be_killed();
}

/// A connection that fails after the peer has sent something is closed by another thread.
#[test]
fn a_connection_that_fails_waits_for_no_peer() {
    let dir = TestDir::of_mode("fails", 0o700);
    let listener = Arc::new(hostile::listen(&dir.socket()));
    rustix::io::ioctl_fionbio(&*listener, true).unwrap();
    let mut other = other("connects_in_vain", &dir, false);
    let count: usize = other.line("connects").parse().unwrap();
    for _ in 0..count {
        let (slow, end) = slow_to_close();
        let listening = listener.clone();
        let passing = thread::spawn(move || {
            // Does not sleep, so that it sends something before the other end is closed.
            while Arc::strong_count(&listening) > 1 {
                let Ok(socket) = rustix::net::accept(&*listening) else { continue };
                let region = hostile::bytes(hostile::REGION, [0; 4]);
                Raw(socket).pass(&region, &[slow.as_fd()]);
                return;
            }
        });
        other.go_on();
        assert_eq!(other.line("it failed"), "the control thread has ended");
        // If this process has the last copy, it waits for this end.
        drop(end);
        passing.join().unwrap();
    }
}

#[test]
#[ignore = "a part of another test"]
fn connects_in_vain() {
    const COUNT: usize = 40;
    let Some((socket, limits)) = own_role() else { return };
    let control = ControlThread::start("connects", limits).unwrap();
    control.stop();
    say("connects", &COUNT.to_string());
    for _ in 0..COUNT {
        std::io::stdin().read_line(&mut String::new()).unwrap();
        let (handler, _events) = Recorder::new();
        let error = control.connect(&socket, &Access::default(), TOKEN, handler).unwrap_err();
        say("it failed", &error.to_string());
    }
    wait_to_be_killed();
}

/// The socket that was restored without a descriptor to accept from has connections, too.
#[test]
fn a_socket_restored_twice_waits_for_no_peer() {
    let dir = TestDir::new("restored-twice");
    let mut other = other("restores_without_descriptors", &dir, false);
    other.line("restored");
    let _slow = pass_slow(&dir, &other);
    fs::remove_file(dir.socket()).unwrap();
    other.go_on();
    assert_eq!(other.line("again"), "true");
    Raw::welcome(&dir.socket(), TOKEN);
}

/// Nor does the stop of a node whose socket was restored in part.
#[test]
fn a_node_with_half_a_socket_stops() {
    let dir = TestDir::new("restored-in-part");
    let mut other = other("restores_without_descriptors", &dir, false);
    other.line("restored");
    let _slow = pass_slow(&dir, &other);
    other.go_on();
    assert_eq!(other.line("stopped"), "at once");
    assert_eq!(other.line("left"), "0 eventfds");
}

#[test]
#[ignore = "a part of another test"]
fn restores_without_descriptors() {
    let Some((socket, limits)) = own_role() else { return };
    let limit = Rlimit { current: Some(64), maximum: Some(64) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let control = ControlThread::start("listens", limits).unwrap();
    control.listen(&socket, Access::default()).unwrap();
    let _events = expect(&control, TOKEN);
    let mut open: Vec<_> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
    open.pop();
    fs::remove_file(&socket).unwrap();
    let refused = control.restore().unwrap_err().to_string();
    assert!(refused.contains("cannot accept connections"), "{refused}");
    drop(open);
    say("restored", "but for a descriptor");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    if !socket.exists() {
        say("again", &control.restore().unwrap().to_string());
    } else {
        control.stop();
        say("stopped", "at once");
        drop(control);
        let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let files = open.filter_map(|it| fs::read_link(it.path()).ok());
        let left = files.filter(|it| it.to_string_lossy().contains("eventfd")).count();
        say("left", &format!("{left} eventfds"));
    }
    wait_to_be_killed();
}

/// The system would end the process with a signal here; there must be an error instead.
#[test]
fn memory_beyond_the_limit_of_files_is_refused() {
    let dir = TestDir::new("file-limit");
    let mut other = other("has_a_limit_of_files", &dir, false);
    let refused = other.line("refused");
    assert!(refused.contains("cannot allocate 1048576 bytes of shared memory"), "{refused}");
    assert!(other.line("allocated").contains("65536"));
}

#[test]
#[ignore = "a part of another test"]
fn has_a_limit_of_files() {
    let Some(_) = own_role() else { return };
    let limit = Rlimit { current: Some(1 << 16), maximum: Some(1 << 16) };
    setrlimit(Resource::Fsize, limit).unwrap();
    let refused = Mapping::create(1 << 17, "limited", false).unwrap_err();
    say("refused", &refused.to_string());
    let (_mapping, file) = Mapping::create(1 << 13, "limited", false).unwrap();
    say("allocated", &rustix::fs::fstat(&file).unwrap().st_size.to_string());
    wait_to_be_killed();
}
