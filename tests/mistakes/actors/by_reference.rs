//! A handler that takes its message by reference.
//!
//! Write `deposit: Deposit`: the mailbox gives the message away.

struct Deposit(u64);

struct Account {
    cents: u64,
}

#[actor]
impl Account {
    #[tell]
    fn deposit(&mut self, deposit: &Deposit) {
        self.cents += deposit.0;
    }
}
