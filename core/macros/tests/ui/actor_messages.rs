//! Messages that an actor does not handle, and a reference that cannot be cloned.

use mycelium::actors::{ActorRef, Actors};
use mycelium::*;

#[message(topic = "balance-requests", id = 90, reply = Balance)]
struct GetBalance {
    account: u64,
}

#[message(topic = "balances", id = 91)]
struct Balance {
    cents: u64,
}

struct Withdraw(u64);

struct Account {
    cents: u64,
}

#[actor]
impl Account {
    #[tell]
    fn deposit(&mut self, cents: u64) {
        self.cents += cents;
    }
}

async fn no_handler(account: &mut ActorRef<Account>) -> Result<()> {
    account.tell(Withdraw(7)).await?;
    Ok(())
}

async fn no_answer(account: &mut ActorRef<Account>) -> Result<u64> {
    Ok(account.ask(GetBalance { account: 1 }).await?.cents)
}

fn not_a_request() {
    fn is_request<Q: Request>() {}
    is_request::<Withdraw>();
}

fn two_senders(actors: &Actors) -> Result<()> {
    let one = actors.actor(|| Account { cents: 0 }).queue::<channel::Spsc>().spawn()?;
    let other = one.clone();
    Ok(())
}

fn main() {}
