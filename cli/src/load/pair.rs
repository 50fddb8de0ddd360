//! The system that is measured unless the user names a program: a source on a thread of its own,
//! and a sink, in one node or in two processes with a link between them.

use std::fs;
use std::io::{self, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;
use mycelium::execution::{Execution, smol, tokio};
use mycelium::{Context, Delivery, Error, Node, Result, Topology, message, service};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::time::{ClockId, clock_gettime};

use super::case::{Carrier, Case, Offer, Runtime};
use super::report::{Latency, Report};
use crate::shared::clock::pause;
use crate::shared::exit::Failure;
use crate::shared::output::{json, print, print_error};

/// The names of the two nodes, and of their hosts.
const NODES: [&str; 2] = ["source", "sink"];
const FILE: &str = "load.toml";
/// The generator sleeps until this long before a message is due, and then spins.
const EARLY: u64 = 200_000;
/// A pause ends after this, so that the source notices the end of its node.
const LONGEST_PAUSE: u64 = 100_000_000;
/// A message that cannot be sent until this long after the end is not sent.
const LATE: u64 = 10_000_000;
/// Longer latencies are noted as this: an hour.
const LONGEST: u64 = 3_600_000_000_000;
/// With `max`, the latency of one message of this number is measured, so that the clock costs
/// little.
const STRIDE: u64 = 64;

/// A message of 56 bytes.
#[message(topic = "load", id = 1)]
struct Load {
    /// When it was to be sent, in nanoseconds of the host's clock; 0 if its latency does not count.
    due: u64,
    phase: u64,
    rest: [u64; 5],
}

/// The phases of a run.
const WARM_UP: u64 = 0;
const MEASURED: u64 = 1;
const OVER: u64 = 2;

/// The arguments of the hidden command that runs the source, and by it the sink.
#[derive(Debug, Args)]
pub struct PairArgs {
    #[command(flatten)]
    case: Case,
    /// Where the sockets and certificates are.
    #[arg(long)]
    directory: PathBuf,
    /// Run the sink.
    #[arg(long)]
    sink: bool,
    #[command(flatten)]
    offer: Offer,
}

/// What both services have found so far.
type Found = Arc<Mutex<Report>>;

/// Sends messages by a schedule.
struct Source(Offer, Found);

#[service(emits(Load))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        // The first message arrives when the link is ready.
        ctx.emit(Load { due: 0, phase: WARM_UP, rest: [0; 5] }).await?;
        ctx.confirmed().await;
        let Offer { rate, warm_up, seconds } = &self.0;
        let begin = now();
        let measured = begin + nanoseconds(*warm_up);
        let end = measured + nanoseconds(*seconds);
        let used = clock(ClockId::ThreadCPUTime);
        let (mut number, mut sent, mut time) = (0, 0, begin);
        loop {
            let at = match rate.0 {
                // Late messages are due when they were: the time that they waited counts.
                Some(rate) => begin + after(number, rate),
                None => time,
            };
            let is_timed = rate.0.is_some() || number % STRIDE == 0;
            if at >= end {
                break;
            }
            if is_timed {
                time = until(ctx, at).await;
            }
            if time >= end.saturating_add(LATE) {
                break;
            }
            if let Some(rate) = rate.0
                && at < measured
                && time >= measured
            {
                // What the warm-up has left would take the measured time.
                number = count(measured - begin, rate);
                continue;
            }
            let at = if rate.0.is_some() { at } else { time };
            let phase = if at < measured { WARM_UP } else { MEASURED };
            let due = if is_timed { at } else { 0 };
            ctx.emit(Load { due, phase, rest: [0; 5] }).await?;
            sent += phase;
            number += 1;
        }
        let due = match rate.0 {
            Some(rate) => {
                until(ctx, end).await;
                count(end - begin, rate) - count(measured - begin, rate)
            }
            None => sent,
        };
        ctx.emit(Load { due: measured, phase: OVER, rest: [0; 5] }).await?;
        let generator = (clock(ClockId::ThreadCPUTime) - used) as f64 / 1e9;
        let mut found = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        (found.due, found.sent, found.generator_seconds) = (due, sent, generator);
        Ok(())
    }
}

/// Returns when a message is due, in nanoseconds after the first one.
fn after(number: u64, rate: u64) -> u64 {
    (u128::from(number) * 1_000_000_000 / u128::from(rate)) as u64
}

/// Returns how many messages are due before this number of nanoseconds has passed.
fn count(time: u64, rate: u64) -> u64 {
    (u128::from(time) * u128::from(rate)).div_ceil(1_000_000_000) as u64
}

/// Waits until this time of the host's clock, or the end of the node, and returns the time. It
/// blocks the thread, because timers of executors have a resolution of up to a millisecond.
async fn until(ctx: &Context<Source>, due: u64) -> u64 {
    let mut time = now();
    while time < due && !ctx.is_shutting_down() {
        // What was emitted leaves here.
        ctx.yield_now().await;
        match due.saturating_sub(time).saturating_sub(EARLY) {
            // If there are fewer cores than threads, others run while this one spins.
            0 => thread::yield_now(),
            left => pause(Duration::from_nanos(left.min(LONGEST_PAUSE))),
        }
        time = now();
    }
    time
}

/// Takes the messages, and notes how late they are.
struct Sink(Found);

#[service(reads(Load))]
impl Sink {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut times = Histogram::<u64>::new_with_max(LONGEST, 3)?;
        let (mut received, mut missed) = (0, 0);
        let mut messages = ctx.subscribe::<Load>()?;
        while let Some(delivery) = messages.recv().await {
            match delivery {
                Delivery::Msg(message) if message.phase == OVER => {
                    let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                    (found.received, found.missed) = (received, missed);
                    found.seconds = now().saturating_sub(message.due) as f64 / 1e9;
                    found.latency = Latency::of(&times);
                    break;
                }
                Delivery::Msg(message) => {
                    received += message.phase;
                    if message.phase == MEASURED && message.due > 0 {
                        times.saturating_record(now().saturating_sub(message.due));
                    }
                }
                Delivery::Gap(gap) => missed += gap.count,
            }
        }
        Ok(())
    }
}

fn now() -> u64 {
    clock(ClockId::Monotonic)
}

/// Returns the time of a clock in nanoseconds. That of `Monotonic` is the same in all processes.
fn clock(id: ClockId) -> u64 {
    let time = clock_gettime(id);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Runs the source, and the sink in this process or in another one. Prints their report.
///
/// # Errors
/// If a node cannot run, or the other process ends before its time.
pub fn run(args: &PairArgs) -> std::result::Result<(), Failure> {
    let failed = |error: Error| Failure::Unavailable(error.to_string());
    end_with_input(args).map_err(|error| failed(error.into()))?;
    let report = measure(args).map_err(failed)?;
    print(&json(&report)?)
}

fn measure(args: &PairArgs) -> Result<Report> {
    let PairArgs { case, directory, sink, offer } = args;
    let found = Found::default();
    let file = directory.join(FILE);
    let there = match case.carrier {
        Carrier::Local => {
            fs::write(&file, topology(case)?)?;
            None
        }
        _ if *sink => None,
        _ => {
            fs::write(&file, topology(case)?)?;
            if case.carrier == Carrier::Tls {
                write_certificates(directory)?;
            }
            Some(Other::start(&found)?)
        }
    };
    let name = if *sink { "sink" } else { "source" };
    let topology = Topology::load(&file)?.in_directory(directory.join("sockets"));
    let (here, at_sink) = (found.clone(), found.clone());
    let offer = offer.clone();
    let node = Node::builder(name)
        .topology(topology)
        .service(move || Source(offer.clone(), here.clone()))
        .service(move || Sink(at_sink.clone()))
        .execution("Source", Execution::dedicated())
        .build()?;
    match case.executor {
        Runtime::Tokio => drop(tokio::run(|executor| node.run(executor))??),
        Runtime::Smol => drop(smol::run(2, |executor| node.run(executor))??),
        Runtime::Glommio => glommio(node)?,
    }
    let ended = || Error::msg("it was ended before its last message");
    if let Some(there) = there {
        // The sink waits for a source that was ended too soon.
        if !found.lock().unwrap_or_else(PoisonError::into_inner).is_offered() {
            return Err(ended());
        }
        there.wait()?;
    }
    let found = found.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if found.seconds > 0.0 { Ok(found) } else { Err(ended()) }
}

/// Runs the node in the executor of io_uring.
#[cfg(target_os = "linux")]
fn glommio(node: Node) -> Result<()> {
    use mycelium::execution::glommio::{Settings, run};
    run(&Settings::default(), move |executor| node.run(executor))??;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn glommio(_: Node) -> Result<()> {
    Err(Error::msg("glommio needs Linux"))
}

/// Ends this process when its standard input does, which is when its parent has ended. The source
/// then removes the directory.
fn end_with_input(args: &PairArgs) -> io::Result<()> {
    let directory = (!args.sink).then(|| args.directory.clone());
    let end = move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = directory.map(fs::remove_dir_all);
        std::process::exit(1);
    };
    thread::Builder::new().name("parent".into()).spawn(end).map(drop)
}

/// The process of the sink.
struct Other(thread::JoinHandle<()>);

impl Other {
    /// Starts this program again as the sink, which ends before its source. If it fails, this
    /// process ends with an error: its node would wait for the sink.
    fn start(found: &Found) -> io::Result<Other> {
        let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
        arguments.push("--sink".into());
        let mut process = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let found = found.clone();
        let wait = move || match taken(&mut process) {
            Ok(Report { received, missed, seconds, latency, .. }) => {
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                *found = Report { received, missed, seconds, latency, ..found.clone() };
            }
            Err(error) => {
                print_error(format!("the receiving process failed: {error}\n"));
                std::process::exit(3);
            }
        };
        Ok(Other(thread::Builder::new().name("sink".into()).spawn(wait)?))
    }

    fn wait(self) -> Result<()> {
        self.0.join().map_err(|_| Error::msg("the thread that waits for the sink has panicked"))
    }
}

/// Waits for the end of the sink, and returns what it has found.
fn taken(process: &mut Child) -> Result<Report> {
    // Its end tells the process that this one has ended.
    let _input = process.stdin.take();
    let mut text = String::new();
    if let Some(output) = process.stdout.take() {
        output.take(super::run::MOST).read_to_string(&mut text)?;
    }
    match process.wait()? {
        status if status.success() => Ok(serde_json::from_str(&text)?),
        status => Err(Error::msg(status.to_string())),
    }
}

/// Returns the topology of a case.
fn topology(case: &Case) -> io::Result<String> {
    let Case { carrier, wait, preset, .. } = case;
    let run = if wait == "park" { "shared" } else { "dedicated" };
    let sink = format!("[service.Sink]\nrun = \"{run}\"\nwait = \"{wait}\"\n");
    if *carrier == Carrier::Local {
        return Ok(sink);
    }
    let mut text =
        format!("{sink}[link.default]\npreset = \"{preset}\"\ntransport = \"{carrier}\"\n");
    let is_far = matches!(carrier, Carrier::Tcp | Carrier::Tls);
    for (node, last) in NODES.into_iter().zip(2..) {
        text += &format!("[node.{node}]\nservices = [\"{}\"]\n", ["Source", "Sink"][last - 2]);
        if is_far {
            let address = format!("127.0.0.{last}");
            let port = TcpListener::bind((address.as_str(), 0))?.local_addr()?.port();
            text += &format!(
                "host = \"{node}\"\nport = {port}\n[host.{node}]\naddress = \"{address}\"\n"
            );
        }
    }
    if *carrier == Carrier::Tls {
        text +=
            "[tls]\ncertificate = \"{node}.pem\"\nkey = \"{node}.key\"\nauthorities = \"ca.pem\"\n";
    }
    Ok(text)
}

/// Writes an authority, and certificates that it has issued for the nodes.
fn write_certificates(directory: &Path) -> Result<()> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    fs::write(directory.join("ca.pem"), authority.pem())?;
    for node in NODES {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([node.to_owned()])?.signed_by(&key, &authority)?;
        fs::write(directory.join(format!("{node}.pem")), certificate.pem())?;
        fs::write(directory.join(format!("{node}.key")), key.serialize_pem())?;
    }
    Ok(())
}
