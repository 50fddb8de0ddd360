//! What readers are told when something fails.
#![expect(clippy::disallowed_methods, reason = "NATS has real time")]

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mycelium::{Node, Policy, Running};
use mycelium_nats::{JetStream, Nats};
use mycelium_tokio::Tokio;
use mycelium_transports::local::Schema;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::server::Server;
use crate::ticks::{Cable, Found, Reader, Tick, Ticking, end, free, reading};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_heals_is_an_exact_gap() {
    let Some(server) = Server::start().await else { return };
    let found = Found::default();
    let there = reading(&found, Nats::server(&server.url()));
    let cable = Cable::to(server.at);
    let clock = Ticking::start(Nats::server(&format!("nats://{}", cable.at)));
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

/// Kills the server, starts it again after this time, and returns the number of inexact gaps.
async fn a_server_that_is_away_for(time: Duration) -> Option<u64> {
    let mut server = Server::start().await?;
    let found = Found::default();
    let there = reading(&found, Nats::server(&server.url()));
    let clock = Ticking::start(Nats::server(&server.url()));
    found.more(50).await;
    server.kill();
    tokio::time::sleep(time).await;
    server.start_again().await;
    found.more(200).await;
    clock.end().await;
    let inexact = found.inexact.load(Ordering::Relaxed);
    if inexact == 0 {
        found.until(Found::is_whole).await;
    }
    end(there).await;
    Some(inexact)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_shortly_is_an_exact_gap() {
    for millis in [0, 100, 1000, 5000] {
        let Some(inexact) = a_server_that_is_away_for(Duration::from_millis(millis)).await else {
            return;
        };
        assert_eq!(inexact, 0, "{millis} ms");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_for_long_ends_what_was_open() {
    let away = |seconds| a_server_that_is_away_for(Duration::from_secs(seconds));
    let inexact: [Option<u64>; 2] = tokio::join!(away(15), away(60)).into();
    assert!(inexact.iter().flatten().all(|inexact| *inexact == 1), "{inexact:?}");
}

/// Kills the server at random moments while a node publishes as fast as it can, and checks that
/// each message is received or missed. Returns how many were missed. `NATS_KILLS` has the number of
/// kills.
async fn a_server_that_is_killed(
    read: impl Fn(&Found, &str) -> Running,
    publish: impl Fn(&str) -> Ticking,
) -> Option<u64> {
    let mut server = Server::start().await?;
    let kills = std::env::var("NATS_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let found = Found::default();
    let there = read(&found, &server.url());
    let clock = publish(&server.url());
    let mut random = 42_u64;
    for _ in 0..kills {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        found.more(1).await;
        tokio::time::sleep(Duration::from_micros((random >> 32) % 20_000)).await;
        server.kill();
        server.start_again().await;
    }
    found.more(1).await;
    let sent = clock.end().await;
    found.until(|found| found.next.load(Ordering::Relaxed) == sent).await;
    assert!(found.is_whole(), "{found:?} of {sent}");
    assert_eq!(found.inexact.load(Ordering::Relaxed), 0);
    end(there).await;
    Some(found.missed.load(Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_often_the_server_is_killed_each_message_is_received_or_missed() {
    let read = |found: &Found, url: &str| reading(found, Nats::server(url));
    a_server_that_is_killed(read, |url| Ticking::flood(Nats::server(url))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_often_the_server_is_killed_each_stored_message_is_received() {
    let read = |found: &Found, url: &str| crate::stored::reading(found, url);
    let publish = |url: &str| Ticking::flood(JetStream::server(url));
    let missed = a_server_that_is_killed(read, publish).await;
    assert!(missed.is_none_or(|missed| missed == 0), "{missed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_nothing_does_not_delay_publishers() {
    let Some(server) = Server::start().await else { return };
    let found = Found::default();
    let there = reading(&found, Nats::server(&server.url()));
    let clock = Ticking::start(Nats::server(&server.url()));
    found.more(50).await;
    server.signal("-STOP");
    let before = clock.sent.load(Ordering::Relaxed);
    found.until(|_| clock.sent.load(Ordering::Relaxed) > before + 2000).await;
    server.signal("-CONT");
    found.more(200).await;
    clock.end().await;
    found.until(Found::is_whole).await;
    end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_packet_is_ignored_and_the_others_arrive() {
    let Some(server) = Server::start().await else { return };
    let found = Found::default();
    let there = reading(&found, Nats::server(&server.url()));
    let clock = Ticking::start(Nats::server(&server.url()));
    found.more(50).await;
    let liar = async_nats::connect(server.url()).await.unwrap();
    let digest = Schema::of::<Tick>().digest;
    for sender in 0..3000 {
        let lie: Vec<u8> = (0..sender as usize % 300).map(|byte| byte as u8 ^ 0xa1).collect();
        for digest in [digest.to_string(), "other".to_owned()] {
            let subject = format!("mycelium.ticks.{digest}.liar-{sender}");
            liar.publish(subject, lie.clone().into()).await.unwrap();
        }
    }
    found.more(200).await;
    clock.end().await;
    found.until(Found::is_whole).await;
    assert_eq!(found.inexact.load(Ordering::Relaxed), 0);
    end(there).await;
}

fn start_of(nats: Nats) -> String {
    let node = Node::builder("there").service(|| Reader(Found::default()));
    let node = node.subscription("Reader", "ticks", Policy::DropOldest);
    let node = node.transport(nats, &[], &["ticks"]).build().unwrap();
    let error = node.start(Tokio::current().unwrap()).unwrap_err().to_string();
    let begins = "transport `nats` of node `there` failed: ";
    error.strip_prefix(begins).unwrap_or_else(|| panic!("{error}")).to_owned()
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_an_error_of_the_start() {
    let (begun, at) = (Instant::now(), free());
    let error = start_of(Nats::server(&format!("nats://user:secret@{at}")));
    let begins = format!("cannot connect to the server at nats://…@{at}: ");
    assert!(error.starts_with(&begins) && !error.contains("secret"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_user_that_the_server_does_not_know_is_an_error_of_the_start() {
    let users = "authorization { users: [\
         { user: feed, password: right },\
         { user: mute, password: right, permissions: { publish: \"x\", subscribe: \"y\" } },\
         { user: reader, password: right,\
           permissions: { publish: { deny: \"mycelium-stored.>\" } } } ] }";
    let Some(server) = Server::with(users).await else { return };
    let begun = Instant::now();
    let error = start_of(Nats::server(&format!("nats://feed:wrong@{}", server.at)));
    assert!(error.contains("authorization violation"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    let error = start_of(Nats::server(&format!("nats://mute:right@{}", server.at)));
    assert!(error.contains("Permissions Violation"), "{error}");
    let reader = JetStream::server(&format!("nats://reader:right@{}", server.at));
    let node = Node::builder("here").service(|| crate::nodes::Flood);
    let node = node.transport(reader, &["ticks"], &[]).build().unwrap();
    let error = node.start(Tokio::current().unwrap()).unwrap_err().to_string();
    assert!(error.contains("Permissions Violation for Publish"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_an_error_of_the_start() {
    let directory = std::env::temp_dir().join(format!("mycelium-nats-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let mut expired = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    expired.not_after = date_time_ymd(2020, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = expired.self_signed(&key).unwrap().pem();
    std::fs::write(directory.join("server.pem"), certificate).unwrap();
    std::fs::write(directory.join("server.key"), key.serialize_pem()).unwrap();
    let at = directory.display();
    let tls = format!("tls {{ cert_file: \"{at}/server.pem\", key_file: \"{at}/server.key\" }}");
    let Some(server) = Server::with(&tls).await else { return };
    let context = format!("{{ \"url\": \"tls://{}\", \"ca\": \"server.pem\" }}", server.at);
    std::fs::write(directory.join("context.json"), context).unwrap();
    let error = start_of(Nats::from_file(directory.join("context.json")));
    assert!(error.contains("expired"), "{error}");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
async fn a_topic_whose_messages_are_longer_than_the_server_takes_is_an_error_of_the_start() {
    let Some(server) = Server::with("max_payload: 1000").await else { return };
    let node = Node::builder("main").service(|| crate::nodes::Flood);
    let node = node.transport(Nats::server(&server.url()), &["ticks"], &[]).build().unwrap();
    let error = node.start(Tokio::current().unwrap()).unwrap_err().to_string();
    assert!(
        error.contains("topic `ticks` has messages of up to 8 bytes, which need packets of "),
        "{error}"
    );
}

#[tokio::test]
async fn a_context_that_is_not_valid_is_an_error_of_the_start() {
    let error = start_of(Nats::from_file("/nowhere/context.json"));
    assert!(error.starts_with("cannot use the file `/nowhere/context.json`: No such"), "{error}");
    let file = std::env::temp_dir().join(format!("mycelium-nats-{}.json", std::process::id()));
    for (text, expected) in [
        ("{ \"urls\": \"\" }", "unknown field `urls`, expected one of `description`"),
        ("{ \"socks_proxy\": \"x\" }", "`socks_proxy` is not supported: expected \"\""),
        ("{ \"url\": \"ftp://x\" }", "cannot connect"),
        ("{ \"creds\": \"nowhere\" }", "of `creds`: "),
        ("{ \"nkey\": \"nowhere\" }", "of `nkey`: No such file"),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = start_of(Nats::from_file(&file));
        assert!(error.contains(expected), "{error}");
    }
    std::fs::remove_file(file).unwrap();
}
