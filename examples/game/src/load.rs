//! Measures the server with many bots, which are in one process with it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use mycelium::counters::Kind;
use mycelium::{Delivery, Error, Policy, Result};
use mycelium_tokio::Tokio;
use plotters::prelude::*;
use tokio::time::{Instant, interval, timeout_at};

use crate::bots::{self, Seen};
use crate::messages::Tick;
use crate::network::{Figures, lock};

/// Within how many milliseconds 99 of 100 ticks must be published: then the next one is due.
const GOAL: f64 = 16.7;
/// What becomes of a message for a reader.
const FATES: [&str; 4] = ["taken", "skipped", "overwritten", "left"];

#[derive(Args)]
pub struct Options {
    /// The number of bots.
    #[arg(long, default_value_t = 500)]
    bots: usize,
    /// How many of the bots misbehave: they flood, stall and cheat.
    #[arg(long, default_value_t = 0)]
    bad: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Write a plot of the ticks to this file.
    #[arg(long, default_value = "ticks.svg")]
    plot: PathBuf,
}

/// Runs the server and the bots, and prints what was measured.
///
/// # Errors
/// If the server fails, or not all bots play within 30 seconds.
pub async fn run(options: &Options) -> Result<()> {
    let Options { bots, bad, seconds, plot } = options;
    let (address, figures) = (crate::free(([127, 0, 0, 1], 0).into())?, Arc::<Figures>::default());
    let node = crate::node("main", crate::topology("game.toml")?, address, &figures).build()?;
    let mut ticks = node.subscribe::<Tick>("load", Policy::DropOldest)?;
    let running = node.start(Tokio::current()?)?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let clients = bots::start(address, *bots, *bad, &seen);

    let bar = ProgressBar::new(*seconds);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} s, {msg}")?);
    let mut second = interval(Duration::from_secs(1));
    let good = bots.saturating_sub(*bad) as u64;
    let players = || figures.all().get("players").copied().unwrap_or(0);
    let deadline = Instant::now() + Duration::from_secs(30);
    while players() < good {
        bar.set_message(format!("{} players", players()));
        timeout_at(deadline, second.tick()).await.map_err(|_| Error::msg("not all bots play"))?;
    }
    // What was before is not measured.
    *lock(&seen) = Seen::default();
    while ticks.try_recv().delivery().is_some() {}
    let (mut measured, begin) = (Vec::new(), Instant::now());
    while begin.elapsed().as_secs() < *seconds {
        tokio::select! {
            delivery = ticks.recv() => match delivery.ok_or(Error::msg("the server has ended"))? {
                Delivery::Msg(tick) => measured.push(*tick),
                Delivery::Gap(gap) => return Err(Error::msg(gap.to_string())),
            },
            _ = second.tick() => {
                bar.set_position(begin.elapsed().as_secs());
                bar.set_message(format!("{} players", players()));
            }
        }
    }
    let seen = std::mem::take(&mut *lock(&seen));
    bar.finish_and_clear();
    drop(clients);
    running.shutdown();
    let report = running.join().await?;

    let cores = std::thread::available_parallelism()?;
    println!("{bots} bots, {bad} of them bad, for {seconds} s on {cores} cores");
    let first = measured.first().ok_or(Error::msg("no ticks"))?;
    let left_out = measured.last().map_or(0, |last| last.skipped - first.skipped);
    println!("ticks: {}, left out: {left_out}", measured.len());
    println!("  own work: {}", quantiles(measured.iter().map(|tick| tick.work)).0);
    let (text, p99) = quantiles(measured.iter().map(|tick| tick.published));
    println!("  from due until published: {text}");
    let reached = if p99 <= GOAL { "reached" } else { "MISSED" };
    println!("  goal: p99 of at most {GOAL} ms: {reached}");
    let each = seen.frames as f64 / good as f64 / *seconds as f64;
    println!("frames at the bots: {}, {each:.1} a second for each", seen.frames);
    println!("  skipped, and the bot was told: {}, lost: {}", seen.skipped, seen.lost);
    println!("  from a command until a frame shows it: {}", quantiles(seen.trips.into_iter()).0);
    println!("messages between services, from the start");
    for edge in report.counters.iter().filter(|line| line.kind == Kind::Edge) {
        let fates = FATES.map(|fate| format!("{} {fate}", edge.value(fate)));
        println!("  {} -> {}: {}", edge.label("topic"), edge.label("reader"), fates.join(", "));
    }
    println!("figures of the server, from the start");
    figures.all().iter().for_each(|(name, value)| println!("  {name}: {value}"));
    draw(plot, &measured)?;
    println!("plot: {}", plot.display());
    Ok(())
}

/// Returns quantiles of times in microseconds as text, and p99 in milliseconds.
fn quantiles(times: impl Iterator<Item = u32>) -> (String, f64) {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        f64::from(times.get(index).copied().unwrap_or(0)) / 1000.0
    };
    let (p50, p99, max) = (at(50), at(99), at(100));
    (format!("p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms"), p99)
}

/// Draws the times of the ticks.
fn draw(path: &Path, ticks: &[Tick]) -> Result<()> {
    let root = SVGBackend::new(path, (960, 360)).into_drawing_area();
    root.fill(&WHITE)?;
    let seconds = ticks.len() as f64 / 60.0;
    let longest = ticks.iter().map(|tick| f64::from(tick.published) / 1000.0).fold(GOAL, f64::max);
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..seconds, 0.0..longest)?;
    chart.configure_mesh().x_desc("seconds").y_desc("milliseconds").draw()?;
    let mut series = |name, color: RGBColor, of: &dyn Fn(&Tick) -> f64| {
        let at = |(index, tick)| (index as f64 / 60.0, of(tick));
        let line = chart.draw_series(LineSeries::new(ticks.iter().enumerate().map(at), color))?;
        line.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
        Ok::<(), Error>(())
    };
    series("due until published", BLUE, &|tick| f64::from(tick.published) / 1000.0)?;
    series("own work", BLACK, &|tick| f64::from(tick.work) / 1000.0)?;
    series("goal", RED, &|_| GOAL)?;
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    Ok(root.present()?)
}
