//! A handler of requests that returns nothing.
//!
//! Write `-> Balance`, or take the request as `Asked<GetBalance>` to reply later.

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
