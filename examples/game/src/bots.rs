//! Clients that play by themselves: most of them collect coins, some misbehave. And a measurement
//! of the server with many of them, in one process with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::{SinkExt, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use mycelium::counters::Kind;
use mycelium::{Delivery, Error, Policy, Result};
use mycelium_tokio::Tokio;
use parking_lot::Mutex;
use plotters::prelude::*;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout, timeout_at};
use tokio_tungstenite::tungstenite::{Message, protocol::WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::messages::{PLAYERS, Steer, Tick, View};
use crate::network::{Figures, HANDSHAKE};
use crate::physics::way;

/// Within how many milliseconds 99 of 100 ticks must be published: then the next one is due.
const GOAL: f64 = 16.7;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What all bots have seen since it was taken last.
#[derive(Default)]
pub struct Seen {
    pub frames: u64,
    /// Frames that the server has skipped, as it has told the bot.
    pub skipped: u64,
    /// Other frames that are missing. There must be none.
    pub lost: u64,
    /// The times from a command until a frame in which it was obeyed, in milliseconds.
    pub trips: Vec<f64>,
}

/// Starts bots, the last `bad` of which misbehave. They connect again when they are disconnected,
/// until the set is dropped.
pub fn start(address: SocketAddr, bots: usize, bad: usize, seen: &Arc<Mutex<Seen>>) -> JoinSet<()> {
    let manner = |number| (number + bad >= bots).then_some(number % 3);
    (0..bots).map(|number| run(address, manner(number), seen.clone())).collect()
}

async fn run(address: SocketAddr, bad: Option<usize>, seen: Arc<Mutex<Seen>>) {
    let url = format!("ws://{address}/play/{}", fastrand::u64(1..));
    let config = WebSocketConfig::default().read_buffer_size(4096);
    // It goes on counting its commands when it connects again.
    let mut number = 0;
    loop {
        let connecting = connect_async_with_config(&url, Some(config), true);
        if let Ok(Ok((mut socket, _))) = timeout(HANDSHAKE, connecting).await {
            let _ = match bad {
                None => play(&mut socket, &mut number, &seen).await,
                Some(manner) => misbehave(&mut socket, manner).await,
            };
        }
        sleep(Duration::from_millis(500)).await;
    }
}

async fn play(socket: &mut Socket, number: &mut u32, seen: &Mutex<Seen>) -> Result<()> {
    let mut steer = interval(Duration::from_millis(100));
    let (mut wanted, mut last) = ([1.0, 0.0], None);
    // A command that it has not seen to be obeyed, and when it was sent.
    let mut asked: Option<(u32, Instant)> = None;
    loop {
        tokio::select! {
            message = socket.next() => {
                let Some(message) = message else { return Ok(()) };
                let Message::Text(text) = message? else { continue };
                // The figures of the server are no view.
                let Ok(view) = serde_json::from_str::<View>(&text) else { continue };
                let mut seen = seen.lock();
                seen.frames += 1;
                if let Some((frame, skipped)) = last.replace((view.frame, view.skipped)) {
                    let told = view.skipped - skipped;
                    seen.skipped += u64::from(told);
                    seen.lost += u64::from((view.frame - frame - 1).abs_diff(told));
                }
                if let Some((_, sent)) = asked.take_if(|(number, _)| view.steered >= *number) {
                    seen.trips.push(sent.elapsed().as_secs_f64() * 1000.0);
                }
                wanted = choose(&view).unwrap_or(wanted);
            }
            _ = steer.tick() => {
                *number += 1;
                asked.get_or_insert((*number, Instant::now()));
                socket.send(steering(*number, wanted)).await?;
            }
        }
    }
}

/// Returns the way to the next coin; `None` if there is none in sight.
fn choose(view: &View) -> Option<[f32; 2]> {
    let place = |entity: &(u16, u16, u16, u16)| [entity.1.into(), entity.2.into()];
    let me = place(view.entities.iter().find(|entity| Some(entity.0) == view.id)?);
    let coins = view.entities.iter().filter(|entity| entity.0 >= PLAYERS);
    let ways = coins.map(|coin| way(&me, &place(coin)));
    Some(ways.min_by(|(_, one), (_, other)| one.total_cmp(other))?.0)
}

fn steering(number: u32, way: [f32; 2]) -> Message {
    let steer: Steer = (number, way);
    Message::Text(serde_json::to_string(&steer).unwrap_or_default().into())
}

/// Sends messages and never reads: 10,000 commands a second, one command a second, or each second
/// an impossible speed, nonsense, or a message that is too long.
async fn misbehave(socket: &mut Socket, manner: usize) -> Result<()> {
    let count = if manner == 0 { 10_000 } else { 1 };
    let mut second = interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        for _ in 0..count {
            let message = match (manner, fastrand::u8(..3)) {
                (0 | 1, _) => steering(1, [1.0, 0.0]),
                (_, 0) => steering(1, [1e9, 0.0]),
                (_, 1) => Message::Binary((0..40).map(|_| fastrand::u8(..)).collect()),
                (_, _) => Message::Text("9".repeat(1 << 20).into()),
            };
            socket.feed(message).await?;
        }
        socket.flush().await?;
    }
}

/// The options of a measurement.
#[derive(Args)]
pub struct Load {
    /// How many of the bots misbehave: they flood, stall and cheat.
    #[arg(long, default_value_t = 0)]
    bad: usize,
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Write a plot of the ticks to this file.
    #[arg(long, default_value = "ticks.svg")]
    plot: PathBuf,
}

/// Runs the server and the bots, and prints what was measured.
///
/// # Errors
/// If no bot plays, the server fails, or not all of them play within 30 seconds.
pub async fn load(address: SocketAddr, bots: usize, options: Load) -> Result<()> {
    let Load { bad, seconds, plot } = options;
    if bad >= bots {
        return Err(Error::msg(format!("{bad} of {bots} bots are bad: expected some that play")));
    }
    let figures = Arc::<Figures>::default();
    let node =
        crate::node("main", crate::topology("game.toml")?, address, figures.clone()).build()?;
    let mut ticks = node.subscribe::<Tick>("load", Policy::DropOldest)?;
    let running = node.start(Tokio::current()?)?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let clients = start(address, bots, bad, &seen);

    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} s, {msg}")?;
    let bar = ProgressBar::new(seconds).with_style(style);
    let mut second = interval(Duration::from_secs(1));
    let good = (bots - bad) as u64;
    let players = || figures.all().get("players").copied().unwrap_or(0);
    let deadline = Instant::now() + Duration::from_secs(30);
    while players() < good {
        timeout_at(deadline, second.tick()).await.map_err(|_| Error::msg("not all bots play"))?;
        bar.set_message(format!("{} players", players()));
    }
    // What was before is not measured.
    *seen.lock() = Seen::default();
    while ticks.try_recv().delivery().is_some() {}
    let (mut measured, begin) = (Vec::new(), Instant::now());
    while begin.elapsed().as_secs() < seconds {
        tokio::select! {
            delivery = ticks.recv() => match delivery.ok_or(Error::msg("the server has ended"))? {
                Delivery::Msg(tick) => measured.push(*tick),
                Delivery::Gap(gap) => return Err(Error::msg(gap.to_string())),
            },
            _ = second.tick() => bar.set_position(begin.elapsed().as_secs()),
        }
    }
    let seen = std::mem::take(&mut *seen.lock());
    bar.finish_and_clear();
    drop(clients);
    running.shutdown();
    let report = running.join().await?;

    let cores = std::thread::available_parallelism()?;
    println!("{bots} bots, {bad} of them bad, for {seconds} s on {cores} cores");
    let [first, .., last] = &measured[..] else { return Err(Error::msg("no ticks")) };
    let left_out = last.skipped - first.skipped;
    println!("ticks: {}, left out: {left_out}", measured.len());
    let milliseconds = |time: u32| f64::from(time) / 1000.0;
    let times = measured.iter().map(|it| (milliseconds(it.work), milliseconds(it.published)));
    let (work, published): (Vec<_>, Vec<_>) = times.unzip();
    println!("  own work: {}", quantiles(work.clone()).0);
    let (text, p99) = quantiles(published.clone());
    println!("  from due until published: {text}");
    let reached = if p99 <= GOAL { "reached" } else { "MISSED" };
    println!("  goal: p99 of at most {GOAL} ms: {reached}");
    let each = seen.frames as f64 / good as f64 / seconds as f64;
    println!("frames at the bots: {}, {each:.1} a second for each", seen.frames);
    println!("  skipped, and the bot was told: {}, lost: {}", seen.skipped, seen.lost);
    println!("  from a command until a frame shows it: {}", quantiles(seen.trips).0);
    println!("messages between services, from the start");
    for edge in report.counters.iter().filter(|line| line.kind == Kind::Edge) {
        let fates = ["taken", "skipped", "overwritten", "left"]
            .map(|fate| format!("{} {fate}", edge.value(fate)));
        println!("  {} -> {}: {}", edge.label("topic"), edge.label("reader"), fates.join(", "));
    }
    println!("figures of the server, from the start");
    figures.all().iter().for_each(|(name, value)| println!("  {name}: {value}"));
    draw(&plot, &work, &published)?;
    println!("plot: {}", plot.display());
    Ok(())
}

/// Returns quantiles of times in milliseconds as text, and p99.
fn quantiles(mut times: Vec<f64>) -> (String, f64) {
    times.sort_unstable_by(f64::total_cmp);
    let last = times.len().saturating_sub(1);
    let at = |percent| times.get(last * percent / 100).copied().unwrap_or(0.0);
    let (p50, p99, max) = (at(50), at(99), at(100));
    (format!("p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms"), p99)
}

/// Draws the times of the ticks, in milliseconds.
fn draw(path: &Path, work: &[f64], published: &[f64]) -> Result<()> {
    let root = SVGBackend::new(path, (960, 360)).into_drawing_area();
    root.fill(&WHITE)?;
    let seconds = work.len() as f64 / 60.0;
    let longest = published.iter().copied().fold(GOAL, f64::max);
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..seconds, 0.0..longest)?;
    chart.configure_mesh().x_desc("seconds").y_desc("milliseconds").draw()?;
    let goal = vec![GOAL; work.len()];
    for (name, color, times) in
        [("due until published", BLUE, published), ("own work", BLACK, work), ("goal", RED, &goal)]
    {
        let points = (0..).zip(times).map(|(tick, time)| (f64::from(tick) / 60.0, *time));
        let line = chart.draw_series(LineSeries::new(points, color))?;
        line.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    Ok(root.present()?)
}
