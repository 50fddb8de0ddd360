use mycelium::*;

struct Account;

#[actor]
impl Account {
    #[tell]
    fn close(&mut self) {}
}

fn main() {}
