//! Latency against offered load: messages that are due at fixed times, ever more of them.

use std::time::Duration;

use crate::harness::{Mismatch, rounds};
use crate::loops::latency::Timed;
use crate::options::Options;
use crate::report::{LoadCurve, LoadPoint, LoadTable, histogram};

/// Columns under ever more load.
pub(crate) struct Loads {
    pub(crate) key: &'static str,
    pub(crate) title: String,
    pub(crate) names: Vec<&'static str>,
    /// Messages a second, ascending.
    pub(crate) rates: Vec<u64>,
    /// How long each is held.
    pub(crate) time: Duration,
    /// The column of that name, under so many messages a second.
    pub(crate) column: Box<dyn Fn(&'static str, u64) -> Box<dyn Timed>>,
}

/// Fewer messages say nothing about a percentile.
const FEWEST: usize = 100;

impl Loads {
    pub(crate) fn measure(mut self, options: &Options) -> Result<LoadTable, Mismatch> {
        self.names.retain(|name| options.wants_column(name));
        let Loads { names, rates, time, column, .. } = &self;
        let points = names.iter().flat_map(|name| rates.iter().map(|rate| (*name, *rate)));
        let mut columns: Vec<_> = points.map(|(name, rate)| (rate, column(name, rate))).collect();
        let times = rounds(options, columns.len(), |place| {
            let (rate, column) = &mut columns[place];
            let messages = (*rate as f64 * time.as_secs_f64()) as usize;
            column.times(options.operations(messages, messages).max(FEWEST))
        })?;
        let curves = names.iter().zip(times.chunks(rates.len())).map(|(name, rounds)| {
            let points = rates.iter().zip(rounds).map(|(rate, rounds)| {
                let mut all = histogram();
                rounds.iter().for_each(|round| all += round);
                LoadPoint {
                    offered: *rate,
                    p50: all.value_at_quantile(0.5),
                    p99: all.value_at_quantile(0.99),
                    p999: all.value_at_quantile(0.999),
                }
            });
            LoadCurve::of(name, points.collect())
        });
        Ok(LoadTable {
            key: self.key,
            curves: curves.collect(),
            title: self.title,
            rounds: options.rounds(),
        })
    }
}
