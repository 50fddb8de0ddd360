//! The process of a reader that does not hold the publisher is killed: its next process gets what
//! was sent while no process lived. The process of a publisher is killed: the link to its next
//! process lasts.

use std::io::{self, BufRead, BufReader, Write, stdout};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mycelium::{Context, Delivery, Node, Result, Topology, service};

use crate::numbers::Number;
use crate::running::{end, of_links, run, start, until};
use crate::support::{Directory, Process, TRANSPORTS, idle_services, in_role};

const DIRECTORY: &str = "MYCELIUM_KILLED_DIRECTORY";
const FIRST: &str = "MYCELIUM_KILLED_FIRST";
const TRANSPORT: &str = "MYCELIUM_KILLED_TRANSPORT";

idle_services! { Source(emits(Number)); }

/// Gives the number of each message to a function.
struct Printer(fn(u64) -> io::Result<()>);

#[service(reads(Number))]
impl Printer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        while let Some(delivery) = numbers.recv().await {
            if let Delivery::Msg(number) = delivery {
                (self.0)(number.value)?;
            }
        }
        Ok(())
    }
}

fn topology(transport: &str, directory: &Path) -> Topology {
    let text = format!(
        r#"
[node.here]
services = ["Source"]
[node.there]
services = ["Printer"]
[topic.numbers]
capacity = 4096
[subscription."Printer.numbers"]
policy = "drop-oldest"
[link.default]
transport = "{transport}"
retry = "1ms"
max_retry = "20ms"
keep_alive = "100ms"
"#
    );
    Topology::parse("killed.toml", &text).unwrap().in_directory(directory)
}

fn print(number: u64) -> io::Result<()> {
    writeln!(stdout(), "number {number}")
}

/// Runs the reader in a child process; returns at once in the test run itself.
#[test]
fn process() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let topology = topology(&std::env::var(TRANSPORT).unwrap(), Path::new(&directory));
    let node = Node::builder("there").topology(topology);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(node.service(|| Printer(print)).service(|| Source)));
}

/// Starts the reader's process, and returns it with the numbers that it will print.
fn reader(transport: &str, directory: &Path) -> (Process, impl Iterator<Item = u64>) {
    let mut command = in_role("nodes::killed::process");
    command.env(DIRECTORY, directory).env(TRANSPORT, transport);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let numbers = lines.filter_map(|line| line.unwrap().strip_prefix("number ")?.parse().ok());
    (Process(child), numbers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_while_no_reader_lives_is_delivered_to_the_next_one() {
    for transport in TRANSPORTS {
        let directory = Directory::new(&format!("killed-{transport}"));
        let topology = topology(transport, &directory.0);
        let node = Node::builder("here").topology(topology).service(|| Source);
        let here = start(node.service(|| Printer(print)));
        let mut publisher = here.publisher::<Number>("source").unwrap();
        let (first, mut seen) = reader(transport, &directory.0);
        until(|| of_links(&here, "connections") > 0).await;
        for value in 1..=50 {
            publisher.emit(Number { value }).await.unwrap();
        }
        // By then a reader over shared memory reads there.
        assert!(seen.any(|value| value == 50), "{transport}");
        drop(first);
        until(|| of_links(&here, "errors") > 0).await;
        // The link may end before the death is seen. What is sent until then becomes a gap.
        for value in 51..=150 {
            publisher.emit(Number { value }).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (_second, mut seen) = reader(transport, &directory.0);
        until(|| of_links(&here, "connections") > 1).await;
        publisher.emit(Number { value: 151 }).await.unwrap();
        assert!(seen.next().is_some_and(|value| value < 150), "{transport}");
        drop(publisher);
        end(here).await;
    }
}

/// Runs the publisher in a child process, which sends numbers from the one that it gets on; returns
/// at once in the test run itself.
#[test]
fn publishing_process() {
    let (Ok(directory), Ok(first)) = (std::env::var(DIRECTORY), std::env::var(FIRST)) else {
        return;
    };
    let topology = topology(&std::env::var(TRANSPORT).unwrap(), Path::new(&directory));
    let node = Node::builder("here").topology(topology).service(|| Printer(print));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let here = start(node.service(|| Source));
        let mut publisher = here.publisher::<Number>("source").unwrap();
        for value in first.parse().unwrap().. {
            publisher.emit(Number { value }).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

fn publisher(transport: &str, directory: &Path, first: u64) -> Process {
    let mut command = in_role("nodes::killed::publishing_process");
    command.env(DIRECTORY, directory).env(TRANSPORT, transport).env(FIRST, first.to_string());
    Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_link_to_the_next_process_of_a_publisher_lasts() {
    static NEWEST: AtomicU64 = AtomicU64::new(0);
    let newest = || NEWEST.load(Ordering::Relaxed);
    for transport in TRANSPORTS {
        let directory = Directory::new(&format!("killed-publisher-{transport}"));
        let node = Node::builder("there").topology(topology(transport, &directory.0));
        let note = |number| {
            NEWEST.store(number, Ordering::Relaxed);
            Ok(())
        };
        let printer = move || Printer(note);
        let there = start(node.service(|| Source).service(printer));
        let first = publisher(transport, &directory.0, 1);
        until(|| (100..1_000_000).contains(&newest())).await;
        drop(first);
        until(|| of_links(&there, "errors") > 0).await;
        let _second = publisher(transport, &directory.0, 1_000_000);
        until(|| newest() > 1_000_000).await;
        // Longer than a link lives after its streams have lost their memory.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let connections = of_links(&there, "connections");
        assert_eq!(connections, 2, "{transport}");
        end(there).await;
    }
}
