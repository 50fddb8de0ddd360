use super::*;
use crate::{arbitrage::Signal, chain::Key, figures::PoolFigures};

fn snapshot() -> Snapshot {
    let pool = |fee_millionths, swaps, price| PoolFigures {
        symbols: ["USDC".into(), "WETH".into()],
        fee_millionths,
        swaps,
        price,
    };
    let signal = |block, log_index| Signal {
        key: Key { block, log_index },
        pools: [[0x88; 20], [0x8a; 20]],
        prices: [1.0 / 2261.3742, 1.0 / 2253.1],
        gap: 0.003_665,
    };
    Snapshot {
        elapsed: Duration::from_millis(1234),
        total: Some(6538),
        kinds: [4000, 40, 60, 50, 0],
        logs: 4151,
        skips: [0, 0, 0, 1, 0, 0],
        duplicates: 12,
        reconnects: 2,
        messages: 12_049,
        pools: vec![pool(500, 3847, Some(1.0 / 2261.3742)), pool(3000, 153, None)],
        signals: 17,
        recent: vec![signal(18_937_762, 19), signal(18_937_913, 2)],
        latency: Some(Latency { p50: 850, p90: 1_234, p99: 12_345, p999: 123_456, max: 2_000_000 }),
        ..Snapshot::default()
    }
}

#[test]
fn the_table_is_laid_out() {
    let expected = "\
bandit  ws://127.0.0.1:8545                                       live  1.23 s
━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━─────────────────────  4,151 of 6,538 (63 %)

pool            fee     swaps             price
USDC/WETH    0.05 %     3,847        2,261.3742  USDC per WETH
USDC/WETH    0.30 %       153                 –

logs          4,151   swap 4,000 · mint 40 · burn 60 · collect 50
skipped               short data 1
signals          17   block 18937762 #19    2,261.3742 │ 2,253.1000    0.366 %
                      block 18937913 #2     2,261.3742 │ 2,253.1000    0.366 %
messages     12,049   9,764 a second · 0 drops
reconnects        2   12 duplicates dropped

latency           p50       p90       p99     p99.9       max
               850 ns   1.23 µs   12.3 µs    123 µs   2.00 ms
";
    let page = table(&snapshot(), "ws://127.0.0.1:8545", Paint::Plain);
    assert_eq!(page, expected, "\n{page}");
}

#[test]
fn the_summary_is_the_table_at_its_end() {
    let page = summary(&snapshot(), "the recorded day", Paint::Plain);
    let live = table(&snapshot(), "the recorded day", Paint::Plain);
    assert!(page.starts_with("bandit  the recorded day  ") && page.contains("  done  1.23 s\n"));
    assert!(page.lines().skip(2).eq(live.lines().skip(2)));
}

#[test]
fn a_line_has_all_figures() {
    assert_eq!(
        line(&snapshot()),
        "  1.23 s  4,151 of 6,538 (63 %) logs  4,000 swaps  17 signals  0 drops  2 reconnects  \
         p50 850 ns  p99 12.3 µs"
    );
    assert_eq!(
        line(&Snapshot::default()),
        "  0.00 s  0 logs  0 swaps  0 signals  0 drops  0 reconnects"
    );
}

#[test]
fn colour_changes_no_text() {
    let plain = table(&snapshot(), "ws://x", Paint::Plain);
    let colour = table(&snapshot(), "ws://x", Paint::Colour);
    assert_ne!(plain, colour);
    let mut text = String::new();
    for (index, part) in colour.split("\x1b[").enumerate() {
        text.push_str(if index == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    let trimmed: Vec<_> = text.lines().map(str::trim_end).collect();
    assert_eq!(trimmed, plain.lines().collect::<Vec<_>>());
}

#[test]
fn every_line_fits_and_has_no_trailing_space() {
    let mut bad = snapshot();
    bad.skips = [1_000_000; 6];
    bad.drops = 3;
    for snapshot in [Snapshot::default(), snapshot(), bad] {
        for source in ["", "ws://x", &"long".repeat(40)] {
            for page in
                [table(&snapshot, source, Paint::Plain), summary(&snapshot, source, Paint::Plain)]
            {
                for line in page.lines() {
                    assert!(line.chars().count() <= WIDTH, "{line:?}");
                    assert_eq!(line, line.trim_end());
                }
            }
        }
    }
}

#[test]
fn numbers_are_readable() {
    assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!(
        [0, 999, 1000, 9_994, 9_995, 99_949, 99_950, 999_499, 999_500, 60_000_000_000].map(nanos),
        [
            "0 ns", "999 ns", "1.00 µs", "9.99 µs", "10.0 µs", "99.9 µs", "100 µs", "999 µs",
            "1.00 ms", "60.0 s"
        ]
    );
    let price = |price| readable(price);
    assert_eq!(price(0.25), ("4.0000".into(), true));
    assert_eq!(price(12_345.678_9), ("12,345.6789".into(), false));
    assert_eq!(price(1e300), ("1e300".into(), false));
    assert_eq!(price(f64::NAN).0, "NaN");
    assert_eq!(span(Duration::from_secs(125)), "2 min 05 s");
    assert_eq!(span(Duration::from_secs(7500)), "2 h 05 min");
}

#[test]
fn a_screen_moves_back_over_its_page() {
    let (mut screen, mut out) = (Screen::default(), Vec::new());
    screen.draw(&mut out, "a\nb\n").unwrap();
    assert!(!String::from_utf8_lossy(&out).contains("\x1b[2A"));
    out.clear();
    screen.draw(&mut out, "c\n").unwrap();
    let frame = String::from_utf8(out).unwrap();
    assert!(frame.contains("\x1b[2A\rc\x1b[K\n\x1b[J"), "{frame:?}");
}
