//! TCP sockets at which a node listens.

use std::fs::read_to_string;
use std::net::TcpStream;
use std::time::Duration;

use mycelium_executor::bind_tcp;

#[test]
fn many_connections_wait_to_be_accepted() {
    const CONNECTIONS: usize = 300;
    let most = read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    if most.trim().parse::<usize>().unwrap() < CONNECTIONS {
        // The system's limit is lower.
        return;
    }
    let listener = bind_tcp("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // No task accepts, so a connection beyond the queue would never be established.
    let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(20)).unwrap();
    let waiting: Vec<TcpStream> = (0..CONNECTIONS).map(connect).collect();
    assert_eq!(waiting.len(), CONNECTIONS);
}
