//! An `ask` with a message that has no reply.
//!
//! Write `tell`; or name its reply, `#[message(.., reply = ..)]`, and handle it with `#[ask]`.
//!
//! Errors: 7.

struct Deposit(u64);

struct Account {
    cents: u64,
}

#[actor]
impl Account {
    #[tell]
    fn deposit(&mut self, Deposit(cents): Deposit) {
        self.cents += cents;
    }
}

async fn deposit(account: &mut ActorRef<Account>) -> Result<()> {
    account.ask(Deposit(7)).await?;
    Ok(())
}
