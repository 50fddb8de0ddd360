use mycelium::*;

struct Account;

#[actor(send)]
impl Account {
    #[tell]
    async fn deposit(&mut self, cents: u64) {
        let shared = std::rc::Rc::new(cents);
        std::future::ready(()).await;
        drop(shared);
    }
}

fn main() {}
