//! A bundle is upgraded process by process while its messages flow: the programs of two versions
//! read each other's messages, none is lost, and none is misread.

use std::fs::{self, File};
use std::iter;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use mycelium::Node;
use mycelium_bundle::{Change, Member};

use crate::bundle::pipeline::{DIRECTORY, DOES, run_member};
use crate::bundle::{SOON, end, program, speaking};
use crate::support::Directory;

/// The programs of two versions. A source numbers its messages, and keeps the next number in a
/// file.
macro_rules! programs {
    ($(
        $version:ident { $($field:ident: $ty:ty = $value:expr, $default:literal;)* }
            |$message:ident| $flags:expr;
    )*) => {$(
        mod $version {
            use mycelium::{Context, Delivery, Result, message, service};

            use super::{Stored, said};
            use crate::bundle::roles::say;

            #[message(topic = "raw", id = 1)]
            pub(super) struct Raw {
                value: u64,
                text: String,
                $(
                    #[message(default = $default)]
                    $field: $ty,
                )*
            }

            #[message(topic = "refined", id = 2)]
            pub(super) struct Refined {
                value: u64,
                text: String,
                /// The flags that the middle has read.
                read: u8,
                $(
                    #[message(default = $default)]
                    $field: $ty,
                )*
            }

            pub(super) struct Source;

            #[service(emits(Raw))]
            impl Source {
                async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                    let stored = Stored::of("source");
                    let mut value = stored.get();
                    while !ctx.is_shutting_down() {
                        ctx.emit(Raw { value, text: said(value), $($field: $value),* }).await?;
                        value += 1;
                        stored.set(value);
                    }
                    Ok(())
                }
            }

            pub(super) struct Middle;

            #[service(reads(Raw), emits(Refined))]
            impl Middle {
                async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                    let mut raw = ctx.subscribe::<Raw>()?;
                    while let Some(delivery) = raw.recv().await {
                        let Delivery::Msg($message) = delivery else { panic!("a gap") };
                        let (value, read) = ($message.value, $flags);
                        assert_eq!($message.text, said(value));
                        let text = said(value);
                        ctx.emit(Refined { value, text, read, $($field: $value),* }).await?;
                    }
                    Ok(())
                }
            }

            pub(super) struct Sink;

            #[service(reads(Refined))]
            impl Sink {
                async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                    let stored = Stored::of("sink");
                    let (mut next, mut count) = (stored.get(), 0);
                    let mut refined = ctx.subscribe::<Refined>()?;
                    while let Some(delivery) = refined.recv().await {
                        let Delivery::Msg($message) = delivery else { panic!("a gap") };
                        let value = $message.value;
                        // A process that ends leaves the message in flight to the next one.
                        assert!(value <= next, "{value} comes after {next}");
                        assert_eq!($message.text, said(value));
                        assert!([1, 7, 9].contains(&$message.read) && [7, 9].contains(&$flags));
                        next = next.max(value + 1);
                        stored.set(next);
                        count += 1;
                        if count == 100 {
                            say(concat!("has read as ", stringify!($version)));
                        }
                    }
                    Ok(())
                }
            }
        }
    )*};
}

programs! {
    old {} |message| 7;
    new { flags: u8 = 9, 7; } |message| message.flags;
}

fn said(value: u64) -> String {
    "text ".repeat(value as usize % 50)
}

/// The number that the processes of a member keep in a file.
struct Stored(File);

impl Stored {
    fn of(member: &str) -> Stored {
        let path = PathBuf::from(std::env::var(DIRECTORY).unwrap()).with_extension(member);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        Stored(file.unwrap())
    }

    fn get(&self) -> u64 {
        let mut number = [0; 8];
        // A new file is empty.
        _ = self.0.read_exact_at(&mut number, 0);
        u64::from_le_bytes(number)
    }

    fn set(&self, number: u64) {
        self.0.write_all_at(&number.to_le_bytes(), 0).unwrap();
    }
}

const TOPOLOGY: &str = r#"
[node.source]
services = ["Source"]
shutdown = "4s"
[node.middle]
services = ["Middle"]
shutdown = "4s"
[node.sink]
services = ["Sink"]
shutdown = "4s"
[service.Middle]
max_restarts = 0
[service.Sink]
max_restarts = 0
[link.default]
transport = "TRANSPORT"
retry = "1ms"
max_retry = "20ms"
"#;

/// Runs the node of this process in the version that the test has set, as `main` of a member does,
/// and returns its exit code.
pub(crate) fn run(name: &str) -> u8 {
    let does = std::env::var(DOES).unwrap();
    let (version, transport) = does.split_once(' ').unwrap();
    let node = Node::builder(name);
    let node = match version {
        "old" => node.service(|| old::Source).service(|| old::Middle).service(|| old::Sink),
        _ => node.service(|| new::Source).service(|| new::Middle).service(|| new::Sink),
    };
    run_member(node, &TOPOLOGY.replace("TRANSPORT", transport))
}

#[test]
fn a_bundle_is_upgraded_process_by_process() {
    const MEMBERS: [(&str, &[&str]); 3] =
        [("source", &[]), ("middle", &["source"]), ("sink", &["middle"])];
    for transport in crate::support::TRANSPORTS {
        for order in [["source", "middle", "sink"], ["sink", "middle", "source"]] {
            let directory = Directory::new(&format!("upgrade-{transport}-{}", order[0]));
            let mut bundle = speaking();
            let member = |(name, feeders): (&'static str, &[&str]), version: &'static str| {
                let (writer, place) = (bundle.writer.try_clone().unwrap(), directory.0.clone());
                let command = move || {
                    let mut command = program("upgrade", name);
                    command.stdout(writer.try_clone().unwrap()).env(DIRECTORY, &place);
                    command.env(DOES, format!("{version} {transport}"));
                    command
                };
                let member = Member::new(name, command).restart(SOON);
                feeders.iter().fold(member, |member, feeder| member.ends_after(feeder))
            };
            let old = MEMBERS.map(|it| member(it, "old"));
            let new = MEMBERS.map(|it| (it.0, member(it, "new")));
            bundle.bundle = old.into_iter().fold(bundle.bundle, |all, member| all.member(member));
            let (handle, running) = bundle.run();
            let mut said = iter::from_fn(|| Some(bundle.said.next()));
            assert_eq!(said.next().unwrap(), "sink has read as old");
            // These are about the start of all.
            bundle.events.try_iter().for_each(drop);
            let mut new: Vec<_> = new.into_iter().collect();
            for name in order {
                let place = new.iter().position(|(it, _)| *it == name).unwrap();
                handle.change([Change::Replace(new.swap_remove(place).1)]).unwrap();
                bundle.wait_for(&format!("{name}: started"));
            }
            let heard = said.find(|it| !it.starts_with("sink has read as old"));
            assert_eq!(heard.unwrap(), "sink has read as new");
            end(&handle, running);
            let sent = |name| {
                let bytes = fs::read(directory.0.with_extension(name)).unwrap();
                u64::from_le_bytes(bytes.try_into().unwrap())
            };
            assert_eq!(sent("sink"), sent("source"), "{transport} {order:?}");
            drop(bundle.writer);
            assert_eq!(bundle.said.rest(), [""; 0], "{transport} {order:?}");
        }
    }
}
