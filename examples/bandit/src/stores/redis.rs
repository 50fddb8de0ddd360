//! A store in Redis: a hash `bandit:pool:<address>` for each pool, their addresses in the sorted
//! set `bandit:pools`, and the version in `bandit:version`.

use deadpool_redis::{
    Connection, Manager, Pool, PoolError, Runtime,
    redis::{
        self, AsyncConnectionConfig, ErrorKind, IntoConnectionInfo, RedisError, ServerErrorKind,
    },
};

use super::backend::{
    ANSWER_WITHIN, Backend, CONNECT_WITHIN, CONNECTIONS, MOST_POOLS, StoreError, WAIT_WITHIN,
    with_causes,
};
use crate::metadata::{FirstRows, LONGEST_FIELD, Row, VERSION};

/// What the server runs for each query.
const SCRIPT: &str = include_str!("redis.lua");

/// Connections to a server.
pub(super) struct Redis {
    pool: Pool,
    first: FirstRows,
}

impl Redis {
    /// A store at this URL, and its name without user and password.
    pub(super) fn new(url: &str, first: FirstRows) -> Result<(String, Self), String> {
        let info = url.into_connection_info().map_err(|error| with_causes(&error))?;
        let name = format!("redis://{}", info.addr());
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(Some(ANSWER_WITHIN));
        let manager = Manager::new_with_config(info, settings);
        let pool = Pool::builder(manager.map_err(|error| with_causes(&error))?)
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(CONNECT_WITHIN))
            .wait_timeout(Some(WAIT_WITHIN))
            .recycle_timeout(Some(ANSWER_WITHIN));
        let pool = pool.build().map_err(|error| error.to_string())?;
        Ok((name, Self { pool, first }))
    }
}

impl Backend for Redis {
    async fn rows(&self, address: Option<&str>) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => failed(&error),
            error => StoreError::away(error),
        })?;
        let mut command = redis::cmd("EVAL");
        command.arg(SCRIPT).arg(0).arg(VERSION).arg(LONGEST_FIELD + 1).arg(MOST_POOLS + 1);
        command.arg(address.unwrap_or_default()).arg(self.first.as_flattened());
        match command.query_async::<Vec<[Option<Vec<u8>>; 8]>>(&mut connection).await {
            Ok(rows) => {
                let text = |text: Option<Vec<u8>>| {
                    text.map(|text| String::from_utf8_lossy(&text).into_owned())
                };
                Ok(rows.into_iter().map(|row| Row(row.map(text))).collect())
            }
            Err(error) => {
                // The pool gets another connection.
                drop(Connection::take(connection));
                Err(failed(&error))
            }
        }
    }
}

fn failed(error: &RedisError) -> StoreError {
    if error.code() == Some("VERSION") {
        return StoreError::newer(error.detail().unwrap_or_default());
    }
    let text = with_causes(error);
    match error.kind() {
        ErrorKind::AuthenticationFailed
        | ErrorKind::InvalidClientConfig
        | ErrorKind::Extension
        | ErrorKind::Server(
            ServerErrorKind::ResponseError | ServerErrorKind::NoPerm | ServerErrorKind::ReadOnly,
        ) => StoreError::unusable(text),
        _ => StoreError::away(text),
    }
}
