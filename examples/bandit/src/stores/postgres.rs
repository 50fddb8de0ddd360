//! A store in a database of Postgres: the table `pools`, and its version in `bandit_version`.

use deadpool_postgres::{
    Client, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
    tokio_postgres::{
        Config, Error, NoTls,
        config::{Host, SslMode},
        types::Type,
    },
};
use tokio::{sync::OnceCell, time::timeout};

use super::backend::{
    ANSWER_WITHIN, Backend, CONNECT_WITHIN, CONNECTIONS, MOST_POOLS, StoreError, WAIT_WITHIN,
    with_causes,
};
use super::sql::{migration, select};
use crate::metadata::{FirstRows, Row, VERSION};

/// The lock of the processes that migrate; the number is arbitrary.
const LOCK: i64 = 0x6261_6e64_6974;

/// Connections to a server.
pub(super) struct Postgres {
    pool: Pool,
    first: FirstRows,
    /// Whether the database has the newest version.
    is_migrated: OnceCell<()>,
}

impl Postgres {
    /// A store at this URL, and its name without user and password.
    pub(super) fn new(url: &str, first: FirstRows) -> Result<(String, Self), String> {
        let config: Config = url.parse().map_err(|error: Error| with_causes(&error))?;
        if config.get_ssl_mode() == SslMode::Require {
            return Err("this program cannot encrypt connections to Postgres".to_owned());
        }
        let Some(Host::Tcp(host)) = config.get_hosts().first() else {
            return Err("expected `postgres://<host>`".to_owned());
        };
        let port = config.get_ports().first().unwrap_or(&5432);
        let name = format!("postgres://{host}:{port}/{}", config.get_dbname().unwrap_or_default());
        // A broken connection is noticed by its next query, which is tried again.
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_config(config, NoTls, settings))
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(CONNECT_WITHIN))
            .wait_timeout(Some(WAIT_WITHIN));
        let pool = pool.build().map_err(|error| error.to_string())?;
        Ok((name, Self { pool, first, is_migrated: OnceCell::new() }))
    }

    async fn query(client: &Client, address: Option<&str>) -> Result<Vec<Row>, StoreError> {
        let query = select(address, MOST_POOLS + 1);
        // Not prepared: a pooler such as PgBouncer may give the next query to another server.
        let found = match &address {
            Some(address) => client.query_typed(&query, &[(address, Type::TEXT)]).await,
            None => client.query_typed(&query, &[]).await,
        };
        let read = |row: &deadpool_postgres::tokio_postgres::Row| {
            let mut texts = Row::default();
            for (column, text) in texts.0.iter_mut().enumerate() {
                *text = row.try_get(column)?;
            }
            Ok(texts)
        };
        found.map_err(failed)?.iter().map(read).collect::<Result<_, _>>().map_err(another_type)
    }
}

impl Backend for Postgres {
    async fn rows(&self, address: Option<&str>) -> Result<Vec<Row>, StoreError> {
        let mut client = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => failed(error),
            error => StoreError::away(error),
        })?;
        let answer = timeout(ANSWER_WITHIN, async {
            self.is_migrated.get_or_try_init(|| migrate(&mut client, self.first)).await?;
            Self::query(&client, address).await
        });
        match answer.await {
            Ok(Ok(rows)) => Ok(rows),
            // The connection may still wait for an answer, or be broken: the pool gets another one.
            Ok(Err(error)) => {
                drop(Object::take(client));
                Err(error)
            }
            Err(_) => {
                drop(Object::take(client));
                Err(StoreError::away(format!("no answer within {ANSWER_WITHIN:?}")))
            }
        }
    }
}

/// Brings the database to the newest version, in one transaction. A lock makes other processes
/// wait; none holds it for longer than its transaction.
async fn migrate(client: &mut Client, first: FirstRows) -> Result<(), StoreError> {
    let transaction = client.transaction().await.map_err(failed)?;
    let longest = ANSWER_WITHIN.as_millis();
    let begin = format!(
        "SET LOCAL lock_timeout = {longest};
        SELECT pg_advisory_xact_lock({LOCK});
        CREATE TABLE IF NOT EXISTS bandit_version (version bigint NOT NULL)"
    );
    transaction.batch_execute(&begin).await.map_err(failed)?;
    let found = transaction.query_typed("SELECT version FROM bandit_version LIMIT 1", &[]);
    let found = found.await.map_err(failed)?;
    let mut version: i64 = match found.first() {
        Some(row) => row.try_get(0).map_err(another_type)?,
        None => 0,
    };
    if !(0..=VERSION).contains(&version) {
        return Err(StoreError::newer(version));
    }
    while let Some(statements) = migration(version, first) {
        version += 1;
        let statements = format!(
            "{statements};
            DELETE FROM bandit_version;
            INSERT INTO bandit_version VALUES ({version})"
        );
        transaction.batch_execute(&statements).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}

/// The error of a column.
fn another_type(error: Error) -> StoreError {
    StoreError::unusable(with_causes(&error))
}

fn failed(error: Error) -> StoreError {
    let text = with_causes(&error);
    // The first two characters are the class: no such user or database, or another form. Others
    // pass, such as a server that starts or has no connection left.
    match error.code().and_then(|code| code.code().get(..2)) {
        Some("22" | "28" | "3D" | "3F" | "42") => StoreError::unusable(text),
        _ => StoreError::away(text),
    }
}
