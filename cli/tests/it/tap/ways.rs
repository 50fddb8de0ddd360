//! The ways to connect to a node: its socket, TCP, and TLS; and the grants of topics.

use std::fs;
use std::os::unix::fs::chown;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::process::feed;
use crate::common::{Process, skip};
use crate::loopback::host;
use crate::world::World;

/// The arguments of a tool that reads as `viewer`.
const AS_VIEWER: [&str; 7] =
    ["swaps", "--topology", "app.toml", "--node", "feed", "--as", "viewer"];

/// Writes certificates of one authority to the directory of the test.
fn certificates(world: &World, nodes: &[&str]) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let write =
        |name: &str, text: String| fs::write(world.file().with_file_name(name), text).unwrap();
    write("ca.pem", authority.pem());
    for node in nodes {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([(*node).to_owned()]).unwrap();
        write(&format!("{node}.pem"), params.signed_by(&key, &authority).unwrap().pem());
        write(&format!("{node}.key"), key.serialize_pem());
    }
}

#[test]
fn over_tls_a_node_that_the_file_grants_observes() {
    let world = World::new();
    certificates(&world, &["feed", "store", "viewer"]);
    // `feed` has its own address, and another directory than the tool.
    world.write(&format!(
        "[host.here]\naddress = \"{}\"\n[host.there]\naddress = \"{}\"\n\
         [node.feed]\nhost = \"there\"\nport = 7400\nservices = [\"Source\"]\n\
         [node.store]\nhost = \"here\"\nservices = [\"Store\"]\n\
         [node.viewer]\nhost = \"here\"\nservices = []\n\
         [tls]\ncertificate = \"{{node}}.pem\"\nkey = \"{{node}}.key\"\nauthorities = \"ca.pem\"\n\
         [topic.swaps]\nreaders = [\"store\", \"viewer\"]\n",
        host(),
        host()
    ));
    let (mut store, mut feed) = (world.node("store"), world.node("feed"));
    let mut tap = world.tapping(&AS_VIEWER);
    tap.until("begins at #0");
    feed.emit(1000);
    for number in 0..1000 {
        tap.until(&format!("number={number} "));
    }
    feed.end();
    // The tool prints the same messages that the other node reads.
    assert_eq!(store.until("stored"), "stored 1000");

    let _store = world.node("store");
    let _feed = world.node("feed");
    let refused = |args: &[&str]| world.tapped(&[&AS_VIEWER[..5], args].concat()).expect_failure(2);
    let nameless = "error: node `feed` is reached over TLS, where each side proves its name: name \
                    a node of the file whose certificate this program has\n";
    assert_eq!(refused(&[]), nameless);
    let errors = refused(&["--as", "store"]);
    assert!(errors.starts_with("error: node `store` may run services, and"), "{errors}");
}

/// Returns a node with a topic that only `viewer` may read, apart from the node's own services.
fn granted() -> (World, Process) {
    feed(
        "[node.feed]\nservices = [\"Source\", \"Store\"]\nobservers = true\n\
         [node.viewer]\nservices = []\n[topic.swaps]\nreaders = [\"feed\", \"viewer\"]\n",
    )
}

#[test]
fn a_topic_with_readers_is_for_these() {
    let (world, mut node) = granted();
    let errors = world.tapped(&["swaps"]).expect_failure(3);
    let name = errors.strip_prefix("error: node `feed` does not let `").unwrap();
    let (name, after) = name.split_once("` ").unwrap();
    assert!(name.starts_with("tap-"), "{name}");
    assert_eq!(
        after,
        "read topic `swaps`: its `readers` are others, or the connection is plain TCP, which proves \
         no name; come as one of them: `--as NODE` with `--topology FILE` [M0336]\n"
    );
    let args = ["swaps", "--topology", "app.toml", "--as", "viewer", "--count", "1"];
    let mut tap = world.tapping(&args);
    tap.until("begins at #0");
    node.emit(1);
    let ended = tap.ended().expect(0);
    assert!(ended.out.contains("number=0 size=0"), "{ended:?}");
}

/// Writes the file of a node with a TCP address, whose topic is read by a node of its host. The
/// file also names a reader that does not run.
fn granted_beside_an_address(world: &World, more: &str) {
    world.write(&format!(
        "[node.feed]\nservices = [\"Source\"]\naddress = \"{}:7400\"\n\
         [node.store]\nservices = [\"Store\"]\n[node.viewer]\nservices = []\n\
         [topic.swaps]\nreaders = [\"store\", \"viewer\"]\n{more}",
        host()
    ));
}

#[test]
fn over_plain_tcp_a_topic_with_readers_is_for_names_that_the_file_trusts() {
    // In another directory than the socket's, the tool connects to the address.
    let elsewhere = ".";
    let world = World::new();
    granted_beside_an_address(&world, "");
    let (_store, mut feed) = (world.node("store"), world.node("feed"));
    let tap = |directory: &str, topic: &str| {
        let limits = ["--directory", directory, "--count", "1", "--for", "30s"];
        world.tapping(&[&[topic], &AS_VIEWER[1..], &limits].concat())
    };
    assert_eq!(
        tap(elsewhere, "swaps").ended().expect_failure(3),
        "error: node `feed` does not let `viewer` read topic `swaps`: its `readers` are others, or \
         the connection is plain TCP, which proves no name; name `viewer` in them, and use TLS or \
         a Unix socket, or write `trust = \"network\"` in `[link.\"feed-viewer\"]` [M0336]\n"
    );
    // Everybody may read topics without `readers`.
    let mut others = tap(elsewhere, "all-types");
    others.until("begins at #0");
    feed.send("types");
    others.ended().expect(0);
    // Over the socket, the user is proven.
    let sockets = world.sockets();
    let mut near = tap(sockets.to_str().unwrap(), "swaps");
    near.until("begins at #0");
    feed.emit(1);
    near.ended().expect(0);

    let world = World::new();
    granted_beside_an_address(&world, "[link.\"feed-viewer\"]\ntrust = \"network\"\n");
    let (_store, mut feed) = (world.node("store"), world.node("feed"));
    let args = [&AS_VIEWER[..], &["--directory", elsewhere, "--count", "1"]].concat();
    let mut far = world.tapping(&args);
    far.until("begins at #0");
    feed.emit(1);
    far.ended().expect(0);
}

#[test]
fn a_topic_that_is_not_there_has_an_error_with_what_is() {
    let (world, _node) = granted();
    let errors = world.tapped(&["swap"]).expect_failure(3);
    let topics = "all-types, any-shape, of-serde, of-serde-alone";
    assert_eq!(errors, format!("error: no topic `swap`\n  node `feed` publishes {topics}\n"));
    let errors = world.tapped(&["all-type"]).expect_failure(3);
    let expected =
        "error: no topic `all-type`: did you mean `all-types`?\n  node `feed` publishes ";
    assert_eq!(errors, format!("{expected}{topics}\n"));
}

#[test]
fn a_node_without_the_key_is_not_reached_and_the_error_says_what_to_set() {
    let (world, _node) = feed("[node.feed]\nservices = [\"Source\", \"Store\"]\n");
    let observers = "a node listens if another node reads from it, or if its section of the \
                     topology has `observers = true`";
    let directory = world.runtime().display().to_string();
    let errors = world.tapped(&["swaps"]).expect_failure(3);
    let nobody = format!("error: no node listens in {directory}/mycelium-*: {observers}\n");
    assert_eq!(errors, nobody);
    let errors = world.tapped(&["swaps", "--node", "feed"]).expect_failure(3);
    let nobody =
        format!("error: no socket of node `feed` in {directory}/mycelium-*: {observers}\n");
    assert_eq!(errors, nobody);
    let errors = world.tapped(&["swaps", "--topology", "app.toml"]).expect_failure(3);
    let socket = world.sockets().join("feed.sock");
    let start = format!("error: node `feed`: no process listens at `{}`", socket.display());
    let end = format!("; {observers} [M0335]\n");
    assert!(errors.starts_with(&start) && errors.ends_with(&end), "{errors}");
    assert_eq!(errors.matches("[M").count(), 1, "{errors}");
}

/// Another user may make the directory first, and listen in it.
#[test]
fn a_directory_of_another_user_is_not_read_unless_the_file_names_that_user() {
    if !rustix::process::geteuid().is_root() {
        return skip("a_directory_of_another_user_is_not_read", "only root can give it away");
    }
    let text = "[node.feed]\nservices = [\"Source\"]\nobservers = true\n";
    let (world, _node) = feed(text);
    chown(world.sockets(), Some(65534), None).unwrap();
    let arguments = ["none", "--topology", "app.toml"];
    let errors = world.tapped(&arguments).expect_failure(3);
    let start = format!(
        "error: node `feed`: directory `{}` belongs to another user: expected user 0, found 65534; ",
        world.sockets().display()
    );
    assert!(errors.starts_with(&start) && errors.ends_with(" [M0082]\n"), "{errors}");
    assert!(!errors.contains("observers"), "{errors}");
    // Without a file, this directory is none of the user's.
    let errors = world.tapped(&["swaps"]).expect_failure(3);
    assert!(errors.starts_with("error: no node listens in "), "{errors}");
    world.write(&format!("{text}owner = 65534\n"));
    let errors = world.tapped(&arguments).expect_failure(3);
    assert!(errors.starts_with("error: no topic `none`"), "{errors}");
}

#[test]
fn all_nodes_that_publish_the_topic_are_read() {
    let world = World::new();
    // Two files with a node each, in one directory.
    world.write("[node.feed-1]\nservices = [\"Source\"]\nobservers = true\n");
    let mut first = world.node("feed-1");
    world.write("[node.feed-2]\nservices = [\"Source\"]\nobservers = true\n");
    let mut second = world.node("feed-2");
    let mut tap = world.tapping(&["swaps", "-o", "json", "--count", "2"]);
    tap.until("began");
    tap.until("began");
    first.emit(1);
    tap.until("\"node\":\"feed-1\"");
    second.emit(1);
    tap.until("\"node\":\"feed-2\"");
    tap.ended().expect(0);
}
