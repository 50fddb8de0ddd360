//! Directories for sockets, and other processes, which are ignored tests of this program.
#![cfg(all(target_os = "linux", not(miri)))]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use mycelium_transports::endpoint::unix::own_user;

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
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A copy of this program that other users can run, because they may not reach the build directory.
pub(crate) struct Copied(pub(crate) PathBuf);

impl Copied {
    pub(crate) fn new(dir: &TestDir) -> Copied {
        let path = dir.0.with_extension("exe");
        // Copied by a process, because a process that starts in another test must not inherit a
        // descriptor that writes to the file.
        let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&path).status();
        assert!(copied.unwrap().success());
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Copied(path)
    }

    /// Returns a command that runs the ignored test `role` as another user.
    pub(crate) fn role(&self, role: &str, user: u32, group: u32) -> Command {
        let mut command = role_of(Command::new(&self.0), role);
        command.current_dir("/").uid(user).gid(group);
        command
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Returns a command that runs the ignored test `role`.
pub(crate) fn role(role: &str) -> Command {
    role_of(Command::new(std::env::current_exe().unwrap()), role)
}

fn role_of(mut program: Command, role: &str) -> Command {
    program.args(["--exact", role, "--ignored", "--nocapture"]);
    program.stdin(Stdio::piped()).stdout(Stdio::piped());
    program
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
