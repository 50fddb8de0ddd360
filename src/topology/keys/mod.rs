//! The keys of a topology file and the types of their values, with the errors of invalid ones. A
//! new key is added to `sections` first.

pub(crate) mod addresses;
pub(crate) mod defaults;
pub(crate) mod engine;
#[cfg(feature = "topology")]
pub(crate) mod legacy_config;
#[cfg(feature = "topology")]
pub(crate) mod legacy_section;
pub(crate) mod link;
pub(crate) mod policies;
pub(crate) mod sections;
pub(crate) mod telemetry_section;
pub(crate) mod topic;
pub(crate) mod values;
