use mycelium::*;

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
    #[ask]
    fn balance(&mut self, request: GetBalance) {}
}

fn main() {}
