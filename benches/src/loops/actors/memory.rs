//! The memory of actors that have handled a message and wait for the next, each library in a
//! process of its own: by the allocator, and by the pages that the system counts.

use std::sync::Arc;

use super::library::{Library, Tells, Threads};
use super::start;
use super::state::{Plan, Report};
use crate::affinity::Cores;
use crate::allocations;
use crate::harness::{Column, Count, Mismatch, Round};
use crate::ours::actors::{Ours, OursKeyed};
use crate::processes::{Parent, Talk, Worker};
use crate::report::Limit;
use crate::rivals::actors::{Actix, Channel, Compio, Kameo, Ractor};

/// The first word of the job.
pub(crate) const JOB: &str = "actors-memory";

/// The memory of each of this number of actors.
pub(crate) fn memory<L: Library>(cores: Cores, most: Option<Limit>) -> Column {
    Column::new(L::NAME, move |count| {
        let job = format!("{JOB} {count} {}", L::NAME);
        let [allocated, resident] = Worker::start(&cores, &job).numbers();
        if allocated == 0 {
            return Err(Mismatch::new(L::NAME, "an actor ended"));
        }
        let each = |bytes: usize| bytes as f64 / count as f64;
        let (bytes, pages) = ("allocated bytes of an actor", "resident bytes of an actor");
        Ok(Round::Counts(vec![
            Count { limit: most, ..Count::new(bytes, each(allocated)) },
            Count::new(pages, each(resident)),
        ]))
    })
}

/// Does the job: the number of actors, and the name of a library.
pub(crate) fn serve(count: &str, name: &[&str]) {
    let count: usize = count.parse().expect("a number");
    let name = name.join(" ");
    let libraries = [
        (Ours::NAME, measured::<Ours> as fn(usize) -> Option<(isize, isize)>),
        (OursKeyed::NAME, measured::<OursKeyed>),
        (Kameo::NAME, measured::<Kameo>),
        (Ractor::NAME, measured::<Ractor>),
        (Actix::NAME, measured::<Actix>),
        (Compio::NAME, measured::<Compio>),
        (Channel::NAME, measured::<Channel>),
    ];
    let library = libraries.into_iter().find(|(known, _)| *known == name);
    let (_, measured) = library.expect("a library of the table");
    let (bytes, pages) = measured(count).unwrap_or_default();
    Parent.say(&format!("{bytes} {pages}"));
    Parent.hear();
}

fn measured<L: Tells>(count: usize) -> Option<(isize, isize)> {
    let report = Arc::new(Report::default());
    L::run(Threads::One, move |world| async move {
        let plan = Plan::new(start::CAPACITY, 1, &report);
        let mut counters = Vec::with_capacity(count);
        // The first one also pays for what the library makes once.
        counters.push(L::spawn(&world, plan.clone()).await?);
        let (bytes, pages) = (allocations::live(), resident());
        report.expect(count);
        while counters.len() < count {
            counters.push(L::spawn(&world, plan.clone()).await?);
        }
        for counter in &mut counters {
            if !L::tell(counter, 0).await {
                return None;
            }
        }
        report.completed().await;
        // The last actor waits for its next message when this task runs again.
        tokio::task::yield_now().await;
        Some((allocations::live() - bytes, resident() - pages))
    })
    .flatten()
}

/// The bytes of this process that are in memory.
fn resident() -> isize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    (pages.unwrap_or(0) * rustix::param::page_size()) as isize
}
