//! Each connection proves the names anew, even with peers that could resume a TLS session.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use futures_rustls::rustls::{ClientConnection, HandshakeKind, ServerConnection, StreamOwned};
use futures_util::io::AsyncReadExt;

use crate::certificates::{Certificates, raw};
use crate::numbers::within;
use crate::running::{LONG, end};
use crate::tls::hostile::{executor, far, load, to_far};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_sends_no_ticket_to_its_clients() {
    let (certificates, _pair, far, address) = far("tickets", "");
    let client = raw::client(certificates.path(), "near");
    let connect = move || {
        let connection = ClientConnection::new(client.clone(), "far".try_into().unwrap());
        let socket = TcpStream::connect(&address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut stream = StreamOwned::new(connection.unwrap(), socket);
        // These bytes are no frame of a link; the server answers after its session tickets.
        stream.write_all(&[7; 64]).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        (stream.conn.handshake_kind(), stream.conn.tls13_tickets_received())
    };
    let connecting = tokio::task::spawn_blocking(move || [connect(), connect()]);
    assert_eq!(within(connecting).await.unwrap(), [(Some(HandshakeKind::Full), 0); 2]);
    within(end(far)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_resume_the_sessions_of_its_servers() {
    let certificates = Certificates::of("sessions", &["far", "near"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = vec![listener.local_addr().unwrap().to_string()];
    let server = raw::server(certificates.path(), "far");
    let accept = move || {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(server.clone()).unwrap(), socket);
        // The session tickets are sent before the answer.
        stream.write_all(&[7]).unwrap();
        stream.conn.handshake_kind()
    };
    let accepting = tokio::task::spawn_blocking(move || [accept(), accept()]);
    let endpoint = to_far(load(&certificates, "near"), addresses, LONG);
    for _ in 0..2 {
        let mut stream = within(endpoint.connect(&executor())).await.unwrap();
        within(stream.read_exact(&mut [0])).await.unwrap();
    }
    assert_eq!(within(accepting).await.unwrap(), [Some(HandshakeKind::Full); 2]);
}
