//! How many random cases a test has.

use proptest::prelude::ProptestConfig;

/// This many cases under Miri, otherwise what the variable `PROPTEST_CASES` says: 256 unless it is
/// set. No file of failed cases: Miri does not let programs read the directory where it would be.
pub(crate) fn cases(in_miri: u32) -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if cfg!(miri) { ProptestConfig { cases: in_miri, ..config } } else { config }
}
