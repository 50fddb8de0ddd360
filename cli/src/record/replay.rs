//! `replay`: a node whose services send what a recording has of them.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use clap::Args;
use futures_util::future::BoxFuture;
use mycelium::untyped::{Emits, StandIn};
use mycelium::{Builder, Error, Result, Topology};
use mycelium_executor::yield_now;
use mycelium_record::{Entry, Reader, Recorded, Stream};

use super::recording::{open, unread};
use crate::shared::clock::duration;
use crate::shared::describe::{self, Described};
use crate::shared::exit::Failure;
use crate::shared::output::{count, print_error, printable, shown};

/// The arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The recording.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The topology in which a node is replaced.
    #[arg(long, value_name = "TOPOLOGY")]
    into: PathBuf,
    /// The node. Without it: the only one that both the recording and the topology have.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// How fast: as recorded, that times a number, or as fast as readers take the messages.
    #[arg(long, value_name = "FACTOR|max", default_value = "1")]
    speed: Speed,
    /// Send only messages that were received this long after the first one, such as `90s`, or later.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    from: Option<Duration>,
    /// Send only messages that were received before this time after the first one.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    until: Option<Duration>,
    /// Send only the messages of these topics, with commas between them.
    #[arg(long, value_name = "TOPICS", value_delimiter = ',')]
    topics: Vec<String>,
    /// The directory of the sockets. Without it: that of the topology.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// How long a program may take for its description, such as `10s`.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    timeout: Duration,
    /// The program, and its arguments, of nodes that have neither a `command` nor a `description`
    /// in the file: it is asked for its services (`--describe`), and not run.
    #[arg(last = true, value_name = "PROGRAM")]
    command: Vec<String>,
}

/// The number of entries after which another task has a turn.
const TURN: u32 = 1024;

/// How fast messages are sent.
#[derive(Clone, Copy, Debug)]
enum Speed {
    Times(f64),
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Speed, String> {
        if text == "max" {
            return Ok(Speed::Max);
        }
        let factor = text.parse().ok().filter(|factor| (1e-3..=1e6).contains(factor));
        factor.map(Speed::Times).ok_or_else(|| "expected 0.001 to 1000000, or `max`".to_owned())
    }
}

/// Runs the node until all recorded messages are sent, or a signal.
///
/// # Errors
/// If the file is not a recording or is damaged, a program gives no description, the recording does
/// not fit the topology, or the node fails.
pub fn run(args: &ReplayArgs) -> std::result::Result<(), Failure> {
    if let Some((program, arguments)) = args.command.split_first()
        && arguments.last().is_some_and(|last| last == describe::ARGUMENT)
    {
        // A launcher asks for the services of this node: those of the program.
        let error = Command::new(program).args(arguments).exec();
        return Err(Failure::Unavailable(format!("{}: {error}", printable(program))));
    }
    let mut topology = Topology::load(&args.into).map_err(Failure::of_topology)?;
    if let Some(directory) = &args.directory {
        topology = topology.in_directory(directory);
    }
    let found = Contents::read(args, &topology)?;
    let programs = programs(args, &topology)?;
    let of = programs.iter().map(|of| (&*of.node, &of.description));
    let plan = Arc::new(Plan {
        file: args.file.clone(),
        node: found.node.clone(),
        topics: args.topics.clone(),
        speed: args.speed,
        first: found.first,
        length: found.length,
        from: args.from.map(|time| found.after(time)),
        until: args.until.map(|time| found.after(time)),
        begin: OnceLock::new(),
        sums: Mutex::default(),
    });
    let mut services = BTreeSet::new();
    let make = |service: &str| -> Box<dyn StandIn> {
        services.insert(service.to_owned());
        Box::new(Player { service: service.to_owned(), plan: plan.clone(), sums: Sums::default() })
    };
    let builder = Builder::stand_in(&found.node, topology, &of.collect::<Vec<_>>(), make)
        .map_err(|problem| Failure::Found(problem.to_string()))?;
    let of_none = |(of, _): &&(String, String)| !services.contains(of);
    if let Some((service, topic)) = found.senders.iter().find(of_none) {
        let [node, service, topic] = [&found.node, service, topic].map(|name| printable(name));
        return Err(Failure::Found(format!(
            "{}: {} has messages of topic `{topic}` from service `{service}`, which node `{node}` \
             does not have",
            shown(&args.into),
            shown(&args.file)
        )));
    }
    let node = builder.build().map_err(|error| Failure::Found(error.to_string()))?;
    let ended = mycelium::execution::smol::run(2, |executor| node.run(executor));
    let ended = ended.map_err(|error| Failure::Unavailable(format!("threads: {error}")))?;
    let sums = *plan.sums.lock().unwrap_or_else(PoisonError::into_inner);
    print_error(format!("{} as node `{}`\n", sums.text(), printable(&found.node)));
    ended.map(drop).map_err(|error| Failure::Unavailable(error.to_string()))
}

/// Returns the programs of all nodes of the topology.
fn programs(
    args: &ReplayArgs,
    topology: &Topology,
) -> std::result::Result<Vec<Described>, Failure> {
    let programs = describe::programs(topology, &args.command, args.timeout, None)?;
    match programs.is_empty() {
        false => Ok(programs),
        true => Err(Failure::Usage(format!(
            "{}: no program is given, so the readers of the messages are unknown: add \
             `command = [\"./app\", \"{{node}}\"]` to `[bundle]`, or the program after `--`",
            shown(&args.into)
        ))),
    }
}

/// What a recording has, as far as it decides about a replay.
struct Contents {
    node: String,
    /// The services of the node that have sent messages of the chosen topics, each with its topic.
    senders: BTreeSet<(String, String)>,
    /// When the first message was received.
    first: u64,
    /// The number of bytes that were read.
    length: u64,
}

impl Contents {
    /// Returns the time this long after the first message.
    fn after(&self, time: Duration) -> u64 {
        self.first.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Reads all of the file, so that a damaged one is an error before anything is sent.
    fn read(args: &ReplayArgs, topology: &Topology) -> std::result::Result<Contents, Failure> {
        let name = shown(&args.file);
        let file = open(&args.file)?;
        let is_file = file.get_ref().metadata().is_ok_and(|data| data.is_file());
        if !is_file {
            return Err(Failure::Usage(format!("{name}: expected a file, which is read twice")));
        }
        let reader = Reader::new(file);
        let mut reader = reader.map_err(|error| unread(&name, &error))?;
        let (mut nodes, mut streams, mut first) = (BTreeSet::new(), Vec::new(), None);
        while let Some(entry) = reader.next().map_err(|error| unread(&name, &error))? {
            match entry {
                Entry::Began { stream, .. } => {
                    if !nodes.contains(&stream.node) {
                        nodes.insert(stream.node.clone());
                    }
                    streams.push(stream.clone());
                }
                Entry::Message { message, stream, layout, .. } => {
                    first.get_or_insert(message.received_at);
                    // The program would not emit more bytes than its type has.
                    if !layout.has_bodies() && message.bytes.len() > layout.size() {
                        let topic = printable(&stream.topic);
                        let [found, expected] = [message.bytes.len(), layout.size()];
                        return Err(Failure::Found(format!(
                            "{name}: topic `{topic}`, message {}: expected {expected} bytes, found \
                             {found}",
                            message.sequence
                        )));
                    }
                }
                _ => {}
            }
        }
        if !reader.is_whole() {
            let read = reader.offset();
            print_error(format!("{name}: cut off: its first {read} bytes are sent\n"));
        }
        let is_known = |node: &&String| topology.nodes().any(|known| known == node.as_str());
        let candidates: Vec<&String> = nodes.iter().filter(is_known).collect();
        let listed = |nodes: &[&String]| {
            let nodes = nodes.iter().map(|node| format!("`{}`", printable(node)));
            nodes.collect::<Vec<_>>().join(", ")
        };
        let node = match (&args.node, &candidates[..]) {
            (Some(node), _) if nodes.contains(node) => node.clone(),
            (Some(node), _) => {
                let (node, all) = (printable(node), listed(&nodes.iter().collect::<Vec<_>>()));
                let problem = format!("{name} has no messages of node `{node}`, only of {all}");
                return Err(Failure::Usage(problem));
            }
            (None, [node]) => (*node).clone(),
            (None, []) => {
                let (all, into) = (listed(&nodes.iter().collect::<Vec<_>>()), shown(&args.into));
                return Err(Failure::Usage(format!(
                    "{into} has none of the nodes of which {name} has messages: {all}"
                )));
            }
            (None, several) => {
                let several = listed(several);
                let problem = format!("{name} has messages of {several}: choose one by `--node`");
                return Err(Failure::Usage(problem));
            }
        };
        let of_node = streams.iter().filter(|stream| stream.node == node);
        let known: BTreeSet<&str> = of_node.clone().map(|stream| &*stream.topic).collect();
        if let Some(topic) = args.topics.iter().find(|topic| !known.contains(&***topic)) {
            let (topic, node) = (printable(topic), printable(&node));
            let known = known.into_iter().map(|known| format!("`{}`", printable(known)));
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(Failure::Usage(format!(
                "{name} has no topic `{topic}` of node `{node}`: expected one of {known}"
            )));
        }
        let is_chosen = |topic| args.topics.is_empty() || args.topics.contains(topic);
        let senders = of_node.filter(|stream| is_chosen(&stream.topic)).map(|stream| {
            let service = stream.publisher.split('.').next().unwrap_or_default();
            (service.to_owned(), stream.topic.clone())
        });
        let (senders, first) = (senders.collect(), first.unwrap_or_default());
        Ok(Contents { senders, node, first, length: reader.offset() })
    }
}

/// What all services of the node share.
struct Plan {
    file: PathBuf,
    node: String,
    /// The topics that are sent; empty for all.
    topics: Vec<String>,
    speed: Speed,
    /// When the first message was received.
    first: u64,
    /// The number of bytes that were read before.
    length: u64,
    /// Messages that were received earlier, or from then on, are not sent.
    from: Option<u64>,
    until: Option<u64>,
    /// When the first message is due, by the clock of the node.
    begin: OnceLock<Duration>,
    sums: Mutex<Sums>,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    messages: u64,
    gaps: u64,
    missed: u64,
}

impl Sums {
    fn text(self) -> String {
        let Sums { messages, gaps, missed } = self;
        let (messages, gaps_of) = (count(messages, "message"), count(gaps, "gap"));
        match gaps {
            0 => format!("{messages} sent"),
            _ => format!("{messages} sent, without {missed} in {gaps_of} of the recording"),
        }
    }
}

/// Sends the messages of one service.
struct Player {
    service: String,
    plan: Arc<Plan>,
    sums: Sums,
}

impl Drop for Player {
    fn drop(&mut self) {
        let mut all = self.plan.sums.lock().unwrap_or_else(PoisonError::into_inner);
        all.messages += self.sums.messages;
        all.gaps += self.sums.gaps;
        all.missed = all.missed.saturating_add(self.sums.missed);
    }
}

impl StandIn for Player {
    fn run<'a>(&'a mut self, emits: Emits<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.play(emits))
    }
}

impl Player {
    async fn play(&mut self, mut emits: Emits<'_>) -> Result<()> {
        let plan = self.plan.clone();
        let failed =
            |error: &dyn Display| Error::msg(format!("{}: {error}", shown(&plan.file))).permanent();
        let file = open(&plan.file).map_err(|error| Error::msg(error.to_string()).permanent())?;
        let mut reader = Reader::new(file).map_err(|error| failed(&error))?;
        // The publishers of the streams, by their numbers.
        let mut places = Vec::new();
        let mut turns = 0_u32;
        while let Some(entry) = reader.next().map_err(|error| failed(&error))? {
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(TURN) {
                yield_now().await;
            }
            match entry {
                Entry::Began { stream, .. } => places.push(self.place(&emits, stream)?),
                Entry::Message { id, message, .. } => {
                    let Some(place) = places.get(id.index()).copied().flatten() else { continue };
                    let at = message.received_at;
                    if plan.from.is_some_and(|from| at < from)
                        || plan.until.is_some_and(|until| at >= until)
                    {
                        continue;
                    }
                    if let Some(due) = self.due(&emits, &message) {
                        emits.sleep_until(due).await?;
                    }
                    emits.emit(place, message.bytes).await?;
                    self.sums.messages += 1;
                }
                Entry::Gap { id, missed, .. }
                    if places.get(id.index()).is_some_and(Option::is_some) =>
                {
                    self.sums.gaps += 1;
                    self.sums.missed = self.sums.missed.saturating_add(missed);
                }
                _ => {}
            }
        }
        let (found, expected) = (reader.offset(), plan.length);
        if found < expected {
            return Err(failed(&format_args!(
                "the file has become shorter: expected {expected} whole bytes, found {found}"
            )));
        }
        Ok(())
    }

    /// Returns the place of the publisher of a stream; `None` if the stream is not sent by this
    /// service.
    fn place(&self, emits: &Emits<'_>, stream: &Stream) -> Result<Option<usize>> {
        let Plan { file, node, topics, .. } = &*self.plan;
        let publisher = &*stream.publisher;
        let of_port =
            || publisher.strip_prefix(&*self.service).is_some_and(|it| it.starts_with('.'));
        let is_chosen = topics.is_empty() || topics.contains(&stream.topic);
        if stream.node != *node || !is_chosen || publisher != self.service && !of_port() {
            return Ok(None);
        }
        let about = || {
            let (topic, publisher) = (printable(&stream.topic), printable(publisher));
            format!("{}: topic `{topic}` of `{publisher}`", shown(file))
        };
        let mut publishers = emits.publishers();
        let place = publishers.position(|known| known == (publisher, &*stream.topic));
        let Some(place) = place else {
            let problem = format!("{}: the service does not emit it", about());
            return Err(Error::msg(problem).permanent());
        };
        match emits.mismatch(place, &stream.message) {
            None => Ok(Some(place)),
            Some(mismatch) => {
                let problem = format!(
                    "{}: its messages (there) are not those of the program (here): {mismatch}",
                    about()
                );
                Err(Error::msg(problem).permanent())
            }
        }
    }

    /// Returns when a message is due; `None` if it is at once.
    fn due(&self, emits: &Emits<'_>, message: &Recorded<'_>) -> Option<Duration> {
        let Plan { speed, first, from, begin, .. } = &*self.plan;
        let Speed::Times(factor) = *speed else { return None };
        let begin = *begin.get_or_init(|| emits.now());
        let first = from.unwrap_or(*first);
        let after = Duration::from_nanos(message.received_at.saturating_sub(first));
        Some(begin.saturating_add(after.div_f64(factor)))
    }
}
