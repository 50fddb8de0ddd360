use super::*;
use crate::ethereum::rpc::{answer, notification};

fn key(block: u64, log_index: u64) -> Key {
    Key { block, log_index }
}

fn starting_at(block: u64) -> Session {
    Session::new(vec![Address::repeat_byte(7)], Cursor { start: Some(block), ..Cursor::default() })
}

fn log(key: Key) -> String {
    let Key { block, log_index } = key;
    let address = "07".repeat(20);
    format!(r#"{{"address":"0x{address}","blockNumber":"{block:#x}","logIndex":"{log_index:#x}"}}"#)
}

fn live(session: &mut Session, key: Key) {
    session.handle_text(&notification("0xa", &log(key))).unwrap();
}

/// Answers the only queued request, and returns its call.
fn answered(session: &mut Session, result: &str) -> Call {
    let text = session.poll_transmit().expect("a request");
    assert_eq!(session.poll_transmit(), None);
    let request: Request = serde_json::from_str(&text).unwrap();
    session.handle_text(&answer(request.id, result)).unwrap();
    request.call
}

fn subscribed(session: &mut Session) {
    let filter = Filter { address: vec![Address::repeat_byte(7)] };
    assert_eq!(answered(session, "\"0xa\""), Call::Subscribe("logs".to_owned(), filter));
}

fn connected(session: &mut Session) {
    session.connected();
    subscribed(session);
}

fn backfilled(session: &mut Session, from: u64, keys: &[Key]) {
    let logs: Vec<_> = keys.iter().copied().map(log).collect();
    let call = answered(session, &format!("[{}]", logs.join(",")));
    let Call::Logs([Range { from_block, .. }]) = call else { panic!("{call:?}") };
    assert_eq!(from_block.to::<u64>(), from);
}

/// The new logs, and the number of those that arrived again.
fn drained(session: &mut Session) -> (Vec<Key>, usize) {
    let (mut new, mut old) = (Vec::new(), 0);
    while let Some(event) = session.poll_event() {
        match event {
            Event::Log(log, cursor) => {
                assert_eq!(cursor.last, Some(log.key()));
                new.push(log.key());
            }
            Event::Duplicate => old += 1,
            _ => {}
        }
    }
    (new, old)
}

#[test]
fn the_first_connection_requests_the_newest_block() {
    let mut session = Session { cursor: Cursor::default(), ..starting_at(0) };
    session.connected();
    assert_eq!(answered(&mut session, "\"0x9\""), Call::BlockNumber([]));
    let started = Cursor { start: Some(9), ..Cursor::default() };
    assert_eq!(session.poll_event(), Some(Event::Started(started)));
    subscribed(&mut session);
    // Before the first log a new connection keeps the start block.
    live(&mut session, key(10, 0));
    assert_eq!(session.handle_end(None), Ended::Reconnect);
    connected(&mut session);
    backfilled(&mut session, 9, &[key(10, 0)]);
    assert_eq!(drained(&mut session).0, [key(10, 0)]);
}

#[test]
fn live_logs_wait_for_the_backfill_and_come_out_once() {
    let mut session = starting_at(0);
    session.cursor.last = Some(key(20, 3));
    session.connected();
    live(&mut session, key(22, 0));
    subscribed(&mut session);
    live(&mut session, key(22, 1));
    assert_eq!(session.poll_event(), None);
    backfilled(&mut session, 20, &[key(20, 3), key(20, 4), key(21, 0), key(22, 0)]);
    live(&mut session, key(22, 2));
    let (new, old) = drained(&mut session);
    assert_eq!(new, [key(20, 4), key(21, 0), key(22, 0), key(22, 1), key(22, 2)]);
    assert_eq!(old, 2);
}

#[test]
fn too_many_queued_logs_are_an_error() {
    let mut session = starting_at(0);
    connected(&mut session);
    (0..MOST_WAITING as u64).for_each(|index| live(&mut session, key(1, index)));
    let one_more = session.handle_text(&notification("0xa", &log(key(2, 0))));
    assert!(matches!(one_more, Err(SessionError::TooManyWaiting)));
    // A new connection starts with an empty queue.
    connected(&mut session);
    backfilled(&mut session, 0, &[key(1, 0)]);
    assert_eq!(drained(&mut session).0.len(), 1);
}

/// A log of a block with this hash.
fn of_block(key: Key, hash: u8, removed: bool) -> String {
    let hash = format!("{hash:02x}").repeat(32);
    log(key).replace('{', &format!(r#"{{"blockHash":"0x{hash}","removed":{removed},"#))
}

fn removed(session: &mut Session, key: Key, hash: u8) -> Option<Event> {
    let text = notification("0xa", &of_block(key, hash, true));
    session.handle_text(&text).unwrap();
    session.poll_event()
}

/// Answers the request for the logs from this block on, all of the new chain.
fn requested_again(session: &mut Session, from: u64, keys: &[Key], hash: u8) {
    let logs: Vec<_> = keys.iter().map(|key| of_block(*key, hash, false)).collect();
    let call = answered(session, &format!("[{}]", logs.join(",")));
    let Call::Logs([Range { from_block, .. }]) = call else { panic!("{call:?}") };
    assert_eq!(from_block.to::<u64>(), from);
}

#[test]
fn a_removed_log_takes_back_those_after_the_one_before_it() {
    let mut session = starting_at(1);
    connected(&mut session);
    let keys = [key(100, 0), key(101, 5), key(101, 6), key(102, 0)];
    requested_again(&mut session, 1, &keys, 1);
    drained(&mut session);
    let Some(Event::Retracted(from, cursor)) = removed(&mut session, keys[1], 1) else { panic!() };
    assert_eq!((from, cursor.last), (key(100, 1), Some(key(100, 0))));
    // The node may say so of each log, in any order, and send the new ones meanwhile.
    assert_eq!(removed(&mut session, keys[3], 1), None);
    session.handle_text(&notification("0xa", &of_block(key(101, 6), 2, false))).unwrap();
    let new = [key(100, 7), key(101, 1), key(101, 6)];
    let chain = [&keys[..1], &new].concat();
    let logs: Vec<_> =
        chain.iter().zip([1, 2, 2, 2]).map(|(k, h)| of_block(*k, h, false)).collect();
    answered(&mut session, &format!("[{}]", logs.join(",")));
    assert_eq!(drained(&mut session), (new.to_vec(), 2));
    // A log of an old block at the position of a new one, and one that is too old.
    assert_eq!(removed(&mut session, keys[2], 1), Some(Event::Removed));
    assert_eq!(removed(&mut session, key(101 - DEPTH - 1, 0), 1), Some(Event::Removed));
}

/// The node sends the new logs first, or says of none that it was removed.
#[test]
fn new_logs_before_the_last_one_are_a_reorganisation() {
    let old = [key(100, 0), key(101, 5), key(102, 0)];
    let new = [key(100, 0), key(101, 3), key(103, 0)];
    for says_removed in [true, false] {
        let mut session = starting_at(1);
        connected(&mut session);
        requested_again(&mut session, 1, &old, 1);
        drained(&mut session);
        session.handle_text(&notification("0xa", &of_block(new[1], 2, false))).unwrap();
        let Some(Event::Retracted(from, _)) = session.poll_event() else { panic!() };
        assert_eq!(from, key(102 - DEPTH, 0));
        session.handle_text(&notification("0xa", &of_block(new[2], 2, false))).unwrap();
        if says_removed {
            assert_eq!(removed(&mut session, old[1], 1), None);
        }
        requested_again(&mut session, 102 - DEPTH - 1, &new, 2);
        assert_eq!(drained(&mut session), (new.to_vec(), 1));
        assert_eq!(session.poll_transmit(), None);
    }
}

/// Readers know what they have changed from 64 blocks before the highest one on, and no more.
#[test]
fn no_more_is_taken_back_than_readers_know() {
    let mut session = starting_at(1);
    connected(&mut session);
    let keys = [key(140, 0), key(150, 0), key(200, 0)];
    requested_again(&mut session, 1, &keys, 1);
    drained(&mut session);
    let Some(Event::Retracted(from, _)) = removed(&mut session, keys[2], 1) else { panic!() };
    assert_eq!(from, key(150, 1));
    requested_again(&mut session, 150, &keys[1..2], 1);
    drained(&mut session);
    session.handle_text(&notification("0xa", &of_block(key(145, 7), 2, false))).unwrap();
    let Some(Event::Retracted(from, _)) = session.poll_event() else { panic!() };
    assert_eq!(from, key(200 - DEPTH, 0));
}

#[test]
fn positions_have_neighbours() {
    assert_eq!(key(7, 0).before(), key(6, u64::MAX));
    assert_eq!(key(6, u64::MAX).after(), key(7, 0));
    assert_eq!(key(0, 0).before(), key(0, 0));
}

#[test]
fn logs_before_the_start_are_skipped() {
    let mut session = starting_at(100);
    connected(&mut session);
    backfilled(&mut session, 100, &[]);
    live(&mut session, key(99, 0));
    live(&mut session, key(100, 0));
    assert_eq!(drained(&mut session).0, [key(100, 0)]);
}

#[test]
fn the_logs_before_a_removed_one_are_requested_if_they_are_not_known() {
    let mut session = Session::new(
        vec![Address::repeat_byte(7)],
        Cursor { start: Some(1), last: Some(key(100, 5)), hash: Some(B256::repeat_byte(100)) },
    );
    connected(&mut session);
    answered(&mut session, &format!("[{}]", of_block(key(100, 5), 100, false)));
    drained(&mut session);
    let Some(Event::Retracted(from, _)) = removed(&mut session, key(100, 5), 100) else { panic!() };
    assert_eq!(from, key(100 - DEPTH, 0));
    // What the node says meanwhile is in its answer, too.
    assert_eq!(removed(&mut session, key(99, 8), 99), None);
    live(&mut session, key(100, 2));
    let new = [of_block(key(99, 1), 7, false), of_block(key(100, 2), 8, false)];
    answered(&mut session, &format!("[{}]", new.join(",")));
    assert_eq!(drained(&mut session), (vec![key(99, 1), key(100, 2)], 1));
    live(&mut session, key(101, 0));
    assert_eq!(drained(&mut session).0, [key(101, 0)]);
}

#[test]
fn a_backfill_without_the_last_block_takes_back_and_requests_again() {
    let mut session = starting_at(50);
    connected(&mut session);
    let first = of_block(key(100, 0), 1, false);
    answered(&mut session, &format!("[{first}]"));
    let other = of_block(key(200, 0), 2, false);
    session.handle_text(&notification("0xa", &other)).unwrap();
    drained(&mut session);
    // The same block.
    connected(&mut session);
    answered(&mut session, &format!("[{other}]"));
    assert_eq!(drained(&mut session), (vec![], 1));
    // Another block at its place.
    connected(&mut session);
    answered(&mut session, &format!("[{}]", of_block(key(200, 0), 3, false)));
    let Some(Event::Retracted(from, _)) = session.poll_event() else { panic!() };
    assert_eq!(from, key(200 - DEPTH, 0));
    let Call::Logs([Range { from_block, .. }]) =
        answered(&mut session, &format!("[{}]", of_block(key(200, 0), 3, false)))
    else {
        panic!()
    };
    assert_eq!(from_block.to::<u64>(), 200 - DEPTH - 1);
    assert_eq!(drained(&mut session).0, [key(200, 0)]);
}

#[test]
fn the_end_counts_only_after_the_backfill() {
    let end = Some((1000, END_OF_RECORDING));
    let mut session = starting_at(1);
    connected(&mut session);
    assert_eq!(session.handle_end(end), Ended::Reconnect);
    for (close, ended) in [
        (end, Ended::Finished),
        (None, Ended::Reconnect),
        (Some((1000, "")), Ended::Reconnect),
        (Some((1001, END_OF_RECORDING)), Ended::Reconnect),
    ] {
        connected(&mut session);
        backfilled(&mut session, 1, &[]);
        assert_eq!(session.handle_end(close), ended);
    }
}

#[test]
fn refused_and_invalid_answers_are_errors() {
    let mut session = starting_at(1);
    session.connected();
    let refusal = r#"{"id":1,"error":{"code":-32601,"message":"no such method"}}"#;
    let error = session.handle_text(refusal).unwrap_err().to_string();
    assert_eq!(error, "the node refused a request: no such method (-32601)");
    session.connected();
    let text = format!("\\u001b[2J{}", "x".repeat(10_000));
    let refusal = format!(r#"{{"id":2,"error":{{"code":1,"message":"{text}"}}}}"#);
    let error = session.handle_text(&refusal).unwrap_err().to_string();
    assert!(error.contains(r"\u{1b}[2Jxxx") && error.len() < 300, "{error}");
    session.connected();
    let invalid = session.handle_text(&answer(3, "[]"));
    assert!(matches!(invalid, Err(SessionError::Unexpected(_))));
}

#[test]
fn an_answer_with_too_many_logs_is_an_error() {
    let mut session = starting_at(1);
    connected(&mut session);
    let many = format!("[{}1]", "1,".repeat(1 << 17));
    let error = session.handle_text(&answer(2, &many)).unwrap_err().to_string();
    assert!(error.contains("expected an array of at most 131072 logs"), "{error}");
    assert_eq!(session.poll_event(), None);
}

#[test]
fn invalid_texts_are_skipped() {
    let mut session = starting_at(1);
    connected(&mut session);
    let large = log(key(1, 0)).replace('{', &format!(r#"{{"x":"{}","#, "x".repeat(64 << 10)));
    let backfill = format!("[[],{{}},7,{large},{}]", log(key(2, 0)));
    answered(&mut session, &backfill);
    let events: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
    assert_eq!(events[..4], [(); 4].map(|()| Event::Skipped));
    assert!(matches!(events[4..], [Event::Log(..), Event::Live]));
    let deep = "[".repeat(100_000);
    for text in [
        "",
        "null",
        "{}",
        r#"{"id":"one","result":1}"#,
        r#"{"params":{"subscription":1,"result":{}}}"#,
        &answer(99, "[]"),
        &answer(2, "[]"),
        &notification("0xb", &log(key(5, 0))),
        &notification("0xa", "{}"),
        &deep,
    ] {
        session.handle_text(text).unwrap();
        assert_eq!(session.poll_event(), Some(Event::Skipped), "{text}");
    }
    let removed = log(key(4, 0)).replace('{', r#"{"removed":true,"#);
    session.handle_text(&notification("0xa", &removed)).unwrap();
    assert_eq!(session.poll_event(), Some(Event::Removed));
    live(&mut session, key(3, 0));
    assert_eq!(drained(&mut session).0, [key(3, 0)]);
}
