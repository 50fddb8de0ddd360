//! Two handlers of one type.
//!
//! Write a type for each: the type of a message says which method gets it.

struct Account {
    cents: u64,
}

#[actor]
impl Account {
    #[tell]
    fn deposit(&mut self, cents: u64) {
        self.cents += cents;
    }

    #[tell]
    fn withdraw(&mut self, cents: u64) {
        self.cents -= cents;
    }
}
