//! The file of results, one measurement in each line, and the page about it by processor family.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::case::Rate;
use super::report::{Latency, Run, Summary};
use crate::shared::exit::Failure;
use crate::shared::output::{json, printable, shown};

/// The version of the file.
const VERSION: u32 = 1;
/// The most bytes of a line.
const MOST: u64 = 16 << 20;

/// One measurement, a line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    mycelium_load: u32,
    /// The day in UTC, as `2026-11-30`.
    date: String,
    /// The version of the tool.
    version: String,
    /// Processors of one family share a design.
    family: String,
    processor: String,
    cores: usize,
    /// The load average of the minute before, if it is known.
    busy: Option<f64>,
    pub(super) results: Vec<Measured>,
}

/// The runs of a system at a rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) system: String,
    pub(super) rate: Rate,
    pub(super) runs: Vec<Run>,
}

impl Record {
    /// Describes this machine as it is before a measurement.
    pub(super) fn new() -> Record {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let field = |names: [&str; 2]| {
            let mut fields = info.lines().filter_map(|line| line.split_once(':'));
            let found = fields.find(|(name, _)| names.contains(&name.trim()));
            found.map_or("unknown", |(_, value)| value.trim()).to_owned()
        };
        let vendor = field(["vendor_id", "CPU implementer"]);
        #[allow(clippy::disallowed_methods, reason = "the tool is a program, and no service")]
        let mut date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        date.truncate("2026-11-30".len());
        Record {
            mycelium_load: VERSION,
            date,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            family: format!("{vendor}, family {}", field(["cpu family", "CPU architecture"])),
            processor: field(["model name", "Model"]),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            busy: read("/proc/loadavg").split(' ').next().and_then(|it| it.parse().ok()),
            results: Vec::new(),
        }
    }
}

/// Reads a file of results.
///
/// # Errors
/// If it cannot be read, or a line is not a measurement of this version.
pub(super) fn read(path: &Path) -> Result<Vec<Record>, Failure> {
    #[derive(Deserialize)]
    struct Version {
        mycelium_load: u32,
    }
    let at = |error: String| Failure::Usage(format!("{}: {error}", shown(path)));
    // A pipe would be waited for.
    if path.metadata().is_ok_and(|file| !file.is_file()) {
        return Err(at("expected a file".to_owned()));
    }
    let mut input = BufReader::new(File::open(path).map_err(|error| at(error.to_string()))?);
    let (mut records, mut line) = (Vec::new(), String::new());
    for number in 1.. {
        line.clear();
        let read = input.by_ref().take(MOST).read_line(&mut line);
        match read.map_err(|error| at(format!("line {number}: {error}")))? {
            0 => break,
            _ if line.trim().is_empty() => continue,
            _ => {}
        }
        let invalid = |error: String| {
            at(format!("line {number} is not a measurement of `mycelium load`: {error}"))
        };
        let parsed = |error: serde_json::Error| invalid(error.to_string());
        let Version { mycelium_load: version } = serde_json::from_str(&line).map_err(parsed)?;
        if version != VERSION {
            return Err(at(format!(
                "line {number} has version {version}, and this tool reads version {VERSION}"
            )));
        }
        let record: Record = serde_json::from_str(&line).map_err(parsed)?;
        for Measured { system, runs, .. } in &record.results {
            if runs.is_empty() {
                return Err(invalid(format!("`{}` has no run", printable(system))));
            }
            runs.iter().try_for_each(|run| run.check()).map_err(invalid)?;
        }
        records.push(record);
    }
    Ok(records)
}

/// Adds a measurement to a file as a whole line, or not at all.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn append(path: &Path, record: &Record) -> Result<(), Failure> {
    let mut line = json(record)?;
    let mut append = || {
        let mut file = File::options().create(true).read(true).append(true).open(path)?;
        let length = file.metadata()?.len();
        let mut last = *b"\n";
        if length > 0 {
            file.read_exact_at(&mut last, length - 1)?;
        }
        if last != *b"\n" {
            line.insert(0, '\n');
        }
        file.write_all(line.as_bytes()).inspect_err(|_| {
            // Without a part of the line; the first error counts.
            let _ = file.set_len(length);
        })
    };
    append().map_err(|error| Failure::Unavailable(format!("{}: {error}", shown(path))))
}

/// Checks that a file can be written, and leaves it as it is.
///
/// # Errors
/// If it cannot.
pub(super) fn check_writable(path: &Path) -> Result<(), Failure> {
    let check = || match path.metadata() {
        // A pipe would be waited for.
        Ok(file) if !file.is_file() => Ok(()),
        Ok(_) => File::options().append(true).open(path).map(drop),
        Err(_) => tempfile::tempfile_in(directory(path)).map(drop),
    };
    check().map_err(|error| Failure::Usage(format!("{}: {error}", shown(path))))
}

/// Returns the directory of a file.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Writes a file as a whole, or leaves the one that there is. A pipe or a device gets the text.
///
/// # Errors
/// If it cannot be written.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| Failure::Unavailable(format!("{}: {error}", shown(path)));
    // Through links, so that the file which they name is replaced.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if path.metadata().is_ok_and(|file| !file.is_file()) {
        return fs::write(path, text).map_err(failed);
    }
    let mut builder = tempfile::Builder::new();
    let all = PermissionsExt::from_mode(0o644);
    let mut file = builder.permissions(all).tempfile_in(directory(path)).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Returns the last measurement of each system and rate by family, in order of their first.
pub(super) fn latest(records: &[Record]) -> BTreeMap<&str, Vec<Measured>> {
    let mut families: BTreeMap<&str, Vec<Measured>> = BTreeMap::new();
    for record in records {
        let known = families.entry(&record.family).or_default();
        for new in &record.results {
            match known.iter_mut().find(|it| (&it.system, it.rate) == (&new.system, new.rate)) {
                Some(old) => *old = new.clone(),
                None => known.push(new.clone()),
            }
        }
    }
    families
}

const HEAD: &str = "\
# Results by processor family

`mycelium load` writes this page; do not edit it. Messages are offered at a fixed rate, however slow
the system is, and each is late from the time at which it was due. A cell has the median and the
99th percentile of the latencies in microseconds, and the processor time in cores, without that of
the generator. *Most* is the number of messages a second if they are offered as fast as the system
takes them, and *memory* the most resident memory of all its processes at any rate, in MiB. A number
is the median of the runs. A cell with *late* is of a system that took fewer messages than were
offered.

In a name without a program stand the carrier, the executor, how the reader waits, and the preset of
the link. A source on a thread of its own sends messages of 56 bytes to a reader, in one process
(`local`) or in another one.
";

/// Returns the page about these measurements, in Markdown.
pub(super) fn page(records: &[Record]) -> String {
    let mut page = HEAD.to_owned();
    for (family, results) in latest(records) {
        let of_family = || records.iter().filter(|record| record.family == family);
        let set = |of: fn(&Record) -> String| {
            let set: BTreeSet<_> = of_family().map(of).collect();
            set.into_iter().collect::<Vec<_>>().join("; ")
        };
        let (machines, dates) = (
            set(|it| format!("{}, {} cores", it.processor, it.cores)),
            set(|it| format!("{} by version {}", it.date, it.version)),
        );
        let busy = of_family().filter(|record| record.busy.is_some_and(|load| load > 0.5)).count();
        page += &format!("\n## {}\n\n{}. ", cell(family), cell(&machines));
        page += &format!("Measured on {}.", cell(&dates));
        if busy > 0 {
            page += &format!(" Measurements on a machine that was busy before: {busy}.");
        }
        page += "\n";
        // Systems that were measured at the same rates make a table.
        let mut tables: BTreeMap<BTreeSet<Rate>, Vec<&str>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for Measured { system, .. } in &results {
            if seen.insert(system) {
                let rates = results.iter().filter(|it| it.system == *system);
                let rates = rates.map(|it| it.rate).collect();
                tables.entry(rates).or_default().push(system);
            }
        }
        for (rates, systems) in tables {
            page += &table(&rates, &systems, &results);
        }
    }
    page
}

fn table(rates: &BTreeSet<Rate>, systems: &[&str], results: &[Measured]) -> String {
    let titles: String = rates
        .iter()
        .map(|rate| match rate.0 {
            None => " most a second |".to_owned(),
            Some(_) => format!(" at {rate} a second |"),
        })
        .collect();
    let lines = "| ---: ".repeat(rates.len());
    let mut text =
        format!("\n| system |{titles} memory | missed |\n| --- {lines}| ---: | ---: |\n");
    for system in systems {
        let of_system = results.iter().filter(|it| it.system == *system);
        let summaries: BTreeMap<Rate, Summary> =
            of_system.map(|it| (it.rate, Summary::of(&it.runs))).collect();
        text += &format!("| {} |", cell(system));
        for (rate, Summary { throughput, latency, cores, unsent, .. }) in &summaries {
            text += &match rate.0 {
                None => format!(" {} |", short(*throughput)),
                Some(_) if *unsent > 0 => format!(" late, {} a second |", short(*throughput)),
                Some(_) => match latency {
                    Some(Latency { p50, p99, .. }) => {
                        let [p50, p99] = [*p50, *p99].map(|time| short(time as f64 / 1000.0));
                        format!(" {p50} / {p99}, {cores:.2} |")
                    }
                    None => " - |".to_owned(),
                },
            };
        }
        let memory = summaries.values().map(|it| it.memory).max().unwrap_or(0) >> 20;
        let missed: u64 = summaries.values().map(|it| it.missed).fold(0, u64::saturating_add);
        text += &format!(" {memory} | {missed} |\n");
    }
    text
}

/// Returns a number with two or three digits that count, and `k` or `M`.
pub(super) fn short(number: f64) -> String {
    match number {
        10_000_000.0.. => format!("{:.0}M", number / 1e6),
        1_000_000.0.. => format!("{:.1}M", number / 1e6),
        10_000.0.. => format!("{:.0}k", number / 1e3),
        1_000.0.. => format!("{:.1}k", number / 1e3),
        10.0.. => format!("{number:.0}"),
        _ => format!("{number:.1}"),
    }
}

/// Returns a name for Markdown, in which it stays text in one cell.
fn cell(text: &str) -> String {
    printable(text).replace('|', "\\|").replace('<', "&lt;")
}
