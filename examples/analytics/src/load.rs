//! Runs the pipeline in one process with a live line, and measures rates, latencies, processor
//! time, and whether each event is accounted for.

use std::{collections::BTreeMap, fs::File, path::Path};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use mycelium::counters::{Kind, Reading};
use mycelium::{Error, Policy, Result, Subscription};
use mycelium_tokio::Tokio;
use plotters::prelude::*;
use procfs::process::Process;
use tempfile::TempDir;

use crate::app::Options;
use crate::messages::Report;
use crate::state::State;

/// What was seen of a run.
#[derive(Default)]
struct Seen {
    /// For each second, the number of trades that reached their windows, and their latencies.
    seconds: Vec<(u64, [u64; 3])>,
    /// The latencies of all seconds.
    latency: [u64; 3],
    /// Seconds of processor time, by thread.
    processor: BTreeMap<String, f64>,
}

/// A run that has ended.
pub struct Ran {
    seen: Seen,
    counters: Vec<Reading>,
    directory: TempDir,
}

/// Runs all stages in this process until a signal, or until all events were sent.
///
/// # Errors
/// If the recording or the port of the page cannot be used, or a stage failed.
pub async fn run(mut options: Options, topology: &str) -> Result<Ran> {
    let directory = options.begin()?;
    let node = options.node("main", topology)?.build()?;
    let reports = node.subscribe::<Report>("Terminal", Policy::DropOldest)?;
    let following = tokio::spawn(follow(reports, options.end));
    let counters = node.run(Tokio::current()?).await?.counters;
    Ok(Ran { seen: following.await??, counters, directory })
}

/// Shows the reports of a run as a live line, until its end.
async fn follow(mut reports: Subscription<Report>, end: u64) -> Result<Seen> {
    let template = if end == u64::MAX { "{spinner} {msg}" } else { "{bar:20} {eta} left  {msg}" };
    let bar = ProgressBar::new(end).with_style(ProgressStyle::with_template(template)?);
    let (mut seen, mut last) = (Seen::default(), None);
    while let Some(delivery) = reports.recv().await {
        let windows = delivery.message().filter(|report| report.stage == "Windows");
        let Some(Report { at, counts, latency: [latency, all], .. }) = windows else { continue };
        let Some((before, taken)) = last.replace((at, counts.taken)) else { continue };
        let rate = counts.taken.saturating_sub(taken) * 1000 / at.saturating_sub(before).max(1);
        seen.seconds.push((rate, latency));
        seen.latency = all;
        seen.processor = threads()?;
        let [rate, taken, missed] = [rate, counts.taken, counts.missed].map(HumanCount);
        let p99 = latency[1] as f64 / 1000.0;
        bar.set_position(counts.next);
        bar.set_message(format!(
            "{rate} trades/s, {taken} in all, {missed} missed, p99 {p99:.1} ms"
        ));
    }
    bar.finish();
    Ok(seen)
}

/// Returns the processor time of the threads of this process, in seconds.
fn threads() -> procfs::ProcResult<BTreeMap<String, f64>> {
    let mut threads = BTreeMap::new();
    for thread in Process::myself()?.tasks()? {
        let stat = thread?.stat()?;
        let seconds = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
        *threads.entry(stat.comm).or_default() += seconds;
    }
    Ok(threads)
}

/// Runs for some seconds, prints what was measured, and plots it.
///
/// # Errors
/// As [`run`]; if the plot cannot be written, or an event is neither taken nor reported as missed.
pub async fn measure(mut options: Options, seconds: u64, file: &Path) -> Result<()> {
    // An error now, and not at the end.
    File::create(file).map_err(|error| Error::msg(format!("{}: {error}", file.display())))?;
    options.end = options.rate.saturating_mul(seconds);
    let ran = run(options, "analytics.toml").await?;
    let Seen { seconds, latency, processor } = &ran.seen;
    let mut rates: Vec<u64> = seconds.iter().map(|second| second.0).collect();
    rates.sort_unstable();
    let [least, median] = [0, rates.len() / 2].map(|at| HumanCount(*rates.get(at).unwrap_or(&0)));
    println!("rate       least {least} a second, median {median}");
    let [p50, p99, most] = latency.map(|latency| latency as f64 / 1000.0);
    println!("latency    p50 {p50:.1} ms, p99 {p99:.1} ms, most {most:.1} ms, from due to window");
    let all: f64 = processor.values().sum();
    let share = all / seconds.len().max(1) as f64;
    println!("processor  {all:.1} s, {share:.2} cores: {processor:.1?}");
    plot(file, seconds)?;
    println!("plot       {}", file.display());
    ran.account()
}

impl Ran {
    /// Returns the state of a stage at the end.
    ///
    /// # Errors
    /// If its file cannot be used.
    pub fn state(&self, stage: &str) -> Result<State> {
        Ok(State::open(self.directory.path(), stage)?.1)
    }

    /// Prints what each stage has done with what was sent to it.
    ///
    /// # Errors
    /// If a state cannot be read, or an event was not taken, not left out by the sample, and not
    /// missed and reported as missed by the runtime.
    pub fn account(&self) -> Result<()> {
        let mut is_conserved = true;
        for (stage, before) in
            [("Transform", "Ingest"), ("Windows", "Transform"), ("Outliers", "Transform")]
        {
            let (sent, counts) = (self.state(before)?.counts.emitted, self.state(stage)?.counts);
            let edges = self.counters.iter().filter(|it| it.kind == Kind::Edge);
            let edges = edges.filter(|it| it.label("reader") == stage);
            let sum = |name| edges.clone().map(|edge| edge.value(name)).sum::<u64>();
            let (sampled, overwritten) = (sum("sampled"), sum("overwritten"));
            let is_sum = sent == counts.taken + counts.missed + sampled;
            is_conserved &= is_sum && counts.missed == overwritten && counts.repeated == 0;
            let equals = if is_sum { "=" } else { "IS NOT" };
            let [sent, taken, missed, sampled, emitted] =
                [sent, counts.taken, counts.missed, sampled, counts.emitted].map(HumanCount);
            println!(
                "{stage:<10} sent {sent} {equals} taken {taken} + missed {missed} + sampled out \
                 {sampled}; emitted {emitted}"
            );
        }
        if is_conserved { Ok(()) } else { Err(Error::msg("not each event is accounted for")) }
    }
}

/// Draws rates and latencies over time.
fn plot(path: &Path, seconds: &[(u64, [u64; 3])]) -> Result<()> {
    let root = SVGBackend::new(path, (900, 360)).into_drawing_area();
    root.fill(&WHITE)?;
    let (end, most) = (seconds.len(), seconds.iter().map(|second| second.0).max().unwrap_or(1));
    let slowest = seconds.iter().map(|second| second.1[2]).max().unwrap_or(0).max(1_000_000);
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .right_y_label_area_size(70)
        .build_cartesian_2d(0..end, 0..most * 5 / 4)?
        .set_secondary_coord(0..end, (100..slowest).log_scale());
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT).x_desc("seconds").y_desc("trades a second: blue").draw()?;
    let latency = "microseconds to window, p99: magenta, most: red";
    chart.configure_secondary_axes().y_desc(latency).draw()?;
    let rates = seconds.iter().enumerate().map(|(at, second)| (at, second.0));
    chart.draw_series(LineSeries::new(rates, &BLUE))?;
    for (place, colour) in [(1, MAGENTA), (2, RED)] {
        let points = seconds.iter().enumerate().map(|(at, second)| (at, second.1[place].max(100)));
        chart.draw_secondary_series(LineSeries::new(points, &colour))?;
    }
    Ok(root.present()?)
}
