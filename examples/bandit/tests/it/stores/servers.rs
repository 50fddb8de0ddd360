//! Servers that are down, killed, slow or broken.

use std::{fs, time::Duration};

use alloy_primitives::Address;
use bandit::{
    faults::Faults,
    messages::{EnrichedSwap, Key, Swap},
    metadata::first_rows,
    services::MetadataService,
    stores::{Client, Pools},
};
use mycelium::counters::{Metric, MetricValue};
use mycelium::fields::{I128, U128, U256};
use mycelium::{Node, Policy};
use mycelium_tokio::Tokio;

use super::proxy::{Manner, Proxy};
use super::server::Store;
use super::{
    IS_AWAY, IS_BACK, OTHER, WAITS, add, ends_with, has_begun, says, start, until_answers,
};
use crate::program::undisturbed;

#[test]
fn a_server_that_is_down_at_the_start_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let expected = undisturbed(directory.path());
    for mut store in Store::servers() {
        let signals = directory.path().join("signals");
        let mut program = start(&store.url(), &signals, &[]);
        says(&mut program, WAITS, 3);
        store.start();
        ends_with(program, &signals, &expected);
    }
}

#[test]
fn an_outage_in_the_middle_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let expected = undisturbed(directory.path());
    for mut store in Store::servers() {
        // The cache survives panics, too.
        for faults in [&[][..], &["--faults", "7"]] {
            store.start();
            let signals = directory.path().join("signals");
            let arguments = [&["--speed", "5760", "--refresh", "1ms"], faults].concat();
            let mut program = start(&store.url(), &signals, &arguments);
            has_begun(&mut program, &signals);
            store.kill();
            if faults.is_empty() {
                says(&mut program, IS_AWAY, 1);
                store.start();
                says(&mut program, IS_BACK, 1);
            }
            ends_with(program, &signals, &expected);
            fs::remove_file(signals).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_network_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let expected = tokio::task::spawn_blocking(move || undisturbed(&path)).await.unwrap();
    for mut store in Store::servers() {
        store.start();
        let (proxy, expected) = (Proxy::start(store.port()).await, expected.clone());
        let (url, signals) = (store.url_at(proxy.port), directory.path().join("signals"));
        let ended = tokio::task::spawn_blocking(move || {
            let mut program = start(&url, &signals, &["--speed", "2880", "--refresh", "1ms"]);
            has_begun(&mut program, &signals);
            for (times, manner) in
                (1..).zip([Manner::IsSilent, Manner::TalksNonsense, Manner::Cuts])
            {
                proxy.manner.send_replace(manner);
                says(&mut program, IS_AWAY, times);
                proxy.manner.send_replace(Manner::Forwards);
                says(&mut program, IS_BACK, times);
            }
            ends_with(program, &signals, &expected);
            fs::remove_file(signals).unwrap();
        });
        ended.await.unwrap();
    }
}

fn swap(block: u64, pool: Address) -> Swap {
    let (amount, sqrt_price_x96) = (I128::from(1), U256::from_be_bytes([1; 32]));
    let key = Key { block, log_index: 0 };
    Swap::new(key, amount, amount, sqrt_price_x96, pool.into_array(), 0, false, U128::ZERO)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_of_pools_that_cannot_be_looked_up_are_counted_and_left_out() {
    let (known, other) = (first_rows(false)[0][0].parse().unwrap(), OTHER.parse().unwrap());
    for mut store in Store::servers() {
        store.start();
        let pools =
            Pools::new(Client::new(Some(&store.url()), first_rows(false)).unwrap(), Duration::MAX);
        let node = Node::builder("main").service(move || {
            let (pools, faults) = (pools.clone(), Faults::default());
            MetadataService { pools, confirms: false, faults }
        });
        let running = node.build().unwrap().start(Tokio::current().unwrap()).unwrap();
        let mut enriched = running.subscribe::<EnrichedSwap>("test", Policy::Block).unwrap();
        let mut swaps = running.publisher::<Swap>("test").unwrap();
        swaps.emit(swap(1, known)).await.unwrap();
        assert_eq!(enriched.recv().await.unwrap().message().unwrap().key.block, 1);
        store.kill();
        for (block, pool) in [(2, other), (3, known)] {
            swaps.emit(swap(block, pool)).await.unwrap();
        }
        assert_eq!(enriched.recv().await.unwrap().message().unwrap().key.block, 3);
        store.start();
        until_answers(&store).await;
        add(&store, "OTHER", "6");
        swaps.emit(swap(4, other)).await.unwrap();
        let swap = enriched.recv().await.unwrap().message().unwrap();
        assert_eq!((swap.key.block, swap.symbol0.as_str()), (4, "OTHER"));
        drop((enriched, swaps));
        running.shutdown();
        let report = running.join().await.unwrap();
        let unknown =
            Metric::of(&report.counters).into_iter().find_map(|metric| match metric.value {
                MetricValue::Counter(count) if metric.name == "unknown_swaps" => Some(count),
                _ => None,
            });
        assert_eq!(unknown, Some(1));
    }
}
