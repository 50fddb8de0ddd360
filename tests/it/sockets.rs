//! The sockets of nodes: which users can reach them, and how a node replaces one that was removed.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mycelium::error::{Code, StartError};

use crate::nodes::TOPOLOGY;
use crate::numbers::Pair;
use crate::running::{Says, end, until, within};

/// Returns the file of two nodes, with more keys for the listening node.
fn text(keys: &str) -> String {
    let stays = TOPOLOGY.replace("Counter", "Stays");
    stays.replace("[node.far]", &format!("[node.far]\nshutdown = \"100ms\"\n{keys}"))
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn users_open_directory_and_socket_and_mode_says_how_far() {
    for (keys, directory, socket) in [
        ("", 0o700, 0o600),
        ("users = [0, 65534]", 0o711, 0o666),
        ("users = [0, 65534]\nmode = \"0622\"", 0o711, 0o622),
    ] {
        let (pair, _received) = Pair::new("sockets-users", text(keys));
        let far = pair.start("far", 1);
        let found = (mode(&pair.directory.0), mode(&pair.directory.0.join("far.sock")));
        assert_eq!(found, (directory, socket), "{keys}");
        let has_sent = || far.counters().iter().any(|line| line.value("sent") > 0);
        until(has_sent).await;
        far.shutdown();
        // The reader's node was never connected.
        assert!(matches!(within(far.join()).await, Err(StartError::Undelivered { .. })));
    }
}

#[tokio::test]
async fn a_socket_that_its_users_cannot_reach_is_an_error_at_start() {
    let (mut pair, _received) = Pair::new("sockets-closed", "");
    let closed = pair.directory.0.clone();
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let socket = closed.join("run").join("far.sock");
    pair.text = text(&format!("users = [0, 65534]\nsocket = {socket:?}"));
    let error = pair.start_error("far");
    assert_eq!(error.code(), Code::SOCKET_UNREACHABLE);
    error.begins("t.toml:4:9: user 65534 may connect to node `far`, ");
    error.mentions(&format!("directory `{}` is closed", closed.display()));
    error.mentions("`Topology::in_directory`");
}

#[tokio::test]
async fn a_vanished_socket_is_restored_and_readers_connect() {
    let (pair, received) = Pair::new("sockets-vanished", text(""));
    let far = pair.start("far", 1);
    let (directory, socket) = (&pair.directory.0, pair.directory.0.join("far.sock"));
    let remove: [&dyn Fn(); 2] =
        [&|| fs::remove_file(&socket).unwrap(), &|| fs::remove_dir_all(directory).unwrap()];
    for remove in remove {
        remove();
        until(|| socket.exists()).await;
    }
    let near = pair.start("near", 1);
    within(near.ready()).await.unwrap();
    within(end(far)).await;
    within(end(near)).await;
    assert!(received.try_iter().eq([0]));
    assert!(!socket.exists(), "the new one is removed at the end");
}
