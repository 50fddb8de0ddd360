//! How long messages took, by how many were to be sent.

use std::fmt;

use serde::Serialize;

/// Times of single messages against offered load, by column.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LoadTable {
    /// What `--only` calls the work.
    pub key: &'static str,
    /// What is sent how.
    pub title: String,
    /// Rounds that count.
    pub rounds: usize,
    /// One for each column.
    pub curves: Vec<LoadCurve>,
}

/// One column under ever more load.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LoadCurve {
    /// The column.
    pub name: &'static str,
    /// By load, ascending.
    pub points: Vec<LoadPoint>,
    /// The most messages a second before the knee: until there the median stays within ten times that at the least
    /// load. `None` if there is no point at all.
    pub knee: Option<u64>,
}

/// The times of a column under one load, in nanoseconds from when a message was due.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct LoadPoint {
    /// Messages a second that were due.
    pub offered: u64,
    /// Half of the messages took at most this.
    pub p50: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1,000.
    pub p999: u64,
}

/// Behind the knee messages queue up for as long as the load lasts, so that the median tells it from a busy machine,
/// whose tail is long at any load.
const KNEE: u64 = 10;

impl LoadCurve {
    pub(crate) fn of(name: &'static str, points: Vec<LoadPoint>) -> LoadCurve {
        let least = points.first().map_or(0, |point| point.p50);
        let before = points.iter().take_while(|point| point.p50 <= KNEE * least);
        LoadCurve { name, knee: before.last().map(|point| point.offered), points }
    }
}

impl LoadTable {
    /// The name of a file about this table, without its ending.
    #[must_use]
    pub fn slug(&self) -> String {
        format!("{}-load", self.key)
    }
}

impl fmt::Display for LoadTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "load: {}", self.title)?;
        writeln!(f, "  {} rounds; ns from when a message was due: p50 / p99 / p99.9", self.rounds)?;
        let width = self.curves.iter().map(|curve| curve.name.len()).max().unwrap_or(0).max(24);
        write!(f, "  {:<12}", "messages/s")?;
        self.curves.iter().try_for_each(|curve| write!(f, " {:>width$}", curve.name))?;
        writeln!(f)?;
        let rates = self.curves.iter().take(1).flat_map(|curve| &curve.points);
        for (place, LoadPoint { offered, .. }) in rates.enumerate() {
            write!(f, "  {offered:<12}")?;
            for curve in &self.curves {
                let LoadPoint { p50, p99, p999, .. } = curve.points[place];
                write!(f, " {:>width$}", format!("{p50} / {p99} / {p999}"))?;
            }
            writeln!(f)?;
        }
        write!(f, "  {:<12}", "knee")?;
        for curve in &self.curves {
            write!(f, " {:>width$}", curve.knee.unwrap_or(0))?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knee_is_where_the_median_leaves_its_place() {
        let points = |medians: &[u64]| {
            let point = |(place, p50): (usize, &u64)| LoadPoint {
                offered: 1 << place,
                p50: *p50,
                p99: 0,
                p999: 0,
            };
            medians.iter().enumerate().map(point).collect()
        };
        let knee = |medians: &[u64]| LoadCurve::of("one", points(medians)).knee;
        assert_eq!(knee(&[20, 9, 30, 201, 8, 9000]), Some(4));
        assert_eq!(knee(&[20, 9, 30]), Some(4));
        assert_eq!(knee(&[]), None);
    }
}
