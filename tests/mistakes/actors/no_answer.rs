//! A request that the actor does not answer.
//!
//! Write a method with `#[ask]` that takes a `GetBalance` and returns a `Balance`.

#[message(topic = "balance-requests", id = 90, reply = Balance)]
struct GetBalance {
    account: u64,
}

#[message(topic = "balances", id = 91)]
struct Balance {
    cents: u64,
}

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

async fn balance(account: &mut ActorRef<Account>) -> Result<u64> {
    Ok(account.ask(GetBalance { account: 1 }).await?.cents)
}
