//! A clone of a reference whose mailbox has one sender.
//!
//! Leave out `.queue::<channel::Spsc>()`: the default queue has any number of senders.

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

fn two(actors: &Actors) -> Result<()> {
    let one = actors.actor(|| Account { cents: 0 }).queue::<channel::Spsc>().spawn()?;
    let other = one.clone();
    Ok(())
}
