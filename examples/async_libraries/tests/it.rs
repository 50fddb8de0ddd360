//! Each service with real sockets and files.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_libraries::client::Follower;
use async_libraries::database::Ledger;
use async_libraries::web::Web;
use async_libraries::{Order, Price};
use mycelium::{Context, Node, Policy, Result, Running, Topology, service};
use mycelium_smol::Smol;
use mycelium_tokio::Tokio;
use reqwest::{Client, Response, StatusCode};
use serde_json::json;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

/// Fails a test that waits for longer.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let found = tokio::time::timeout(Duration::from_secs(60), future).await;
    found.unwrap_or_else(|_| panic!("timeout: {what}"))
}

/// Sends a request.
async fn get(url: String) -> Response {
    within("an answer", reqwest::get(url)).await.unwrap()
}

/// Emits and reads nothing, for topics whose other side is the test.
struct Quiet;

#[service(reads(Order), emits(Price, Order))]
impl Quiet {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.shutdown_requested().await;
        Ok(())
    }
}

/// Starts a node with a web server, and returns its address.
fn web() -> (Running, String) {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("http://{}", listener.local_addr().unwrap());
    let topology = "subscription.\"Quiet.orders\".policy = \"drop-oldest\"\n\
                    subscription.\"Web.prices\" = { policy = \"latest\", key = \"pair\" }";
    let node = Node::builder("main").topology(Topology::parse("t.toml", topology).unwrap());
    let node = node.service(|| Quiet).service(move || Web::new(&listener));
    (node.build().unwrap().start(Tokio::current().unwrap()).unwrap(), url)
}

fn price(pair: &str, cents: u64) -> Price {
    Price { pair: pair.to_owned(), cents }
}

/// Reads events until one is this text.
async fn event(events: &mut Response, expected: &str) {
    let mut text = String::new();
    within(expected, async {
        while !text.contains(expected) {
            let bytes = events.chunk().await.unwrap().expect("the stream goes on");
            text += std::str::from_utf8(&bytes).unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_server_serves_the_latest_prices() {
    let (node, url) = web();
    let mut prices = node.publisher::<Price>("test").unwrap();
    let mut events = get(format!("{url}/events")).await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    event(&mut events, "data: {}\n\n").await;
    prices.emit(price("ETH/USD", 7)).await.unwrap();
    event(&mut events, "data: {\"ETH/USD\":7}\n\n").await;
    prices.emit(price("BTC/USD", 8)).await.unwrap();
    prices.emit(price("ETH/USD", 9)).await.unwrap();
    event(&mut events, "data: {\"BTC/USD\":8,\"ETH/USD\":9}\n\n").await;
    let list = get(format!("{url}/prices")).await;
    let list: serde_json::Value = list.json().await.unwrap();
    assert_eq!(list, json!({ "BTC/USD": 8, "ETH/USD": 9 }));
    // The end of the node ends the stream.
    node.shutdown();
    drop(prices);
    within("the end of the events", async { while let Ok(Some(_)) = events.chunk().await {} })
        .await;
    within("the end of the node", node.join()).await.unwrap();
    assert!(reqwest::get(format!("{url}/prices")).await.is_err(), "nobody listens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_of_a_client_is_a_message() {
    let (node, url) = web();
    let mut orders = node.subscribe::<Order>("test", Policy::Block).unwrap();
    let post = |body: String| {
        let request = Client::new().post(format!("{url}/orders")).body(body);
        let answer = request.header("content-type", "application/json").send();
        async { within("an answer", answer).await.unwrap() }
    };
    let order = Order { id: 1, pair: "ETH/USD".to_owned(), limit: 7 };
    let answer = post(serde_json::to_string(&order).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let received = within("the order", orders.recv()).await.unwrap();
    assert_eq!(received.message(), Some(order));
    for (body, status) in [
        ("", StatusCode::BAD_REQUEST),
        ("{\"id\": 1}", StatusCode::UNPROCESSABLE_ENTITY),
        ("{\"id\": 1, \"pair\": 2, \"limit\": 3}", StatusCode::UNPROCESSABLE_ENTITY),
        (&" ".repeat(2000), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(post(body.to_owned()).await.status(), status, "{body}");
    }
    drop(orders);
    node.shutdown();
    within("the end of the node", node.join()).await.unwrap();
}

/// Whoever reads orders is away: clients are told so, and the prices go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_without_room_are_refused() {
    let (node, url) = web();
    let mut orders = node.subscribe::<Order>("test", Policy::Block).unwrap();
    let (client, mut accepted) = (Client::new(), 0);
    within("a refusal", async {
        loop {
            let order = Order { id: accepted, pair: "ETH/USD".to_owned(), limit: 7 };
            let answer = client.post(format!("{url}/orders")).json(&order).send().await.unwrap();
            match answer.status() {
                StatusCode::ACCEPTED => accepted += 1,
                refused => return assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE),
            }
        }
    })
    .await;
    let mut prices = node.publisher::<Price>("test").unwrap();
    prices.emit(price("ETH/USD", 7)).await.unwrap();
    let mut events = get(format!("{url}/events")).await;
    event(&mut events, "data: {\"ETH/USD\":7}\n\n").await;
    for id in 0..accepted {
        let order = within("an accepted order", orders.recv()).await.unwrap().message().unwrap();
        assert_eq!(order.id, id);
    }
    drop((orders, prices, events));
    node.shutdown();
    within("the end of the node", node.join()).await.unwrap();
}

/// The database cannot be created at first, and refuses orders later. All are stored, each once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_stores_each_order_once() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("later");
    let file = folder.join("orders.db");
    let url = format!("sqlite:{}", file.display());
    let topology = "service.Ledger = { backoff = \"10ms\", max_restarts = 100 }\n\
                    subscription.\"Quiet.orders\".policy = \"drop-oldest\"";
    let node = Node::builder("main").topology(Topology::parse("t.toml", topology).unwrap());
    let ledger = file.clone();
    let node = node.service(|| Quiet).service(move || Ledger::new(ledger.clone()));
    let node = node.build().unwrap().start(Tokio::current().unwrap()).unwrap();
    let mut orders = node.publisher::<Order>("test").unwrap();
    for id in 0..500 {
        // The last hundred are numbers that came before.
        let order = Order { id: id % 400, pair: "ETH/USD".to_owned(), limit: 7 };
        within("room for an order", orders.emit(order)).await.unwrap();
        if id == 100 {
            std::fs::create_dir(&folder).unwrap();
            within("some are stored", orders.confirmed()).await;
            let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON orders
                BEGIN SELECT RAISE(FAIL, 'no more'); END";
            sqlx::query(refuse).execute(&SqlitePool::connect(&url).await.unwrap()).await.unwrap();
        }
        if id == 300 {
            let pool = SqlitePool::connect(&url).await.unwrap();
            sqlx::query("DROP TRIGGER refuse").execute(&pool).await.unwrap();
        }
    }
    within("all are stored", orders.confirmed()).await;
    drop(orders);
    node.shutdown();
    within("the end of the node", node.join()).await.unwrap();
    let pool = SqlitePool::connect(&url).await.unwrap();
    let stored = sqlx::query_as::<_, (i64, i64)>("SELECT count(*), sum(id) FROM orders");
    assert_eq!(stored.fetch_one(&pool).await.unwrap(), (400, 400 * 399 / 2));
}

/// A node on smol follows a web server that starts after it, and comes back.
#[test]
fn a_client_of_tokio_works_on_smol() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/prices", listener.local_addr().unwrap());
    let tokio = runtime.handle().clone();
    let follower = mycelium_smol::run(1, async move |smol: Smol| {
        let topology = "service.Follower = { backoff = \"10ms\", max_restarts = 10 }\n\
                        subscription.\"Sink.prices\".policy = \"drop-oldest\"";
        let node = Node::builder("main").topology(Topology::parse("t.toml", topology).unwrap());
        let spawner = tokio.clone();
        let node = node.service(move || Follower::new(spawner.clone(), &url)).service(|| Sink);
        let node = node.build().unwrap().start(smol).unwrap();
        let mut prices = node.subscribe::<Price>("test", Policy::Block).unwrap();
        for (pair, cents) in [("ETH/USD", 7), ("BTC/USD", 8)] {
            // A server that answers once, after errors, and an answer that is too long.
            let listener = listener.try_clone().unwrap();
            let body = json!({ pair: cents }).to_string();
            let served = tokio.spawn(async move { serve(listener, body).await });
            let received = prices.recv().await.unwrap();
            assert_eq!(received.message(), Some(price(pair, cents)));
            served.await.unwrap();
        }
        drop(prices);
        node.shutdown();
        node.join().await.unwrap();
    });
    follower.unwrap();
}

/// Answers with nonsense, with an error, and with this body.
async fn serve(listener: TcpListener, body: String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let answer =
        |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let long = " ".repeat(2 << 20) + &json!({ "LONG/USD": 1 }).to_string();
    for answer in [
        "nonsense\r\n\r\n",
        "HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n",
        &answer(&long),
        &answer(&body),
    ] {
        let (mut stream, _) = within("a request", listener.accept()).await.unwrap();
        within("the request", stream.read(&mut [0; 4096])).await.unwrap();
        // The client closes the connection of an answer that is too long.
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

struct Sink;

#[service(reads(Price))]
impl Sink {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.shutdown_requested().await;
        Ok(())
    }
}

/// The file is of another program.
#[tokio::test]
async fn a_foreign_table_is_an_error_that_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    for (number, (columns, problem)) in [
        ("id INTEGER PRIMARY KEY, what TEXT", "has no column named pair"),
        ("id INTEGER, pair TEXT, limit_cents INTEGER", "ON CONFLICT clause does not match"),
    ]
    .into_iter()
    .enumerate()
    {
        let file = directory.path().join(format!("{number}.db"));
        refused(&file, columns, problem).await;
    }
}

async fn refused(file: &Path, columns: &str, problem: &str) {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let table = format!("CREATE TABLE orders ({columns})");
    sqlx::query(sqlx::AssertSqlSafe(table)).execute(&pool).await.unwrap();
    let topology = "service.Ledger.max_restarts = 0\n\
                    subscription.\"Quiet.orders\".policy = \"drop-oldest\"";
    let node = Node::builder("main").topology(Topology::parse("t.toml", topology).unwrap());
    let ledger = file.to_owned();
    let node = node.service(|| Quiet).service(move || Ledger::new(ledger.clone()));
    let ended = within("the end", node.build().unwrap().run(Tokio::current().unwrap())).await;
    let error = ended.unwrap_err().to_string();
    assert!(error.contains(file.to_str().unwrap()) && error.contains(problem), "{error}");
}
