//! How many random cases a test has.

use proptest::prelude::ProptestConfig;

/// A number of cases for each kind of run. No file of failed cases: Miri does not let programs read
/// the directory where it would be.
pub(crate) fn cases(natively: u32, in_miri: u32) -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { in_miri } else { natively },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
