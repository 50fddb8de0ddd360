//! Processes of other users that listen in place of an expected node.

use std::fs::{self, Permissions};
use std::future::pending;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use mycelium_transports::endpoint::Endpoint;
use mycelium_transports::endpoint::unix::{Access, BoundSocket, own_user};
use mycelium_transports::local::Policy;

use crate::links::harness::{Number, Side, TestDir, end, take, until};
use crate::support::{Process, until_said};

const OTHER: u32 = 65534;

/// Starts a process of another user that listens in place of the node `there`, and publishes five
/// numbers.
fn forger(dir: &TestDir) -> Process {
    // It may not reach the directory that tests are built in. A process that starts in another
    // test must not inherit a descriptor that writes to the program.
    let program = dir.path().with_extension("exe");
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status();
    assert!(copied.unwrap().success());
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let role = "links::other_users::listens_in_place_of_a_node";
    let mut child = Command::new(&program)
        .args(["--exact", role, "--ignored", "--nocapture"])
        .env("MYCELIUM_TEST_SOCKET", dir.socket())
        .current_dir("/")
        .uid(OTHER)
        .gid(OTHER)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    fs::remove_file(&program).unwrap();
    until_said(&mut child, "listening");
    Process(child)
}

#[tokio::test]
#[ignore = "a part of another test"]
#[expect(clippy::print_stdout, reason = "this is how the other process knows")]
async fn listens_in_place_of_a_node() {
    let Some(path) = std::env::var_os("MYCELIUM_TEST_SOCKET") else { return };
    let there = Side::new("there", 1, 8);
    let bound = BoundSocket::with_access(path, Access::default().users([0, own_user()])).unwrap();
    let allowed = bound.allowed();
    let _serving = there.serve_to(there.exports_for("here", Policy::Block), bound, allowed);
    let mut publisher = there.publisher();
    (0..5).for_each(|value| publisher.try_emit(Number { value }).unwrap());
    println!("listening");
    pending().await
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
async fn a_process_of_another_user_does_not_speak_for_a_publisher() {
    if own_user() != 0 {
        return eprintln!("skipped: only root can run processes of other users");
    }
    let dir = TestDir::new("other-user");
    let _forger = forger(&dir);
    let here = Side::new("here", 2, 8);
    let reader = here.reader();
    let reading = here.read("there", dir.place(), Policy::Block);
    // The client refuses the directory and, if the directory then belongs to this user, the
    // process.
    let words = ["expected user 0, found 65534", "of user 65534 listens at `"];
    for (words, owner) in words.into_iter().zip([OTHER, 0]) {
        chown(dir.path(), Some(owner), None).unwrap();
        let is_refused = || here.notices.count("unreachable", words) > 0;
        until("it is refused or believed", || is_refused() || reader.depth() == 5).await;
        assert_eq!((reader.depth(), here.notices.count("up", "")), (0, 0), "forged messages");
    }
    end(&[&here], [reading]).await;
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
async fn an_owner_speaks_for_its_node() {
    if own_user() != 0 {
        return eprintln!("skipped: only root can run processes of other users");
    }
    let dir = TestDir::new("owner");
    let _owner = forger(&dir);
    let here = Side::new("here", 2, 8);
    let mut reader = here.reader();
    let mut imports = here.imports("there", dir.place(), vec![here.interest(Policy::Block)]);
    let endpoint = Endpoint::unix(dir.socket(), Access::default().owner(OTHER));
    let executor = here.executor.clone();
    imports.connect = Box::new(move || endpoint.connect(&executor));
    let reading = tokio::spawn(imports.run().unwrap());
    take(&mut reader, 0..5).await;
    end(&[&here], [reading]).await;
}
