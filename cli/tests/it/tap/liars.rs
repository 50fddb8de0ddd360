//! Peers that lie, flood, stay silent or leave: each causes a typed error with its exit code, or is
//! shown as invalid. No peer holds the tool up for longer than its limits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mycelium_core::Digest;

use super::liar::{
    Liar, Play, STREAM, args, byte_form, catalogue, catalogue_of, gap, leave, lies, swap_form,
};
use crate::common::Ended;
use crate::world::World;

/// A part of what a node plays.
type Lie = fn(&mut Liar) -> io::Result<()>;

/// Runs the tool with these arguments against a node that plays this.
fn played(arguments: &[&str], play: impl Play) -> Ended {
    let world = World::new();
    lies(&world, play);
    world.tapped(&args(arguments))
}

/// Returns the tool's error, without `error: `, for a node that plays this. There is no other
/// output.
fn error_of(play: impl Play) -> String {
    let errors = played(&["swaps"], play).expect_failure(3);
    errors.strip_prefix("error: ").unwrap().trim_end().to_owned()
}

/// Returns the tool's error if the first connection lists the real topics and the next ones play
/// this.
fn error_then(play: impl Play) -> String {
    error_of(move |liar| {
        if liar.number == 0 {
            return liar.listed(&swap_form());
        }
        play(liar)
    })
}

#[test]
fn nodes_without_a_catalogue() {
    let closed = ": the peer closed the link: too many links: `come tomorrow` [M0329]";
    let other = ": expected node `liar` at this address, found `other` [M0340]";
    let none = " does not say which topics it has: its version has no catalogue [M0341]";
    let invalid = ": invalid piece of a layout: 84 bytes at offset 0 of 10 bytes [M0320]";
    let table: [(Lie, &str); 7] = [
        (|_| Ok(()), ""),
        (|liar| liar.hello_as("other"), other),
        (|liar| liar.hello(), " has not sent its catalogue within 5s [M0323]"),
        (|liar| liar.hello().and_then(|()| liar.close(5, 0, "come tomorrow")), closed),
        (|liar| liar.first_piece(0, &[]), none),
        (|liar| liar.first_piece(10, &[1; 84]), invalid),
        (
            |liar| {
                liar.hello()?;
                liar.answer(&catalogue(0, Digest::of_canonical(&swap_form())))?;
                liar.answer(&swap_form())
            },
            " answers a request for its catalogue with a topic of type 0 [M0320]",
        ),
    ];
    for (lie, expected) in table {
        let error = error_of(lie);
        let rest = error.strip_prefix("node `liar`").expect(&error);
        assert!(rest == expected || expected.is_empty() && rest.starts_with(": "), "{error}");
    }
}

#[test]
fn catalogues_that_are_none() {
    // Returns a catalogue with a name of this many bytes.
    let named = |bytes: u8| {
        let mut catalogue = catalogue(1, Digest([7; 16]));
        catalogue[10] = bytes;
        catalogue.resize(32 + usize::from(bytes), b's');
        catalogue
    };
    let [mut two, mut no_text] = [(); 2].map(|()| catalogue(1, Digest([7; 16])));
    two[..8].copy_from_slice(&2_u64.to_le_bytes());
    no_text.iter_mut().filter(|it| **it == b's').for_each(|it| *it = 0xff);
    let (name, end) = ("has a name that no topic can have", "ends in the middle of an entry");
    let table = [
        (named(0), name),
        (named(63), name),
        (vec![0xff; 3000], end),
        (vec![1], end),
        (two, "says that it has 2 entries, and has 1"),
        (no_text, name),
    ];
    for (bytes, expected) in table {
        let error = error_of(move |liar| {
            liar.hello()?;
            liar.answer(&bytes)
        });
        assert_eq!(error, format!("node `liar`: the catalogue {expected} [M0320]"));
    }
}

#[test]
fn pieces_that_were_not_requested() {
    type Piece = fn(&mut Liar, u32) -> io::Result<()>;
    let others = "other bytes than the requested ones";
    let table: [(Piece, &str); 4] = [
        (|liar, offset| liar.piece(offset + 1, 100, &[1; 84]), others),
        (|liar, offset| liar.piece(offset, 100, &[]), "no bytes, before its end"),
        (|liar, offset| liar.piece(offset, u32::MAX, &[1; 84]), "more bytes than are read"),
        (
            // Each piece claims that a little more follows.
            |liar, mut offset| loop {
                liar.piece(offset, offset + 85, &[1; 84])?;
                offset = liar.asked()?;
            },
            "more bytes than are read",
        ),
    ];
    for (piece, problem) in table {
        for what in ["its catalogue", "the layout of its messages"] {
            let is_layout = what != "its catalogue";
            let error = error_of(move |liar| {
                match is_layout {
                    true => liar.listed(&swap_form())?,
                    false => liar.hello()?,
                }
                let offset = liar.asked()?;
                piece(liar, offset)
            });
            let expected = format!("a request for {what} with {problem} [M0320]");
            assert_eq!(error, format!("node `liar` answers {expected}"));
        }
    }
}

#[test]
fn layouts_that_are_none_others_or_never_sent() {
    let (digest, found) = (Digest([7; 16]), Digest::of_canonical(&swap_form()));
    let silent = "node `liar` has not sent the layout of its messages within 5s [M0323]";
    let none = "topic `swaps` of node `liar`: a layout begins with a struct (0x50), found 0xff";
    let other = format!("the layout has digest {found}, and its sender says {digest}");
    let table: [(Lie, &str); 3] = [
        (|liar| liar.listed(&swap_form()), silent),
        (|liar| liar.laid_out(&[0xff; 200]), &format!("{none} [M0320]")),
        (
            |liar| {
                liar.hello()?;
                liar.answer(&catalogue(1, Digest([7; 16])))?;
                liar.answer(&swap_form())
            },
            &format!("topic `swaps` of node `liar`: {other} [M0320]"),
        ),
    ];
    for (lie, expected) in table {
        assert_eq!(error_then(lie), expected);
    }
    // A count that claims more bytes than any message may have.
    let claim = [&[0x50][..], &[0xff; 24]].concat();
    let error = error_then(move |liar| liar.laid_out(&claim));
    assert!(error.contains("expected at most 65535"), "{error}");
}

#[test]
fn a_node_that_lists_a_topic_and_rejects_it() {
    for reason in [1, 2, 3, 4, 6, 0, 99, u16::MAX] {
        let error = error_then(move |liar| {
            let subscription = liar.subscribed(&swap_form())?;
            liar.reject(subscription, reason)
        });
        assert!(error.starts_with("node `liar` "), "{reason}: {error}");
        assert!(error.contains("topic `swaps`"), "{reason}: {error}");
    }
}

#[test]
fn messages_that_do_not_fit_the_layout() {
    for length in [1, 8, 15, 17, 24] {
        let ended = played(&["swaps", "--for", "20s"], move |liar| {
            liar.began(&swap_form())?;
            liar.message(0, &vec![1; length])
        });
        let Ended { out: output, err: errors, .. } = ended.expect(3);
        let expected = format!(
            "error: topic `swaps` of node `liar`, publisher `Source`: a message of {length} bytes, \
             and its layout has 16 [M0320]\n"
        );
        assert!(errors.contains(&expected), "{errors}");
        assert!(!output.contains("number="), "{output}");
    }
}

#[test]
fn values_that_are_not_valid_are_shown_as_such() {
    for (form, value) in [("text", "open=<invalid bool: 07>"), ("json", "07"), ("csv", "07")] {
        let ended = played(&["swaps", "--count", "1", "-o", form], |liar| {
            liar.began(&byte_form(0x30))?;
            liar.message(0, &[7])
        });
        let output = ended.expect(0).out;
        assert!(output.contains(value) && output.contains("invalid bool"), "{output}");
    }
}

#[test]
fn names_that_would_control_a_terminal() {
    for form in ["text", "json", "csv"] {
        let ended = played(&["swaps", "--count", "1", "-o", form], |liar| {
            let mut layout = byte_form(0x01);
            let at = layout.len() - 5;
            layout[at..at + 4].copy_from_slice(b"\x1b[2J");
            let subscription = liar.subscribed(&layout)?;
            liar.begin(subscription, "\x1b]0;owned\x07\r\n")?;
            liar.message(0, &[7])
        });
        let Ended { out: output, err: errors, .. } = ended.expect(0);
        let controls = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
        assert!(!controls(&output) && !controls(&errors), "{output:?} {errors:?}");
    }
}

/// Steps of a connection; the node leaves after each of them.
#[test]
fn a_node_that_leaves_at_each_step() {
    let steps: [Lie; 6] = [
        |_| Ok(()),
        |liar| liar.hello(),
        |liar| liar.hello().and_then(|()| liar.asked().map(drop)),
        // Half of a frame.
        |liar| liar.hello().and_then(|()| liar.say(&[0xa1, 0, 0, 0, 64, 0])),
        |liar| liar.first_piece(200, &[0; 84]),
        |liar| liar.say(&[0x16, 3, 1, 0, 0xff, 0xff]),
    ];
    for step in steps {
        let error = error_of(move |liar| step(liar).and_then(|()| leave()));
        assert!(error.starts_with("node `liar`: "), "{error}");
    }
    let steps: [Lie; 4] = [
        |_| Ok(()),
        |liar| liar.listed(&swap_form()),
        |liar| liar.listed(&swap_form()).and_then(|()| liar.asked().map(drop)),
        |liar| liar.subscribed(&swap_form()).map(drop),
    ];
    for step in steps {
        let error = error_then(move |liar| step(liar).and_then(|()| leave()));
        assert!(error.starts_with("node `liar`: "), "{error}");
    }
}

#[test]
fn messages_beyond_the_window_or_out_of_order_end_the_connection() {
    for sequences in [0..1 << 20, 5..6] {
        let ended = played(&["swaps", "--until-end"], move |liar| {
            liar.began(&swap_form())?;
            sequences.clone().try_for_each(|sequence| liar.message(sequence, &[1; 16]))
        });
        let errors = ended.expect(3).err;
        assert!(errors.contains("\nerror: node `liar`: stream "), "{errors}");
    }
}

/// What a node may do once the tool reads from it.
#[test]
fn a_node_that_breaks_the_protocol_or_refuses_while_it_is_read_ends_the_tool() {
    let refused = "the peer closed the link: the other side is not allowed";
    let words = format!("{refused}: `\\u{{1b}}[2Jgo away`, detail 17");
    let table: [(Lie, &str); 7] = [
        (|liar| liar.message(9, &[1; 16]), "stream 7: expected sequence 1, found 9"),
        (|liar| liar.message_of(99, 0, &[1; 16]), "unknown stream 99: it was never opened, or it"),
        (|liar| liar.say(&[0xff; 64]), ""),
        (|liar| liar.say(&[&[0xa1, 0, 1, 0, 255, 255, 255, 255][..], &[0; 24]].concat()), ""),
        (|liar| liar.close(4, 0, ""), refused),
        (|liar| liar.close(4, 17, "\u{1b}[2Jgo away"), &words),
        (|liar| liar.close(2, 0, ""), "the peer closed the link: protocol error"),
    ];
    for (lie, expected) in table {
        let ended = played(&["swaps"], move |liar| {
            liar.began(&swap_form())?;
            liar.message(0, &[1; 16])?;
            lie(liar)
        });
        let Ended { out: output, err: errors, .. } = ended.expect(3);
        assert!(output.contains("number=") && !output.contains("disconnected"), "{output}");
        let start = format!("1 messages, 0 gaps, 0 missed\nerror: node `liar`: {expected}");
        assert!(errors.starts_with(&start), "{errors}");
        if expected.contains("closed the link") {
            let (text, code) = mycelium::error::Code::split(errors.trim_end());
            assert!(text == start && code.is_some(), "{errors}");
        }
    }
}

#[test]
fn the_reason_of_a_node_that_closes_the_link_is_shown() {
    let ended = played(&["swaps", "--until-end"], |liar| {
        liar.began(&swap_form())?;
        liar.close(5, 3, "")
    });
    let output = ended.expect(0).out;
    let expected = "disconnected: the peer closed the link: too many links: detail 3 [M0329]\n";
    assert!(output.ends_with(expected), "{output}");
}

/// Returns how many times the tool connects to a node that plays this, until the tool ends.
fn connections(arguments: &[&str], play: Lie) -> (u64, String) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let ended = played(arguments, move |liar| {
        counted.fetch_add(1, Ordering::Relaxed);
        play(liar).and_then(|()| leave())
    });
    (count.load(Ordering::Relaxed), ended.expect(0).out)
}

#[test]
fn a_node_that_leaves_again_and_again_is_awaited_for_longer_and_longer() {
    let (count, _) = connections(&["swaps", "--for", "5s"], |liar| {
        let subscription = liar.subscribed_again(&swap_form())?;
        liar.accept(subscription)
    });
    // The pauses are at least 5, 10, 20, 40, 80, 160 and 320 ms, and then half a second each.
    assert!((3..30).contains(&count), "{count} connections");
}

#[test]
fn after_messages_the_next_connection_is_soon() {
    // Without that, the pauses are more than 45 s together.
    let args = ["swaps", "--count", "100", "--for", "40s"];
    let (count, output) = connections(&args, |liar| {
        let subscription = liar.subscribed_again(&swap_form())?;
        let number = liar.number as u32;
        liar.accept(subscription)?;
        liar.stream(subscription, number + 1, ("Source", u64::from(number)))?;
        liar.message_of(number + 1, 0, &[1; 16])
    });
    assert!(count >= 100 && output.matches("number=").count() == 100, "{count} connections");
}

#[test]
fn the_end_of_a_topic_and_of_its_connection_are_printed_once() {
    let (_, output) = connections(&["swaps", "--count", "1"], |liar| {
        let subscription = liar.subscribed_again(&swap_form())?;
        if liar.number <= 5 {
            liar.reject(subscription, 5)?;
            return liar.close(1, 0, "");
        }
        liar.begin(subscription, "Source")?;
        liar.message(0, &[1; 16])
    });
    let lines: Vec<&str> = output.lines().map(|line| &line[15..]).collect();
    let [completed, disconnected, _, message] = lines[..] else { panic!("{output}") };
    assert!(completed.ends_with("all publishers have completed"), "{output}");
    assert!(disconnected.contains("disconnected: "), "{output}");
    assert!(message.contains("number="), "{output}");
}

#[test]
fn a_topic_that_is_never_accepted_has_sums() {
    let ended =
        played(&["swaps", "--for", "300ms"], |liar| liar.subscribed(&swap_form()).map(drop));
    let Ended { out, err, .. } = ended.expect(0);
    assert_eq!((&*out, &*err), ("", "0 messages, 0 gaps, 0 missed\n"));
}

#[test]
fn gaps_of_any_length_are_counted() {
    let ended = played(&["swaps", "--until-end"], |liar| {
        let subscription = liar.subscribed(&swap_form())?;
        liar.accept(subscription)?;
        for number in 1..=3 {
            liar.stream(subscription, number, ("Source", number.into()))?;
            liar.say(&gap(number, 1 << 63, 1 << 63))?;
        }
        leave()
    });
    assert_eq!(ended.expect(0).err, "0 messages, 3 gaps, 18446744073709551615 missed\n");
}

#[test]
fn of_many_topics_the_nearest_are_listed() {
    let ended = played(&["topic-1x34"], |liar| {
        let topics: Vec<String> = (0..2000).map(|number| format!("topic-{number:04}")).collect();
        let topics: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        liar.hello()?;
        liar.answer(&catalogue_of(&topics, 1, Digest([7; 16])))?;
        let subscription = liar.subscription()?;
        liar.reject(subscription, 1)
    });
    let expected = "error: no topic `topic-1x34`: did you mean `topic-1034`?\n  node `liar` \
                    publishes topic-1034, topic-1134, topic-1234, topic-1334, topic-1434, \
                    topic-1534, topic-1634, topic-1734, topic-1834, topic-1934 and 1990 more\n";
    assert_eq!(ended.expect_failure(3), expected);
}

#[test]
fn a_flood_of_gaps_ends_in_an_error_or_is_printed() {
    let ended = played(&["swaps", "--until-end", "--for", "60s"], |liar| {
        liar.began(&swap_form())?;
        for from in (0..1 << 20).step_by(1 << 12) {
            let gaps = (from..from + (1 << 12)).map(|sequence| gap(STREAM, sequence + 1, 1));
            liar.say(&gaps.collect::<Vec<_>>().concat())?;
        }
        leave()
    });
    let Ended { out: output, err: errors, .. } = &ended;
    let is_refused = errors.contains("with more gaps and ends than messages");
    assert_eq!(ended.code, Some(if is_refused { 3 } else { 0 }), "{errors}");
    assert!(output.contains("gap "), "{errors}");
}
