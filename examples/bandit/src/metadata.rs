//! The metadata of tokens and pools, in an SQLite database that the example creates and fills. Once
//! created it belongs to the user: rows can be added or changed with any SQLite tool, and opening
//! it again changes nothing. Every call blocks.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, TransactionBehavior, types::Type};

use crate::chain::{hex_address, parse_address};

/// The version of the tables below, kept in the database as `PRAGMA user_version`.
const SCHEMA_VERSION: i64 = 1;
/// How long to wait for another process that locks the database.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const MILLION: u32 = 1_000_000;

const SCHEMA: &str = "
    CREATE TABLE tokens (
        address  TEXT    PRIMARY KEY NOT NULL,
        symbol   TEXT    NOT NULL,
        decimals INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE pools (
        address        TEXT    PRIMARY KEY NOT NULL,
        token0         TEXT    NOT NULL REFERENCES tokens (address),
        token1         TEXT    NOT NULL REFERENCES tokens (address),
        fee_millionths INTEGER NOT NULL
    ) WITHOUT ROWID;
    INSERT INTO tokens VALUES
        ('0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48', 'USDC', 6),
        ('0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2', 'WETH', 18);
    INSERT INTO pools VALUES
        ('0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640',
         '0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48',
         '0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2', 500),
        ('0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8',
         '0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48',
         '0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2', 3000);
    PRAGMA user_version = 1;
";

const POOL: &str = "
    SELECT pools.address, pools.fee_millionths,
           token0.address, token0.symbol, token0.decimals,
           token1.address, token1.symbol, token1.decimals
    FROM pools
    JOIN tokens AS token0 ON token0.address = pools.token0
    JOIN tokens AS token1 ON token1.address = pools.token1
";

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its contract.
    pub address: [u8; 20],
    /// Its symbol.
    pub symbol: String,
    /// The number of decimal digits of its smallest unit.
    pub decimals: u8,
}

/// A pool of two tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its contract.
    pub address: [u8; 20],
    /// The token of the lower address.
    pub token0: Token,
    /// The other.
    pub token1: Token,
    /// The fee of a swap, in millionths.
    pub fee_millionths: u32,
}

/// An open database.
#[derive(Debug)]
pub struct Db {
    connection: Connection,
    path: PathBuf,
}

impl Db {
    /// Opens a database, and creates and fills it if it does not exist.
    ///
    /// # Errors
    /// If it cannot be opened, is damaged, or belongs to another program or version.
    pub fn open(path: &Path) -> Result<Self, MetadataError> {
        let fail = |source| MetadataError::of(path, source);
        Self::prepare(Connection::open(path).map_err(fail)?, path)
    }

    /// A filled database in memory.
    ///
    /// # Errors
    /// If the memory is too small.
    pub fn in_memory() -> Result<Self, MetadataError> {
        let path = Path::new(":memory:");
        let fail = |source| MetadataError::of(path, source);
        Self::prepare(Connection::open_in_memory().map_err(fail)?, path)
    }

    fn prepare(mut connection: Connection, path: &Path) -> Result<Self, MetadataError> {
        let fail = |source| MetadataError::of(path, source);
        connection.busy_timeout(LOCK_TIMEOUT).map_err(fail)?;
        let sound: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(fail)?;
        if sound != "ok" {
            return Err(MetadataError::Corrupt { path: path.into(), reason: sound });
        }
        if version(&connection).map_err(fail)? == 0 {
            // If two processes create it, the second one finds the version set.
            let creating = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(fail)?;
            if version(&creating).map_err(fail)? == 0 {
                let tables: i64 = creating
                    .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
                    .map_err(fail)?;
                if tables > 0 {
                    return Err(MetadataError::Foreign { path: path.into() });
                }
                creating.execute_batch(SCHEMA).map_err(fail)?;
            }
            creating.commit().map_err(fail)?;
        }
        let found = version(&connection).map_err(fail)?;
        if found != SCHEMA_VERSION {
            return Err(MetadataError::Version { path: path.into(), found });
        }
        Ok(Self { connection, path: path.into() })
    }

    /// The pool of this address with its tokens, if known.
    ///
    /// # Errors
    /// If the database cannot be read or the row is invalid.
    pub fn pool(&self, address: &[u8; 20]) -> Result<Option<Pool>, MetadataError> {
        let query = format!("{POOL} WHERE pools.address = ?1");
        self.connection
            .query_row(&query, [hex_address(address)], read_pool)
            .optional()
            .map_err(|source| MetadataError::of(&self.path, source))
    }

    /// Every known pool, by address.
    ///
    /// # Errors
    /// As [`Db::pool`].
    pub fn pools(&self) -> Result<Vec<Pool>, MetadataError> {
        let fail = |source| MetadataError::of(&self.path, source);
        let query = format!("{POOL} ORDER BY pools.address");
        let mut statement = self.connection.prepare(&query).map_err(fail)?;
        let pools = statement.query_map([], read_pool).map_err(fail)?;
        pools.collect::<Result<_, _>>().map_err(fail)
    }
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn read_pool(row: &Row<'_>) -> rusqlite::Result<Pool> {
    let bad = |column: usize, reason: &str| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, reason.into())
    };
    let address = |column: usize| {
        parse_address(&row.get::<_, String>(column)?)
            .ok_or_else(|| bad(column, "expected an address: 0x and 40 hexadecimal digits"))
    };
    let token = |column: usize| -> rusqlite::Result<Token> {
        Ok(Token {
            address: address(column)?,
            symbol: row.get(column + 1)?,
            decimals: row.get(column + 2)?,
        })
    };
    let pool = Pool {
        address: address(0)?,
        fee_millionths: row.get(1)?,
        token0: token(2)?,
        token1: token(5)?,
    };
    if pool.fee_millionths >= MILLION {
        return Err(bad(1, "expected a fee below a million millionths"));
    }
    if pool.token0.address >= pool.token1.address {
        return Err(bad(2, "expected token0 to have the lower address"));
    }
    Ok(pool)
}

/// The advice of some errors.
const RECREATE: &str = "move it away and a new one is created, or name another file";

/// The metadata database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The file cannot be opened or written.
    #[error(
        "cannot use the metadata database {}: {source}; check that its directory exists and can \
         be written, or name another file",
        path.display()
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The file is damaged or not a database.
    #[error("the metadata database {} is damaged: {reason}; {RECREATE}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        reason: String,
    },
    /// The file is another program's database.
    #[error("{} is another program's database; name another file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The database has another version of the schema.
    #[error(
        "the metadata database {} has schema version {found}, expected {SCHEMA_VERSION}; {RECREATE}",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// A row is invalid.
    #[error(
        "invalid row in the metadata database {}: {source}; correct it, or {RECREATE}",
        path.display()
    )]
    Row {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
}

impl MetadataError {
    fn of(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.into();
        match (source.sqlite_error_code(), &source) {
            (Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt), _) => {
                Self::Corrupt { path, reason: source.to_string() }
            }
            (
                None,
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..),
            ) => Self::Row { path, source },
            _ => Self::Unusable { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn pool(db: &Db, address: &str) -> Option<Pool> {
        db.pool(&parse_address(address).unwrap()).unwrap()
    }

    #[test]
    fn the_seed_is_there() {
        let db = Db::in_memory().unwrap();
        let low = pool(&db, "0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640").unwrap();
        assert_eq!((low.token0.symbol.as_str(), low.token0.decimals), ("USDC", 6));
        assert_eq!((low.token1.symbol.as_str(), low.token1.decimals), ("WETH", 18));
        assert_eq!(low.fee_millionths, 500);
        let high = pool(&db, "0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8").unwrap();
        assert_eq!((high.fee_millionths, &high.token0), (3000, &low.token0));
        assert_eq!(db.pools().unwrap(), [low, high]);
        assert_eq!(db.pool(&[0; 20]).unwrap(), None);
    }

    #[test]
    fn opening_again_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metadata.db");
        drop(Db::open(&path).unwrap());
        let made = fs::read(&path).unwrap();
        drop(Db::open(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), made);
        // What the user changed stays.
        let user = Connection::open(&path).unwrap();
        user.execute("UPDATE tokens SET symbol = 'USD Coin' WHERE decimals = 6", []).unwrap();
        let db = Db::open(&path).unwrap();
        assert_eq!(db.pools().unwrap()[0].token0.symbol, "USD Coin");
    }

    #[test]
    fn several_may_make_it_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metadata.db");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(Db::open(&path).unwrap().pools().unwrap().len(), 2));
            }
        });
    }

    #[test]
    fn a_useless_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metadata.db");
        let error = |path: &Path| {
            let error = Db::open(path).unwrap_err();
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            error
        };
        assert!(matches!(error(dir.path()), MetadataError::Unusable { .. }));
        let nowhere = dir.path().join("no/such/directory.db");
        assert!(matches!(error(&nowhere), MetadataError::Unusable { .. }));

        fs::write(&path, "not a database, though its name says so".repeat(40)).unwrap();
        assert!(matches!(error(&path), MetadataError::Corrupt { .. }));

        fs::remove_file(&path).unwrap();
        drop(Db::open(&path).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle - 2048..].fill(0x5a);
        fs::write(&path, bytes).unwrap();
        assert!(matches!(error(&path), MetadataError::Corrupt { .. }));

        fs::remove_file(&path).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(matches!(error(&path), MetadataError::Foreign { .. }));
        other.pragma_update(None, "user_version", 7).unwrap();
        assert!(matches!(error(&path), MetadataError::Version { found: 7, .. }));
    }

    #[test]
    fn a_senseless_row_is_an_error() {
        for change in [
            "UPDATE tokens SET decimals = 256",
            "UPDATE tokens SET decimals = -1",
            "UPDATE tokens SET symbol = x'ff'",
            "UPDATE pools SET fee_millionths = 1000000",
            "UPDATE pools SET fee_millionths = 'much'",
            "UPDATE pools SET token0 = token1",
            "UPDATE tokens SET address = 'USDC' WHERE decimals = 6; UPDATE pools SET token0 = 'USDC'",
        ] {
            let db = Db::in_memory().unwrap();
            db.connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
            db.connection.execute_batch(change).unwrap();
            let pool = parse_address("0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640").unwrap();
            let error = db.pool(&pool).unwrap_err();
            assert!(matches!(error, MetadataError::Row { .. }), "{change}: {error:?}");
        }
    }
}
