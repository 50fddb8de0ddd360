use super::*;

/// A limiter with a clock of its own, and the lines that it wrote.
#[derive(Default)]
struct Bench {
    limiter: Limiter,
    now: Duration,
    lines: Vec<String>,
}

impl Bench {
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
    let mut bench = Bench::default();
    for process in 0..100_000 {
        bench.turn_away("", process, 7);
    }
    assert_eq!(bench.lines, ["process 0 of user 7 was turned away: so"]);
    assert_eq!(bench.limiter.due(), Some(WINDOW));
    bench.pass(WINDOW);
    let counted = "process 0 of user 7 was turned away: so (99999 more within a minute)";
    assert_eq!(bench.lines[1..], [counted]);
    // Nothing occurs: nothing is written, and then the next is the first again.
    bench.pass(WINDOW);
    assert_eq!((bench.lines.len(), bench.limiter.due()), (2, None));
    assert!(bench.limiter.entries.is_empty());
    bench.turn_away("", 5, 7);
    assert_eq!(bench.lines.len(), 3);
}

#[test]
fn an_absent_peer_is_one_line_per_minute() {
    let mut bench = Bench::default();
    let error = std::io::Error::from(std::io::ErrorKind::NotFound);
    let pause = Duration::from_secs(1);
    for _ in 0..600 {
        bench.note(&Notice::Unreachable { peer: "keeper", error: &error, pause });
        bench.pass(pause);
    }
    assert_eq!(bench.lines.len(), 11, "{:?}", bench.lines);
    assert!(bench.lines[1].contains("(59 more within a minute)"), "{:?}", bench.lines);
}

#[test]
fn causes_and_peers_are_counted_apart() {
    let mut bench = Bench::default();
    for _ in 0..3 {
        bench.turn_away("", 1, 7);
        bench.turn_away("", 1, 8);
        bench.note(&Notice::Connected { peer: "left" });
        bench.note(&Notice::Connected { peer: "right" });
        bench.note(&Notice::Disconnected { peer: "left", error: &DriveError::Closed });
    }
    assert_eq!(bench.lines.len(), 5, "{:?}", bench.lines);
}

#[test]
fn unlimited_names_share_one_count() {
    let mut bench = Bench::default();
    for peer in 0..10_000 {
        bench.note(&Notice::Connected { peer: &peer.to_string() });
    }
    assert_eq!(bench.lines.len(), KEYS + 1);
    assert_eq!(bench.limiter.entries.len(), KEYS + 1);
    bench.pass(WINDOW);
    assert_eq!(bench.lines.len(), KEYS + 2);
    assert!(
        bench.lines[KEYS + 1].ends_with("(9743 more within a minute)"),
        "{:?}",
        bench.lines[KEYS + 1]
    );
}

#[test]
fn a_name_writes_no_line_of_its_own() {
    let mut bench = Bench::default();
    let name = "x\n2026-01-01 ERROR \u{1b}[31mall is lost";
    bench.note(&Notice::Connected { peer: name });
    bench.note(&Notice::Disconnected { peer: name, error: &DriveError::Closed });
    bench.note(&Notice::StreamLimit { peer: name, topic: name, limit: 1 });
    bench.turn_away(name, 1, 7);
    assert_eq!(bench.lines.len(), 4);
    for line in &bench.lines {
        assert!(line.contains("x\\n2026") && !line.contains(char::is_control), "{line:?}");
    }
}
