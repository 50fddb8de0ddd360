//! Receives swaps and emits them with symbols, decimals and fees.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use mycelium::{Context, Error, Result, service};

use super::Board;
use crate::{
    faults::Faults,
    messages::{EnrichedSwap, Swap},
    metadata::{Db, Pool},
};

/// Adds the metadata of its pool to each swap. Each pool is looked up once.
pub struct MetadataService {
    database: Option<PathBuf>,
    cache: HashMap<[u8; 20], Option<Arc<Pool>>>,
    /// Other processes follow: a swap in flight is redelivered if this process dies.
    confirms: bool,
    board: Board,
    faults: Faults,
}

impl MetadataService {
    /// A service with this database, or with one in memory. If it `confirms`, it keeps each swap in
    /// flight until the enriched swap is confirmed, so that none is lost with the process.
    #[must_use]
    pub fn new(database: Option<PathBuf>, confirms: bool, board: Board, faults: Faults) -> Self {
        Self { database, cache: HashMap::new(), confirms, board, faults }
    }
}

#[service(reads(Swap), emits(EnrichedSwap))]
impl MetadataService {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let path = self.database.clone();
        let open = move || path.map_or_else(Db::in_memory, |path| Db::open(&path));
        let db = ctx.blocking(open).await?.map_err(|error| Error::from(error).permanent())?;
        let db = Arc::new(Mutex::new(db));
        let mut swaps = ctx.subscribe::<Swap>()?;
        while let Some(delivery) = swaps.recv().await {
            let Some(swap) = self.board.message(delivery) else { continue };
            self.faults.point("before the metadata's emit", swap.redelivered());
            let known = self.cache.get(&swap.pool).cloned();
            let pool = match known {
                Some(pool) => pool,
                None => {
                    let (db, address) = (db.clone(), swap.pool);
                    let look_up =
                        move || db.lock().unwrap_or_else(PoisonError::into_inner).pool(&address);
                    let pool = ctx.blocking(look_up).await??.map(Arc::new);
                    self.cache.insert(swap.pool, pool.clone());
                    pool
                }
            };
            match pool {
                Some(pool) => ctx.emit(EnrichedSwap::new(&swap, &pool)).await?,
                None => self.board.figures().count_unknown_pool(),
            }
            self.faults.point("after the metadata's emit", swap.redelivered());
            if self.confirms {
                ctx.confirmed().await;
            }
        }
        Ok(())
    }
}
