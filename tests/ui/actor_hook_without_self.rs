use mycelium::*;

struct Account;

#[actor]
impl Account {
    fn started(ctx: &mut ActorContext<Self>) -> Result<()> {
        Ok(())
    }
}

fn main() {}
