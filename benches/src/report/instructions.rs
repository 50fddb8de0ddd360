//! Instructions an operation, by column.

use std::fmt;

use serde::Serialize;

/// What each column takes in each loop of a table.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct InstructionTable {
    /// What `--only` calls the table.
    pub key: &'static str,
    /// The job.
    pub title: String,
    /// What the loops do, each called by a caller's loop of its own.
    pub loops: Vec<&'static str>,
    /// One for each column.
    pub rows: Vec<Instructions>,
}

/// What one column takes.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Instructions {
    /// The column.
    pub name: &'static str,
    /// Instructions an operation in each loop, with the loop around it.
    pub counts: Vec<f64>,
}

impl fmt::Display for InstructionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.key, self.title)?;
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(26);
        write!(f, "  {:<width$}", "instructions an operation")?;
        self.loops.iter().try_for_each(|what| write!(f, " {what:>16}"))?;
        writeln!(f)?;
        for Instructions { name, counts } in &self.rows {
            write!(f, "  {name:<width$}")?;
            counts.iter().try_for_each(|count| write!(f, " {count:>16.1}"))?;
            writeln!(f)?;
        }
        Ok(())
    }
}
