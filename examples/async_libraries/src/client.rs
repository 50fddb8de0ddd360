//! A client that needs tokio, in a node that runs on another executor: its futures run on a tokio
//! of their own, and the service awaits their results.

use std::collections::BTreeMap;
use std::time::Duration;

use mycelium::{Context, Result, service};
use reqwest::Client;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use crate::Price;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks a [web server](crate::web) for its prices, ten times a second, and emits those that have
/// changed.
pub struct Follower {
    tokio: Handle,
    url: String,
}

impl Follower {
    /// Creates the service. The client runs on the given tokio, which outlives the node.
    #[must_use]
    pub fn new(tokio: Handle, url: &str) -> Follower {
        Follower { tokio, url: url.to_owned() }
    }
}

#[service(emits(Price))]
impl Follower {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let client = Client::builder().timeout(PATIENCE).build()?;
        let mut ticks = ctx.interval(Duration::from_millis(100))?;
        let mut known = BTreeMap::new();
        loop {
            ticks.tick().await?;
            let asked = client.get(&self.url);
            // The handle of a task of tokio can be awaited on any executor. If this run ends
            // meanwhile, the task does, too. All that needs tokio is in the task: `send` does, even
            // before it is polled.
            let answer = AbortOnDropHandle::new(self.tokio.spawn(async {
                let answer = asked.send().await?.error_for_status()?;
                answer.json::<BTreeMap<String, u64>>().await
            }));
            for (pair, cents) in answer.await?? {
                if known.insert(pair.clone(), cents) != Some(cents) {
                    ctx.emit(Price { pair, cents }).await?;
                }
            }
        }
    }
}
