//! The roles of this program when tests run it as a node.

pub(crate) mod source;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio, exit};
use std::time::Duration;

use mycelium::execution::end_with_launcher;
use mycelium::topology::TopologyFiles;
use mycelium::{Context, Node, Result, Topology, service};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

use self::source::{Store, Swap, say};

/// The arguments with which this program plays a role, before `role=…`.
pub(crate) const ENTER: [&str; 5] =
    ["--exact", "--nocapture", "--test-threads=1", "--", "roles::enter"];

/// Returns this program in a role, with the name of a node and a file.
pub(crate) fn playing(role: &str, node: &str, file: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    let words = [("role", role), ("node", node), ("file", file)];
    command.args(ENTER).args(words.map(|(name, value)| format!("{name}={value}")));
    command
}

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
        "source" => {
            let (node, file) = (argument("node").unwrap(), argument("file").unwrap());
            mycelium_smol::run(2, |smol| source::run(smol, node, file)).unwrap();
        }
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
    let file = argument("file").unwrap();
    let other = |who: &str| playing("see", who, &file);
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

struct Feed;

#[service(emits(Swap))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut timer = ctx.interval(Duration::from_millis(5))?;
        for number in 0..argument("count").map_or(u64::MAX, |count| count.parse().unwrap()) {
            timer.tick().await?;
            ctx.emit(Swap { number, size: 0 }).await?;
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
    let store = || Store { stays: argument("stays").is_some() };
    let node = node.service(|| Feed).service(store).describe_on_request().build().unwrap();
    mycelium_smol::run(1, async |smol| node.run(smol).await).unwrap().unwrap();
}
