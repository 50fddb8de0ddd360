use mycelium::*;

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

fn main() {}
