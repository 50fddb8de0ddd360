use std::collections::BTreeMap;

use super::*;
use crate::recording::Recording;

const SWAP: &str = r#"{"address":"0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640","topics":["0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67","0x0000000000000000000000003fc91a3afd70395cd496c647d5a6cc9d4b2b7fad","0x0000000000000000000000003fc91a3afd70395cd496c647d5a6cc9d4b2b7fad"],"data":"0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffea5d662000000000000000000000000000000000000000000000000002386f26fc1000000000000000000000000000000000000000051fdf2fd9b2526872a9b723450f2000000000000000000000000000000000000000000000000acd43e0e7cf808c50000000000000000000000000000000000000000000000000000000000030985","blockNumber":"0x120f626","blockTimestamp":"0x65974697","logIndex":"0xa9","removed":false}"#;

fn log() -> RawLog {
    serde_json::from_str(SWAP).unwrap()
}

fn swap_of(log: &RawLog) -> Swap {
    match classify(log) {
        Ok(Event::Swap(swap)) => swap,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_swap_is_decoded() {
    let swap = swap_of(&log());
    assert_eq!(hex_address(&swap.pool), "0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640");
    assert_eq!(swap.key, Key { block: 18_937_382, log_index: 169 });
    assert_eq!(swap.timestamp, Some(1_704_412_823));
    assert_eq!((swap.amount0, swap.amount1), (-22_686_110, 10_000_000_000_000_000));
    assert_eq!(swap.liquidity, 0xacd4_3e0e_7cf8_08c5);
    assert_eq!(swap.tick, 199_045);
}

#[test]
fn the_day_has_the_counts_of_its_readme() {
    let mut kinds = BTreeMap::new();
    for line in Recording::embedded().unwrap().logs() {
        let log: RawLog = serde_json::from_str(&line.json).unwrap();
        let kind = match classify(&log).unwrap() {
            Event::Swap(_) => "swap",
            Event::Mint => "mint",
            Event::Burn => "burn",
            Event::Collect => "collect",
            Event::Removed => "removed",
        };
        *kinds.entry((hex_address(&log.address)[..4].to_owned(), kind)).or_insert(0) += 1;
    }
    let expected = [
        ("0x88", "burn", 69),
        ("0x88", "collect", 65),
        ("0x88", "mint", 54),
        ("0x88", "swap", 6046),
        ("0x8a", "burn", 17),
        ("0x8a", "collect", 16),
        ("0x8a", "mint", 4),
        ("0x8a", "swap", 267),
    ];
    let expected: BTreeMap<_, _> =
        expected.map(|(pool, kind, count)| ((pool.to_owned(), kind), count)).into();
    assert_eq!(kinds, expected);
}

#[test]
fn removed_comes_before_all_else() {
    let removed = RawLog { removed: true, topics: Vec::new(), data: Vec::new(), ..log() };
    assert_eq!(classify(&removed), Ok(Event::Removed));
}

#[test]
fn every_error_has_its_kind() {
    let with = |change: fn(&mut RawLog)| {
        let mut log = log();
        change(&mut log);
        classify(&log).unwrap_err()
    };
    assert_eq!(with(|log| log.topics.clear()), Skip::MissingTopics);
    assert_eq!(with(|log| log.topics.truncate(2)), Skip::MissingTopics);
    assert_eq!(with(|log| log.topics.push([0; 32])), Skip::UnknownEvent);
    assert_eq!(with(|log| log.topics[0][31] ^= 1), Skip::UnknownEvent);
    assert_eq!(with(|log| log.data.clear()), Skip::ShortData);
    assert_eq!(with(|log| log.data.truncate(159)), Skip::ShortData);
    // amount0 exceeds i128, but not int256.
    assert_eq!(with(|log| log.data[..32].fill(0x7f)), Skip::NumberOutOfRange);
    assert_eq!(with(|log| log.data[15] = 0x7f), Skip::NumberOutOfRange);
    // sqrtPriceX96 exceeds uint160, liquidity uint128, tick int24; and price 0.
    assert_eq!(with(|log| log.data[64 + 11] = 1), Skip::NumberOutOfRange);
    assert_eq!(with(|log| log.data[96 + 15] = 1), Skip::NumberOutOfRange);
    assert_eq!(with(|log| log.data[128 + 28] = 1), Skip::NumberOutOfRange);
    assert_eq!(with(|log| log.data[64..96].fill(0)), Skip::NumberOutOfRange);
    // An indexed address that exceeds its 20 bytes.
    assert_eq!(with(|log| log.topics[1][0] = 1), Skip::NumberOutOfRange);
}

#[test]
fn data_beyond_the_event_is_ignored() {
    let mut long = log();
    long.data.extend([0xa5; 7]);
    assert_eq!(classify(&long), classify(&log()));
}

#[test]
fn a_log_needs_only_its_address_and_position() {
    let bare = r#"{"address":"0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640","blockNumber":"0x1","logIndex":"0x2"}"#;
    let log: RawLog = serde_json::from_str(bare).unwrap();
    assert_eq!(log.key(), Key { block: 1, log_index: 2 });
    assert_eq!(classify(&log), Err(Skip::MissingTopics));
    for bad in [
        bare.replace("\"0x1\"", "null"),
        bare.replace("\"0x2\"", "2"),
        bare.replace("5640", "56"),
        bare.replace("{", r#"{"data":"0x1","#),
        bare.replace("{", r#"{"topics":["0x1"],"#),
    ] {
        assert!(serde_json::from_str::<RawLog>(&bad).is_err(), "{bad}");
    }
}

#[test]
fn addresses_are_strict() {
    let text = "0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640";
    assert_eq!(parse_address(text).map(|address| hex_address(&address)).as_deref(), Some(text));
    assert!(parse_address(&text.to_uppercase().replace("0X", "0x")).is_some());
    for bad in ["", "0x", &text[2..], &text[..41], &format!("0x{text}"), &text.replace('e', "é")] {
        assert_eq!(parse_address(bad), None, "{bad}");
    }
}

#[test]
fn prices_are_those_of_the_pools() {
    let swap = swap_of(&log());
    let price = price(&swap.sqrt_price_x96, 6, 18);
    // A WETH cost 2,270 USDC at that time.
    assert!((1.0 / price - 2_269.745_824).abs() < 1e-6, "{}", 1.0 / price);
    // The tick gives the same price, to one part in ten thousand.
    let by_tick = 1.0001_f64.powi(swap.tick) / 1e12;
    assert!((price / by_tick - 1.0).abs() < 1.1e-4);
}

#[test]
fn prices_of_round_roots_are_exact() {
    let root = |value: u128, shift: usize| {
        let mut word = [0; 32];
        word[32 - shift - 16..32 - shift].copy_from_slice(&value.to_be_bytes());
        word
    };
    assert_eq!(price(&root(1 << 96, 0), 18, 18), 1.0);
    assert_eq!(price(&root(3 << 96, 0), 6, 6), 9.0);
    assert_eq!(price(&root(1 << 96, 0), 18, 6), 1e12);
    assert_eq!(price(&root(1 << 96, 0), 6, 18), 1e-12);
    assert_eq!(price(&root(1 << 96, 4), 0, 0), 2.0_f64.powi(64));
    assert_eq!(price(&[0; 32], 6, 18), 0.0);
    assert_eq!(price(&root(1 << 96, 0), 255, 0), 1e255_f64.max(price(&root(1 << 96, 0), 255, 0)));
}
