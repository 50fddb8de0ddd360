//! The sockets of nodes: which users reach them, and how a node restores one that has vanished.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};

use mycelium::{Node, Running, StartError, Topology};
use mycelium_tokio::Tokio;

use crate::numbers::{Counter, Taker, within};
use crate::support::Directory;

/// A directory for one test.
struct TestDir(Directory);

impl TestDir {
    fn new(test: &str) -> TestDir {
        TestDir(Directory::new(&format!("sockets-{test}")))
    }

    fn socket(&self) -> PathBuf {
        self.0.0.join("far.sock")
    }

    /// One of two nodes; `keys` are keys of the one that listens.
    fn node(&self, name: &str, keys: &str, taken: Sender<u64>) -> Node {
        let text = format!(
            "[node.far]\nservices = [\"Counter\"]\nshutdown = \"100ms\"\n{keys}\n[node.near]\nservices = [\"Taker\"]\n\
             [link.default]\nretry = \"1ms\"\nmax_retry = \"20ms\"\n"
        );
        let topology = Topology::parse("sockets.toml", &text).unwrap().in_directory(&self.0.0);
        let builder =
            Node::builder(name).topology(topology).service(|| Counter { count: 1, stays: true });
        builder.service(move || Taker(taken.clone())).build().unwrap()
    }

    fn start(&self, keys: &str) -> Result<Running, StartError> {
        self.node("far", keys, channel().0).start(Tokio::current().unwrap())
    }
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
        let dir = TestDir::new("users");
        let far = dir.start(keys).unwrap();
        assert_eq!((mode(&dir.0.0), mode(&dir.socket())), (directory, socket), "{keys}");
        let has_sent = || far.counters().iter().any(|line| line.value("sent") > 0);
        while !has_sent() {
            tokio::task::yield_now().await;
        }
        far.shutdown();
        // The reader has never connected.
        assert!(matches!(within(far.join()).await, Err(StartError::Undelivered { .. })));
    }
}

#[tokio::test]
async fn a_socket_that_its_users_cannot_reach_is_an_error_at_start() {
    let dir = TestDir::new("closed");
    fs::create_dir(&dir.0.0).unwrap();
    fs::set_permissions(&dir.0.0, Permissions::from_mode(0o700)).unwrap();
    let socket = dir.0.0.join("run").join("far.sock");
    let keys = format!("users = [0, 65534]\nsocket = {socket:?}");
    let error = dir.start(&keys).unwrap_err();
    let StartError::Unreachable { node, directory, user, .. } = &error else { panic!("{error}") };
    assert_eq!((&**node, directory, *user), ("far", &dir.0.0, Some(65534)));
    let text = error.to_string();
    assert!(text.starts_with("sockets.toml:4:9: user 65534 may connect to node `far`, "), "{text}");
    assert!(text.contains("`Topology::in_directory`"), "{text}");
}

#[tokio::test]
async fn a_vanished_socket_is_restored_and_readers_connect() {
    let dir = TestDir::new("vanished");
    let far = dir.start("").unwrap();
    let remove: [&dyn Fn(); 2] =
        [&|| fs::remove_file(dir.socket()).unwrap(), &|| fs::remove_dir_all(&dir.0.0).unwrap()];
    for remove in remove {
        remove();
        within(async {
            while !dir.socket().exists() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    let (taken, received) = channel();
    let near = dir.node("near", "", taken).start(Tokio::current().unwrap()).unwrap();
    within(near.ready()).await.unwrap();
    far.shutdown();
    within(far.join()).await.unwrap();
    near.shutdown();
    within(near.join()).await.unwrap();
    assert!(received.try_iter().eq([0]));
    assert!(!dir.socket().exists(), "the new one is removed at the end");
}
