//! A service that stores messages in a database, many in one transaction.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mycelium::{Context, Delivery, Error, Result, service};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::Order;

/// How many orders one transaction stores, at most.
const BATCH: usize = 256;
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, pair TEXT, limit_cents INTEGER)";
/// An order that comes again is stored once.
const INSERT: &str =
    "INSERT INTO orders (id, pair, limit_cents) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING";
/// The pause before a batch is stored again.
const PAUSE: Duration = Duration::from_millis(100);

/// Stores orders in a database of SQLite.
pub struct Ledger {
    file: PathBuf,
}

impl Ledger {
    /// Creates the service for a file, which it creates if it is missing.
    #[must_use]
    pub fn new(file: PathBuf) -> Ledger {
        Ledger { file }
    }
}

#[service(reads(Order))]
impl Ledger {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        // Without a connection this run ends, and the service is restarted after its `backoff`.
        let failed = |error| Error::msg(format!("{}: {error}", self.file.display()));
        let pool = open(&self.file).await.map_err(failed)?;
        let mut orders = ctx.subscribe::<Order>()?;
        let mut batch = Vec::with_capacity(BATCH);
        while orders.recv_many(&mut batch, BATCH).await > 0 {
            // A run that ended here twice would make dead letters of its orders.
            while let Err(error) = store(&pool, &batch).await {
                ctx.warn("cannot store orders, and tries again", error);
                ctx.sleep(PAUSE).await?;
            }
            batch.clear();
        }
        Ok(())
    }
}

/// Opens a file that has, or gets, a table for orders.
async fn open(file: &Path) -> sqlx::Result<SqlitePool> {
    let file = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let pool = SqlitePool::connect_with(file).await?;
    sqlx::query(TABLE).execute(&pool).await?;
    // Compiles the statement, which fails if the table has other columns or no such key.
    let compile = format!("EXPLAIN {INSERT}");
    sqlx::query(AssertSqlSafe(compile)).execute(&pool).await?;
    Ok(pool)
}

/// Stores a batch, or nothing of it.
async fn store(pool: &SqlitePool, batch: &[Delivery<Order>]) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    for delivery in batch {
        let Delivery::Msg(order) = delivery else { continue };
        let insert = sqlx::query(INSERT).bind(order.id).bind(&order.pair).bind(order.limit);
        insert.execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
