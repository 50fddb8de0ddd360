//! Connections to a station, counted: those that are there, and those of peers that have not said who they are.

use std::sync::Arc;

use mycelium_executor::Stream;

use super::Notice;
use super::control::Busy;
use super::serving::Serving;
use super::station::Station;
use crate::stream::{DriveError, Driver, NodeLink};
use crate::sync::Ordering;

/// A peer that has not said who it is, counted for as long as it has not.
pub(super) struct Stranger(Arc<Station>);

impl Stranger {
    pub(super) fn new(station: Arc<Station>) -> Stranger {
        station.handshakes.fetch_add(1, Ordering::Relaxed);
        Stranger(station)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection, counted for as long as it is there.
pub(super) struct Connection {
    station: Arc<Station>,
    _busy: Busy,
}

impl Connection {
    pub(super) fn new(station: Arc<Station>) -> Connection {
        station.connections.fetch_add(1, Ordering::Relaxed);
        Connection { _busy: Busy::new(station.control()), station }
    }

    /// Serves the peer until the connection ends.
    pub(super) async fn serve(self, stream: Stream, stranger: Stranger) {
        let station = &self.station;
        let mut serving = Serving::new(station.clone(), stranger);
        let mut buffer = vec![0; station.buffer()];
        let config = station.config.link(&station.identity);
        let error = match NodeLink::new(config, &mut buffer) {
            Ok(mut link) => {
                let mut driver = Driver::new(&mut link, stream, station.executor.clone());
                driver.run(&mut serving).await
            }
            Err(error) => DriveError::Config(error),
        };
        serving.ended(&error);
        (station.observer)(Notice::Down { peer: serving.node(), error: &error });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.station.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
