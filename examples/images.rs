//! Images of 1 MiB from one process to another: `cargo run --release --example images`. The camera
//! draws each image in the shared memory of its ring, and the viewer adds up its pixels.
#![allow(clippy::print_stdout, reason = "this is a command-line program")]

use std::process::Command;

use mycelium::{Context, Delivery, Node, Result, Topology, message, service};

/// The width and the height of an image in pixels, which are bytes.
const SIZE: usize = 1024;
/// The number of images.
const COUNT: u32 = 200;

#[message(topic = "images", max = "2 MiB")]
struct Image {
    number: u32,
    width: u32,
    pixels: Vec<u8>,
}

struct Camera;

#[service(emits(Image))]
impl Camera {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..COUNT {
            let image = Image { number, width: SIZE as u32, pixels: Vec::new() };
            let mut image = ctx.reserve(image, SIZE * SIZE).await?;
            // Nobody but the viewer reads, and the camera waits for it.
            assert!(image.is_in_place());
            for (y, row) in image.bytes_mut().chunks_exact_mut(SIZE).enumerate() {
                row.fill(shade(number, y));
            }
            image.send()?;
        }
        Ok(())
    }
}

/// Returns the grey of a row: a gradient that moves.
fn shade(number: u32, y: usize) -> u8 {
    (number as usize + y) as u8
}

struct Viewer;

#[service(reads(Image))]
impl Viewer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut images = ctx.subscribe::<Image>()?;
        let (mut start, mut bytes, mut sum) = (ctx.now(), 0, 0);
        while let Some(delivery) = images.recv_view().await {
            // The camera waits for this subscription, so there are no gaps.
            let Delivery::Msg(image) = delivery else { continue };
            for (y, row) in image.pixels().chunks_exact(image.width() as usize).enumerate() {
                assert_eq!([row[0], row[SIZE - 1]], [shade(image.number(), y); 2]);
                sum += row.iter().map(|pixel| u64::from(*pixel)).sum::<u64>();
            }
            match image.number() {
                0 => start = ctx.now(),
                _ => bytes += image.pixels().len(),
            }
            if image.number() == COUNT - 1 {
                let seconds = (ctx.now() - start).as_secs_f64();
                let (rate, gib) = (f64::from(COUNT - 1) / seconds, bytes as f64 / (1 << 30) as f64);
                println!("{COUNT} images of 1 MiB: {rate:.0} a second, {:.1} GiB/s", gib / seconds);
                println!("the sum of all pixels is {sum}");
            }
        }
        Ok(())
    }
}

/// Two processes of one machine share memory.
const TOPOLOGY: &str = r#"
node.camera.services = ["Camera"]
node.viewer.services = ["Viewer"]
"#;

fn main() -> Result<()> {
    let name = std::env::args().nth(1);
    // Without a name this is the viewer, and starts the camera.
    let mut camera = None;
    if name.is_none() {
        camera = Some(Command::new(std::env::current_exe()?).arg("camera").spawn()?);
    }
    let node = Node::builder(name.as_deref().unwrap_or("viewer"));
    let node = node.service(|| Camera).service(|| Viewer).describe_on_request();
    mycelium::run(node.topology(Topology::parse("images.toml", TOPOLOGY)?))?;
    camera.iter_mut().try_for_each(|camera| camera.wait().map(drop))?;
    Ok(())
}
