//! A decoder in another language, written from `docs/wire-format.md` alone, reads the examples of
//! that page, which are the bytes of links (`link/document.rs`), and messages of any shape.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use mycelium_core::{Message, decode, encode, encoded_len};
use zerocopy::IntoBytes;

use crate::cases::cases;
use crate::shapes::{Everything, Lists, Maps, Numbers, Shape, Steps, Text};

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
    let makers = [pair::<Everything>, pair::<Numbers>, pair::<Lists>, pair::<Maps>, pair::<Text>];
    let count = cases(1).cases as usize * 2;
    let pairs: Vec<_> = (0..count).flat_map(|index| makers[index % 5](&mut random)).collect();

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

/// Makes a random message, and another one with some of its bytes changed.
fn pair<M: Message + Shape>(random: &mut Random) -> [Pair; 2] {
    let (mut words, len) = built::<M>(random);
    let whole = line::<M>(&words.as_bytes()[..len]);
    let bytes = words.as_mut_bytes();
    for _ in 0..=random.below(2) {
        bytes[random.below(len)] = (random.below(256) >> random.below(8)) as u8;
    }
    let len = if random.below(8) == 0 { random.below(len + 1) } else { len };
    [whole, line::<M>(&bytes[..len])]
}

/// Returns the encoding of a random message, aligned, and its length.
pub(crate) fn built<M: Message + Shape>(random: &mut Random) -> (Vec<u64>, usize) {
    let choices: Vec<_> = (0..random.below(150)).map(|_| random.below(256) as u8).collect();
    let value = M::build(&mut Steps(&choices));
    let mut words = vec![0_u64; encoded_len(&value).expect("a short message").div_ceil(8)];
    let len = encode(&value, words.as_mut_bytes()).expect("a short message");
    (words, len)
}

fn line<M: Message + Shape>(bytes: &[u8]) -> Pair {
    let mut form = vec![0; 1 << 16];
    let (written, total) = M::DESCRIPTOR.canonical(0, &mut form);
    assert_eq!(written, total, "the form fits");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let encoded = hex(bytes);
    let shown = decode::<M>(bytes).ok().map(|value| {
        let (digest, value) = (M::DIGEST, value.json());
        format!("{{\"digest\": \"{digest}\", \"value\": {value}, \"encoded\": \"{encoded}\"}}")
    });
    (format!("{} {encoded}", hex(&form[..total])), shown)
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
