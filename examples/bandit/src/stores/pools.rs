//! The pools of a store, behind a cache.

use std::{mem::replace, num::NonZeroUsize, sync::Arc, time::Duration};

use alloy_primitives::Address;
use futures_util::{FutureExt, future::BoxFuture};
use lru::LruCache;
use mycelium::{Context, Error, Result, Service, supervision::Kept};
use mycelium_executor::Backoff;

use super::backend::{MOST_POOLS, StoreError};
use super::client::Client;
use crate::metadata::{Pool, Row};

/// The pauses before a store that is away is asked again for all pools.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5) };
/// How often a pool that is unknown is logged.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The pools of a store. Clones share the client, and the cache, which survives panics of services.
#[derive(Clone)]
pub struct Pools {
    client: Client,
    cache: Kept<Cache>,
    refresh: Duration,
}

struct Cache {
    /// The pools of the store, also those with invalid rows.
    addresses: Vec<Address>,
    pools: LruCache<Address, Entry>,
    /// Whether the store did not give the last answer.
    is_away: bool,
}

/// What is known of a pool.
#[derive(Clone)]
struct Entry {
    /// The pool, or why it is unknown.
    found: Result<Arc<Pool>, Arc<str>>,
    /// When the store answered; `None` asks it with the next swap.
    answered: Option<Duration>,
    /// When a log said last that the pool is unknown.
    told: Option<Duration>,
}

impl Pools {
    /// The pools of this store. Known ones are looked up again after `refresh`.
    pub fn new(client: Client, refresh: Duration) -> Self {
        const MOST: NonZeroUsize = NonZeroUsize::new(MOST_POOLS).expect("not zero");
        let cache = Cache { addresses: Vec::new(), pools: LruCache::new(MOST), is_away: false };
        Self { client, cache: Kept::new(cache), refresh }
    }

    /// Waits until the store has answered once, and fills the cache with its pools. Returns at once
    /// if an earlier call has done so.
    ///
    /// # Errors
    /// If another attempt would not help, or the node shuts down.
    pub async fn open<S: Service>(&self, ctx: &mut Context<S>) -> Result<OpenPools> {
        let mut attempt = 0;
        while self.cache.read(|cache| cache.addresses.is_empty()) {
            let failed = |error| format!("{}: {error}", self.client.name());
            match self.client.rows(None).await {
                Ok(rows) => {
                    self.fill(ctx, rows);
                    if self.cache.read(|cache| cache.addresses.is_empty()) {
                        // A node that is asked for logs of no contract sends those of all.
                        let error = format!("{}: it has no pools", self.client.name());
                        return Err(Error::msg(error).permanent());
                    }
                    break;
                }
                Err(error @ StoreError::Away(_)) => {
                    ctx.warn("the service waits for its store", failed(error));
                }
                Err(error) => return Err(Error::msg(failed(error)).permanent()),
            }
            let pause = BACKOFF.pause(attempt, ctx.random());
            ctx.sleep(pause).await?;
            attempt += 1;
        }
        Ok(OpenPools { pools: self.clone(), refreshing: None })
    }

    fn fill<S: Service>(&self, ctx: &Context<S>, mut rows: Vec<Row>) {
        if rows.len() > MOST_POOLS {
            ctx.warn("the store has more pools than this program follows", MOST_POOLS);
            rows.truncate(MOST_POOLS);
        }
        let mut entries = Vec::new();
        for row in rows {
            let pool = row.pool();
            if let Err(error) = &pool {
                ctx.warn("a pool of the store is unknown", error.to_string());
            }
            if let Some(address) = row.address() {
                let found = pool.map(Arc::new).map_err(|error| error.to_string().into());
                entries.push((address, Entry { found, answered: Some(ctx.now()), told: None }));
            }
        }
        // At once: another service may read the addresses.
        self.cache.commit(|cache| {
            cache.addresses = entries.iter().map(|(address, _)| *address).collect();
            entries.into_iter().for_each(|(address, entry)| drop(cache.pools.put(address, entry)));
        });
    }
}

/// The pools of a store that has answered.
pub struct OpenPools {
    pools: Pools,
    /// A lookup in the background, of a pool that is served from the cache.
    refreshing: Option<Refresh>,
}

struct Refresh {
    address: Address,
    answer: BoxFuture<'static, Result<Vec<Row>, StoreError>>,
}

impl OpenPools {
    /// The pools that the store had at the start, also those with invalid rows.
    pub fn addresses(&self) -> Vec<Address> {
        self.pools.cache.read(|cache| cache.addresses.clone())
    }

    /// Returns a pool, or `None` if it is unknown: the store does not have it, its row is invalid,
    /// or the store is away. A known pool is returned at once; if the last answer is old, it is
    /// looked up in the background. Another one is waited for, for five seconds at most.
    pub async fn get<S: Service>(
        &mut self,
        ctx: &mut Context<S>,
        address: [u8; 20],
    ) -> Option<Arc<Pool>> {
        let (address, now) = (Address::from(address), ctx.now());
        self.finish_refresh(ctx);
        let cached = self.pools.cache.commit(|cache| cache.pools.get(&address).cloned());
        let is_since = |time: Option<Duration>, longest| {
            time.is_some_and(|time| now.saturating_sub(time) < longest)
        };
        let mut entry = match cached {
            Some(Entry { found: Ok(pool), answered, .. }) => {
                if !is_since(answered, self.pools.refresh) && self.refreshing.is_none() {
                    let client = self.pools.client.clone();
                    let answer = async move { client.rows(Some(address)).await }.boxed();
                    self.refreshing = Some(Refresh { address, answer });
                    // Asks. The answer is taken with a later swap.
                    self.finish_refresh(ctx);
                }
                return Some(pool);
            }
            Some(entry) if is_since(entry.answered, self.pools.refresh) => entry,
            other => {
                let answer = self.pools.client.rows(Some(address)).await;
                let (found, is_answer) = self.take(ctx, address, answer);
                let told = other.and_then(|entry| entry.told);
                Entry { found, answered: is_answer.then(|| ctx.now()), told }
            }
        };
        if let Err(reason) = &entry.found
            && !is_since(entry.told, TELL_EVERY)
        {
            ctx.warn("swaps of an unknown pool are left out", format!("{address:#x}: {reason}"));
            entry.told = Some(now);
        }
        let pool = entry.found.clone().ok();
        self.pools.cache.commit(|cache| cache.pools.put(address, entry));
        pool
    }

    /// Takes the answer of a lookup in the background, if it is there. While the store is away the
    /// cache keeps what it has.
    fn finish_refresh<S: Service>(&mut self, ctx: &Context<S>) {
        let Some(Refresh { address, answer }) = &mut self.refreshing else { return };
        let Some(answer) = answer.now_or_never() else { return };
        let address = *address;
        self.refreshing = None;
        let (found, is_answer) = self.take(ctx, address, answer);
        self.pools.cache.commit(|cache| {
            // It may have been evicted meanwhile.
            if let Some(entry) = cache.pools.get_mut(&address) {
                entry.answered = Some(ctx.now());
                if is_answer {
                    entry.found = found;
                }
            }
        });
    }

    /// Returns what an answer says of a pool, and whether it is from the store. Logs when the store
    /// goes away, and when it is back.
    fn take<S: Service>(
        &mut self,
        ctx: &Context<S>,
        address: Address,
        answer: Result<Vec<Row>, StoreError>,
    ) -> (Result<Arc<Pool>, Arc<str>>, bool) {
        let is_away = answer.is_err();
        let was_away = self.pools.cache.commit(|cache| replace(&mut cache.is_away, is_away));
        let name = self.pools.client.name();
        match answer {
            Ok(rows) => {
                if was_away {
                    ctx.warn("the store answers again", name);
                }
                let row = rows.iter().find(|row| row.address() == Some(address));
                let row = row.ok_or_else(|| "the store does not have it".into());
                let pool = |row: &Row| row.pool().map_err(|error| error.to_string().into());
                (row.and_then(pool).map(Arc::new), true)
            }
            Err(error) => {
                let reason = format!("{name}: {error}");
                if !was_away {
                    ctx.warn("known pools are served from the cache", &reason);
                }
                (Err(reason.into()), false)
            }
        }
    }
}
