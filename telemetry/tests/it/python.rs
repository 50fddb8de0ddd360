//! Requests as Python reads them, with the official definitions.

use std::path::Path;
use std::process::Command;

/// What a program prints about a request, which it gets as its input; `None` if there is no Python
/// with the definitions. The job `traces` makes an environment with them, and names it by a
/// variable.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn printed(program: &str, request: &[u8], name: &str) -> Option<String> {
    let Some(python) = std::env::var_os("OTLP_PYTHON") else {
        eprintln!("SKIPPED: OTLP_PYTHON names no Python with the package opentelemetry-proto");
        return None;
    };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, request).unwrap();
    let input = std::fs::File::open(&file).unwrap();
    let output = Command::new(python).args(["-c", program]).stdin(input).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}
