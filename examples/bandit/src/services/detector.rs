//! Receives swaps and emits signals.

use alloy_primitives::Address;
use mycelium::{Context, Delivery, Result, service};

use crate::{
    arbitrage::{Detector, Outcome},
    durable::Durable,
    faults::Faults,
    messages::{EnrichedSwap, Signal},
};

/// Emits a signal whenever the prices of two or three pools differ by more than their fees.
#[derive(Clone)]
pub struct ArbitrageDetector {
    /// The prices and the position: kept after the signal of a swap was emitted, saved before the
    /// next swap is received.
    pub detector: Durable<Detector>,
    /// When the service panics.
    pub faults: Faults,
}

#[service(reads(EnrichedSwap), emits(Signal))]
impl ArbitrageDetector {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut swaps = ctx.subscribe::<EnrichedSwap>()?;
        let mut signals = ctx.metrics().counter("signals")?;
        let mut rejected = ctx.metrics().counter("rejected")?;
        while let Some(delivery) = swaps.recv().await {
            let Delivery::Msg(swap) = delivery else { continue };
            self.faults.point("before the detector's emit", swap.redelivered());
            let outcome = self.detector.read(|detector| detector.evaluate(&swap));
            if let Outcome::Signal(signal) | Outcome::Retraction(signal) = &outcome {
                ctx.emit::<Signal>(*signal).await?;
            }
            self.faults.point("after the detector's emit", swap.redelivered());
            self.detector.keep(|detector| detector.commit(&swap));
            self.detector.save(ctx).await?;
            match outcome {
                Outcome::Signal(_) => signals.increment(),
                Outcome::Rejected => rejected.increment(),
                Outcome::Quiet => {}
                Outcome::Duplicate | Outcome::Retraction(_) => continue,
            }
            let pool = format!("{:#x}", Address::from(swap.pool));
            ctx.metrics().counter_with("swaps", &[("pool", &pool)])?.increment();
        }
        Ok(())
    }
}
