//! A client that needs tokio, in a node that runs on another executor: its futures run on a tokio
//! of their own, and the service awaits their results.

use std::collections::BTreeMap;
use std::time::Duration;

use mycelium::{Context, Error, Result, service};
use reqwest::{Client, Response};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use crate::Price;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many bytes one answer has, at most.
const LONGEST: usize = 1 << 20;

type Prices = BTreeMap<String, u64>;

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
        let mut known = Prices::new();
        loop {
            ticks.tick().await?;
            let asked = client.get(&self.url);
            // The handle of a task of tokio can be awaited on any executor. If this run ends
            // meanwhile, the task does, too. All that needs tokio is in the task: `send` does, even
            // before it is polled.
            let answer = AbortOnDropHandle::new(
                self.tokio.spawn(async { prices(asked.send().await?).await }),
            );
            let prices = answer.await??;
            for (pair, &cents) in &prices {
                if known.get(pair) != Some(&cents) {
                    ctx.emit(Price { pair: pair.clone(), cents }).await?;
                }
            }
            known = prices;
        }
    }
}

/// Reads the prices of an answer.
async fn prices(answer: Response) -> Result<Prices> {
    let (mut answer, mut body) = (answer.error_for_status()?, Vec::new());
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST {
            return Err(Error::msg(format!("the answer has more than {LONGEST} bytes")));
        }
    }
    Ok(serde_json::from_slice(&body)?)
}
