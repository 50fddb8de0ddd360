use mycelium::*;

struct Stack<T> {
    items: Vec<T>,
}

#[actor]
impl<T: Send + 'static> Stack<T> {
    #[tell]
    fn push(&mut self, item: T) {
        self.items.push(item);
    }
}

fn main() {}
