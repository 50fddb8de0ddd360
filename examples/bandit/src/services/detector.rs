//! Receives swaps and emits signals.

use std::time::Duration;

use mycelium::{Context, Result, service};

use super::Board;
use crate::{
    arbitrage::{Detector, Outcome},
    durable::Durable,
    faults::Faults,
    messages::{EnrichedSwap, Signal},
};

/// Emits a signal whenever the prices of two pools of a pair differ by more than their fees.
pub struct ArbitrageDetector {
    /// The prices and the position: kept after the signal of a swap was emitted, saved before the
    /// next swap is received.
    detector: Durable<Detector>,
    board: Board,
    faults: Faults,
}

impl ArbitrageDetector {
    /// A detector that continues at this state.
    #[must_use]
    pub fn new(detector: Durable<Detector>, board: Board, faults: Faults) -> Self {
        Self { detector, board, faults }
    }
}

#[service(reads(EnrichedSwap), emits(Signal))]
impl ArbitrageDetector {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut swaps = ctx.subscribe::<EnrichedSwap>()?;
        while let Some(delivery) = swaps.recv().await {
            let received_at = ctx.now();
            let Some(swap) = self.board.message(delivery) else { continue };
            self.faults.point("before the detector's emit", swap.redelivered());
            let priced = swap.priced();
            match self.detector.read(|detector| detector.evaluate(&priced)) {
                Outcome::Signal(signal) => {
                    self.board.figures().count_signal(&signal);
                    ctx.emit(Signal::from(signal)).await?;
                }
                Outcome::Rejected(_) => self.board.figures().count_rejected(),
                Outcome::Quiet | Outcome::Duplicate => {}
            }
            self.faults.point("after the detector's emit", swap.redelivered());
            self.detector.keep(|detector| detector.commit(&priced));
            self.detector.save(ctx).await?;
            let mut figures = self.board.figures();
            figures.count_swap(&priced);
            if !swap.redelivered() {
                let emitted_at = Duration::from_nanos(swap.emitted_at);
                figures.record_latency(received_at.saturating_sub(emitted_at));
            }
        }
        Ok(())
    }
}
