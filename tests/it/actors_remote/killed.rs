//! The process with the actors is killed again and again while requests are open: each request has
//! an outcome, watchers learn of the end, and the next process answers.

use std::process::Stdio;

use mycelium::actors::ActorEnd;
use mycelium::requests::{RequestError, Taken};

use super::*;
use crate::support::{Process, in_role};

const DIRECTORY: &str = "MYCELIUM_REMOTE_DIRECTORY";

/// Runs the vault in a child process; returns at once in the test run itself.
#[test]
fn process() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let topology = topology("unix", Path::new(&directory));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let vault = start("vault", &topology);
        let (_bank, mut kept) = keeping(&vault, "bank");
        let mut all = Vec::new();
        while let Some(asked) = kept.recv().await {
            all.push(asked);
        }
    });
}

#[tokio::test]
async fn a_process_that_is_killed_is_unreachable_and_the_next_one_answers() {
    let directory = Directory::new("remote-killed");
    // The topology file has other addresses in each process.
    let topology = topology("unix", &directory.0);
    let desk = start("desk", &topology);
    let mut remote = desk.actors().remote::<Bank>("vault/bank").unwrap();
    for _ in 0..3 {
        let vault = in_role("actors_remote::killed::process")
            .env(DIRECTORY, &directory.0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let vault = Process(vault.unwrap());
        let total = loop {
            match within(remote.ask(Deposit { cents: 1 })).await {
                Ok(total) => break total,
                Err(
                    RequestError::NotFound { .. }
                    | RequestError::Unreachable { taken: Taken::No, .. },
                ) => {}
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(total, Total { cents: 1 }, "it is another process");
        let (_watcher, mut ends) = watch(&desk.actors(), &["vault/bank"]);
        let open = remote.ask(Deposit { cents: KEEP });
        assert_eq!(within(remote.ask(Deposit { cents: 1 })).await, Ok(Total { cents: 2 }));
        drop(vault);
        let (taken, actor) = (Taken::Unknown, Some(remote.label()));
        assert_eq!(within(open).await, Err(RequestError::Unreachable { taken, actor }));
        let gone = within(ends.recv()).await.unwrap();
        assert_eq!((&*gone.actor, gone.end), ("vault/bank", ActorEnd::Unreachable));
    }
    end(desk).await;
}
