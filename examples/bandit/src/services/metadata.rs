//! Receives swaps and emits them with symbols, decimals and fees.

use mycelium::{Context, Delivery, Result, service};

use crate::{
    faults::Faults,
    messages::{EnrichedSwap, Swap},
    stores::Pools,
};

/// Adds the metadata of its pool to each swap. Swaps of unknown pools are counted and left out.
#[derive(Clone)]
pub struct MetadataService {
    /// The pools.
    pub pools: Pools,
    /// Keeps each swap in flight until the enriched swap is confirmed, so that none is lost with
    /// this process.
    pub confirms: bool,
    /// When the service panics.
    pub faults: Faults,
}

#[service(reads(Swap), emits(EnrichedSwap))]
impl MetadataService {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut swaps = ctx.subscribe::<Swap>()?;
        let mut unknown = ctx.metrics().counter("unknown_swaps")?;
        // Until the store is there, swaps wait in their rings, and then the adapter waits.
        let mut pools = self.pools.open(ctx).await?;
        while let Some(delivery) = swaps.recv().await {
            let Delivery::Msg(swap) = delivery else { continue };
            self.faults.point("before the metadata's emit", swap.redelivered());
            if swap.retracts {
                ctx.emit(EnrichedSwap::retraction(swap.key)).await?;
            } else {
                match pools.get(ctx, swap.pool).await {
                    Some(pool) => ctx.emit(pool.enrich(&swap)).await?,
                    None => unknown.increment(),
                }
            }
            self.faults.point("after the metadata's emit", swap.redelivered());
            if self.confirms {
                ctx.confirmed().await;
            }
        }
        Ok(())
    }
}
