use super::*;

const POOL: [u8; 20] = [7; 20];

fn key(block: u64, log_index: u64) -> Key {
    Key { block, log_index }
}

fn log(key: Key) -> String {
    format!(
        r#"{{"address":"0x{}","blockNumber":"{:#x}","logIndex":"{:#x}"}}"#,
        "07".repeat(20),
        key.block,
        key.log_index
    )
}

fn live(session: &mut Session, key: Key) {
    session.handle_text(&rpc::notification("0xa", &log(key))).unwrap();
}

/// The id and the call of the only queued request.
fn asked(session: &mut Session) -> (String, rpc::Call) {
    let text = session.poll_transmit().expect("a request");
    assert_eq!(session.poll_transmit(), None);
    let request = rpc::parse_request(&text);
    (request.id.to_owned(), request.call.unwrap())
}

fn subscribed(session: &mut Session) {
    let (id, call) = asked(session);
    assert_eq!(call, rpc::Call::Subscribe(rpc::Filter { addresses: vec![POOL] }));
    session.handle_text(&rpc::answer(&id, "\"0xa\"")).unwrap();
}

fn backfilled(session: &mut Session, from: u64, keys: &[Key]) {
    let (id, call) = asked(session);
    assert!(
        matches!(call, rpc::Call::Logs { from: rpc::BlockTag::Number(block), .. } if block == from),
        "{call:?}"
    );
    let logs: Vec<_> = keys.iter().copied().map(log).collect();
    session.handle_text(&rpc::answer(&id, &format!("[{}]", logs.join(",")))).unwrap();
}

fn drained(session: &mut Session) -> (Vec<Key>, Vec<Key>) {
    let (mut new, mut old) = (Vec::new(), Vec::new());
    while let Some(event) = session.poll_event() {
        match event {
            Event::Log(log, cursor) => {
                assert_eq!(cursor.last(), Some(log.key()));
                new.push(log.key());
            }
            Event::Duplicate(key) => old.push(key),
            _ => {}
        }
    }
    (new, old)
}

#[test]
fn the_first_connection_requests_the_newest_block() {
    let mut session = Session::new(vec![POOL], Cursor::default());
    session.connected();
    let (id, call) = asked(&mut session);
    assert_eq!(call, rpc::Call::BlockNumber);
    session.handle_text(&rpc::answer(&id, "\"0x9\"")).unwrap();
    assert_eq!(session.poll_event(), Some(Event::Started(Cursor::starting_at(9))));
    subscribed(&mut session);
    backfilled(&mut session, 9, &[]);
    live(&mut session, key(10, 0));
    assert_eq!(drained(&mut session).0, [key(10, 0)]);
}

#[test]
fn a_reconnect_before_the_first_log_keeps_the_start_block() {
    let mut session = Session::new(vec![POOL], Cursor::starting_at(9));
    session.connected();
    subscribed(&mut session);
    live(&mut session, key(10, 0));
    assert_eq!(session.handle_end(None), Ended::Reconnect);
    session.connected();
    subscribed(&mut session);
    backfilled(&mut session, 9, &[key(10, 0)]);
    assert_eq!(drained(&mut session).0, [key(10, 0)]);
}

#[test]
fn live_logs_wait_for_the_backfill_and_come_out_once() {
    let mut cursor = Cursor::default();
    cursor.accept(key(20, 3));
    let mut session = Session::new(vec![POOL], cursor);
    session.connected();
    live(&mut session, key(22, 0));
    subscribed(&mut session);
    live(&mut session, key(22, 1));
    assert_eq!(session.poll_event(), None);
    backfilled(&mut session, 20, &[key(20, 3), key(20, 4), key(21, 0), key(22, 0)]);
    live(&mut session, key(22, 2));
    let (new, old) = drained(&mut session);
    assert_eq!(new, [key(20, 4), key(21, 0), key(22, 0), key(22, 1), key(22, 2)]);
    assert_eq!(old, [key(20, 3), key(22, 0)]);
}

#[test]
fn too_many_queued_logs_are_an_error() {
    let mut session = Session::with_waiting_limit(vec![POOL], Cursor::starting_at(0), 2);
    session.connected();
    subscribed(&mut session);
    live(&mut session, key(1, 0));
    live(&mut session, key(1, 1));
    let third = rpc::notification("0xa", &log(key(1, 2)));
    assert_eq!(session.handle_text(&third), Err(SessionError::TooManyWaiting { limit: 2 }));
    // A new connection starts with an empty queue.
    session.connected();
    subscribed(&mut session);
    backfilled(&mut session, 0, &[key(1, 0), key(1, 1), key(1, 2)]);
    assert_eq!(drained(&mut session).0.len(), 3);
}

#[test]
fn the_end_counts_only_after_the_backfill() {
    let end = Some((1000, END_OF_RECORDING));
    let mut session = Session::new(vec![POOL], Cursor::starting_at(1));
    session.connected();
    assert_eq!(session.handle_end(end), Ended::Reconnect);
    session.connected();
    subscribed(&mut session);
    assert_eq!(session.handle_end(end), Ended::Reconnect);
    for (close, ended) in [
        (end, Ended::Finished),
        (None, Ended::Reconnect),
        (Some((1000, "")), Ended::Reconnect),
        (Some((1001, END_OF_RECORDING)), Ended::Reconnect),
    ] {
        session.connected();
        subscribed(&mut session);
        backfilled(&mut session, 1, &[]);
        assert_eq!(session.handle_end(close), ended);
    }
}

#[test]
fn refused_and_invalid_answers_are_errors() {
    let fault = Fault::new(Fault::METHOD, "no");
    let mut session = Session::new(vec![POOL], Cursor::starting_at(1));
    assert_eq!(session.handle_text("{}"), Err(SessionError::NotConnected));
    session.connected();
    let (id, _) = asked(&mut session);
    assert_eq!(
        session.handle_text(&rpc::refusal(&id, &fault)),
        Err(SessionError::Refused { method: "eth_subscribe", fault })
    );
    session.connected();
    let (id, _) = asked(&mut session);
    assert_eq!(
        session.handle_text(&rpc::answer(&id, "[]")),
        Err(SessionError::Nonsense { method: "eth_subscribe" })
    );
}

#[test]
fn invalid_texts_are_skipped() {
    let mut session = Session::new(vec![POOL], Cursor::starting_at(1));
    session.connected();
    subscribed(&mut session);
    backfilled(&mut session, 1, &[]);
    assert_eq!(session.poll_event(), Some(Event::Live));
    for (text, skip) in [
        ("{", Skip::MalformedJson),
        (&rpc::answer("99", "[]"), Skip::MalformedJson),
        (&rpc::notification("0xb", &log(key(5, 0))), Skip::MalformedJson),
        (&rpc::notification("0xa", "{}"), Skip::MalformedLog),
    ] {
        session.handle_text(text).unwrap();
        assert_eq!(session.poll_event(), Some(Event::Skipped(skip)), "{text}");
    }
    let removed = log(key(4, 0)).replace('{', r#"{"removed":true,"#);
    session.handle_text(&rpc::notification("0xa", &removed)).unwrap();
    assert!(matches!(session.poll_event(), Some(Event::Removed(_))));
    live(&mut session, key(3, 0));
    assert_eq!(drained(&mut session).0, [key(3, 0)]);
}
