//! A decoder in another language, written from `docs/wire-format.md` alone, reads the examples of
//! that page, which are the bytes of links (`link/document.rs`), and messages of any shape.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use mycelium_core::descriptor::{Descriptor, Digest};
use mycelium_core::{FixedStr, Message, decode, encode, encoded_len, message};
use zerocopy::IntoBytes;

use crate::cases::cases;
use crate::shapes::{
    Everything, Inner, Kind, Lists, Maps, Numbers, Shape, Side, Steps, Text, object,
};

#[test]
fn it_reads_every_example_of_the_document() {
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let output = Command::new("python3")
        .arg(documents.join("wire_decoder.py"))
        .arg("--self-test")
        .arg(documents.join("wire-format.md"))
        .output()
        .expect("this test needs python3 (3.9 or later) in the path, to run wire_decoder.py");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Its values, its encoding of them and what it refuses are the same as here, for random messages
/// and for random changes of their bytes.
#[test]
fn it_reads_and_writes_messages_of_any_shape() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (schemas, count) = (schemas(), cases(1).cases as usize * 2);
    let pairs: Vec<_> =
        (0..count).flat_map(|index| schemas[index % schemas.len()].pair(&mut random)).collect();

    let mut python = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/wire_decoder.py"))
        .args(["--messages", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs python3 (3.9 or later) in the path, to run wire_decoder.py");
    let mut stdin = python.stdin.take().unwrap();
    let lines: String = pairs.iter().map(|(line, _)| format!("{line}\n")).collect();
    let writing = thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = python.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();

    let found = String::from_utf8(output.stdout).unwrap();
    let (mut found, mut accepted) = (found.lines(), 0);
    for (line, expected) in &pairs {
        let found = found.next().unwrap_or_else(|| panic!("it stopped at {line}"));
        match expected {
            Some(expected) => assert_eq!(found, expected, "{line}"),
            None => assert!(found.starts_with("{\"error\": "), "{line} is accepted: {found}"),
        }
        accepted += usize::from(expected.is_some());
    }
    assert!(accepted >= count && accepted < pairs.len(), "{accepted} of {}", pairs.len());
}

/// A message and what the decoder must print for it: `None` if it refuses the message.
type Pair = (String, Option<String>);

/// What the tests need of a type of messages.
pub(crate) struct Schema {
    pub(crate) id: u16,
    pub(crate) topic: &'static str,
    pub(crate) descriptor: &'static Descriptor,
    pub(crate) digest: Digest,
    /// Returns the encoding of a value that bytes choose, in words, and its length.
    encode: fn(&mut Steps<'_>) -> (Vec<u64>, usize),
    /// Returns the JSON of a message; `None` for bytes that are no such message.
    json: fn(&[u8]) -> Option<String>,
}

impl Schema {
    fn of<M: Message + Shape>() -> Schema {
        Schema {
            id: M::ID,
            topic: M::TOPIC,
            descriptor: M::DESCRIPTOR,
            digest: M::DIGEST,
            encode: |steps| {
                let value = M::build(steps);
                let len = encoded_len(&value).expect("a short message");
                let mut words = vec![0_u64; len.div_ceil(8)];
                (encode(&value, words.as_mut_bytes()).map(|len| (words, len))).expect("as long")
            },
            json: |bytes| decode::<M>(bytes).ok().map(|value| value.json()),
        }
    }

    /// Makes the encoding of a random message, in words, and its length.
    pub(crate) fn built(&self, random: &mut Random) -> (Vec<u64>, usize) {
        let choices: Vec<_> = (0..random.below(150)).map(|_| random.below(256) as u8).collect();
        (self.encode)(&mut Steps(&choices))
    }

    /// Makes a random message, and another one with some of its bytes changed.
    fn pair(&self, random: &mut Random) -> [Pair; 2] {
        let (mut words, len) = self.built(random);
        let whole = self.line(&words.as_bytes()[..len]);
        let bytes = words.as_mut_bytes();
        for _ in 0..=random.below(2) {
            bytes[random.below(len)] = (random.below(256) >> random.below(8)) as u8;
        }
        let len = if random.below(8) == 0 { random.below(len + 1) } else { len };
        [whole, self.line(&bytes[..len])]
    }

    fn line(&self, bytes: &[u8]) -> Pair {
        let mut form = vec![0; 1 << 16];
        let (written, total) = self.descriptor.canonical(0, &mut form);
        assert_eq!(written, total, "the form fits");
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (encoded, digest) = (hex(bytes), self.digest);
        let shown = (self.json)(bytes).map(|value| {
            format!("{{\"digest\": \"{digest}\", \"value\": {value}, \"encoded\": \"{encoded}\"}}")
        });
        (format!("{} {encoded}", hex(&form[..total])), shown)
    }
}

/// Returns the messages with every type of field, and those of each two of five types.
pub(crate) fn schemas() -> Vec<Schema> {
    let mut schemas = vec![
        Schema::of::<Everything>(),
        Schema::of::<Numbers>(),
        Schema::of::<Lists>(),
        Schema::of::<Maps>(),
        Schema::of::<Text>(),
    ];
    macro_rules! each_two {
        ($second:tt: $($first:ty),*) => {
            $(each_two!(@ $first: $second);)*
        };
        (@ $first:ty: [$($second:ty),*]) => {$({
            messages! {
                #[message(topic = "each-two")]
                struct EachTwo {
                    first: $first,
                    second: $second,
                }
            }
            schemas.push(Schema::of::<EachTwo>());
        })*};
    }
    type Inners = BTreeMap<String, Vec<Inner>>;
    each_two! {
        [Kind, Vec<Option<(u8, String)>>, Inners, [Option<IpAddr>; 3], u8]:
        Option<Kind>, Vec<(Side, char)>, Option<Inners>, Option<FixedStr<3>>, (u16, Option<Duration>)
    }
    schemas
}

/// Random numbers.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end
    }
}
