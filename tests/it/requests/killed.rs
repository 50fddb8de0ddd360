//! The answering process is killed again and again while requests are open: each request has an
//! outcome, none is taken twice, and the next process answers. A process that is stopped, and
//! leaves no room for calls or answers, blocks neither outcomes nor the end of a node.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join_all;
use mycelium::counters::Kind;
use mycelium::requests::Asked;
use mycelium::{Context, Node, Request, Result, Running, service};
use mycelium_core::message::CallHead;
use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::{Ask, LOST, UNSENT, ask, conserved, double, parsed, text, text_of};
use crate::running::{end, run, start};
use crate::support::{Directory, Process, TRANSPORTS, idle_services, in_role};

const NODE: &str = "MYCELIUM_REQUESTS_DIRECTORY";
/// The variable with the text of the topology.
const TEXT: &str = "MYCELIUM_REQUESTS_TOPOLOGY";

/// The handler of this request also answers the requests that were kept.
pub(super) const ALL: u64 = 1 << 40;

/// Writes down each request that it takes, and answers every second one.
struct Scribe(File);

#[service(answers(Ask))]
impl Scribe {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut requests = ctx.requests::<Ask>();
        let mut kept = Vec::<Asked<Ask>>::new();
        while let Some(asked) = requests.recv().await {
            let line = format!("{}\n", asked.value);
            // A single write, so that a kill leaves a whole line or none.
            self.0.write_all(line.as_bytes())?;
            if asked.value == ALL {
                kept.drain(..).for_each(|asked| _ = asked.reply_with(|ask| double(ask.value)));
            }
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

/// Runs the answering node in a child process; returns at once in the test run itself.
#[test]
fn process() {
    let Ok(directory) = std::env::var(NODE) else { return };
    let directory = PathBuf::from(directory);
    let topology = parsed(&std::env::var(TEXT).unwrap(), &directory);
    let file = OpenOptions::new().create(true).append(true).open(taken_file(&directory)).unwrap();
    let scribe = move || Scribe(file.try_clone().unwrap());
    let node = Node::builder("oracle").topology(topology).named_service("Answerer", scribe);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(node.named_service("Caller", || Stays)));
}

idle_services! {
    // The node's requests come from outside the services. The answering node needs this
    // declaration.
    Stays(requests(Ask));
    // Declares, for the flooding process, the reader in the other node.
    Reads(reads(Call as calls));
}

/// Starts the answering process with this topology.
pub(super) fn answering(text: &str, directory: &Path) -> Process {
    spawn("process", text, directory)
}

fn spawn(role: &str, text: &str, directory: &Path) -> Process {
    let mut command = in_role(&format!("requests::killed::{role}"));
    command.env(NODE, directory).env(TEXT, text);
    Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// Stops the process with `SIGSTOP`; its connections stay open.
fn stop(process: &Process) {
    let id = Pid::from_child(&process.0);
    kill_process(id, Signal::STOP).unwrap();
    // Each thread stops when it next enters or leaves the kernel, and may answer until then.
    retry_on_intr(|| waitid(WaitId::Pid(id), WaitIdOptions::STOPPED)).unwrap();
}

/// Starts one of the nodes in this process.
fn running(name: &str, text: &str, directory: &Path) -> Running {
    let node = Node::builder(name).topology(parsed(text, directory));
    let node = node.named_service("Caller", || Stays);
    start(node.named_service("Answerer", || super::Answerer(Default::default())))
}

#[tokio::test]
async fn a_process_that_is_killed_fails_what_it_had_and_the_next_one_answers() {
    for transport in TRANSPORTS {
        let directory = Directory::new(&format!("requests-killed-{transport}"));
        let text = text(transport);
        let running = running("desk", &text, &directory.0);
        let mut requester = running.requester::<Ask>("test").unwrap();
        let mut value = 0;
        let mut even = || {
            value += 2;
            value
        };
        let mut answered = Vec::new();
        for _ in 0..5 {
            let oracle = answering(&text, &directory.0);
            // Requests that were made while nobody answered wait for this process.
            for _ in 0..20 {
                let value = even();
                assert_eq!(requester.request(ask(value)).await, Ok(double(value)));
                answered.push(value);
            }
            // The service holds this request when the process is killed: a later one already has
            // its reply.
            let value = even();
            let kept = requester.request(ask(value + 1));
            assert_eq!(requester.request(ask(value)).await, Ok(double(value)));
            answered.push(value);
            drop(oracle);
            assert_eq!(kept.await, Err(LOST));
            // Nobody is connected, so this request is not sent.
            let short = Duration::from_millis(20);
            assert_eq!(requester.request(ask(even())).within(short).await, Err(UNSENT));
        }
        drop(requester);
        end(running).await;
        let text = fs::read_to_string(taken_file(&directory.0)).unwrap();
        let mut taken: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert!(answered.iter().all(|value| taken.contains(value)));
        let count = taken.len();
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), count, "a request was taken twice");
    }
}

/// Returns a text with small rings, and links that soon notice a stopped process.
fn small(topic: &str, transport: &str) -> String {
    let link = "keep_alive = \"100ms\"\nsilence = \"500ms\"\nwindow = \"1 KiB\"";
    text_of(&["", "shutdown = \"3s\""], topic, transport, link)
}

/// Cancelled requests fill the ring of calls: each is a call and a cancellation.
#[tokio::test]
async fn a_stopped_process_that_leaves_no_room_for_calls_holds_up_nothing() {
    for transport in TRANSPORTS {
        let directory = Directory::new(&format!("requests-stopped-{transport}"));
        let text = small("doubles", transport);
        let running = running("desk", &text, &directory.0);
        let mut requester = running.requester::<Ask>("test").unwrap();
        let oracle = answering(&text, &directory.0);
        assert_eq!(requester.request(ask(2)).await, Ok(double(2)));
        stop(&oracle);
        let open = requester.request(ask(4));
        let mut outcomes = Vec::new();
        while !outcomes.contains(&Err(UNSENT)) {
            let short = Duration::from_millis(1);
            let requests = (0..8).map(|value| requester.request(ask(value)).within(short));
            outcomes = join_all(requests.collect::<Vec<_>>()).await;
            assert!(outcomes.iter().all(Result::is_err));
        }
        assert_eq!(open.await, Err(LOST));
        drop(requester);
        conserved(&end(running).await.counters);
    }
}

/// The call of a request, which a process can send beyond its own limits.
type Call = <Ask as Request>::Call;

const CALLS: &str = "doubles@desk.calls";

/// Sends calls without end, and reads no answers.
struct Floods;

#[service(emits(Call as calls))]
impl Floods {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0.. {
            let head = CallHead { number, time_left: u64::MAX };
            ctx.on(Self::calls).emit(Ask::to_call(head, ask(number))).await?;
        }
        Ok(())
    }
}

/// Runs the flooding node in a child process; returns at once in the test run itself.
#[test]
fn flood() {
    let Ok(directory) = std::env::var(NODE) else { return };
    let topology = parsed(&std::env::var(TEXT).unwrap(), Path::new(&directory));
    let node = Node::builder("desk")
        .topology(topology)
        .named_service("Caller", || Floods)
        .named_service("Answerer", || Reads)
        .bind("Caller", "calls", CALLS)
        .bind("Answerer", "calls", CALLS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(node));
}

#[tokio::test]
async fn a_process_that_takes_no_answers_holds_up_nothing() {
    for transport in TRANSPORTS {
        let directory = Directory::new(&format!("requests-flood-{transport}"));
        let running = running("oracle", &small("doubles", transport), &directory.0);
        let desk = spawn("flood", &small(CALLS, transport), &directory.0);
        // Requests within this node are answered all the time, even when answers to the other node
        // wait.
        let mut requester = running.requester::<Ask>("test").unwrap();
        let has_room = || {
            let lines = running.counters();
            let mut lines = lines.iter().filter(|line| line.kind == Kind::Requester);
            let line = lines.find(|line| line.label("requester") == "answers:doubles@desk");
            // The ring of answers has 16 slots.
            line.is_none_or(|line| line.value("replied") <= 16)
        };
        while has_room() {
            assert_eq!(requester.request(ask(2)).await, Ok(double(2)));
        }
        assert_eq!(requester.request(ask(2)).await, Ok(double(2)));
        drop(requester);
        conserved(&end(running).await.counters);
        drop(desk);
    }
}
