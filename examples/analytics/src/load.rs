//! Runs the pipeline in one process with a live line, and measures rates, latencies, processor
//! time, and whether each event is accounted for.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use clap::Args;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use mycelium::counters::{Kind, Reading};
use mycelium::{Policy, Result, Subscription};
use mycelium_tokio::Tokio;
use plotters::prelude::*;
use procfs::process::Process;
use tempfile::TempDir;

use crate::app::Options;
use crate::messages::Report;
use crate::state::State;

/// The options of a load test.
#[derive(Args, Clone, Debug)]
pub struct Load {
    /// How long events are sent.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// The plot of rates and latencies.
    #[arg(long, value_name = "FILE", default_value = "load.svg")]
    plot: PathBuf,
    #[command(flatten)]
    options: Options,
}

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
pub async fn run(mut options: Options) -> Result<Ran> {
    let directory = options.begin()?;
    let node = options.node("main", "analytics.toml")?.build()?;
    let reports = node.subscribe::<Report>("Terminal", Policy::DropOldest)?;
    let following = tokio::spawn(follow(reports, options.end));
    let counters = node.run(Tokio::current()?).await?.counters;
    Ok(Ran { seen: following.await?, counters, directory })
}

/// Shows the reports of a run as a live line, until its end.
async fn follow(mut reports: Subscription<Report>, end: u64) -> Seen {
    let bar = ProgressBar::new(end);
    let template = if end == u64::MAX { "{spinner} {msg}" } else { "{bar:20} {eta} left  {msg}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let (mut seen, mut last) = (Seen::default(), None::<Report>);
    while let Some(delivery) = reports.recv().await {
        let windows = delivery.message().filter(|report| report.stage == "Windows");
        let Some(report) = windows else { continue };
        if let Some(before) = last {
            let taken = report.counts.taken.saturating_sub(before.counts.taken);
            let rate = taken * 1000 / report.at.saturating_sub(before.at).max(1);
            let [latency, all] = report.latency;
            seen.seconds.push((rate, latency));
            seen.latency = all;
            seen.processor = threads().unwrap_or(seen.processor);
            let [rate, taken, missed] =
                [rate, report.counts.taken, report.counts.missed].map(HumanCount);
            let p99 = latency[1] as f64 / 1000.0;
            let line = format!("{rate} trades/s, {taken} in all, {missed} missed, p99 {p99:.1} ms");
            if bar.is_hidden() && seen.seconds.len() % 10 == 1 {
                eprintln!("{line}");
            }
            bar.set_position(report.counts.next);
            bar.set_message(line);
        }
        last = Some(report);
    }
    bar.finish();
    seen
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

/// Runs for some minutes, prints what was measured, and plots it. The exit code is 1 if an event is
/// neither taken nor reported as missed.
///
/// # Errors
/// As [`run`]; or if the plot cannot be written.
pub async fn measure(mut load: Load) -> Result<ExitCode> {
    load.options.end = (load.options.rate as f64 * load.minutes * 60.0) as u64;
    let ran = run(load.options).await?;
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
    plot(&load.plot, seconds)?;
    println!("plot       {}", load.plot.display());
    Ok(if ran.account()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Ran {
    /// Returns the state of a stage at the end.
    ///
    /// # Errors
    /// If its file cannot be used.
    pub fn state(&self, stage: &str) -> Result<State> {
        Ok(State::open(self.directory.path(), stage)?.2)
    }

    /// Prints what each stage has done with what was sent to it. Returns whether each event was
    /// taken, left out by the sample, or missed and reported as missed by the runtime.
    ///
    /// # Errors
    /// If a state cannot be read.
    pub fn account(&self) -> Result<bool> {
        let mut is_conserved = true;
        for (stage, topic, before) in [
            ("Transform", "events", "Ingest"),
            ("Windows", "trades", "Transform"),
            ("Outliers", "trades", "Transform"),
        ] {
            let (sent, counts) = (self.state(before)?.counts.emitted, self.state(stage)?.counts);
            let edges = self.counters.iter().filter(|it| {
                it.kind == Kind::Edge && (it.label("topic"), it.label("reader")) == (topic, stage)
            });
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
        Ok(is_conserved)
    }
}

/// Draws rates and latencies over time.
fn plot(path: &PathBuf, seconds: &[(u64, [u64; 3])]) -> Result<()> {
    let root = SVGBackend::new(path, (900, 360)).into_drawing_area();
    root.fill(&WHITE)?;
    let (end, most) = (seconds.len(), seconds.iter().map(|second| second.0).max().unwrap_or(1));
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .right_y_label_area_size(70)
        .build_cartesian_2d(0..end, 0..most * 5 / 4)?
        .set_secondary_coord(0..end, (100..1_000_000_u64).log_scale());
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
