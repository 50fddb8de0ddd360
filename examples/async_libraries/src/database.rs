//! A service that stores messages in a database, many in one transaction.

use std::path::PathBuf;

use mycelium::{Context, Delivery, Result, service};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::Order;

/// How many orders one transaction stores, at most.
const BATCH: usize = 256;
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, pair TEXT, cents INTEGER)";
/// An order that comes again after a failure is stored once.
const INSERT: &str = "INSERT OR IGNORE INTO orders VALUES (?, ?, ?)";

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
        // An error of the database ends this run. The service is restarted, and gets the orders
        // that it has not stored again.
        let file = SqliteConnectOptions::new().filename(&self.file).create_if_missing(true);
        let pool = SqlitePool::connect_with(file).await?;
        sqlx::query(TABLE).execute(&pool).await?;
        let mut orders = ctx.subscribe::<Order>()?;
        let mut batch = Vec::with_capacity(BATCH);
        while orders.recv_many(&mut batch, BATCH).await > 0 {
            let mut transaction = pool.begin().await?;
            for delivery in batch.drain(..) {
                let Delivery::Msg(order) = delivery else { continue };
                let insert = sqlx::query(INSERT).bind(order.id).bind(&order.pair).bind(order.limit);
                insert.execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
        }
        Ok(())
    }
}
