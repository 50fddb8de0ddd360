//! The links between two nodes are interrupted while requests are open: between two living nodes a
//! request survives until its deadline, and a request that nobody waits for ends in both nodes.

use mycelium::requests::Requester;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::killed::{self, Stays};
use super::*;
use crate::numbers::within;
use crate::proxy::Proxy;
use crate::running::{end, until};

/// Passes all requests on to the test.
struct Holder(UnboundedSender<Asked<Ask>>);

#[service(answers(Ask))]
impl Holder {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut requests = ctx.requests::<Ask>();
        while let Some(asked) = requests.recv().await {
            self.0.send(asked)?;
        }
        Ok(())
    }
}

/// The file and directory of two nodes, each behind a proxy.
struct Way {
    text: String,
    proxies: [Proxy; 2],
    directory: Directory,
}

impl Way {
    fn new(name: &str) -> Way {
        let directory = Directory::new(&format!("requests-{name}"));
        std::fs::create_dir_all(&directory.0).unwrap();
        let [(desk, to_desk), (oracle, to_oracle)] = [0, 1].map(|_| {
            let (own, proxy) = (format!("{}:7400", host()), format!("{}:7400", host()));
            (format!("address = \"{proxy}\"\nlisten = \"{own}\""), Proxy::start(&proxy, &own))
        });
        let link = "keep_alive = \"50ms\"\nsilence = \"200ms\"";
        let text = text_of(&[desk, oracle], "doubles", "tcp", link);
        Way { text, proxies: [to_desk, to_oracle], directory }
    }

    fn start(&self, name: &str, asked: &UnboundedSender<Asked<Ask>>) -> Running {
        let asked = asked.clone();
        start(
            Node::builder(name)
                .topology(parsed(&self.text, &self.directory.0))
                .named_service("Caller", || Stays)
                .named_service("Answerer", move || Holder(asked.clone())),
        )
    }

    fn interrupt(&self) {
        self.proxies.iter().for_each(Proxy::hold);
    }

    /// Lets new connections pass; earlier ones end.
    fn heal(&self) {
        self.proxies.iter().for_each(Proxy::heal);
    }
}

/// Returns both nodes, a requester of the first, and the requests that arrive at the second.
fn joined(name: &str) -> (Way, [Running; 2], Requester<Ask>, UnboundedReceiver<Asked<Ask>>) {
    let (way, (sent, asked)) = (Way::new(name), unbounded_channel());
    let nodes = ["desk", "oracle"].map(|node| way.start(node, &sent));
    let requester = nodes[0].requester::<Ask>("test").unwrap();
    (way, nodes, requester, asked)
}

async fn arrives(asked: &mut UnboundedReceiver<Asked<Ask>>) -> Asked<Ask> {
    within(asked.recv()).await.expect("the service lives")
}

async fn shut_down(desk: Running, oracle: Running) {
    desk.shutdown();
    oracle.shutdown();
    both_end(desk, oracle).await;
}

#[tokio::test]
async fn a_request_survives_an_interruption_that_is_shorter_than_its_deadline() {
    let (way, [desk, oracle], mut requester, mut asked) = joined("survives");
    let mut kept = requester.request(ask(1)).within(2 * LONG);
    let kept_there = arrives(&mut asked).await;
    // A request without a deadline does not wait for the other node for ever.
    let lost = requester.request(ask(2));
    let lost_there = arrives(&mut asked).await;
    way.interrupt();
    assert_eq!(within(lost).await, Err(LOST));
    assert!(futures_util::poll!(&mut kept).is_pending(), "it has time left");
    until(|| lost_there.is_cancelled()).await;
    assert!(!kept_there.is_cancelled());
    // This request has not been sent yet.
    let waiting = requester.request(ask(3)).within(2 * LONG);
    way.heal();
    kept_there.reply(double(1));
    assert_eq!(within(kept).await, Ok(double(1)));
    arrives(&mut asked).await.reply(double(3));
    assert_eq!(within(waiting).await, Ok(double(3)));
    drop((requester, lost_there));
    shut_down(desk, oracle).await;
}

#[tokio::test]
async fn a_cancel_of_a_node_that_is_not_connected_arrives_later() {
    let (way, [desk, oracle], mut requester, mut asked) = joined("cancel");
    // While the nodes are connected, the request arrives at once.
    let dropped = requester.request(ask(0));
    let dropped_there = arrives(&mut asked).await;
    drop(dropped);
    until(|| dropped_there.is_cancelled()).await;
    drop(dropped_there);
    // The deadline keeps the request open when the connection is lost.
    let dropped = requester.request(ask(1)).within(100 * LONG);
    let dropped_there = arrives(&mut asked).await;
    let lost = requester.request(ask(2));
    let _lost_there = arrives(&mut asked).await;
    way.interrupt();
    assert_eq!(within(lost).await, Err(LOST));
    drop(dropped);
    way.heal();
    until(|| dropped_there.is_cancelled()).await;
    drop((requester, dropped_there, _lost_there));
    shut_down(desk, oracle).await;
}

#[tokio::test]
async fn a_request_of_a_node_that_ends_without_a_connection_ends() {
    let (way, [desk, oracle], mut requester, mut asked) = joined("ends");
    let open = requester.request(ask(1));
    let there = arrives(&mut asked).await;
    way.interrupt();
    desk.shutdown();
    drop((open, requester));
    within(desk.join()).await.unwrap();
    until(|| there.is_cancelled()).await;
    drop(there);
    conserved(&within(end(oracle)).await.counters);
}

/// The first answering process is killed, and the connection to the next one is cut.
#[tokio::test]
async fn a_process_that_is_gone_fails_no_request_of_the_next_one() {
    let way = Way::new("next");
    let (sent, _) = unbounded_channel();
    let desk = way.start("desk", &sent);
    let mut requester = desk.requester::<Ask>("test").unwrap();
    let first = killed::answering(&way.text, &way.directory.0);
    assert_eq!(within(requester.request(ask(2))).await, Ok(double(2)));
    let lost = requester.request(ask(1)).within(2 * LONG);
    assert_eq!(within(requester.request(ask(2))).await, Ok(double(2)));
    drop(first);
    let _second = killed::answering(&way.text, &way.directory.0);
    // A request that was sent before the lost connection was noticed went to the first process.
    while let Err(error) = within(requester.request(ask(4)).within(2 * LONG)).await {
        assert_eq!(error, LOST);
    }
    // The next process has answered, so the request to the first one has failed.
    assert_eq!(within(lost).await, Err(LOST));
    let kept = requester.request(ask(1)).within(2 * LONG);
    assert_eq!(within(requester.request(ask(6))).await, Ok(double(6)));
    let connections = way.proxies[1].connections();
    way.heal();
    until(|| way.proxies[1].connections() != connections).await;
    assert_eq!(within(requester.request(ask(killed::ALL))).await, Ok(double(killed::ALL)));
    assert_eq!(within(kept).await, Ok(double(1)));
    drop(requester);
    conserved(&within(end(desk)).await.counters);
}
