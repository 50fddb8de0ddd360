use std::io::ErrorKind;

use mycelium_transports::endpoint::UntrustedSocket;

use super::*;

/// A limiter, a clock, and the lines that were written.
#[derive(Default)]
struct LogTest {
    limiter: Limiter,
    now: Duration,
    lines: Vec<String>,
}

impl LogTest {
    fn note(&mut self, notice: &Notice<'_>) {
        let (level, key) = key(notice);
        let lines = &mut self.lines;
        self.limiter.note(self.now, level, key, notice, &mut |_, line| lines.push(line.to_owned()));
    }

    fn turn_away(&mut self, peer: &str, process: u32, user: u32) {
        let credentials = mycelium_executor::Credentials { process: Some(process), user, group: 0 };
        let (from, cause) = (&Peer::Unix(credentials), CloseReason::NotAllowed);
        self.note(&Notice::PeerRejected { peer, from: Some(from), cause, reason: "so" });
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let lines = &mut self.lines;
        self.limiter.tick(self.now, &mut |_, line| lines.push(line.to_owned()));
    }
}

#[test]
fn a_flood_is_one_line_and_then_a_count_per_minute() {
    let mut test = LogTest::default();
    for process in 0..100_000 {
        test.turn_away("", process, 7);
    }
    assert_eq!(test.lines, ["rejected process 0 of user 7: so"]);
    assert_eq!(test.limiter.due(), Some(WINDOW));
    test.pass(WINDOW);
    let counted = "rejected process 0 of user 7: so (99999 more within a minute)";
    assert_eq!(test.lines[1..], [counted]);
    // After a minute without occurrences, the next one counts as the first.
    test.pass(WINDOW);
    assert_eq!((test.lines.len(), test.limiter.due()), (2, None));
    assert!(test.limiter.entries.is_empty());
    test.turn_away("", 5, 7);
    assert_eq!(test.lines.len(), 3);
}

/// Each attempt to connect to a peer that does not answer takes seconds, so the pause between
/// attempts would reach `ABSENT` very late: a timeout is an immediate warning, whatever the pause.
#[test]
fn a_peer_that_does_not_answer_and_a_socket_of_another_user_are_told_at_once() {
    let found = mycelium_executor::Credentials { process: Some(7), user: 1001, group: 0 };
    let socket = UntrustedSocket::Listener { path: "/tmp/feed.sock".into(), found, expected: 1000 };
    for (error, expected) in [
        (socket.into(), Level::Error),
        (ErrorKind::TimedOut.into(), Level::Warn),
        (ErrorKind::ConnectionRefused.into(), Level::Debug),
    ] {
        let (error, pause): (std::io::Error, _) = (error, Duration::from_millis(10));
        let notice = Notice::Unreachable { peer: "feed", error: &error, pause };
        assert_eq!(key(&notice).0, expected);
        let is_told = notice.code() == Some(Code::SOCKET_OTHER_USER);
        assert_eq!(is_told, expected == Level::Error);
    }
}

/// No occurrence hides another: a port scan does not hide an expired certificate.
#[test]
fn users_peers_addresses_and_errors_are_counted_apart() {
    let mut test = LogTest::default();
    for _ in 0..3 {
        test.turn_away("", 1, 7);
        test.turn_away("", 1, 8);
        test.note(&Notice::Connected { peer: "left", boot: 1 });
        test.note(&Notice::Connected { peer: "right", boot: 1 });
        let (error, pause) = (ErrorKind::NotFound.into(), Duration::from_secs(1));
        test.note(&Notice::Unreachable { peer: "left", error: &error, pause });
        for address in ["10.0.0.1:1", "10.0.0.2:1", "[fd00::1]:1", "[fd00::2]:1"] {
            let from = Peer::Tcp(address.parse().unwrap());
            let (cause, from) = (CloseReason::NotAllowed, Some(&from));
            test.note(&Notice::PeerRejected { peer: "", from, cause, reason: "so" });
        }
        let of = |kind, text: &str| DriveError::Io(std::io::Error::new(kind, text));
        for error in [
            of(ErrorKind::InvalidData, "an alert"),
            of(ErrorKind::InvalidData, "another one"),
            of(ErrorKind::BrokenPipe, "one"),
            of(ErrorKind::BrokenPipe, "two"),
            DriveError::Closed,
        ] {
            test.note(&Notice::Disconnected { peer: "left", error: &error });
        }
    }
    // Addresses of one site count together, and so do texts of one kind of system error.
    assert_eq!(test.lines.len(), 5 + 3 + 4, "{:?}", test.lines);
}

#[test]
fn a_link_that_stays_on_its_socket_is_one_line_and_an_error_if_memory_is_required() {
    let mut test = LogTest::default();
    for reason in ["no descriptor left", "no memory left"] {
        test.note(&Notice::StaysOnSocket { peer: "keeper", reason, is_required: false });
    }
    let line = "messages between this node and node `keeper` go over the socket, not through \
                shared memory: no descriptor left";
    assert_eq!(test.lines, [line]);
    let level =
        |is_required| key(&Notice::StaysOnSocket { peer: "keeper", reason: "so", is_required }).0;
    assert_eq!([false, true].map(level), [Level::Warn, Level::Error]);
}

#[test]
fn what_happens_to_a_topic_is_a_line_for_each_topic() {
    let mut test = LogTest::default();
    for topic in ["ticks", "ticks", "swaps"] {
        test.note(&Notice::MovedToMemory { peer: "keeper", topic, publisher: "Feed" });
        test.note(&Notice::StartsAtNext { peer: "keeper", topic });
    }
    let lines = |topic| {
        let moved = format!(
            "messages of `Feed` on topic `{topic}` go through shared memory, between this node \
             and node `keeper`"
        );
        let starts = format!(
            "topic `{topic}` starts with the next message: node `keeper` does not know \
             `start = \"oldest\"`"
        );
        [moved, starts]
    };
    assert_eq!(test.lines, [lines("ticks"), lines("swaps")].concat());
}

#[test]
fn unlimited_names_share_one_count() {
    let mut test = LogTest::default();
    for peer in 0..10_000 {
        test.note(&Notice::Connected { peer: &peer.to_string(), boot: 1 });
    }
    assert_eq!(test.lines.len(), KEYS + 1);
    assert_eq!(test.limiter.entries.len(), KEYS + 1);
    test.pass(WINDOW);
    assert_eq!(test.lines.len(), KEYS + 2);
    let last = &test.lines[KEYS + 1];
    assert!(last.ends_with("(9743 more within a minute)"), "{last}");
}

#[test]
fn a_name_writes_no_line_of_its_own() {
    let mut test = LogTest::default();
    let name = "x\n2026-01-01 ERROR \u{1b}[31mall is lost";
    test.note(&Notice::Connected { peer: name, boot: 1 });
    test.note(&Notice::Disconnected { peer: name, error: &DriveError::Closed });
    test.note(&Notice::StreamLimit { peer: name, topic: name, limit: 1 });
    test.turn_away(name, 1, 7);
    assert_eq!(test.lines.len(), 4);
    for line in &test.lines {
        assert!(line.contains("x\\n2026") && !line.contains(char::is_control), "{line:?}");
    }
}
