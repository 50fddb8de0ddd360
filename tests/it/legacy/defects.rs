//! Defects of the original system's sockets that a listener must not have. Each test begins with
//! the ids of its defects.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::legacy::harness::{
    Client, Floor, ORDER, SWAP, counter, frame, hello, hex, run, run_broker, until, words,
};
use crate::running::Says;
use crate::support::{Directory, retried};

/// In the original system, a client got its own messages back, and every message of the bus.
#[test]
fn l5_a5_a_client_gets_mapped_messages_of_others_alone() {
    let floor = Floor::new("\"plain\"", "", "11 = \"swaps\"");
    let (node, taken) = floor.taker();
    let (_, report) = run(node, move |running| {
        let mut clients = [floor.connect(), floor.connect(), floor.connect()];
        until(running, "connections", 3);
        for round in 0..100 {
            for from in 0..3 {
                clients[from].send(&words(SWAP, from as u64, round));
                let sent = (from as u64, round);
                for to in (0..3).filter(|to| *to != from) {
                    // If the client got its own swap, it would arrive before this one.
                    assert_eq!(clients[to].words(), Some((SWAP, sent.0, sent.1)));
                }
                assert_eq!(taken.recv().unwrap(), sent);
            }
        }
    });
    assert_eq!(counter(&report.counters, "sent"), 600);
}

/// In the original system, the digest was only checked on one kind of socket and never answered,
/// and half of a rejected connection stayed open.
#[test]
fn e5_a_digest_is_checked_both_ways_and_a_refused_client_sees_the_end() {
    let (_, report) = run_broker(Floor::of_digest(""), move |floor, running| {
        let mut wrong = floor.connect();
        wrong.send(&[hex("2000"), vec![0; 32], words(SWAP, 1, 1)].concat());
        assert_eq!(wrong.frame(), None);
        let mut none = floor.connect();
        none.send(&words(SWAP, 2, 2));
        assert_eq!(none.frame(), None);
        until(running, "errors", 2);
        let mut right = floor.connect();
        right.send(&[hello(), words(SWAP, 3, 3)].concat());
        // No message of the rejected clients was taken.
        assert_eq!(right.words(), Some((ORDER, 3, 3)));
    });
    assert_eq!(counter(&report.counters, "received"), 1);

    run_broker(Floor::plain(""), move |plain, _| {
        let mut client = plain.connect();
        client.send(&[hello(), words(SWAP, 1, 1)].concat());
        assert_eq!(client.frame(), None);
    });
}

/// In the original system, a payload of another size was dropped, with only a line in the log.
#[test]
fn e2_a_payload_of_another_length_ends_the_connection_or_is_counted() {
    for (keys, ends) in [("", true), ("invalid = \"drop\"", false)] {
        let (_, report) = run_broker(Floor::plain(keys), move |floor, _| {
            let mut client = floor.connect();
            let longer = frame(SWAP, &[1; 24]);
            client.send(&[words(SWAP, 1, 1), longer, words(SWAP, 2, 2)].concat());
            let answers: Vec<_> = std::iter::from_fn(|| client.words()).take(2).collect();
            match ends {
                // The first frame may or may not arrive before the end.
                true => assert!(answers.len() < 2),
                false => assert_eq!(answers, [(ORDER, 1, 1), (ORDER, 2, 2)]),
            }
        });
        let found = ["invalid", "errors", "received"].map(|it| counter(&report.counters, it));
        assert_eq!(found, if ends { [1, 1, 1] } else { [1, 0, 2] });
    }
}

/// In the original system, a handshake without a time limit blocked all other clients, and the
/// shutdown.
#[test]
fn h4_silent_clients_block_no_other_one_and_no_shutdown() {
    let (silent, report) =
        run_broker(Floor::of_digest("connections = 3\ntimeout = \"1h\""), move |floor, running| {
            let mut silent: Vec<Client> = (0..3).map(|_| floor.connect()).collect();
            until(running, "connections", 3);
            // The oldest silent client makes room for this one.
            let mut client = floor.connect();
            client.send(&[hello(), words(SWAP, 1, 1)].concat());
            assert_eq!(client.words(), Some((ORDER, 1, 1)));
            assert_eq!(silent[0].frame(), None);
            silent
        });
    assert_eq!(counter(&report.counters, "rejected"), 0);
    // A client that sends no digest gets nothing.
    silent.into_iter().for_each(|mut client| assert_eq!(client.frame(), None));
}

/// l8: after a disconnect, the client's endpoint was dead, and its place was taken for ever. l14:
/// messages between the accept of a connection and its subscription were lost; a client missed
/// messages that were published after its first frame was taken.
#[test]
fn l8_l14_a_client_that_has_left_can_come_back_to_its_place_and_misses_nothing() {
    let (tries, report) = run_broker(Floor::plain("connections = 1"), move |floor, _| {
        let (mut tries, mut answers) = (0, 0);
        while answers < 100 {
            tries += 1;
            let mut client = floor.connect();
            client.send(&words(SWAP, answers, answers));
            match client.words() {
                Some(answer) => {
                    assert_eq!(answer, (ORDER, answers, answers));
                    answers += 1;
                }
                // The listener has not noticed the end of the previous client yet.
                None => std::thread::yield_now(),
            }
        }
        tries
    });
    assert_eq!(counter(&report.counters, "connections"), 100);
    assert_eq!(counter(&report.counters, "rejected"), tries - 100);
}

/// In the original system, any local user could connect, and a second instance took over the socket
/// of the first.
#[test]
fn a1_h12_a_socket_is_closed_to_others_and_is_not_taken_away() {
    let directory = Directory::new("legacy");
    let socket = directory.0.join("floor.sock");
    let text = format!(
        "[legacy.floor]\nsocket = \"{}\"\nwire = \"plain\"\n[legacy.floor.types]\n11 = \"swaps\"\n",
        socket.display()
    );
    let floor = Floor { address: String::new(), text };
    let (node, taken) = floor.taker();
    let (second, _) = floor.taker();
    let path = socket.clone();
    run(node, move |_| {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _entered = runtime.enter();
        let error = second.start(mycelium_tokio::Tokio::current().unwrap()).map(drop).unwrap_err();
        error.begins("t.toml:2:10: node `main` cannot listen: ");
        let mut stream = UnixStream::connect(&path).unwrap();
        std::io::Write::write_all(&mut stream, &words(SWAP, 1, 2)).unwrap();
        assert_eq!(taken.recv().unwrap(), (1, 2));
        // A socket file that was deleted is made again.
        fs::remove_file(&path).unwrap();
        let mut stream = retried(|| UnixStream::connect(&path));
        std::io::Write::write_all(&mut stream, &words(SWAP, 3, 4)).unwrap();
        assert_eq!(taken.recv().unwrap(), (3, 4));
    });
    assert!(!socket.exists());
}
