//! Recordings that are not what they should be.

use std::fs::{self, File};
use std::io::Write;

use analytics::recording::Recording;
use flate2::{Compression, write::GzEncoder};

use crate::day;

fn compressed(lines: &str) -> Vec<u8> {
    let mut bytes = GzEncoder::new(Vec::new(), Compression::fast());
    bytes.write_all(lines.as_bytes()).unwrap();
    bytes.finish().unwrap()
}

fn load(lines: &str) -> Result<Recording, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lines.gz");
    // Two members, as `cat` makes of two files.
    let (first, second) = lines.split_at(lines.find('\n').map_or(0, |end| end + 1));
    fs::write(&path, [compressed(first), compressed(second)].concat()).unwrap();
    Recording::load(&path).map_err(|error| error.to_string())
}

/// The first line of the day.
fn swap() -> String {
    let mut text = String::new();
    let day = flate2::read::GzDecoder::new(File::open(day()).unwrap());
    std::io::Read::read_to_string(&mut std::io::Read::take(day, 4096), &mut text).unwrap();
    text.lines().next().unwrap().to_owned()
}

#[test]
fn lines_that_are_no_logs_are_counted_and_named() {
    let swap = swap();
    let cut = swap.replace("\"data\":\"0x", "\"data\":\"0x00");
    let number = swap.replace("ea5d662000", "ea5d66200f").replace("0xffff", "0x0fff");
    let lines = [&swap, "nonsense", "{}", &cut, &number, "", &swap].join("\n");
    let recording = load(&lines).unwrap();
    assert_eq!([recording.swaps.len(), recording.bad], [2, 5], "{:?}", recording.named);
    assert_eq!(recording.named.len(), 3);
    assert!(recording.named[0].starts_with("line 2: "), "{:?}", recording.named);
}

#[test]
fn files_that_cannot_be_used_are_errors() {
    assert!(load("").unwrap_err().contains("no swap"));
    let pools = |count: u32| -> String {
        let pool = |pool| swap().replace("\"0x88e6a0c2", &format!("\"0x{pool:08x}")) + "\n";
        (0..count).map(pool).collect()
    };
    assert_eq!(load(&pools(1000)).unwrap().swaps.len(), 1000);
    assert!(load(&pools(1001)).unwrap_err().contains("more than 1000 pools"));
    assert!(load(&"x".repeat(1 << 20)).unwrap_err().contains("line 1 has 65536 bytes or more"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("no.gz");
    assert!(Recording::load(&path).unwrap_err().to_string().contains("no.gz"));
    let whole = fs::read(day()).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(Recording::load(&path).unwrap_err().to_string().contains("line "));
}
