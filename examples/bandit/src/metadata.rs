//! The metadata of pools, in an SQLite database that the example creates and fills. Once created it
//! belongs to the user: rows can be added or changed with any SQLite tool, and opening it again
//! changes nothing. Every call blocks.

use std::{path::PathBuf, time::Duration};

use alloy_primitives::Address;
use rusqlite::{Connection, OptionalExtension, Row, types::Type};

use crate::{
    files::FileError,
    messages::{EnrichedSwap, Swap},
};

/// What could not be done, in the texts of errors.
const USE: &str = "use the metadata database";

/// How long to wait for another process that locks the database.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS pools (
        address        TEXT    PRIMARY KEY NOT NULL,
        token0         TEXT    NOT NULL,
        symbol0        TEXT    NOT NULL,
        decimals0      INTEGER NOT NULL,
        token1         TEXT    NOT NULL,
        symbol1        TEXT    NOT NULL,
        decimals1      INTEGER NOT NULL,
        fee_millionths INTEGER NOT NULL
    ) WITHOUT ROWID;
    INSERT OR IGNORE INTO pools VALUES
        ('0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640',
         '0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48', 'USDC', 6,
         '0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2', 'WETH', 18, 500),
        ('0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8',
         '0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48', 'USDC', 6,
         '0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2', 'WETH', 18, 3000);
";

/// A pool of two tokens, of which the first one has the lower address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The contract of the pool.
    pub address: Address,
    /// The contracts of the tokens.
    pub tokens: [Address; 2],
    /// The symbols of the tokens.
    pub symbols: [String; 2],
    /// The numbers of decimal digits of the tokens' smallest units.
    pub decimals: [u8; 2],
    /// The fee of a swap, in millionths.
    pub fee_millionths: u32,
}

impl Pool {
    /// Returns a swap of this pool with its metadata.
    pub fn enrich(&self, swap: &Swap) -> EnrichedSwap {
        let [token0, token1] = self.tokens.map(Address::into_array);
        let [symbol0, symbol1] = self.symbols.clone();
        EnrichedSwap {
            key: swap.key,
            price: price(&swap.sqrt_price_x96.to_be_bytes(), self.decimals),
            pool: swap.pool,
            token0,
            token1,
            fee_millionths: self.fee_millionths,
            symbol0,
            symbol1,
        }
    }
}

/// Returns the price of token 0 in token 1, in whole tokens. `sqrt_price_x96` is the square root of
/// the price in smallest units, times 2^96, big-endian. Extreme decimals may exceed the range of
/// `f64`.
fn price(sqrt_price_x96: &[u8; 32], [decimals0, decimals1]: [u8; 2]) -> f64 {
    let (high, low) = sqrt_price_x96.split_at(16);
    let word = |bytes: &[u8]| bytes.iter().fold(0_u128, |word, byte| word << 8 | u128::from(*byte));
    // Each half is rounded once; scaling by powers of two is exact.
    const TWO_64: f64 = (1_u128 << 64) as f64;
    const TWO_96: f64 = (1_u128 << 96) as f64;
    let sqrt = (word(high) as f64 * TWO_64 * TWO_64 + word(low) as f64) / TWO_96;
    let shift = |digits: u8| (0..digits).fold(1.0_f64, |power, _| power * 10.0);
    let raw = sqrt * sqrt;
    match decimals0.checked_sub(decimals1) {
        Some(digits) => raw * shift(digits),
        None => raw / shift(decimals1 - decimals0),
    }
}

/// An open database.
#[derive(Debug)]
pub struct Db {
    connection: Connection,
    path: PathBuf,
}

impl Db {
    /// Opens a database, or one in memory, and creates and fills it if it does not exist.
    ///
    /// # Errors
    /// If it cannot be opened, or is not such a database.
    pub fn open(path: Option<PathBuf>) -> Result<Self, FileError> {
        let path = path.unwrap_or_else(|| ":memory:".into());
        let open = || {
            let connection = Connection::open(&path)?;
            connection.busy_timeout(LOCK_TIMEOUT)?;
            connection.execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} COMMIT"))?;
            Ok(connection)
        };
        let connection = open().map_err(FileError::of::<rusqlite::Error>(USE, &path))?;
        Ok(Self { connection, path })
    }

    /// The pool of this address, if known.
    ///
    /// # Errors
    /// If the database cannot be read or the row is invalid.
    pub fn pool(&self, address: &[u8; 20]) -> Result<Option<Pool>, FileError> {
        let query = "SELECT * FROM pools WHERE address = ?";
        let address = format!("{:#x}", Address::from(address));
        let pool = self.connection.query_row(query, [address], read_pool).optional();
        pool.map_err(FileError::of(USE, &self.path))
    }

    /// Every known pool, by address.
    ///
    /// # Errors
    /// As [`Db::pool`].
    pub fn pools(&self) -> Result<Vec<Pool>, FileError> {
        let read = || -> rusqlite::Result<Vec<Pool>> {
            let mut pools = self.connection.prepare("SELECT * FROM pools ORDER BY address")?;
            pools.query_map([], read_pool)?.collect()
        };
        read().map_err(FileError::of(USE, &self.path))
    }
}

fn read_pool(row: &Row<'_>) -> rusqlite::Result<Pool> {
    let address = |column: usize| {
        row.get::<_, String>(column)?.parse().map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
        })
    };
    Ok(Pool {
        address: address(0)?,
        tokens: [address(1)?, address(4)?],
        symbols: [row.get(2)?, row.get(5)?],
        decimals: [row.get(3)?, row.get(6)?],
        fee_millionths: row.get(7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_again_keeps_what_the_user_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metadata.db");
        let pools = Db::open(Some(path.clone())).unwrap().pools().unwrap();
        let symbols: Vec<_> =
            pools.iter().map(|pool| pool.symbols.each_ref().map(|it| &**it)).collect();
        assert_eq!(symbols, [["USDC", "WETH"]; 2]);
        let user = Connection::open(&path).unwrap();
        user.execute("UPDATE pools SET symbol0 = 'a symbol of 23 letters.'", []).unwrap();
        let pool = Db::open(Some(path.clone())).unwrap().pools().unwrap().remove(0);
        assert_eq!(pool.symbols[0].len(), 23);
        user.execute("UPDATE pools SET decimals1 = 256", []).unwrap();
        let error = Db::open(Some(path.clone())).unwrap().pools().unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }

    #[test]
    fn prices_are_those_of_the_pools() {
        let root = |value: u128, shift: usize| {
            let mut word = [0; 32];
            word[32 - shift - 16..32 - shift].copy_from_slice(&value.to_be_bytes());
            word
        };
        assert_eq!(price(&root(1 << 96, 0), [18, 18]), 1.0);
        assert_eq!(price(&root(3 << 96, 0), [6, 6]), 9.0);
        assert_eq!(price(&root(1 << 96, 0), [18, 6]), 1e12);
        assert_eq!(price(&root(1 << 96, 0), [6, 18]), 1e-12);
        assert_eq!(price(&root(1 << 96, 4), [0, 0]), 2.0_f64.powi(64));
        // Of the first swap of the day: 2,270 USDC for a WETH.
        let first =
            crate::ethereum::chain::swap(&crate::ethereum::feed::day()[0].log).unwrap().unwrap();
        let price = price(&first.sqrt_price_x96.to_be_bytes(), [6, 18]);
        assert!((1.0 / price - 2_269.745_824).abs() < 1e-6, "{}", 1.0 / price);
    }
}
