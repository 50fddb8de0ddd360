//! The pages in `docs`, whose examples are compiled as tests.

#[doc = include_str!("../README.md")]
pub struct Readme;

#[cfg(feature = "topology")]
#[doc = include_str!("../docs/actors.md")]
pub struct ActorsGuide;

#[doc = include_str!("../docs/choosing.md")]
pub struct Choosing;

#[doc = include_str!("../docs/concepts.md")]
pub struct Concepts;

#[doc = include_str!("../docs/coming-from.md")]
pub struct ComingFrom;

#[doc = include_str!("../docs/costs.md")]
pub struct Costs;

#[doc = include_str!("../docs/embedding.md")]
pub struct Embedding;

#[cfg(feature = "topology")]
#[doc = include_str!("../docs/legacy.md")]
pub struct Legacy;

#[doc = include_str!("../docs/observability.md")]
pub struct Observability;

#[cfg(feature = "testing")]
#[doc = include_str!("../docs/testing-your-services.md")]
pub struct TestingYourServices;

#[doc = include_str!("../docs/topology.md")]
pub struct TopologyFile;

#[doc = include_str!("../docs/tuning.md")]
pub struct Tuning;
