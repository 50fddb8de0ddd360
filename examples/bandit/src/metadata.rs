//! The metadata of pools, and the rows of stores that they come from. A row is untrusted: it is a
//! valid pool, or an error that names the row and its field.

use alloy_primitives::Address;

use crate::messages::{EnrichedSwap, Swap};

/// The version of the form of stores.
pub const VERSION: i64 = 1;
/// The fields of a row.
pub const COLUMNS: [&str; 8] = [
    "address",
    "token0",
    "symbol0",
    "decimals0",
    "token1",
    "symbol1",
    "decimals1",
    "fee_millionths",
];
/// A token of the rows of a new store: its address, symbol and decimals.
type Token = [&'static str; 3];
const USDC: Token = ["0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", "USDC", "6"];
const WETH: Token = ["0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2", "WETH", "18"];
const DAI: Token = ["0x6b175474e89094c44da98b954eedeac495271d0f", "DAI", "18"];
/// The rows of a new store: two pools of Uniswap V3, and three pairs of Uniswap V2.
const ROWS: [[&str; 8]; 5] = [
    row("0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640", USDC, WETH, "500"),
    row("0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8", USDC, WETH, "3000"),
    row("0xb4e16d0168e52d35cacd2c6185b44281ec28c9dc", USDC, WETH, "3000"),
    row("0xa478c2975ab1ea89e8196811f51a7b7ade33eb11", DAI, WETH, "3000"),
    row("0xae461ca67b15dc8dc81ce7615e0320da1a9ab8d5", DAI, USDC, "3000"),
];

const fn row(
    pool: &'static str,
    first: Token,
    second: Token,
    fee: &'static str,
) -> [&'static str; 8] {
    let ([token0, symbol0, decimals0], [token1, symbol1, decimals1]) = (first, second);
    [pool, token0, symbol0, decimals0, token1, symbol1, decimals1, fee]
}

/// The rows of a new store: the text of each of [`COLUMNS`].
pub type FirstRows = &'static [[&'static str; COLUMNS.len()]];

/// Returns the rows of a new store, with or without the pairs of Uniswap V2.
pub fn first_rows(pairs: bool) -> FirstRows {
    if pairs { &ROWS } else { &ROWS[..2] }
}

/// The most bytes of a field.
pub const LONGEST_FIELD: usize = 64;
/// The most characters of a field in the text of an error.
const LONGEST_SHOWN: usize = 50;

/// A row of a store: the text of each of [`COLUMNS`], or `None` if it is missing. A store cuts
/// texts that are longer than [`LONGEST_FIELD`].
#[derive(Clone, Debug, Default)]
pub struct Row(pub [Option<String>; COLUMNS.len()]);

impl Row {
    /// The pool of this row, even if the rest of it is invalid.
    pub fn address(&self) -> Option<Address> {
        let is_canonical = |text: &&str, address: &Address| **text == format!("{address:#x}");
        let text = self.0[0].as_deref()?;
        text.parse().ok().filter(|address| is_canonical(&text, address))
    }

    /// The pool.
    ///
    /// # Errors
    /// If a field is missing or invalid.
    pub fn pool(&self) -> Result<Pool, RowError> {
        let is_text = |text: &str| {
            (1..=LONGEST_FIELD).contains(&text.len())
                && !text.contains(|letter: char| letter.is_control() || letter == '\u{fffd}')
        };
        let symbol = |column| {
            let symbol = |text: &str| is_text(text).then(|| text.to_owned());
            self.field(column, "a symbol of 1 to 64 bytes in UTF-8", symbol)
        };
        let token = |column| {
            self.field(column, "an address of a token", |text| text.parse::<Address>().ok())
        };
        let decimals =
            |column| self.field(column, "a number from 0 to 255", |text| text.parse::<u8>().ok());
        let fee = |text: &str| text.parse().ok().filter(|fee| *fee < 1_000_000);
        let pool = Pool {
            address: self.field(0, "0x and 40 lower-case digits", |_| self.address())?,
            tokens: [token(1)?, token(4)?],
            symbols: [symbol(2)?, symbol(5)?],
            decimals: [decimals(3)?, decimals(6)?],
            fee_millionths: self.field(7, "a number from 0 to 999999", fee)?,
        };
        let [first, second] = pool.tokens;
        self.field(4, "an address above that of `token0`", |_| (first < second).then_some(pool))
    }

    fn field<T>(
        &self,
        column: usize,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, RowError> {
        let text = self.0[column].as_deref();
        text.and_then(parse).ok_or_else(|| RowError {
            row: shown(self.0[0].as_deref()),
            field: COLUMNS[column],
            found: shown(text),
            expected,
        })
    }
}

/// A field, shortened and escaped.
fn shown(text: Option<&str>) -> String {
    let Some(text) = text else { return "missing".to_owned() };
    let shown: String = text.chars().take(LONGEST_SHOWN).collect();
    format!("`{}{}`", shown.escape_debug(), if shown.len() < text.len() { ".." } else { "" })
}

/// A row of a store is not a pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row}: `{field}` is {found}, expected {expected}")]
pub struct RowError {
    row: String,
    field: &'static str,
    found: String,
    expected: &'static str,
}

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
            retracts: false,
            liquidity: liquidity(swap.liquidity.get(), self.decimals),
        }
    }
}

/// Returns the price of token 0 in token 1, in whole tokens. `sqrt_price_x96` is the square root of
/// the price in smallest units, times 2^96, big-endian. Extreme decimals may exceed the range of
/// `f64`.
pub(crate) fn price(sqrt_price_x96: &[u8; 32], [decimals0, decimals1]: [u8; 2]) -> f64 {
    let (high, low) = sqrt_price_x96.split_at(16);
    let word = |bytes: &[u8]| bytes.iter().fold(0_u128, |word, byte| word << 8 | u128::from(*byte));
    // Each half is rounded once; scaling by powers of two is exact.
    const TWO_64: f64 = (1_u128 << 64) as f64;
    const TWO_96: f64 = (1_u128 << 96) as f64;
    let sqrt = (word(high) as f64 * TWO_64 * TWO_64 + word(low) as f64) / TWO_96;
    let raw = sqrt * sqrt;
    match decimals0.checked_sub(decimals1) {
        Some(digits) => raw * power_of_ten(digits),
        None => raw / power_of_ten(decimals1 - decimals0),
    }
}

/// Returns a liquidity in whole tokens. With extreme decimals it may be 0.
fn liquidity(liquidity: u128, decimals: [u8; 2]) -> f64 {
    let [unit0, unit1] = decimals.map(power_of_ten);
    liquidity as f64 / unit0.sqrt() / unit1.sqrt()
}

fn power_of_ten(digits: u8) -> f64 {
    (0..digits).fold(1.0_f64, |power, _| power * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_pool_or_an_error_that_names_the_field() {
        let row = || Row(ROWS[1].map(|text| Some(text.to_owned())));
        let pool = row().pool().unwrap();
        assert_eq!(
            (pool.symbols[1].as_str(), pool.decimals, pool.fee_millionths),
            ("WETH", [6, 18], 3000)
        );
        let long = "S".repeat(65);
        for (column, text, expected) in [
            (0, None, "row missing: `address` is missing, expected 0x and 40 lower-case digits"),
            (
                0,
                Some("0x8AD599c3a0ff1de082011efddc58f1908eb6e6d8"),
                "expected 0x and 40 lower-case",
            ),
            (1, Some("0x88"), "`token0` is `0x88`, expected an address of a token"),
            (4, Some(ROWS[1][1]), "expected an address above that of `token0`"),
            (2, Some(""), "`symbol0` is ``, expected a symbol of 1 to 64 bytes in UTF-8"),
            (5, Some(long.as_str()), "SSS..`, expected a symbol of 1 to 64 bytes in UTF-8"),
            (5, Some("\u{fffd}"), "expected a symbol of 1 to 64 bytes in UTF-8"),
            (2, Some("\u{1b}[2J"), "`symbol0` is `\\u{1b}[2J`, expected a symbol"),
            (3, Some("256"), "`decimals0` is `256`, expected a number from 0 to 255"),
            (6, Some("-1"), "`decimals1` is `-1`, expected a number from 0 to 255"),
            (6, None, "`decimals1` is missing, expected a number from 0 to 255"),
            (
                7,
                Some("1000000"),
                "`fee_millionths` is `1000000`, expected a number from 0 to 999999",
            ),
        ] {
            let mut row = row();
            row.0[column] = text.map(str::to_owned);
            let error = row.pool().unwrap_err().to_string();
            assert!(error.contains(expected), "expected `{expected}`: {error}");
            let names = column == 0 || error.starts_with(&format!("row `{}`: ", ROWS[1][0]));
            assert!(names && error.len() < 200, "{error}");
            assert_eq!(row.address().is_some(), column != 0);
        }
    }

    #[test]
    fn prices_are_those_of_the_pools() {
        let root = |value: u128, shift: usize| {
            let mut word = [0; 32];
            word[32 - shift - 16..32 - shift].copy_from_slice(&value.to_be_bytes());
            word
        };
        assert_eq!(price(&root(1 << 96, 0), [18, 18]), 1.0);
        assert_eq!(
            [[6, 6], [6, 18], [18, 18]].map(|it| liquidity(10_u128.pow(12), it)),
            [1e6, 1.0, 1e-6]
        );
        assert_eq!(price(&root(3 << 96, 0), [6, 6]), 9.0);
        assert_eq!(price(&root(1 << 96, 0), [18, 6]), 1e12);
        assert_eq!(price(&root(1 << 96, 0), [6, 18]), 1e-12);
        assert_eq!(price(&root(1 << 96, 4), [0, 0]), 2.0_f64.powi(64));
        // Of the first swap of the day: 2,270 USDC for a WETH.
        let first = crate::ethereum::chain::swap(&crate::ethereum::feed::day(false)[0].log)
            .unwrap()
            .unwrap();
        let price = price(&first.sqrt_price_x96.to_be_bytes(), [6, 18]);
        assert!((1.0 / price - 2_269.745_824).abs() < 1e-6, "{}", 1.0 / price);
    }
}
