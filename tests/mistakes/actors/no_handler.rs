//! A message that the actor has no handler for.
//!
//! Write a method with `#[tell]` that takes a `Withdraw` by value.

struct Account {
    cents: u64,
}

struct Deposit(u64);

struct Withdraw(u64);

#[actor]
impl Account {
    #[tell]
    fn deposit(&mut self, Deposit(cents): Deposit) {
        self.cents += cents;
    }
}

async fn withdraw(account: &mut ActorRef<Account>) -> Result<()> {
    account.tell(Withdraw(7)).await?;
    Ok(())
}
