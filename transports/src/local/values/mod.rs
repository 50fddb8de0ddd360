//! The values by which users speak of topics: the schema of a message type, the policy and the
//! options of a subscription, its deliveries, and every error. They know no ring and no topic.

mod delivery;
mod error;
mod key;
mod options;
mod policy;
mod schema;

pub use delivery::*;
pub use error::*;
pub use key::*;
pub use options::*;
pub use policy::*;
pub use schema::*;
