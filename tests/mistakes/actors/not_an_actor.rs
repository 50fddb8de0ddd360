//! An actor without `#[actor]`.
//!
//! Write `#[actor]` above the `impl` block.
//!
//! Errors: 3.

struct Account {
    cents: u64,
}

impl Account {
    fn deposit(&mut self, cents: u64) {
        self.cents += cents;
    }
}

fn spawn(actors: &Actors) -> Result<()> {
    actors.spawn(|| Account { cents: 0 })?;
    Ok(())
}
