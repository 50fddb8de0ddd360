//! The services, in the order in which a swap passes them: adapter, metadata, detector, and then
//! writer and simulator. They share only messages. `feed` serves the recorded day.

mod adapter;
mod detector;
mod feed;
mod fills;
mod metadata;
mod writer;

pub use adapter::PolygonAdapter;
pub use detector::ArbitrageDetector;
pub use feed::FeedServer;
pub use fills::FillSimulator;
pub use metadata::MetadataService;
pub use writer::SignalWriter;
