//! The command line of `record`.

use std::path::PathBuf;

use clap::Args;

use crate::peers::args::{PeerArgs, SpanArgs};
use crate::shared::size::bytes;

/// The smallest part of a recording, in bytes.
const SMALLEST: u64 = 64 << 10;

/// The arguments of `record`.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// The topics. Without them: all topics of the nodes.
    #[arg(value_name = "TOPIC")]
    pub(super) topics: Vec<String>,
    /// The file, such as `day.mcap`.
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: PathBuf,
    #[command(flatten)]
    pub(super) peers: PeerArgs,
    #[command(flatten)]
    pub(super) span: SpanArgs,
    /// Begin another file, such as `day.1.mcap`, once one has about this size, such as `512MiB`.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) split: Option<u64>,
    /// Also write each message as JSON, so that viewers of MCAP files show its fields.
    #[arg(long)]
    pub(super) json: bool,
    /// Replace files that exist.
    #[arg(long)]
    pub(super) force: bool,
}

/// Reads a number of bytes such as `512MiB`.
fn size(text: &str) -> Result<u64, String> {
    let size = bytes(text);
    size.filter(|size| *size >= SMALLEST)
        .ok_or_else(|| "expected at least 64 KiB, such as `512MiB` or `2GB`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("65536"), Ok(65_536));
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert_eq!(size("2 GB"), Ok(2_000_000_000));
        for wrong in ["", "MiB", "1", "63KiB", "1.5GiB", "9 XB", "-1MB", "99999999999999999999GB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
