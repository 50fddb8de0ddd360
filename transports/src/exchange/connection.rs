//! One connection to a station.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use mycelium_core::link::{CloseReason, LinkError};
use mycelium_executor::Stream;

use super::Notice;
use super::admission::Seat;
use super::control::Busy;
use super::serving::Serving;
use super::station::Station;
use crate::stream::{DriveError, Driver, NodeLink};

/// One connection, which has its seat for as long as it is there.
pub(super) struct Connection {
    station: Arc<Station>,
    seat: Arc<Seat>,
    _busy: Busy,
}

impl Connection {
    pub(super) fn new(station: Arc<Station>, seat: Arc<Seat>) -> Connection {
        Connection { _busy: Busy::new(station.control()), station, seat }
    }

    /// Serves the peer until the connection ends.
    pub(super) async fn serve(self, stream: Stream) {
        let station = &self.station;
        if self.seat.is_evicted() {
            // Before it began: a link would be made for nothing.
            let error = DriveError::Link(LinkError::LocallyClosed(CloseReason::Busy));
            return (station.observer)(Notice::Down { peer: "", error: &error });
        }
        let mut serving = Serving::new(station.clone(), self.seat.clone());
        let mut buffer = vec![0; station.buffer()];
        let config = station.config.link(&station.identity);
        let error = match NodeLink::new(config, &mut buffer) {
            Ok(mut link) => {
                let mut driver = Driver::new(&mut link, stream, station.executor.clone());
                // The link is looked at first: it tells the peer why it has to go, if that can be written at once.
                match select(pin!(driver.run(&mut serving)), pin!(self.seat.evicted())).await {
                    Either::Left((error, _)) => error,
                    Either::Right(_) => {
                        DriveError::Link(LinkError::LocallyClosed(CloseReason::Busy))
                    }
                }
            }
            Err(error) => DriveError::Config(error),
        };
        serving.ended(&error);
        (station.observer)(Notice::Down { peer: serving.node(), error: &error });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.station.admission.leave(&self.seat);
    }
}
