//! A service and an actor that say `send`, and keep an `Rc` while they wait.

use std::rc::Rc;

use mycelium::*;

struct Strategy;

#[service(send)]
impl Strategy {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let shared = Rc::new(1);
        ctx.sleep(std::time::Duration::from_secs(*shared)).await?;
        drop(shared);
        Ok(())
    }
}

struct Account;

#[actor(send)]
impl Account {
    #[tell]
    async fn deposit(&mut self, cents: u64) {
        let shared = Rc::new(cents);
        std::future::ready(()).await;
        drop(shared);
    }
}

fn main() {}
