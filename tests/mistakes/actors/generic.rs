//! A generic actor that does not say where it can run.
//!
//! Write `#[actor(send)]`, or `#[actor(local)]` if it stays on one thread.

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
