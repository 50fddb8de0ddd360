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
}

fn two(actors: &Actors) -> Result<()> {
    let one = actors.actor(|| Account { cents: 0 }).queue::<channel::Spsc>().spawn()?;
    let other = one.clone();
    Ok(())
}

fn main() {}
