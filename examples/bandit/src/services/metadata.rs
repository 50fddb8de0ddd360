//! Receives swaps and emits them with symbols, decimals and fees.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use mycelium::{Context, Delivery, Error, Result, service};

use crate::{
    faults::Faults,
    messages::{EnrichedSwap, Swap},
    metadata::Db,
};

/// Adds the metadata of its pool to each swap. Each pool is looked up once.
#[derive(Clone)]
pub struct MetadataService {
    /// The database, or `None` for one in memory.
    pub database: Option<PathBuf>,
    /// Keeps each swap in flight until the enriched swap is confirmed, so that none is lost with
    /// this process.
    pub confirms: bool,
    /// When the service panics.
    pub faults: Faults,
}

#[service(reads(Swap), emits(EnrichedSwap))]
impl MetadataService {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let path = self.database.clone();
        let db = ctx.blocking(move || Db::open(path)).await?;
        let db = Arc::new(Mutex::new(db.map_err(|error| Error::from(error).permanent())?));
        let mut pools = HashMap::new();
        let mut swaps = ctx.subscribe::<Swap>()?;
        while let Some(delivery) = swaps.recv().await {
            let Delivery::Msg(swap) = delivery else { continue };
            self.faults.point("before the metadata's emit", swap.redelivered());
            let pool = match pools.get(&swap.pool) {
                Some(pool) => pool,
                None => {
                    let (db, address) = (db.clone(), swap.pool);
                    let look_up =
                        move || db.lock().unwrap_or_else(PoisonError::into_inner).pool(&address);
                    let pool = ctx.blocking(look_up).await??;
                    pools.entry(swap.pool).or_insert(pool)
                }
            };
            match pool {
                Some(pool) => ctx.emit(pool.enrich(&swap)).await?,
                None => ctx.info("the pool of a swap is unknown", swap.key),
            }
            self.faults.point("after the metadata's emit", swap.redelivered());
            if self.confirms {
                ctx.confirmed().await;
            }
        }
        Ok(())
    }
}
