//! Mistakes in a block with `#[actor]`.

use mycelium::*;

#[message(topic = "balance-requests", id = 90, reply = Balance)]
struct GetBalance {
    account: u64,
}

#[message(topic = "balances", id = 91)]
struct Balance {
    cents: u64,
}

#[actor]
struct OnAStruct;

struct Unsaid<T>(Vec<T>);

#[actor]
impl<T: Send + 'static> Unsaid<T> {
    #[tell]
    fn push(&mut self, item: T) {
        self.0.push(item);
    }
}

struct Silent;

#[actor]
impl Silent {
    #[ask]
    fn balance(&mut self, _request: GetBalance) {}
}

struct HandlesTwice(u64);

#[actor]
impl HandlesTwice {
    #[tell]
    fn deposit(&mut self, cents: u64) {
        self.0 += cents;
    }

    #[tell]
    fn withdraw(&mut self, cents: u64) {
        self.0 -= cents;
    }
}

struct ByReference(u64);

#[actor]
impl ByReference {
    #[tell]
    fn deposit(&mut self, cents: &u64) {
        self.0 += cents;
    }
}

struct WithoutMessage;

#[actor]
impl WithoutMessage {
    #[tell]
    fn close(&mut self) {}
}

struct HookWithoutSelf;

#[actor]
impl HookWithoutSelf {
    fn started() -> Result<()> {
        Ok(())
    }
}

fn main() {}
