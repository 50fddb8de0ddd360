//! What a stage has counted and aggregated, in a file that outlives its process.
//!
//! Each stage sends its results, saves its state, and only then receives again. If it is killed
//! before it has saved, it gets the same events again, with the state from before them. If it is
//! killed after that, it may get them again, too, and knows them by their numbers.

use std::{fs::File, ops::Range, os::unix::fs::FileExt, path::Path, process, time::Duration};

use mycelium::execution::Clock;
use mycelium::ports::EmittedBy;
use mycelium::{Context, Delivery, Error, Message, Result, Service, Subscription};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::app::{Options, nanoseconds};
use crate::messages::{Counts, Report, SECOND, Trade, Window};

/// An event is missed when there are events of this number of seconds after it.
const PATIENCE: u64 = 5;
/// The most ranges of events that may still come.
const HOLES: usize = 64;
/// The most messages that are received or sent at once.
pub const BATCH: usize = 256;
/// The most bytes of a state. Windows of a thousand pools take less, also if an event is missing.
const LONGEST: usize = 4 << 20;

/// The state of a stage.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// How often it was saved.
    saves: u64,
    pub counts: Counts,
    /// The numbers below `counts.next` that have not come, and still may.
    holes: Vec<Range<u64>>,
    /// The windows that are open.
    pub windows: Vec<Window>,
    /// The number of later events after which an event is missed.
    #[serde(skip)]
    overtaken: u64,
}

impl State {
    /// Counts an event and returns whether it is new. The events of two processes of a stage may be
    /// mixed, so an event may come after later ones. It is missed when too many later ones have
    /// come.
    pub fn take(&mut self, number: u64) -> bool {
        let State { counts, holes, overtaken, .. } = self;
        if number >= counts.next {
            if number > counts.next {
                holes.push(counts.next..number);
            }
            counts.next = number.saturating_add(1);
            let is_open = |hole: &Range<u64>| hole.end + *overtaken > counts.next;
            let closed = holes.iter().take_while(|hole| !is_open(hole)).count();
            let closed = closed.max(holes.len().saturating_sub(HOLES));
            counts.missed += holes.drain(..closed).map(|hole| hole.end - hole.start).sum::<u64>();
        } else if let Some(at) = holes.iter().position(|hole| hole.contains(&number)) {
            let (before, after) = (holes[at].start..number, number + 1..holes[at].end);
            holes.splice(at..=at, [before, after].into_iter().filter(|hole| !hole.is_empty()));
        } else {
            counts.repeated += 1;
            return false;
        }
        counts.taken += 1;
        true
    }

    /// Adds a new trade to its window. If no event below the newest one may still come, moves all
    /// windows but those of the last second to `closed`.
    pub fn add(&mut self, trade: &Trade, closed: &mut Vec<Window>) {
        let Trade { number, at, price, volume, pool, .. } = *trade;
        let start = at / SECOND;
        match self.windows.iter_mut().find(|it| (it.start, it.pool) == (start, pool)) {
            Some(window) => window.add(trade),
            None => self.windows.push(Window::new(
                start, 1, volume, price, price, price, price, number, number, pool,
            )),
        }
        if self.holes.is_empty() {
            let last = self.windows.iter().map(|window| window.start).max().unwrap_or(0);
            closed.extend(self.windows.extract_if(.., |window| window.start < last));
        }
    }

    /// Opens the file of a stage. Returns it with the state that was saved last, or the default.
    /// The file has two places, which are written in turn: a process that is killed while it writes
    /// one of them leaves the other one whole.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub fn open(directory: &Path, stage: &str) -> Result<(File, State)> {
        let path = directory.join(stage).with_extension("state");
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let (mut bytes, mut last) = (vec![0; LONGEST], State::default());
        for place in 0..2 {
            let length = file.read_at(&mut bytes, place * LONGEST as u64)?;
            let text = bytes[..length].split(|byte| *byte == b'\n').next().unwrap_or_default();
            if let Ok(state) = serde_json::from_slice::<State>(text)
                && state.saves > last.saves
            {
                last = state;
            }
        }
        Ok((file, last))
    }
}

/// The state of a stage that runs, its file, and its reports.
pub struct Kept {
    pub state: State,
    file: File,
    /// The next report.
    pub report: watch::Sender<Report>,
}

impl Kept {
    /// Opens the state of a service, and starts a task that sends a report at each full second,
    /// also while the service waits.
    ///
    /// # Errors
    /// If the file cannot be used, or the node shuts down.
    pub fn open<S: Service>(ctx: &mut Context<S>, options: &Options) -> Result<Kept>
    where
        Report: EmittedBy<S>,
    {
        let (file, mut state) = State::open(&options.directory, ctx.name())?;
        state.counts.runs += 1;
        state.overtaken = PATIENCE * options.rate;
        let (stage, pid, counts) = (ctx.name().to_owned(), process::id(), state.counts);
        let (report, newest) = watch::channel(Report { stage, pid, counts, ..Report::default() });
        let (mut publisher, clock) = (ctx.publisher()?, ctx.clock());
        let begin = ctx.wall_clock() - ctx.now();
        let now = move |clock: &Clock| nanoseconds(begin + clock.now()) / 1_000_000;
        ctx.spawn(async move {
            // All stages report at the same moments, so that their numbers can be compared.
            let until_second = |now| Duration::from_millis(1000 - now % 1000);
            while clock.sleep(until_second(now(&clock))).await.is_ok() {
                let report = Report { at: now(&clock), ..newest.borrow().clone() };
                // An error is a shutdown, which the next sleep reports.
                let _ = publisher.emit(report).await;
            }
        });
        Ok(Kept { state, file, report })
    }

    /// Waits for messages and gaps, of which it counts the gaps, and replaces `deliveries` by them.
    /// Returns false at the end.
    pub async fn receive<M: Message>(
        &mut self,
        subscription: &mut Subscription<M>,
        deliveries: &mut Vec<Delivery<M>>,
    ) -> bool {
        deliveries.clear();
        let count = subscription.recv_many(deliveries, BATCH).await;
        for delivery in deliveries.iter() {
            match delivery {
                Delivery::Msg(it) => self.state.counts.redelivered += u64::from(it.redelivered()),
                Delivery::Gap(_) => self.state.counts.gaps += 1,
            }
        }
        count > 0
    }

    /// Saves the state, and shows it in the next report. This protects against the death of the
    /// process, and not of the machine: nothing waits for the disk.
    ///
    /// # Errors
    /// If it cannot be written, or has more than 4 MiB.
    pub fn save(&mut self, depth: usize) -> Result<()> {
        self.state.saves += 1;
        let mut text = serde_json::to_vec(&self.state)?;
        text.push(b'\n');
        if text.len() > LONGEST {
            return Err(Error::msg(format!("a state of {} bytes is too long", text.len())));
        }
        self.file.write_all_at(&text, self.state.saves % 2 * LONGEST as u64)?;
        let counts = self.state.counts;
        self.report.send_modify(|report| (report.counts, report.depth) = (counts, depth as u64));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::POOLS;

    #[test]
    fn events_are_counted_once_in_any_order() {
        let mut state = State { overtaken: 1000, ..State::default() };
        let new: Vec<bool> = [3, 0, 3, 1, 7, 5, 1].map(|number| state.take(number)).into();
        assert_eq!(new, [true, true, false, true, true, true, false]);
        let Counts { next, taken, missed, repeated, .. } = state.counts;
        assert_eq!((next, taken, missed, repeated), (8, 5, 0, 2));
        assert_eq!(state.holes, [2..3, 4..5, 6..7]);
        // Of more than 64 ranges the first ones are missed, and so is what was overtaken.
        (10..200).step_by(2).for_each(|number| assert!(state.take(number)));
        assert_eq!((state.holes.len(), state.counts.missed), (HOLES, 35));
        assert!(!state.take(2) && state.take(197));
        (199..1500).for_each(|number| assert!(state.take(number)));
        let Counts { next, taken, missed, .. } = state.counts;
        assert_eq!((state.holes.len(), taken + missed), (0, next));
    }

    /// As many windows as a recording may have pools, of all seconds that wait for an event that is
    /// missing, with long numbers.
    #[test]
    fn the_windows_of_all_pools_fit_in_the_file() {
        let window = |_| {
            let (most, price) = (u64::MAX, -f64::MIN_POSITIVE / 3.0);
            Window::new(most, most, most, price, price, price, price, most, most, [0xff; 20])
        };
        let hole = |_| u64::MAX - 1..u64::MAX;
        let windows = (0..(PATIENCE as usize + 2) * POOLS).map(window).collect();
        let holes = (0..HOLES).map(hole).collect();
        let state = State { windows, holes, ..State::default() };
        let length = serde_json::to_vec(&state).unwrap().len();
        assert!(length < LONGEST, "{length}");
    }
}
