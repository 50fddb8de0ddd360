//! A `tell` without `await`.
//!
//! Write `account.tell(..).await?`, or `try_tell(..)?`: without `await` nothing was sent.
//!
//! Errors: 0.

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

fn deposit(account: &mut ActorRef<Account>) {
    account.tell(7);
}
