//! Three processes, each of which is killed.

use std::collections::BTreeMap;
use std::process::Stdio;

use game::messages::SIZE;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::client::{Client, DEADLINE, place};

struct Bundle {
    launcher: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Bundle {
    fn start() -> Bundle {
        let mut command = Command::new(env!("CARGO_BIN_EXE_game"));
        command.args(["bundled", "--bots", "3", "--listen", "127.0.0.1:0"]);
        let mut launcher = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(launcher.stdout.take().unwrap()).lines();
        Bundle { launcher, lines }
    }

    async fn line(&mut self) -> String {
        let line = timeout(DEADLINE, self.lines.next_line()).await.expect("no line within 30 s");
        line.unwrap().expect("the output has ended")
    }
}

fn kill(signal: &str, process: &str) {
    assert!(std::process::Command::new("kill").args([signal, process]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn players_survive_the_death_of_each_process() {
    let mut bundle = Bundle::start();
    let mut processes = BTreeMap::new();
    let mut address = None;
    while processes.len() < 3 || address.is_none() {
        let line = bundle.line().await;
        if let Some((node, process)) = line.split_once(": started as process ") {
            processes.insert(node.to_owned(), process.to_owned());
        }
        address = line.strip_prefix("the page: http://").map(str::to_owned).or(address);
    }
    let address = address.unwrap().parse().unwrap();
    let mut client = Client::join(address, 1).await;
    let id = client.plays().await.id;

    // `World` finds its players at `Physics`, and `Physics` gets them from `World`: the client does
    // not notice, but for a pause.
    for node in ["world", "physics"] {
        kill("-9", &processes[node]);
        while !bundle.line().await.starts_with(&format!("{node}: started as process ")) {}
        let before = client.plays().await;
        assert_eq!(before.id, id, "{node} was killed");
        let [x, _] = place(&before, id).unwrap();
        // Away from the nearer wall, and again while `Physics` does not have the player yet.
        let way = if f32::from(x) < SIZE / 2.0 { 1.0 } else { -1.0 };
        let moves = async {
            while place(&client.plays().await, id) == place(&before, id) {
                client.steer([way, 0.0]).await;
            }
        };
        timeout(DEADLINE, moves).await.expect("it moves");
    }

    // A new `Network` has no connections. The client comes back, as the same player.
    kill("-9", &processes["network"]);
    client.end().await;
    let mut client = Client::join(address, 1).await;
    assert_eq!(client.plays().await.id, id);

    kill("-TERM", &bundle.launcher.id().unwrap().to_string());
    let ended = timeout(DEADLINE, bundle.launcher.wait()).await.expect("the bundle ends");
    assert!(ended.unwrap().success());
}
