//! The laws of transports over NATS and JetStream, each with a server of its own.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Mutex;

use mycelium_nats::{JetStream, Nats};
use mycelium_transports::conformance::{Carried, TestEngine, Threads, assert_kept};
use mycelium_transports::seam::{Capabilities, Engine, Transport};
use tokio::runtime::{self, Runtime};

use crate::server::Server;

/// A client of a server.
trait Client: Engine {
    const PROMISES: Capabilities;

    fn of(server: &Server) -> Self;
}

impl Client for Nats {
    const PROMISES: Capabilities = Capabilities::NONE;

    fn of(server: &Server) -> Nats {
        Nats::server(&server.url())
    }
}

impl Client for JetStream {
    const PROMISES: Capabilities = Capabilities { has_work_queues: true, ..Capabilities::STORED };

    fn of(server: &Server) -> JetStream {
        JetStream::server(&server.url())
    }
}

/// Two clients of one server.
struct Clients<C> {
    server: Mutex<Server>,
    runtime: Runtime,
    client: PhantomData<fn(C)>,
}

impl<C: Client> TestEngine for Clients<C> {
    const NAME: &'static str = C::NAME;
    const CAPABILITIES: Capabilities = C::PROMISES;

    fn start() -> Self {
        let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let server = Mutex::new(runtime.block_on(Server::start()).unwrap());
        Clients { server, runtime, client: PhantomData }
    }

    fn sending(&self) -> Box<dyn Transport> {
        Box::new(C::of(&self.server.lock().unwrap()))
    }

    fn receiving(&self) -> Box<dyn Transport> {
        self.sending()
    }

    fn disturb(&self) {
        if C::PROMISES.resumes {
            let mut server = self.server.lock().unwrap();
            server.kill();
            self.runtime.block_on(server.start_again());
        }
    }
}

/// Checks the laws that do not need what the transport lacks.
fn laws_hold<C: Client>(lacked: &[&str]) {
    if std::env::var_os("NATS_SERVER").is_none() {
        println!("skipped: the variable NATS_SERVER does not name the program of a server");
        return;
    }
    let not_checked = assert_kept::<Carried<Clients<C>>, Threads>();
    let found: BTreeSet<_> = not_checked.into_iter().map(|(_, what)| what).collect();
    assert!(found.iter().eq(lacked), "{found:?}");
}

const HOLD_UP: &str = "hold up publishers for slow readers";
const KNOW_ALL: &str = "know all publishers and readers";

#[test]
fn the_laws_hold_over_nats() {
    laws_hold::<Nats>(&[HOLD_UP, KNOW_ALL, "resume after a lost connection"]);
}

#[test]
fn the_laws_hold_over_jetstream() {
    laws_hold::<JetStream>(&[HOLD_UP, KNOW_ALL]);
}
