use mycelium::*;

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

fn main() {}
