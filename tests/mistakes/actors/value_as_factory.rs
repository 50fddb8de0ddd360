//! An actor in place of its factory.
//!
//! Write `actors.spawn(|| Account { cents: 0 })`: after a panic it is made again.

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

fn spawn(actors: &Actors) -> Result<()> {
    actors.spawn(Account { cents: 0 })?;
    Ok(())
}
