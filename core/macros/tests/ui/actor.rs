//! Mistakes in a block with `#[actor]`.

use mycelium::*;

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
    #[remote]
    fn balance(&mut self, _account: u64) {}
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
