//! The page's server.

use std::net::TcpListener;
use std::process::Command;

#[test]
fn a_port_in_use_is_a_clear_error() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    for command in [&["--port", &port][..], &["bundled", "--port", &port]] {
        let ran = Command::new(env!("CARGO_BIN_EXE_analytics")).args(command).output().unwrap();
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success(), "{errors}");
        assert!(errors.contains(&format!("cannot listen at port {port}")), "{errors}");
    }
}
