//! The laws of transports over NATS and JetStream, each with a server of its own.

use std::marker::PhantomData;

use mycelium_nats::{JetStream, Nats};
use mycelium_transports::conformance::{Carried, TestEngine, Threads, assert_kept};
use mycelium_transports::seam::{Capabilities, Engine, Transport};

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
struct Clients<C>(Server, PhantomData<fn(C)>);

impl<C: Client> TestEngine for Clients<C> {
    const NAME: &'static str = C::NAME;
    const CAPABILITIES: Capabilities = C::PROMISES;

    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Clients(runtime.block_on(Server::start()).unwrap(), PhantomData)
    }

    fn sending(&self) -> Box<dyn Transport> {
        Box::new(C::of(&self.0))
    }

    fn receiving(&self) -> Box<dyn Transport> {
        Box::new(C::of(&self.0))
    }
}

/// Checks the laws, but for a number of them: those of publishers that slow readers hold up, of
/// topics that know all their publishers and readers, and of readers that gate.
async fn laws_hold<C: Client>(not_kept: usize) {
    if Server::start().await.is_some() {
        let laws = tokio::task::spawn_blocking(assert_kept::<Carried<Clients<C>>, Threads>);
        let found = laws.await.unwrap();
        assert_eq!(found.len(), not_kept, "{found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_laws_hold_over_nats() {
    laws_hold::<Nats>(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_laws_hold_over_jetstream() {
    laws_hold::<JetStream>(14).await;
}
