//! The process that answers is killed, again and again, while requests are open: each request has
//! its outcome, no request is taken twice, and the next process answers.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use mycelium::{Context, Node, RequestError, Result, Taken, Topology, service};
use mycelium_tokio::Tokio;

use super::{Ask, Directory, ask, double, topology};

const NODE: &str = "MYCELIUM_REQUESTS_DIRECTORY";
const TRANSPORT: &str = "MYCELIUM_REQUESTS_TRANSPORT";

/// Writes down each request that it takes, and answers every second one.
struct Scribe(Mutex<File>);

#[service(answers(Ask))]
impl Scribe {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut requests = ctx.requests::<Ask>();
        let mut kept = Vec::new();
        while let Some(asked) = requests.recv().await {
            let line = format!("{}\n", asked.value);
            // One write: a kill leaves a whole line or none.
            self.0.get_mut().unwrap().write_all(line.as_bytes())?;
            match asked.value % 2 {
                0 => _ = asked.reply_with(|ask| double(ask.value)),
                _ => kept.push(asked),
            }
        }
        Ok(())
    }
}

fn taken_file(directory: &Path) -> PathBuf {
    directory.join("taken")
}

/// Runs the answering node in a child: does nothing in the test itself.
#[test]
fn process() {
    let Ok(directory) = std::env::var(NODE) else { return };
    let directory = PathBuf::from(directory);
    let transport = std::env::var(TRANSPORT).unwrap();
    let file = OpenOptions::new().create(true).append(true).open(taken_file(&directory)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let file = Mutex::new(file);
        let node = Node::builder("oracle")
            .topology(topology(&transport, &directory))
            .named_service("Answerer", move || {
                Scribe(Mutex::new(file.lock().unwrap().try_clone().unwrap()))
            })
            .named_service("Caller", || NeverRun);
        node.build().unwrap().run(Tokio::current().unwrap()).await.unwrap();
    });
}

/// The service of the other node: its declaration is what counts here.
struct NeverRun;

#[service(requests(Ask))]
impl NeverRun {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        unreachable!("the topology places it elsewhere")
    }
}

/// Stays until the shutdown: the node's requests come from outside the services.
struct Stays;

#[service(requests(Ask))]
impl Stays {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.shutdown_requested().await;
        Ok(())
    }
}

struct Killed(Child);

impl Killed {
    fn start(directory: &Path, transport: &str) -> Killed {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["killed::process", "--exact", "--nocapture"])
            .env(NODE, directory)
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
    let topology: Topology = topology(transport, &directory.0);
    let node = Node::builder("desk")
        .topology(topology)
        .named_service("Caller", || Stays)
        .named_service("Answerer", || super::Answerer(Default::default()));
    let running = node.build().unwrap().start(Tokio::current().unwrap()).unwrap();
    let mut requester = running.requester::<Ask>("test").unwrap();
    let mut value = 0;
    let mut even = || {
        value += 2;
        value
    };
    let mut answered = Vec::new();
    for _ in 0..5 {
        let oracle = Killed::start(&directory.0, transport);
        // Those that came while nobody answered wait for this process.
        for _ in 0..20 {
            let value = even();
            assert_eq!(requester.request(ask(value)).await, Ok(double(value)));
            answered.push(value);
        }
        // Held when the process is killed: the reply to a later one shows it.
        let value = even();
        let kept = requester.request(ask(value + 1)).within(Duration::from_secs(60));
        assert_eq!(requester.request(ask(value)).await, Ok(double(value)));
        answered.push(value);
        oracle.kill();
        assert_eq!(kept.await, Err(RequestError::Unreachable { taken: Taken::Unknown }));
        // Nothing is sent meanwhile.
        let short = Duration::from_millis(20);
        let unsent = requester.request(ask(even())).within(short).await;
        assert_eq!(unsent, Err(RequestError::Unreachable { taken: Taken::No }));
    }
    drop(requester);
    running.shutdown();
    running.join().await.unwrap();
    let text = fs::read_to_string(taken_file(&directory.0)).unwrap();
    let mut taken: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert!(answered.iter().all(|value| taken.contains(value)));
    let count = taken.len();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), count, "a request was taken twice");
}

#[tokio::test]
async fn a_process_that_is_killed_fails_what_it_had_and_the_next_one_answers_over_unix() {
    kills("unix").await;
}

#[tokio::test]
#[cfg(target_pointer_width = "64")]
async fn a_process_that_is_killed_fails_what_it_had_and_the_next_one_answers_over_shm() {
    kills("shm").await;
}
