//! The program with each store: the signals are the same, also while a server is away, slow or
//! broken.

mod proxy;
mod server;
mod servers;

use std::{fs, path::Path, time::Duration};

use bandit::{metadata::first_rows, stores::Client};

use self::server::{Kind, Store};
use crate::program::{Program, command, ran, undisturbed};

const WAITS: &str = "the service waits for its store";
const IS_AWAY: &str = "known pools are served from the cache";
const IS_BACK: &str = "the store answers again";

fn start(store: &str, signals: &Path, arguments: &[&str]) -> Program {
    let signals = ["--store", store, "--signals", signals.to_str().unwrap()];
    Program::start(command(&[arguments, &signals].concat()))
}

/// Waits for the end of a program, whose signals have to be these.
fn ends_with(program: Program, signals: &Path, expected: &[u8]) {
    let (succeeded, output) = program.end();
    assert!(succeeded, "{output}");
    assert_eq!(fs::read(signals).unwrap(), expected, "{output}");
    assert!(!output.contains("unknown") && !output.contains("secret"), "{output}");
}

/// Waits until signals are written: the day has begun.
fn has_begun(program: &mut Program, signals: &Path) {
    program.until("signals", |_| {
        let text = fs::read_to_string(signals).unwrap_or_default();
        (text.lines().count() > 3).then_some(())
    });
}

fn says(program: &mut Program, text: &str, times: usize) {
    program.until(text, |output| (output.matches(text).count() >= times).then_some(()));
}

#[test]
fn each_store_gives_the_same_signals_to_programs_that_start_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let expected = undisturbed(directory.path());
    for store in Store::all() {
        let mut ways = vec![&["--executor", "tokio"][..], &["--executor", "smol"], &["bundled"]];
        if cfg!(all(target_os = "linux", feature = "glommio")) {
            ways.push(&["--executor", "glommio"]);
        }
        let programs: Vec<_> = (0..)
            .zip(ways)
            .map(|(number, way)| {
                let signals = directory.path().join(format!("{:?}-{number}", store.kind));
                (start(&store.url(), &signals, way), signals)
            })
            .collect();
        for (program, signals) in programs {
            ends_with(program, &signals, &expected);
        }
    }
}

/// A pool that a new store does not have.
const OTHER: &str = "0x0707070707070707070707070707070707070707";

/// Adds the row of [`OTHER`], with this symbol and these decimals.
fn add(store: &Store, symbol: &str, decimals: &str) {
    let [_, token0, _, _, token1, ..] = first_rows(false)[0];
    let sql = format!(
        "DELETE FROM pools WHERE address = '{OTHER}'; INSERT INTO pools VALUES ('{OTHER}', \
         '{token0}', '{symbol}', {decimals}, '{token1}', 'WETH', 18, 500);"
    );
    let commands = format!(
        "HSET bandit:pool:{OTHER} token0 {token0} symbol0 \"{symbol}\" decimals0 {decimals} \
         token1 {token1} symbol1 WETH decimals1 18 fee_millionths 500\n\
         ZADD bandit:pools 0 {OTHER}\n"
    );
    store.execute(&sql, &commands);
}

/// Waits until a server that was started again takes queries.
async fn until_answers(store: &Store) {
    let client = Client::new(Some(&store.url()), first_rows(false)).unwrap();
    for _ in 0..100 {
        if client.rows(None).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the store does not answer");
}

#[tokio::test]
async fn rows_that_are_no_pools_name_their_field() {
    let other = OTHER.parse().unwrap();
    for store in Store::all() {
        until_answers(&store).await;
        let client = Client::new(Some(&store.url()), first_rows(false)).unwrap();
        for (symbol, decimals, expected) in [
            ("OTHER", "256", "`decimals0` is `256`, expected a number from 0 to 255"),
            ("OTHER", "-1", "`decimals0` is `-1`, expected a number from 0 to 255"),
            (&"S".repeat(1 << 20), "6", "`symbol0` is `SSS"),
            ("\u{1b}[31m", "6", "`symbol0` is `\\u{1b}[31m`, expected a symbol of 1 to 64 bytes"),
        ] {
            add(&store, symbol, decimals);
            let rows = client.rows(Some(other)).await.unwrap();
            let error = rows[0].pool().unwrap_err().to_string();
            assert!(error.contains(OTHER) && error.contains(expected), "{expected}: {error}");
            assert!(rows[0].0.iter().flatten().all(|text| text.len() <= 65));
            let all = client.rows(None).await.unwrap();
            assert_eq!(all.iter().filter(|row| row.pool().is_ok()).count(), 2, "the others");
        }
        // Another type, and then a field that is missing.
        let column = match store.kind {
            Kind::Postgres => "ALTER TABLE pools ALTER COLUMN decimals0 TYPE text;",
            _ => "",
        };
        let sql = format!("{column} UPDATE pools SET symbol0 = 'USDC', decimals0 = 'six';");
        store.execute(&sql, &format!("HSET bandit:pool:{OTHER} symbol0 USDC decimals0 six\n"));
        let rows = client.rows(Some(other)).await.unwrap();
        let error = rows[0].pool().unwrap_err().to_string();
        assert!(error.contains("`decimals0` is `six`, expected a number"), "{error}");
        let sql = "ALTER TABLE pools DROP COLUMN decimals0;";
        store.execute(sql, &format!("HDEL bandit:pool:{OTHER} decimals0\n"));
        let error = match client.rows(Some(other)).await {
            Ok(rows) => rows[0].pool().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains("decimals0"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_that_cannot_be_used_end_the_program_at_once() {
    for store in Store::all() {
        until_answers(&store).await;
        let newer = match store.kind {
            Kind::Sqlite => "PRAGMA user_version = 7",
            _ => "UPDATE bandit_version SET version = 7;",
        };
        store.execute(newer, "SET bandit:version 7\n");
        let wrong = match store.kind {
            Kind::Sqlite => (format!("{}/none", store.url()), "it cannot be used: unable to open"),
            Kind::Postgres => (format!("{}x", store.url()), "\"postgresx\" does not exist"),
            Kind::Redis => (store.url().replace("://", "://user:secret@"), "it cannot be used: "),
        };
        let newer = (store.url(), "it has version 7, and this program knows versions up to 1");
        for (url, expected) in [newer, wrong] {
            for arguments in [&["--store", url.as_str()][..], &["bundled", "--store", &url]] {
                let command = command(arguments);
                let (succeeded, output) =
                    tokio::task::spawn_blocking(|| ran(command)).await.unwrap();
                assert!(!succeeded && output.contains(expected), "{expected}: {output}");
                assert!(!output.contains(WAITS) && !output.contains("secret"), "{output}");
            }
        }
    }
}

/// Files of earlier programs have no version.
#[tokio::test]
async fn a_file_without_a_version_keeps_what_the_user_changed() {
    let store = Store::sqlite();
    until_answers(&store).await;
    store.execute("UPDATE pools SET symbol0 = 'MINE'; PRAGMA user_version = 0", "");
    for _ in 0..2 {
        let client = Client::new(Some(&store.url()), first_rows(false)).unwrap();
        let rows = client.rows(None).await.unwrap();
        let symbols: Vec<_> = rows.iter().map(|row| row.pool().unwrap().symbols).collect();
        assert_eq!(symbols, [["MINE", "WETH"]; 2]);
        // Once it has a version, a row that the user removes does not come back.
        store.execute("DELETE FROM pools WHERE fee_millionths = 0", "");
    }
}

/// Another program that writes the file for long is a store that is away.
#[test]
fn a_file_that_is_locked_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let expected = undisturbed(directory.path());
    let store = Store::sqlite();
    let other = rusqlite::Connection::open(store.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let signals = directory.path().join("signals");
    let mut program = start(&store.url(), &signals, &[]);
    says(&mut program, WAITS, 2);
    other.execute_batch("COMMIT").unwrap();
    ends_with(program, &signals, &expected);
}

#[cfg(not(feature = "postgres"))]
#[test]
fn a_store_that_was_left_out_names_its_feature() {
    let (succeeded, output) = ran(command(&["--store", "postgres://user:secret@host"]));
    let error =
        "error: this program was built without postgres: build it with `--features postgres`\n";
    assert!(!succeeded && output == error, "{output}");
}
