//! Receives signals and simulates their fills.

use mycelium::{Context, Delivery, Result, service};

use crate::{
    durable::Durable,
    faults::Faults,
    fills::{Fill, Ledger, Weighed},
    messages::Signal,
};

/// Says what the signals would have earned, after gas.
#[derive(Clone)]
pub struct FillSimulator {
    /// The fills: kept after each signal, saved before the next one is received.
    pub ledger: Durable<Ledger>,
    /// The price of a unit of gas, in gwei.
    pub gas_price: u32,
    /// When the service panics.
    pub faults: Faults,
}

#[service(reads(Signal))]
impl FillSimulator {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut signals = ctx.subscribe::<Signal>()?;
        let mut fills = ctx.metrics().gauge("fills")?;
        let mut gas = ctx.metrics().gauge("gas_gwei")?;
        let mut left = ctx.metrics().gauge("gwei_after_gas")?;
        let mut too_small = ctx.metrics().counter("too_small_to_fill")?;
        let mut already = ctx.metrics().counter("already_filled")?;
        let mut unknown = ctx.metrics().counter("unknown_to_fill")?;
        loop {
            let totals = self.ledger.read(|ledger| [ledger.fills, ledger.gas, ledger.left]);
            for (gauge, total) in [&mut fills, &mut gas, &mut left].into_iter().zip(totals) {
                gauge.set(i64::try_from(total).unwrap_or(i64::MAX));
            }
            let Some(delivery) = signals.recv().await else { return Ok(()) };
            let Delivery::Msg(signal) = delivery else { continue };
            self.faults.point("before the simulator has weighed", signal.redelivered());
            let weighed = self.ledger.read(|ledger| ledger.weigh(&signal, self.gas_price));
            match &weighed {
                Weighed::Fill(Fill { key, left, gas, .. }) => {
                    let text = format!("block {}: {left} gwei after {gas} of gas", key.block);
                    ctx.info("a signal is filled", text);
                }
                Weighed::TooSmall => too_small.increment(),
                Weighed::AlreadyFilled => already.increment(),
                Weighed::Unknown => unknown.increment(),
                Weighed::Seen | Weighed::Retraction => {}
            }
            self.ledger.keep(|ledger| ledger.commit(signal.key, &weighed));
            self.faults.point("after the simulator has weighed", signal.redelivered());
            self.ledger.save(ctx).await?;
        }
    }
}
