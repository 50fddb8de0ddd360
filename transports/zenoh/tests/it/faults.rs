//! What readers are told when something fails.
#![expect(clippy::disallowed_methods, reason = "Zenoh has real time")]

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mycelium::{Node, Policy};
use mycelium_core::link::packet::{START_LEN, write_list};
use mycelium_tokio::Tokio;
use mycelium_transports::local::Schema;
use mycelium_zenoh::Zenoh;
use zenoh::Wait;

use crate::support::{connecting, listening};
use crate::ticks::{Cable, Found, Reader, Tick, Ticking, end, free, reading};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_heals_is_an_exact_gap() {
    let (found, at) = (Found::default(), free());
    let there = reading(&found, listening(at));
    let cable = Cable::to(at);
    let clock = Ticking::start(connecting(cable.at));
    found.more(50).await;
    for _ in 0..3 {
        cable.cut();
        let before = clock.sent.load(Ordering::Relaxed);
        found.until(|_| clock.sent.load(Ordering::Relaxed) > before + 200).await;
        cable.mend();
        found.more(50).await;
    }
    clock.end().await;
    found.until(Found::is_whole).await;
    assert!(found.missed.load(Ordering::Relaxed) > 400, "{found:?}");
    assert_eq!(found.inexact.load(Ordering::Relaxed), 0);
    end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_stays_away_ends_with_an_inexact_gap() {
    let (found, at) = (Found::default(), free());
    let there = reading(&found, listening(at));
    let cable = Cable::to(at);
    let clock = Ticking::start(connecting(cable.at));
    found.more(50).await;
    cable.cut();
    found.until(|found| found.inexact.load(Ordering::Relaxed) == 1).await;
    clock.end().await;
    end(there).await;
}

/// Opens a session that no node has.
fn client(at: SocketAddr) -> zenoh::Session {
    let text = format!(
        "{{ mode: \"client\", connect: {{ endpoints: [\"tcp/{at}\"] }},
            scouting: {{ multicast: {{ enabled: false }} }} }}"
    );
    zenoh::open(zenoh::Config::from_json5(&text).unwrap()).wait().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_packet_is_ignored_and_the_others_arrive() {
    let (found, at) = (Found::default(), free());
    let there = reading(&found, listening(at));
    let clock = Ticking::start(connecting(at));
    found.more(50).await;
    let lies = tokio::task::spawn_blocking(move || {
        let liar = client(at);
        let digest = Schema::of::<Tick>().digest;
        for sender in 0..3000 {
            let key = format!("mycelium/ticks/{digest}/liar-{sender}");
            let lie: Vec<u8> = (0..sender as usize % 300).map(|byte| byte as u8 ^ 0xa1).collect();
            liar.put(&key, lie).wait().unwrap();
            liar.put(&key, Vec::new()).wait().unwrap();
        }
        let _ = liar.close().wait();
    });
    lies.await.unwrap();
    found.more(200).await;
    clock.end().await;
    found.until(Found::is_whole).await;
    assert_eq!(found.inexact.load(Ordering::Relaxed), 0);
    end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_were_never_present_are_forgotten() {
    let (found, at) = (Found::default(), free());
    let there = reading(&found, listening(at));
    let lies = tokio::task::spawn_blocking(move || {
        let liar = client(at);
        let digest = Schema::of::<Tick>().digest;
        let mut list = [0; START_LEN];
        write_list(&mut list, 0).unwrap();
        for sender in 0..3000 {
            liar.put(format!("mycelium/ticks/{digest}/liar-{sender}"), list).wait().unwrap();
        }
        let _ = liar.close().wait();
    });
    lies.await.unwrap();
    // It finds no place among them at first.
    let clock = Ticking::start(connecting(at));
    found.more(100).await;
    clock.end().await;
    end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_come_and_go_with_ten_thousand_declarations_disturb_nobody() {
    let (found, at) = (Found::default(), free());
    let there = reading(&found, listening(at));
    let clock = Ticking::start(connecting(at));
    found.more(50).await;
    let crowd = tokio::task::spawn_blocking(move || {
        let mut sessions = Vec::new();
        for peer in 0..50 {
            let session = client(at);
            for number in 0..200 {
                let key = format!("crowd/{peer}/{number}");
                let background = session.declare_subscriber(&key).callback(|_| {}).background();
                background.wait().unwrap();
            }
            sessions.push(session);
            if peer % 2 == 1 {
                let _ = sessions.remove(0).close().wait();
            }
        }
        sessions.into_iter().for_each(|session| _ = session.close().wait());
    });
    crowd.await.unwrap();
    found.more(200).await;
    let sent = clock.end().await;
    found.until(|found| found.next.load(Ordering::Relaxed) == sent).await;
    assert!(found.is_whole(), "{found:?}");
    assert_eq!(found.inexact.load(Ordering::Relaxed), 0);
    end(there).await;
}

fn start_of(zenoh: Zenoh) -> String {
    let node = Node::builder("there").service(|| Reader(Found::default()));
    let node = node.subscription("Reader", "ticks", Policy::DropOldest);
    let node = node.transport(zenoh, &[], &["ticks"]).build().unwrap();
    node.start(Tokio::current().unwrap()).unwrap_err().to_string()
}

#[tokio::test]
async fn a_router_that_cannot_be_reached_is_an_error_of_the_start() {
    let (begun, at) = (Instant::now(), free());
    let client = format!(
        "{{ mode: \"client\", connect: {{ endpoints: [\"tcp/{at}\"] }},
            scouting: {{ multicast: {{ enabled: false }} }} }}"
    );
    let error = start_of(Zenoh::from_json5(&client));
    let begins = "transport `zenoh` of node `there` failed: cannot open its session: ";
    assert!(error.starts_with(begins) && error.contains(&at.to_string()), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_configuration_that_is_not_valid_is_an_error_of_the_start() {
    let error = start_of(Zenoh::from_json5("{ mode: \"boss\" }"));
    let begins = "transport `zenoh` of node `there` failed: cannot use the configuration: ";
    assert!(error.starts_with(begins), "{error}");
    let error = start_of(Zenoh::from_file("/nowhere/z.json5"));
    let begins =
        "transport `zenoh` of node `there` failed: cannot use the file `/nowhere/z.json5`: ";
    assert!(error.starts_with(begins), "{error}");
}
