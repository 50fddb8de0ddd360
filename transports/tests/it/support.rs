//! Directories for sockets, and other processes, which are ignored tests of this program.
#![cfg(all(target_os = "linux", not(miri)))]

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, IoSlice, Lines, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use mycelium_transports::endpoint::unix::own_user;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::{Pid, Signal, kill_process};

/// The variable with the value of a role.
const VALUE: &str = "MYCELIUM_TEST_VALUE";
/// A user without processes in these tests.
pub(crate) const STRANGER: u32 = 65534;

/// Returns [`STRANGER`] if this process can run processes of other users, which only root can.
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
pub(crate) fn stranger() -> Option<u32> {
    let is_root = own_user() == 0;
    if !is_root {
        eprintln!("skipped: only root can run processes of other users");
    }
    is_root.then_some(STRANGER)
}

/// A directory for one test.
pub(crate) struct TestDir(pub(crate) PathBuf);

impl TestDir {
    pub(crate) fn new(test: &str) -> TestDir {
        let path = std::env::temp_dir().join(format!("mycelium-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        TestDir(path)
    }

    /// Makes a directory with this mode.
    pub(crate) fn of_mode(test: &str, mode: u32) -> TestDir {
        let dir = TestDir::new(test);
        fs::create_dir(&dir.0).unwrap();
        fs::set_permissions(&dir.0, Permissions::from_mode(mode)).unwrap();
        dir
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("node.sock")
    }

    /// Returns a command that runs the ignored test `name`, which is given the path of the socket.
    pub(crate) fn role(&self, name: &str) -> Command {
        role(name, self.socket())
    }

    /// Returns such a command of another user. It runs a copy of this program, because other users
    /// may not reach the build directory.
    pub(crate) fn role_as(&self, name: &str, user: u32, group: u32) -> Command {
        let copy = self.0.with_extension("exe");
        // Copied by a process, because a process that starts in another test must not inherit a
        // descriptor that writes to the file.
        let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status();
        assert!(copied.unwrap().success());
        fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
        let mut command = role_of(copy, name, self.socket().as_os_str());
        command.current_dir("/").uid(user).gid(group);
        command
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        let _ = fs::remove_file(self.0.with_extension("exe"));
    }
}

/// Returns a command that runs the ignored test `role`, which is [`given`] this value.
pub(crate) fn role(role: &str, value: impl AsRef<OsStr>) -> Command {
    role_of(std::env::current_exe().unwrap(), role, value.as_ref())
}

fn role_of(program: PathBuf, role: &str, value: &OsStr) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", role, "--ignored", "--nocapture"]).env(VALUE, value);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Returns the value of this role; in a run of all ignored tests there is none.
pub(crate) fn given() -> Option<OsString> {
    std::env::var_os(VALUE)
}

pub(crate) fn wait_to_be_killed() -> ! {
    loop {
        std::thread::park();
    }
}

/// Returns how many open files and how many mappings of memfds this process has.
pub(crate) fn resources() -> (usize, usize) {
    let open = fs::read_dir("/proc/self/fd").unwrap().count();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    (open, maps.lines().filter(|line| line.contains("memfd:")).count())
}

/// Checks that the system refuses a descriptor that is sent by this socket, as it can since Linux
/// 6.16.
pub(crate) fn assert_refused_descriptor(sender: impl AsFd) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap());
    if [numbers.next(), numbers.next()] < [Some(6), Some(16)] {
        return;
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptor = [sender.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptor)));
    let bytes = &[IoSlice::new(&[0])];
    let sent = rustix::net::sendmsg(sender.as_fd(), bytes, &mut control, SendFlags::NOSIGNAL);
    assert_eq!(sent, Err(Errno::PERM));
}

/// Waits for a condition that another thread or process makes true.
pub(crate) fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let is_so = |_| {
        let holds = is_true();
        if !holds {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        holds
    };
    assert!((0..60_000).any(is_so), "it never happens that {what}");
}

/// Prints a line for the process that has started this one.
#[expect(clippy::print_stdout, reason = "this is how the other process knows")]
pub(crate) fn say(name: &str, value: &str) {
    println!("\n{name}: {value}");
}

/// Another process of this program, killed on drop.
pub(crate) struct Other {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Other {
    pub(crate) fn start(mut role: Command) -> Other {
        let mut child = role.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Other { child, lines }
    }

    /// Waits until it has [said](say) `name`, and returns the value.
    pub(crate) fn line(&mut self, name: &str) -> String {
        let mut lines = self.lines.by_ref().map_while(Result::ok);
        let value =
            lines.find_map(|line| Some(line.split_once(name)?.1.strip_prefix(": ")?.to_owned()));
        value.unwrap_or_else(|| panic!("it says `{name}`"))
    }

    /// Lets a role continue that waits for a line.
    pub(crate) fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
