//! `load`: how many messages a system takes, how late they are, and what that costs.
//!
//! Messages are offered by a schedule that does not wait for the system, and each is late from the
//! time at which it was due. Read `case` (what is measured), `pair` (the built-in system), `run`
//! (a program, once), `report` (what it says), then `results` (the file, and the page) and `chart`.

mod case;
mod chart;
pub mod pair;
mod report;
mod results;
mod run;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::shared::clock::duration;
use crate::shared::exit::Failure;
use crate::shared::output::{Format, Printer, Table, shown};
use crate::shared::program::Programs;
use case::{Carrier, Case, Offer, Preset, Rate, Runtime, wait};
use report::{Latency, Summary};
use results::{Measured, Record};

/// The arguments of `load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Messages a second, and `max` for as many as the system takes.
    #[arg(long, value_delimiter = ',', default_values = ["1k", "100k", "max"])]
    rate: Vec<Rate>,
    /// What carries the messages of the built-in system: from a source to a sink, in one process
    /// or between two.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Carrier::ALL)]
    carrier: Vec<Carrier>,
    /// Its executors.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "tokio")]
    executor: Vec<Runtime>,
    /// How its sink waits: `park`, `spin` or `spin-then-park(1000)`; on a thread of its own unless
    /// it parks.
    #[arg(long, value_delimiter = ',', value_parser = wait, default_value = "park")]
    wait: Vec<String>,
    /// The presets of its links, for carriers with sockets.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "balanced")]
    preset: Vec<Preset>,
    /// How long messages are measured in each run.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s")]
    seconds: Duration,
    /// How long messages are sent before.
    #[arg(long, value_name = "TIME", value_parser = case::warm_up, default_value = "500ms")]
    warm_up: Duration,
    /// The runs of each system at each rate.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// How much longer than its messages a run may take, until it is killed.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    patience: Duration,
    /// The name of the program's system in the results. Without it, its command.
    #[arg(long, requires = "command", value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// Add the results to this file, as a line of JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Show the results of this file, and measure nothing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "command", "rate", "carrier",
          "executor", "wait", "preset", "seconds", "warm_up", "runs", "patience"])]
    from: Option<PathBuf>,
    /// Draw the latencies against the rates.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write a page about the results, by processor family.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// How to print the results.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// A program with its arguments to measure in place of the built-in system. It is called with
    /// `--rate`, `--seconds` and `--warm-up`, and prints a report of its messages.
    #[arg(last = true, value_name = "PROGRAM")]
    #[arg(conflicts_with_all = ["carrier", "executor", "wait", "preset"])]
    command: Vec<String>,
}

/// Measures, or reads results, and shows them.
///
/// # Errors
/// If a system fails, does not end or loses messages, or a file cannot be used. A file of results,
/// a picture and a page are then as before; what was measured until then is shown.
pub fn run(args: &LoadArgs) -> Result<(), Failure> {
    let mut records = before(args)?;
    let show = |shown: &[Measured]| Printer::new(args.output).print(&table(shown));
    let shown = match args.from {
        Some(_) => {
            let shown: Vec<_> = results::latest(&records).into_values().flatten().collect();
            show(&shown)?;
            shown
        }
        None => {
            let mut record = Record::new();
            let measured = measure(args, &mut record.results);
            if measured.is_ok() || !record.results.is_empty() {
                show(&record.results)?;
            }
            measured?;
            if let Some(file) = &args.json {
                results::append(file, &record)?;
            }
            let shown = record.results.clone();
            records.push(record);
            shown
        }
    };
    if let Some(file) = &args.svg {
        results::replace(file, &chart::draw(&shown)?)?;
    }
    if let Some(file) = &args.page {
        results::replace(file, &results::page(&records))?;
    }
    let lost = shown.iter().find(|it| !Summary::of(&it.runs).adds_up);
    lost.map_or(Ok(()), |it| {
        Err(Failure::Found(format!(
            "{} at {}: received and missed messages do not add up to those that were sent",
            it.system, it.rate
        )))
    })
}

/// Checks what can be checked before a measurement, and returns the results of its file.
fn before(args: &LoadArgs) -> Result<Vec<Record>, Failure> {
    if args.svg.is_some() && args.from.is_none() && args.rate.iter().all(|rate| rate.0.is_none()) {
        return Err(Failure::Usage(chart::NO_RATE.to_owned()));
    }
    let files = [&args.json, &args.svg, &args.page].map(Option::as_deref);
    for (number, file) in files.iter().enumerate() {
        let Some(path) = file else { continue };
        if files[..number].contains(file) {
            let path = shown(path);
            return Err(Failure::Usage(format!("{path}: named twice, and one would be lost")));
        }
        results::check_writable(path)?;
    }
    if let Some(file) = &args.from {
        let records = results::read(file)?;
        return match records.is_empty() {
            true => Err(Failure::Usage(format!("{}: no measurement", shown(file)))),
            false => Ok(records),
        };
    }
    let known = args.json.as_deref().filter(|file| file.exists());
    Ok(known.map(results::read).transpose()?.unwrap_or_default())
}

/// A system: its name, and the program with its arguments.
type System = (String, Vec<OsString>);

fn systems(args: &LoadArgs) -> Result<Vec<System>, Failure> {
    if let [program, ..] = &args.command[..] {
        let name = args.name.clone().unwrap_or_else(|| args.command.join(" "));
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        return match program.is_empty() {
            true => Err(Failure::Usage("the program has no name".to_owned())),
            false => Ok(vec![(name, args.command.iter().map(OsString::from).collect())]),
        };
    }
    let this = std::env::current_exe().map_err(|error| Failure::Unavailable(error.to_string()))?;
    let mut systems: Vec<System> = Vec::new();
    for &carrier in &args.carrier {
        for &executor in &args.executor {
            for wait in &args.wait {
                for &preset in &args.preset {
                    let case = Case { carrier, executor, wait: wait.clone(), preset };
                    let mut command = vec![this.clone().into_os_string(), "load-pair".into()];
                    command.extend(case.arguments().map(OsString::from));
                    // In memory there is nothing to batch, so the presets are one case.
                    if systems.iter().all(|(name, _)| *name != case.to_string()) {
                        systems.push((case.to_string(), command));
                    }
                }
            }
        }
    }
    Ok(systems)
}

/// Measures each system at each rate, and adds what was found.
fn measure(args: &LoadArgs, all: &mut Vec<Measured>) -> Result<(), Failure> {
    let systems = systems(args)?;
    let mut programs = Programs::new()?;
    let runs = (systems.len() * args.rate.len()) as u64 * u64::from(args.runs);
    let bar = progress(runs);
    for (system, words) in systems {
        for &rate in &args.rate {
            bar.set_message(format!("{system} at {rate}"));
            let offer = Offer { rate, warm_up: args.warm_up, seconds: args.seconds };
            let mut runs = Vec::new();
            for _ in 0..args.runs {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]);
                let directory = args.command.is_empty().then(|| own_directory(&mut command));
                let directory = directory.transpose()?;
                let run = run::run(&mut programs, command, &offer, args.patience);
                let failed = |error| Failure::Unavailable(format!("{system} at {rate}: {error}"));
                runs.push(run.map_err(failed)?);
                drop(directory);
                bar.inc(1);
            }
            all.push(Measured { system: system.clone(), rate, runs });
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Gives the built-in system a new directory.
fn own_directory(command: &mut Command) -> Result<tempfile::TempDir, Failure> {
    let directory = tempfile::Builder::new().prefix("mycelium-load-").tempdir();
    let directory = directory.map_err(|error| {
        let place = std::env::temp_dir();
        Failure::Unavailable(format!("no directory in {}: {error}", place.display()))
    })?;
    command.arg("--directory").arg(directory.path());
    Ok(directory)
}

fn progress(runs: u64) -> ProgressBar {
    let target = match io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len}, {eta} left: {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(runs), target).with_style(style)
}

fn table(results: &[Measured]) -> Table {
    let mut table = Table::new(
        "system, rate, per second, p50 us, p99 us, p99.9 us, max us, cpu %, mib, missed, unsent",
    );
    for Measured { system, rate, runs } in results {
        let Summary { throughput, latency, cores, memory, missed, unsent, .. } = Summary::of(runs);
        let microseconds =
            |of: fn(&Latency) -> u64| latency.as_ref().map(|it| of(it) as f64 / 1000.0).into();
        table.row([
            system.as_str().into(),
            rate.to_string().into(),
            (throughput.round() as u64).into(),
            microseconds(|it| it.p50),
            microseconds(|it| it.p99),
            microseconds(|it| it.p999),
            microseconds(|it| it.max),
            (cores * 100.0).into(),
            (memory >> 20).into(),
            missed.into(),
            unsent.into(),
        ]);
    }
    table
}
