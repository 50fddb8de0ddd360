//! A reference without `mut`.
//!
//! Write `let mut account`, and clone it for each task that needs one.

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

async fn deposit(actors: &Actors) -> Result<()> {
    let account = actors.spawn(|| Account { cents: 0 })?;
    account.tell(7).await?;
    Ok(())
}
