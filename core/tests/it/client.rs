//! A node in another language, written from `docs/wire-format.md` alone, reads messages over a link
//! and sends them back.

use std::hash::{DefaultHasher, Hasher};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use mycelium_core::Envelope;
use mycelium_core::link::{
    Config, Event, Interest, Link, Name, ReaderMode, ReaderStart, SendError, StreamStart, Unit,
};
use zerocopy::IntoBytes;

use crate::cases::cases;
use crate::decoder::{Random, Schema, schemas};

/// How many messages may be on their way back.
const WINDOW: u32 = 64;

#[test]
fn it_sends_back_what_it_reads() {
    let mut random = Random(0x51f1_5eed);
    let (mut schemas, count) = (schemas(), cases(1).cases as usize);
    // A process for each: only some of them, unless there are many messages.
    let used = (count / 64).clamp(1, schemas.len());
    for _ in 0..used {
        let schema = schemas.swap_remove(random.below(schemas.len()));
        sent_back(&schema, &mut random, (count / used) as u64);
    }
}

/// The messages of one direction: how many there are, and a hash of their bytes.
#[derive(Default)]
struct Checksum {
    count: u64,
    hash: DefaultHasher,
}

impl Checksum {
    fn add(&mut self, message: &[u8]) {
        self.count += 1;
        self.hash.write_usize(message.len());
        self.hash.write(message);
    }
}

/// Publishes random messages, which the client sends back.
fn sent_back(schema: &Schema, random: &mut Random, count: u64) {
    let (mut python, bytes) = start(schema.topic);
    let mut stdin = python.stdin.take().unwrap();
    let mut buffer = vec![0; 1 << 18];
    let config = Config::new(Name::try_from("rust").unwrap(), 7);
    let mut link = Link::<2, 2>::new(Config { fragment: 1 << 16, ..config }, &mut buffer).unwrap();
    let start = Instant::now();
    let now = || start.elapsed();
    link.open(now());
    let (mut sent, mut found) = (Checksum::default(), Checksum::default());
    let (mut stream, mut incoming, mut unread, mut message) = (None, None, Vec::new(), None);
    let envelope = Envelope { type_id: schema.id, ..Envelope::default() };
    let mut is_over = false;
    while !is_over {
        // Sends as many as there is credit for.
        while let Some(stream) = stream
            && sent.count < count
        {
            let (bytes, len): &(Vec<u64>, usize) =
                message.get_or_insert_with(|| schema.built(random));
            let bytes = &bytes.as_bytes()[..*len];
            let fixed = u16::try_from(schema.descriptor.size).unwrap();
            match link.send(now(), stream, &envelope, fixed, bytes) {
                Ok(()) => sent.add(bytes),
                Err(SendError::Credit | SendError::Room { .. }) => break,
                Err(error) => panic!("{error}"),
            }
            message = None;
            if sent.count == count {
                link.end_stream(now(), stream).unwrap();
            }
        }
        link.flush();
        while let Some(bytes) = link.poll_transmit(now()) {
            let count = bytes.len();
            // Fails if the client has ended, which the loop sees below.
            let _ = stdin.write_all(bytes);
            link.transmitted(now(), count);
        }
        unread.extend(bytes.recv_timeout(Duration::from_secs(20)).expect("the client goes on"));
        let mut used = 0;
        loop {
            let mut read = 0;
            let input = link.input(now(), &unread[used..], |_, frame| {
                found.add(frame.payload());
                read += 1;
                Ok(())
            });
            let input = match input {
                Ok(input) => input,
                Err(error) if error.is_goodbye() => {
                    is_over = true;
                    break;
                }
                Err(error) => panic!("{error}"),
            };
            let (event, count) = (input.event, input.used);
            match event {
                Some(Event::Up { .. }) => {
                    let interest = Interest {
                        topic: Name::try_from("echo").unwrap(),
                        type_id: schema.id,
                        digest: schema.digest,
                        mode: ReaderMode::Gating,
                        start: ReaderStart::Next,
                        window: WINDOW,
                        unit: Unit::MESSAGE,
                    };
                    link.subscribe(interest).unwrap();
                }
                Some(Event::Describe { topic: "", offset }) => {
                    let catalogue = catalogue(schema);
                    link.answer_catalogue(now(), &catalogue, offset).unwrap();
                }
                Some(Event::Describe { offset, .. }) => {
                    link.answer(now(), Some(schema.descriptor), offset).unwrap();
                }
                Some(Event::Subscribe { export, digest, .. }) => {
                    assert_eq!(digest, schema.digest);
                    let name = Name::try_from("publisher").unwrap();
                    stream = Some(
                        link.open_stream(now(), export, name, StreamStart::new(1, 0, WINDOW))
                            .unwrap(),
                    );
                }
                Some(Event::Stream { stream, .. }) => incoming = Some(stream),
                _ => {}
            }
            if let Some(incoming) = incoming.filter(|_| read > 0) {
                // The stream may have ended with these messages.
                let _ = link.grant(incoming, read);
            }
            used += count;
            if count == 0 {
                break;
            }
        }
        unread.drain(..used);
    }
    assert!(python.wait().unwrap().success());
    assert_eq!((sent.count, found.count), (count, count));
    assert_eq!(sent.hash.finish(), found.hash.finish(), "{}", schema.topic);
}

/// Starts the client. Returns it, and the bytes that it writes.
fn start(topic: &str) -> (Child, mpsc::Receiver<Vec<u8>>) {
    let mut python = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/wire_client.py"))
        .args([topic, "echo"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs python3 (3.9 or later) in the path, to run wire_client.py");
    let mut stdout = python.stdout.take().unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = stdout.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    (python, receiver)
}

/// Returns the catalogue of this side: one topic.
fn catalogue(schema: &Schema) -> Vec<u8> {
    let name = schema.topic.as_bytes();
    [
        &1_u64.to_le_bytes()[..],
        &schema.id.to_le_bytes(),
        &(name.len() as u16).to_le_bytes(),
        &1_u32.to_le_bytes(),
        &schema.digest.0,
        name,
    ]
    .concat()
}
