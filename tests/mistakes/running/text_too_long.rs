//! A text that is too long for its field.
//!
//! Raise `N` of `FixedStr<N>`, or shorten the text with `FixedStr::truncated`.

use crate::shared::*;

#[message(topic = "greetings", id = 2)]
struct Greeting {
    text: FixedStr<6>,
}

struct Greeter;

#[service(emits(Greeting))]
impl Greeter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Greeting { text: "good morning".try_into()? }).await?;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Greeter);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
