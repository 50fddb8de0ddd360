//! Logs of services and of the runtime: `cargo run --example logging --features logs`. Less or more
//! of them with `RUST_LOG=warn`, or `RUST_LOG=mycelium=debug`.

use mycelium::{Context, Node, Result, message, service};

#[message(topic = "samples", id = 1)]
struct Sample {
    value: u64,
}

struct Sensor {
    value: u64,
}

#[service(emits(Sample))]
impl Sensor {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        while self.value < 3 {
            self.value += 1;
            ctx.emit(Sample { value: self.value }).await?;
            if self.value == 2 {
                // The runtime logs the error and starts the service again, after a pause.
                return Err(mycelium::Error::msg("the sensor was disconnected"));
            }
        }
        Ok(())
    }
}

struct Store;

#[service(reads(Sample))]
impl Store {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut samples = ctx.subscribe::<Sample>()?;
        while let Some(delivery) = samples.recv().await {
            match delivery.message() {
                Some(sample) => ctx.info("stored", sample.value),
                None => ctx.warn("missed samples", "see the counters"),
            }
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    // Without this line, only warnings and errors are printed.
    mycelium::init();
    mycelium::run(Node::builder("main").service(|| Sensor { value: 0 }).service(|| Store))
}
