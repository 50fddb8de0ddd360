//! Directories for sockets, and copies of this program for other users.
#![cfg(all(target_os = "linux", not(miri)))]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// A user without processes in these tests.
pub(crate) const STRANGER: u32 = 65534;

/// A directory for one test.
pub(crate) struct TestDir(pub(crate) PathBuf);

impl TestDir {
    pub(crate) fn new(test: &str) -> TestDir {
        let path = std::env::temp_dir().join(format!("mycelium-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        TestDir(path)
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

/// A copy of this program that other users can run: they may not reach the directory that tests are
/// built in.
pub(crate) struct Copied(pub(crate) PathBuf);

impl Copied {
    pub(crate) fn new(dir: &TestDir) -> Copied {
        let path = dir.0.with_extension("exe");
        // A process that starts in another test must not inherit a descriptor that writes to it.
        let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&path).status();
        assert!(copied.unwrap().success());
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Copied(path)
    }

    pub(crate) fn command(&self, user: u32, group: u32) -> Command {
        let mut command = Command::new(&self.0);
        command.current_dir("/").uid(user).gid(group);
        command
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
