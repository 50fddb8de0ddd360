//! The process with the actors is killed, again and again, while requests are open: each request
//! has its outcome, those who watch learn of it, and the next process answers.

use std::process::{Child, Command, Stdio};

use mycelium::{ActorEnd, RequestError, Taken};

use super::*;

const DIRECTORY: &str = "MYCELIUM_REMOTE_DIRECTORY";
const TRANSPORT: &str = "MYCELIUM_REMOTE_TRANSPORT";

/// Runs the vault in a child: does nothing in the test itself.
#[test]
fn process() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let topology = topology(&std::env::var(TRANSPORT).unwrap(), Path::new(&directory));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let vault = start("vault", &topology);
        let (sent, mut kept) = unbounded_channel();
        let bank = move || Bank { kept: Some(sent.clone()), total: 0 };
        let _bank = vault.actors().actor(bank).name("bank").spawn().unwrap();
        let mut all = Vec::new();
        while let Some(asked) = kept.recv().await {
            all.push(asked);
        }
    });
}

struct Killed(Child);

impl Killed {
    fn start(directory: &Path, transport: &str) -> Killed {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["actors_remote::killed::process", "--exact", "--nocapture"])
            .env(DIRECTORY, directory)
            .env(TRANSPORT, transport)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Killed(child.unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

async fn kills(transport: &str) {
    let directory = Directory::new(&format!("killed-{transport}"));
    // The file has other addresses in each process.
    let topology = topology(transport, &directory.0);
    let desk = start("desk", &topology);
    let mut remote = desk.actors().remote::<Bank>("vault/bank").unwrap();
    for _ in 0..3 {
        let vault = Killed::start(&directory.0, transport);
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
        vault.kill();
        let (taken, actor) = (Taken::Unknown, Some(remote.label()));
        assert_eq!(within(open).await, Err(RequestError::Unreachable { taken, actor }));
        let gone = within(ends.recv()).await.unwrap();
        assert_eq!((&*gone.actor, gone.end), ("vault/bank", ActorEnd::Unreachable));
    }
    end(desk).await;
}

#[tokio::test]
async fn a_process_that_is_killed_is_unreachable_and_the_next_one_answers_over_unix() {
    kills("unix").await;
}

#[tokio::test]
#[cfg(target_pointer_width = "64")]
async fn a_process_that_is_killed_is_unreachable_and_the_next_one_answers_over_shm() {
    kills("shm").await;
}
