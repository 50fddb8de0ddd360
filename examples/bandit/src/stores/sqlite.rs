//! A store in an SQLite file, or in memory. Its version is the `user_version` of the file.

use std::{cell::RefCell, path::PathBuf};

use rusqlite::{Connection, ErrorCode, TransactionBehavior, params_from_iter, types::ValueRef};

use super::backend::{ANSWER_WITHIN, Backend, MOST_POOLS, StoreError};
use super::sql::{migration, select};
use crate::metadata::{FirstRows, Row, VERSION};

/// A file, opened with the first query.
pub(super) struct Sqlite {
    path: PathBuf,
    first: FirstRows,
    connection: RefCell<Option<Connection>>,
}

impl Sqlite {
    pub(super) fn new(path: PathBuf, first: FirstRows) -> Self {
        Self { path, first, connection: RefCell::default() }
    }

    /// Creates the file if it does not exist, and brings it to the newest version. Of two processes
    /// that do so at once, one waits.
    fn open(&self) -> Result<Connection, StoreError> {
        let mut connection = Connection::open(&self.path).map_err(failed)?;
        connection.busy_timeout(ANSWER_WITHIN).map_err(failed)?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let number = |query| transaction.query_row(query, [], |row| row.get(0)).map_err(failed);
        let mut version: i64 = number("PRAGMA user_version")?;
        if !(0..=VERSION).contains(&version) {
            return Err(StoreError::newer(version));
        }
        let others = "SELECT count(*) FROM sqlite_schema
            WHERE type = 'table' AND name <> 'pools' AND name NOT LIKE 'sqlite_%'";
        if version == 0 && number(others)? > 0 {
            return Err(StoreError::unusable("it is a file of another program"));
        }
        while let Some(statements) = migration(version, self.first) {
            version += 1;
            let statements = format!("{statements}; PRAGMA user_version = {version}");
            transaction.execute_batch(&statements).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        Ok(connection)
    }
}

impl Backend for Sqlite {
    /// Blocks its thread, which is its own.
    async fn rows(&self, address: Option<&str>) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.connection.borrow_mut();
        let connection = match &mut *connection {
            Some(connection) => connection,
            closed => closed.insert(self.open()?),
        };
        let read = || -> rusqlite::Result<Vec<Row>> {
            let mut query = connection.prepare(&select(address, MOST_POOLS + 1))?;
            let rows = query.query_map(params_from_iter(address), |row| {
                let mut texts = Row::default();
                for (column, text) in texts.0.iter_mut().enumerate() {
                    *text = match row.get_ref(column)? {
                        ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                        _ => None,
                    };
                }
                Ok(texts)
            });
            rows?.collect()
        };
        read().map_err(failed)
    }
}

fn failed(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::away(error),
        _ => StoreError::unusable(error),
    }
}
