//! Clients that break the protocol, and too many clients: only their own connections end.

use mycelium::legacy::LegacyCodec;

use crate::legacy::harness::{
    BROKER, Client, Floor, ORDER, Order, SWAP, Swap, counter, frame, run, run_broker, until, words,
};
use crate::running::{Says, main_with};

/// In the original system, each connection allocated the length that a header claimed.
#[test]
fn a2_a_length_above_the_limit_ends_the_connection_at_once() {
    let (_, report) =
        run_broker(Floor::plain("payload = 16\ntimeout = \"1h\""), move |floor, running| {
            for length in [17, 65_536, 16 << 20, u32::MAX] {
                let mut client = floor.connect();
                client.send(&[&SWAP.to_le_bytes()[..], &length.to_le_bytes()].concat());
                // The connection ends without waiting for the payload.
                assert_eq!(client.frame(), None, "{length}");
            }
            until(running, "errors", 4);
        });
    assert_eq!(counter(&report.counters, "received"), 0);
}

#[test]
fn frames_of_unknown_types_are_passed_over_or_end_the_connection() {
    for (keys, ends) in [("", false), ("unknown = \"end\"", true)] {
        let (_, report) = run_broker(Floor::plain(keys), move |floor, _| {
            let mut client = floor.connect();
            // Frames longer than any known payload, and of a type that clients only receive.
            let unknown = [frame(9, &vec![0; 200_000]), frame(ORDER, b"")].concat();
            client.send(&[unknown, words(SWAP, 1, 2)].concat());
            let expected = if ends { None } else { Some((ORDER, 1, 2)) };
            assert_eq!(client.words(), expected);
        });
        assert_eq!(counter(&report.counters, "unknown"), if ends { 1 } else { 2 });
    }
}

#[test]
fn a_client_that_takes_too_long_for_a_frame_or_a_digest_is_disconnected() {
    let slow = "timeout = \"50ms\"";
    let digest = format!("{{ digest = \"{}\" }}", "00".repeat(32));
    for (wire, begun) in [("\"plain\"", &words(SWAP, 1, 2)[..21]), (&digest, b"")] {
        let begun = begun.to_vec();
        let (_, report) = run_broker(Floor::of_broker(wire, slow), move |floor, _| {
            let mut client = floor.connect();
            client.send(&begun);
            assert_eq!(client.frame(), None);
        });
        assert_eq!(counter(&report.counters, "errors"), 1);
    }
    // A byte now and then does not count as progress.
    run_broker(Floor::plain(slow), move |floor, running| {
        let mut client = floor.connect();
        client.send(&frame(9, &[0; 1_000_000])[..6]);
        while counter(&running.counters(), "errors") == 0 {
            client.send(&[0]);
            std::thread::yield_now();
        }
        assert_eq!(client.frame(), None);
    });
}

#[test]
fn a_client_that_sends_nothing_is_served() {
    run_broker(Floor::plain("timeout = \"1ms\""), move |floor, running| {
        let mut listening = floor.connect();
        until(running, "connections", 1);
        let mut client = floor.connect();
        for number in 0..100 {
            client.send(&words(SWAP, number, number));
            assert_eq!(client.words(), Some((ORDER, number, number)));
            assert_eq!(listening.words(), Some((ORDER, number, number)));
        }
        assert_eq!(counter(&running.counters(), "errors"), 0);
    });
}

#[test]
fn a_codec_that_panics_ends_one_connection() {
    let floor = Floor::plain("");
    let codec = LegacyCodec::new(
        |payload: &[u8]| {
            assert_ne!(payload[0], 13, "a codec that panics");
            Ok(Swap { pool: payload[0].into(), price: payload.len() as u64 })
        },
        |_: &Swap, _| {},
    );
    let node = floor.builder().legacy(codec).service(|| BROKER).build().unwrap();
    run(node, move |_| {
        let mut bad = floor.connect();
        bad.send(&frame(SWAP, &[13]));
        assert_eq!(bad.frame(), None);
        let mut client = floor.connect();
        client.send(&frame(SWAP, &[12]));
        assert_eq!(client.words(), Some((ORDER, 12, 1)));
    });
}

/// Clients that send random bytes, beside a client that must lose nothing.
#[test]
fn junk_disturbs_no_other_client() {
    let (_, report) =
        run_broker(Floor::plain("connections = 1000\ntimeout = \"10ms\""), move |floor, _| {
            let mut random = fastrand::Rng::with_seed(7);
            let mut junk: Vec<Client> = Vec::new();
            let mut client = floor.connect();
            for number in 0..200_u64 {
                let mut one = floor.connect();
                let bytes: Vec<u8> = (0..random.usize(..100)).map(|_| random.u8(..)).collect();
                one.send(&bytes);
                if number % 3 == 0 {
                    one.end();
                }
                junk.push(one);
                client.send(&words(SWAP, number, number));
                assert_eq!(client.words(), Some((ORDER, number, number)));
            }
        });
    assert!(counter(&report.counters, "errors") > 0);
}

#[test]
fn mistakes_are_errors_of_the_build_with_their_place() {
    let build = |types: &str| {
        let text = format!(
            "[legacy.floor]\nlisten = \"127.0.0.1:7401\"\nwire = \"plain\"\n[legacy.floor.types]\n{types}\n"
        );
        let builder = main_with(&text).service(|| BROKER);
        builder.legacy(LegacyCodec::<Order>::same_bytes()).build().unwrap_err().to_string()
    };
    build("11 = \"swap\"").says(
        "t.toml:5:6: unknown topic `swap`: did you mean `swaps`? (expected one of: orders, swaps) \
         [M0105]",
    );
    build("11 = \"swaps\"").says(
        "t.toml:5:6: type 11 is message `Swap`, for which the program has no codec: add \
         `.legacy(LegacyCodec::<Swap>::same_bytes())` to the builder, or `LegacyCodec::new` with a \
         conversion [M0114]",
    );
}
