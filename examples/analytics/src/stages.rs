//! The stages of the pipeline. Each of them sends what it has made of a batch, saves its state, and
//! then receives the next batch.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use hdrhistogram::Histogram;
use mycelium::{Context, Delivery, Error, Result, service};

use crate::app::{Options, nanoseconds};
use crate::messages::{Event, Report, SECOND, Trade, Window};
use crate::recording::{Recording, trade};
use crate::state::{BATCH, Kept};

/// How often `Ingest` looks at the clock.
const TICK: Duration = Duration::from_millis(5);
/// The number of volumes that a trade is compared with.
const RECENT: usize = 4096;
/// The distance from the median, in robust standard deviations, from which a trade is unusual.
const UNUSUAL: f64 = 3.5;

/// Sends the recorded events when they are due.
pub struct Ingest(pub Arc<Options>);

#[service(emits(Event, Report))]
impl Ingest {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (options, path) = (&*self.0, self.0.data.clone());
        let recording = ctx.blocking(move || Recording::load(&path)).await?;
        let recording = recording.map_err(Error::permanent)?;
        let mut kept = Kept::open(ctx, options)?;
        let mut ticks = ctx.interval(TICK)?;
        let mut batch = Vec::with_capacity(BATCH);
        while kept.state.counts.next < options.end {
            ticks.tick().await?;
            let due = options.due(ctx.wall_clock());
            while kept.state.counts.next < due {
                let numbers = (kept.state.counts.next..due).take(BATCH);
                batch.clear();
                batch.extend(numbers.map(|number| recording.event(number, options)));
                let sent = ctx.emit_batch(&batch).await;
                let count = sent.as_ref().map_or_else(|error| error.sent, |()| batch.len()) as u64;
                let counts = &mut kept.state.counts;
                counts.next += count;
                counts.taken += count;
                counts.emitted += count;
                kept.save(ctx.queue_depth::<Event>())?;
                sent?;
            }
        }
        Ok(())
    }
}

/// Decodes events.
pub struct Transform(pub Arc<Options>);

#[service(reads(Event), emits(Trade, Report))]
impl Transform {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut kept = Kept::open(ctx, &self.0)?;
        let mut events = ctx.subscribe::<Event>()?;
        let (mut batch, mut trades) = (Vec::new(), Vec::new());
        while kept.receive(&mut events, &mut batch).await {
            trades.clear();
            for event in batch.drain(..).filter_map(Delivery::message) {
                kept.state.take(event.number);
                // An event that came again is sent again, because its trade may have been lost.
                match trade(&event) {
                    Some(trade) => trades.push(trade),
                    None => kept.state.counts.refused += 1,
                }
            }
            ctx.emit_batch(&trades).await?;
            kept.state.counts.emitted += trades.len() as u64;
            kept.save(events.depth())?;
        }
        Ok(())
    }
}

/// Adds up trades by pool and second.
pub struct Windows(pub Arc<Options>);

#[service(reads(Trade), emits(Window, Report))]
impl Windows {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut kept = Kept::open(ctx, &self.0)?;
        let mut trades = ctx.subscribe::<Trade>()?;
        let (mut batch, mut closed) = (Vec::new(), Vec::new());
        // Microseconds, of up to an hour.
        let mut all = Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 2)?;
        let (mut latest, mut second) = (all.clone(), 0);
        let parts = |it: &Histogram<u64>| [0.5, 0.99, 1.0].map(|part| it.value_at_quantile(part));
        let mut goes_on = true;
        while goes_on {
            goes_on = kept.receive(&mut trades, &mut batch).await;
            let now = nanoseconds(ctx.wall_clock());
            for trade in batch.drain(..).filter_map(Delivery::message) {
                if kept.state.take(trade.number) {
                    kept.state.add(&trade, &mut closed);
                }
                latest.saturating_record(now.saturating_sub(trade.at) / 1000);
            }
            if !goes_on {
                // The end of all trades: nothing can be added to the last windows.
                closed.append(&mut kept.state.windows);
            }
            ctx.emit_batch(&closed).await?;
            kept.state.counts.emitted += closed.len() as u64;
            closed.clear();
            kept.save(trades.depth())?;
            if now / SECOND > second {
                second = now / SECOND;
                all.add(&latest)?;
                let latency = [parts(&latest), parts(&all)];
                kept.report.send_modify(|report| report.latency = latency);
                latest.reset();
            }
        }
        Ok(())
    }
}

/// Compares the volume of trades with recent ones, which costs far more than all other stages. Its
/// subscription makes no publisher wait: what it does not see is counted.
pub struct Outliers(pub Arc<Options>);

#[service(reads(Trade), emits(Report))]
impl Outliers {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut kept = Kept::open(ctx, &self.0)?;
        let mut trades = ctx.subscribe::<Trade>()?;
        let (mut batch, mut recent) = (Vec::new(), VecDeque::new());
        while kept.receive(&mut trades, &mut batch).await {
            for delivery in batch.drain(..) {
                let counts = &mut kept.state.counts;
                match delivery {
                    Delivery::Gap(gap) => counts.missed += gap.count,
                    Delivery::Msg(trade) if trade.number < counts.next => counts.repeated += 1,
                    Delivery::Msg(trade) => {
                        (counts.next, counts.taken) = (trade.number + 1, counts.taken + 1);
                        let volume = (trade.volume as f64).ln_1p();
                        counts.emitted += u64::from(score(&recent, volume) > UNUSUAL);
                        recent.truncate(RECENT - 1);
                        recent.push_front(volume);
                        // Its task for reports has the same thread.
                        ctx.yield_now().await;
                    }
                }
            }
            kept.save(trades.depth())?;
        }
        Ok(())
    }
}

/// Returns the distance of a value from the median, in median absolute deviations that are scaled
/// to the standard deviation; 0 if they are 0.
fn score(recent: &VecDeque<f64>, value: f64) -> f64 {
    let mut values: Vec<f64> = recent.iter().copied().chain([value]).collect();
    let middle = values.len() / 2;
    let median = *values.select_nth_unstable_by(middle, f64::total_cmp).1;
    values.iter_mut().for_each(|value| *value = (*value - median).abs());
    let deviation = *values.select_nth_unstable_by(middle, f64::total_cmp).1;
    if deviation > 0.0 { (value - median).abs() / (1.4826 * deviation) } else { 0.0 }
}
