//! The SQL that SQLite and Postgres share.

use crate::metadata::{COLUMNS, FirstRows, LONGEST_FIELD};

/// Returns the statements that bring a store of this version to the next one, or `None` for the
/// newest. Version 0 may have the table: earlier programs wrote no version.
pub(super) fn migration(version: i64, first: FirstRows) -> Option<String> {
    if version != 0 {
        return None;
    }
    let rows: Vec<_> = first.iter().map(|row| format!("('{}')", row.join("', '"))).collect();
    Some(format!(
        "CREATE TABLE IF NOT EXISTS pools (
            address        TEXT    PRIMARY KEY NOT NULL,
            token0         TEXT    NOT NULL,
            symbol0        TEXT    NOT NULL,
            decimals0      INTEGER NOT NULL,
            token1         TEXT    NOT NULL,
            symbol1        TEXT    NOT NULL,
            decimals1      INTEGER NOT NULL,
            fee_millionths INTEGER NOT NULL
        );
        INSERT INTO pools VALUES {} ON CONFLICT DO NOTHING",
        rows.join(", ")
    ))
}

/// Returns the query for the row of an address, or for this many rows. The store converts each
/// column to a text and cuts it, whatever it is: no answer is longer than a row may be.
pub(super) fn select(address: Option<&str>, most: usize) -> String {
    let longest = LONGEST_FIELD + 1;
    let columns = COLUMNS.map(|column| format!("substr(CAST({column} AS TEXT), 1, {longest})"));
    let columns = columns.join(", ");
    match address {
        Some(_) => format!("SELECT {columns} FROM pools WHERE address = $1"),
        None => format!("SELECT {columns} FROM pools ORDER BY address LIMIT {most}"),
    }
}
