//! The table of results: laws by executor and transport.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mycelium_transports::conformance::{Law, TIME_LIMIT, TestExecutor, check};

/// One transport on one executor or on two.
pub(crate) struct Column {
    pub(crate) transport: &'static str,
    pub(crate) publishers: TestExecutor,
    pub(crate) readers: TestExecutor,
    pub(crate) laws: Vec<Law>,
}

impl Column {
    /// Returns the publishers' executor, the readers' executor, and the transport.
    pub(crate) fn name(&self) -> String {
        let (publishers, readers) = (self.publishers.name, self.readers.name);
        if publishers == readers {
            format!("{publishers} {}", self.transport)
        } else {
            format!("{publishers} > {readers} {}", self.transport)
        }
    }
}

/// The result of each law in each column.
pub(crate) struct Table {
    columns: Vec<Column>,
    cells: BTreeMap<(&'static str, usize), Cell>,
    took: Duration,
}

/// How long a law took, or its error.
type Cell = Result<Duration, String>;

/// How many cells run at the same time. Most of them wait most of the time.
const AT_ONCE: usize = 8;

impl Table {
    /// Runs all laws in all columns.
    pub(crate) fn fill(columns: Vec<Column>) -> Table {
        let begun = now();
        let laws = columns.iter().enumerate();
        let runs: Vec<_> = laws
            .flat_map(|(index, column)| column.laws.iter().map(move |law| (index, law)))
            .collect();
        let (next, cells) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some((index, law)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let column = &columns[*index];
                        let begun = now();
                        let held = check(law, &column.publishers, &column.readers, TIME_LIMIT);
                        let cell = held.map(|()| begun.elapsed());
                        cells.lock().unwrap().insert((law.name, *index), cell);
                    }
                });
            }
        });
        let cells = cells.into_inner().unwrap();
        Table { columns, cells, took: begun.elapsed() }
    }

    /// Prints all cells, the errors, and a summary for test runners.
    #[expect(clippy::print_stdout, reason = "the program prints a table")]
    pub(crate) fn print(&self) {
        println!(
            "\nlaws, by executor and transport (`a > b`: publishers on a, readers on b); milliseconds\n"
        );
        for (index, column) in self.columns.iter().enumerate() {
            println!("{:>4}  {}", index + 1, column.name());
        }
        for first in (0..self.columns.len()).step_by(WIDTH) {
            let indices = first..self.columns.len().min(first + WIDTH);
            let heads: String = indices.clone().map(|index| format!("{:>5}", index + 1)).collect();
            println!("\n{:76}{heads}", "law");
            for law in self.laws() {
                let cells: String = indices.clone().map(|index| self.cell(law, index)).collect();
                println!("{law:76}{cells}");
            }
        }
        println!();
        for ((law, index), cell) in &self.cells {
            if let Err(broken) = cell {
                println!("BROKEN: {}, on {}: {broken}", law, self.columns[*index].name());
            }
        }
        let (held, all) = (self.held(), self.laws().len() * self.columns.len());
        let result = if self.is_complete() { "ok" } else { "FAILED" };
        println!(
            "test result: {result}. {held} passed; {} failed; 0 ignored; 0 measured; 0 filtered out; finished in {:.2}s",
            all - held,
            self.took.as_secs_f64()
        );
    }

    /// Returns whether each law ran in each column, and holds there.
    pub(crate) fn is_complete(&self) -> bool {
        self.held() == self.laws().len() * self.columns.len()
    }

    fn held(&self) -> usize {
        self.cells.values().filter(|cell| cell.is_ok()).count()
    }

    /// Returns the names of all laws, in the order of the columns.
    fn laws(&self) -> Vec<&'static str> {
        let mut laws = Vec::new();
        for law in self.columns.iter().flat_map(|column| &column.laws) {
            if !laws.contains(&law.name) {
                laws.push(law.name);
            }
        }
        laws
    }

    fn cell(&self, law: &'static str, index: usize) -> String {
        match self.cells.get(&(law, index)) {
            Some(Ok(took)) => format!("{:>5}", took.as_millis()),
            Some(Err(_)) => format!("{:>5}", "FAIL"),
            None => format!("{:>5}", "-"),
        }
    }
}

/// The number of columns in each block of the printed table.
const WIDTH: usize = 18;

#[expect(clippy::disallowed_methods, reason = "durations of tests are real time")]
fn now() -> Instant {
    Instant::now()
}
