use super::*;
use crate::ethereum::feed::day;

/// The first log of the day, a swap.
fn log() -> RawLog {
    day(false)[0].log.clone()
}

#[test]
fn a_swap_is_decoded() {
    let swap = swap(&log()).unwrap().unwrap();
    assert_eq!(
        log().address.to_string().to_lowercase(),
        "0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640"
    );
    assert_eq!(swap.key, Key { block: 18_937_382, log_index: 169 });
    assert_eq!(swap.amount0, I128::from(-22_686_110));
    assert_eq!(swap.amount1, I128::from(10_000_000_000_000_000));
    assert_eq!(swap.tick, 199_045);
}

#[test]
fn what_is_no_event_of_a_pool_is_refused() {
    let with = |change: &dyn Fn(&mut RawLog, &mut Vec<u8>)| {
        let (mut log, mut data) = (log(), log().data.to_vec());
        change(&mut log, &mut data);
        swap(&RawLog { data: data.into(), ..log }).unwrap_err()
    };
    assert_eq!(with(&|log, _| log.topics.clear()), Skip::UnknownEvent);
    assert_eq!(with(&|log, _| log.topics.truncate(2)), Skip::UnknownEvent);
    assert_eq!(with(&|log, _| log.topics.push(B256::ZERO)), Skip::UnknownEvent);
    assert_eq!(with(&|log, _| log.topics[0][31] ^= 1), Skip::UnknownEvent);
    assert_eq!(with(&|_, data| data.clear()), Skip::Malformed);
    assert_eq!(with(&|_, data| data.truncate(159)), Skip::Malformed);
    // amount0 exceeds i128, but not int256.
    assert_eq!(with(&|_, data| data[..32].fill(0x7f)), Skip::Malformed);
    assert_eq!(with(&|_, data| data[15] = 0x7f), Skip::Malformed);
    // sqrtPriceX96 exceeds uint160, liquidity uint128, tick int24; and price 0.
    assert_eq!(with(&|_, data| data[64 + 11] = 1), Skip::Malformed);
    assert_eq!(with(&|_, data| data[96 + 15] = 1), Skip::Malformed);
    assert_eq!(with(&|_, data| data[128 + 28] = 1), Skip::Malformed);
    assert_eq!(with(&|_, data| data[64..96].fill(0)), Skip::Malformed);
    // An indexed address that exceeds its 20 bytes.
    assert_eq!(with(&|log, _| log.topics[1][0] = 1), Skip::Malformed);
}

#[test]
fn a_log_needs_only_its_address_and_position() {
    let bare = r#"{"address":"0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640","blockNumber":"0x1","logIndex":"0x2"}"#;
    let log: RawLog = serde_json::from_str(bare).unwrap();
    assert_eq!(log.key(), Key { block: 1, log_index: 2 });
    assert_eq!(swap(&log), Err(Skip::UnknownEvent));
    for bad in [
        bare.replace("\"0x1\"", "null"),
        bare.replace("5640", "56"),
        bare.replace("{", r#"{"data":"0x1","#),
        bare.replace("{", r#"{"topics":["0x1"],"#),
    ] {
        assert!(serde_json::from_str::<RawLog>(&bad).is_err(), "{bad}");
    }
}

#[test]
fn the_reserves_of_a_pair_are_a_price() {
    let log = |reserves: [u128; 2]| {
        let mut data = [[0; 32]; 2];
        for (word, reserve) in data.iter_mut().zip(reserves) {
            word[16..].copy_from_slice(&reserve.to_be_bytes());
        }
        let topics = vec![pair::Sync::SIGNATURE_HASH];
        RawLog { topics, data: data.as_flattened().to_vec().into(), ..log() }
    };
    let most = (1 << 112) - 1;
    for (reserves, root, liquidity) in [
        ([1, 1], 1_u128 << 96, 1),
        ([4, 1], 1 << 95, 2),
        ([1, 9], 3 << 96, 3),
        ([most, most], 1 << 96, most),
        ([most, 1], 1 << 40, (1 << 56) - 1),
    ] {
        let swap = swap(&log(reserves)).unwrap().unwrap();
        assert_eq!(swap.sqrt_price_x96, U256::from(root), "{reserves:?}");
        assert_eq!((swap.liquidity.get(), swap.key), (liquidity, self::log().key()));
    }
    assert_eq!(swap(&log([0, 1])), Err(Skip::Malformed));
    assert_eq!(swap(&log([1, 0])), Err(Skip::Malformed));
    assert_eq!(swap(&log([1, most + 1])), Err(Skip::Malformed));
    for other in [pair::Swap::SIGNATURE_HASH, pair::Burn::SIGNATURE_HASH] {
        assert_eq!(swap(&RawLog { topics: vec![other], ..log([1, 1]) }), Ok(None));
    }
}
