//! The services, in the order in which a swap passes them: adapter, metadata, detector, writer.
//! They share only messages. `feed` serves the recorded day.

mod adapter;
mod detector;
mod feed;
mod metadata;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mycelium::{Delivery, Received};

use crate::figures::Figures;

pub use adapter::PolygonAdapter;
pub use detector::ArbitrageDetector;
pub use feed::FeedServer;
pub use metadata::MetadataService;
pub use writer::SignalWriter;

/// The figures of a run, shared by all services.
#[derive(Clone, Debug)]
pub struct Board(Arc<Mutex<Figures>>);

impl Board {
    /// A board with these figures.
    #[must_use]
    pub fn new(figures: Figures) -> Self {
        Self(Arc::new(Mutex::new(figures)))
    }

    /// Locks the figures.
    pub fn figures(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the message of a delivery and counts it; a gap counts as drops.
    fn message<M>(&self, delivery: Delivery<M>) -> Option<Received<M>> {
        match delivery {
            Delivery::Msg(message) => {
                self.figures().count_message();
                Some(message)
            }
            Delivery::Gap(gap) => {
                self.figures().count_drops(gap.count);
                None
            }
        }
    }
}
