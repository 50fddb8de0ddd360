//! A factory that gives away what it captured.
//!
//! A factory runs again after each panic: clone in it, `move || Sum(results.clone())`.

struct Sum(std::sync::mpsc::Sender<u64>);

#[service()]
impl Sum {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        self.0.send(1)?;
        Ok(())
    }
}

fn node(results: std::sync::mpsc::Sender<u64>) -> Builder {
    Node::builder("main").service(move || Sum(results))
}
