//! The roles of this program when `up` runs it as a node.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio, exit};
use std::time::Duration;

use mycelium::execution::end_with_launcher;
use mycelium::topology::TopologyFiles;
use mycelium::{Context, Delivery, Node, Result, Topology, message, service};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

/// Plays the role of this process; returns at once in the test run itself.
#[test]
fn enter() {
    let Some(role) = argument("role") else { return };
    if role != "node" && env::args().any(|argument| argument == "--describe") {
        // This process does not describe itself.
        exit(1);
    }
    match &*role {
        "node" => node(),
        "look" => look(),
        "see" => see(),
        "wait" => wait_for_the_end(),
        "hang" => hang(),
        "complete" => {}
        "forge" => forge(),
        "flood" => {
            say(&"x".repeat(20 << 20));
            wait_for_the_end();
        }
        "crash" => {
            say("the disk is full");
            exit(3)
        }
        "refuse" => {
            say("the port is taken");
            exit(78)
        }
        "lose" => {
            wait_for_the_end();
            exit(74)
        }
        other => panic!("there is no role {other}"),
    }
    exit(0)
}

/// Returns the value of an argument such as `role=wait`.
fn argument(name: &str) -> Option<String> {
    env::args()
        .find_map(|argument| Some(argument.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

/// Prints a line; libtest has already begun one, which is ended first.
#[expect(clippy::print_stdout, reason = "its output is what tests look for")]
fn say(text: &str) {
    println!("\n{text}");
}

/// Waits for SIGTERM, as a node does.
fn wait_for_the_end() {
    let mut signals = Signals::new([SIGTERM]).unwrap();
    end_with_launcher(Duration::from_secs(30)).unwrap();
    say("waits");
    signals.forever().next();
}

/// Answers in place of a launcher, at the socket that the argument `node` names.
fn forge() -> ! {
    let listener = UnixListener::bind(argument("node").unwrap()).unwrap();
    say("listens");
    for stream in listener.incoming() {
        let mut stream = BufReader::new(stream.unwrap());
        let answers = "{\"answer\":\"taken\"}\n{\"answer\":\"nodes\",\"nodes\":[]}\n";
        if stream.read_line(&mut String::new()).is_ok_and(|read| read > 0) {
            stream.get_mut().write_all(answers.as_bytes()).unwrap();
        }
    }
    unreachable!("it listens until it is killed")
}

/// Ignores SIGTERM and never ends.
fn hang() -> ! {
    let _signals = Signals::new([SIGTERM]).unwrap();
    end_with_launcher(Duration::ZERO).unwrap();
    say("hangs");
    loop {
        std::thread::park();
    }
}

/// Waits until the test opens the gate of this process, if it has one.
fn wait_at_the_gate() {
    if let Some(gate) = argument("gate") {
        fs::read(gate).unwrap();
    }
}

/// Prints which nodes the file has, and starts processes that inherit its environment and do the
/// same.
fn look() {
    wait_at_the_gate();
    see();
    let other = |who: &str| {
        let mut other = Command::new(env::current_exe().unwrap());
        other.args(["--exact", "--nocapture", "--test-threads=1", "--", "up::roles::enter"]);
        let file = format!("file={}", argument("file").unwrap());
        other.args(["role=see".to_owned(), format!("node={who}"), file]);
        other
    };
    other("part").status().unwrap();
    other("other").stdin(Stdio::null()).status().unwrap();
    other("late").env(TopologyFiles::VARIABLE, "/no/such/copy").status().unwrap();
    wait_for_the_end();
}

fn see() {
    let nodes = |topology: Topology| topology.nodes().collect::<Vec<_>>().join(" ");
    let seen = Topology::load(argument("file").unwrap()).map(nodes);
    let seen = seen.unwrap_or_else(|error| error.to_string());
    say(&format!("{} sees: {seen}", argument("node").unwrap()));
}

#[message(topic = "ticks", id = 1)]
struct Tick {
    number: u64,
}

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut timer = ctx.interval(Duration::from_millis(5))?;
        for number in 0..argument("count").map_or(u64::MAX, |count| count.parse().unwrap()) {
            timer.tick().await?;
            ctx.emit(Tick { number }).await?;
        }
        Ok(())
    }
}

struct Store;

#[service(reads(Tick))]
impl Store {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        let mut count = 0;
        while let Some(Delivery::Msg(_)) = ticks.recv().await {
            count += 1;
        }
        say(&format!("stored {count}"));
        if argument("stays").is_some() {
            ctx.shutdown_requested().await;
        }
        Ok(())
    }
}

fn node() {
    if !env::args().any(|argument| argument == "--describe") {
        wait_at_the_gate();
    }
    let (name, file) = (argument("node").unwrap(), argument("file").unwrap());
    let mut topology = Topology::load(file).unwrap();
    if let Some(directory) = argument("directory") {
        topology = topology.in_directory(directory);
    }
    let node = Node::builder(&name).topology(topology);
    let node = node.service(|| Feed).service(|| Store).describe_on_request().build().unwrap();
    mycelium_smol::run(1, async |smol| node.run(smol).await).unwrap().unwrap();
}
