//! Recordings as the Python package `mcap` reads them.

use std::io::Write;
use std::process::Command;

use mycelium_record::{End, Recording};

use crate::common::{Order, Tick, order, received, stream_of, ticks};

const SCRIPT: &str = r#"
import json, sys
from mcap.reader import make_reader
from mcap.exceptions import McapError

with open(sys.argv[1], "rb") as file:
    reader = make_reader(file, validate_crcs=True)
    summary = reader.get_summary()
    print(reader.get_header().profile, summary.statistics.message_count,
          len(summary.channels), len(summary.schemas), summary.statistics.chunk_count > 1)
    counts = {}
    for schema, channel, message in reader.iter_messages(log_time_order=False):
        counts[channel.topic] = counts.get(channel.topic, 0) + 1
        if channel.message_encoding == "json":
            json.loads(message.data)
        if schema is not None:
            assert schema.encoding == "jsonschema" and json.loads(schema.data)["type"] == "object"
    del counts["mycelium/events"]
    print(sorted(counts.items()))
"#;

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped must say so")]
fn the_python_package_reads_a_recording() {
    // The interpreter that has the package, if it is not `python3`.
    let python = std::env::var("MCAP_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_it = Command::new(&python).args(["-c", "import mcap.reader"]).output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: `{python}` has no package `mcap`: pip install mcap");
        return;
    }
    let mut recording = Recording::with_json();
    let feed = recording.begin(stream_of::<Tick>("Feed", 1), 0, 0).unwrap();
    let desk = recording.begin(stream_of::<Order>("Desk", 1), 0, 0).unwrap();
    ticks(&mut recording, feed, 0..20_000);
    for number in 0..100 {
        recording.message(desk, &received(number, &order(number))).unwrap();
    }
    recording.end(desk, End::Ended, 100, 5).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&recording.finish().0).unwrap();
    let output = Command::new(python).args(["-c", SCRIPT]).arg(file.path()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{err}");
    let (first, counts) = out.trim_end().split_once('\n').unwrap();
    assert!(first.starts_with("mycelium 402") && first.ends_with(" 5 2 True"), "{first}");
    let expected = "[('orders', 100), ('orders (fields)', 100), ('ticks', 20000), \
                    ('ticks (fields)', 20000)]";
    assert_eq!(counts, expected);
}
