//! Columns of times, and of allocations, made of the same rounds.

use crate::harness::{Column, Count, Mismatch, Round};

/// What a round measured.
pub(crate) struct Spent {
    pub(crate) round: Round,
    /// Allocations of the caller's thread, which say something if it is the only one.
    pub(crate) allocations: u64,
}

/// A column of times.
pub(super) fn timed(
    name: &'static str,
    mut run: impl FnMut(usize) -> Result<Spent, Mismatch> + 'static,
) -> Column {
    Column::new(name, move |operations| run(operations).map(|spent| spent.round))
}

/// A column of allocations for an operation on one thread. The difference of a short and a long
/// round leaves out those that are made once.
pub(super) fn allocated(
    name: &'static str,
    what: &'static str,
    mut run: impl FnMut(usize) -> Result<Spent, Mismatch> + 'static,
) -> Column {
    Column::new(name, move |operations| {
        let few = run(operations)?.allocations;
        let many = run(5 * operations)?.allocations;
        let each = (many as f64 - few as f64) / (4 * operations) as f64;
        Ok(Round::Counts(vec![Count::new(what, each)]))
    })
}
