//! Serves the requests of `up`, `down` and `status` to a launcher.
//!
//! Each connection has a thread and a time limit, and their number is limited, so a peer that sends
//! nothing, or too much, delays only itself.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use mycelium_bundle::{Change, ChangeError, Member, MemberPhase};
use mycelium_executor::{Clock, Credentials, Peer};
use mycelium_transports::endpoint::unix::{AllowedPeers, own_user};

use super::board::Board;
use super::flows::{Described, flows};
use super::members::{FilesCopy, member};
use super::plan::{Plan, Step, topology};
use crate::bundle::wire::{Answer, Channel, LONGEST_REQUEST, NodeStatus, Request, UpRequest};
use crate::shared::clock::pause;
use crate::shared::exit::Failure;
use crate::shared::output::shown;

/// The most connections that are served at once.
const MOST: usize = 64;
/// The number of restarts, while `up` waits, after which a node counts as failed.
const FAILED: u64 = 3;
/// The time limit for a peer to send its request, and to read an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves requests.
#[derive(Debug)]
pub struct Control {
    /// The state of the launcher.
    pub board: Arc<Board>,
    /// Sends the first members to the bundle; `None` once they are sent, or if the bundle will
    /// never begin. Locked while a request changes the bundle, so there is one change at a time.
    first: Mutex<Option<Sender<Vec<Member>>>>,
    /// The number of the next request that runs nodes.
    requests: AtomicU64,
    described: Described,
}

impl Control {
    /// Creates the control of a bundle that gets its first members through `first`.
    pub fn new(board: Arc<Board>, first: Sender<Vec<Member>>) -> Control {
        let (first, requests) = (Mutex::new(Some(first)), AtomicU64::new(1));
        Control { board, first, requests, described: Described::default() }
    }

    /// Serves connections on threads, as long as this process lives.
    pub fn serve(self: Arc<Control>, listener: UnixListener) -> io::Result<()> {
        thread::Builder::new().name("control".into()).spawn(move || {
            loop {
                match listener.accept() {
                    Ok((stream, _)) => self.clone().accept(stream),
                    // Pauses after an error, for instance because descriptors are scarce.
                    Err(_) => pause(Duration::from_millis(20)),
                }
            }
        })?;
        Ok(())
    }

    fn accept(self: Arc<Control>, stream: UnixStream) {
        // Refuses other users, in case somebody opens the directory, which is closed to them.
        let own = AllowedPeers::users([own_user()]);
        if !Credentials::of(&stream).is_ok_and(|peer| own.check(&Peer::Unix(peer)).is_ok()) {
            return;
        }
        if !self.board.connect(MOST) {
            let message = format!("it serves {MOST} connections already");
            let answer = Answer::Failed { code: 3, message };
            // Ignores an error: a new connection has room for the answer, and a peer that is gone
            // needs none.
            let _ = Channel::new(stream).write(&answer, PATIENCE);
            return;
        }
        let board = self.board.clone();
        let served = thread::Builder::new().name("request".into()).spawn(move || {
            let mut channel = Channel::new(stream);
            let answer = match channel.read(LONGEST_REQUEST, Some(PATIENCE)) {
                // Executes the request only if the peer reads this answer, because otherwise nobody
                // waits for the result.
                Ok(Some(request)) => match channel.write(&Answer::Taken, PATIENCE) {
                    Ok(()) => self.answer(&mut channel, request),
                    Err(_) => None,
                },
                Ok(None) => None,
                Err(error) => Some(Answer::Failed { code: 3, message: error.to_string() }),
            };
            if let Some(answer) = answer {
                // Ignores an error, because a peer that is gone needs no answer.
                let _ = channel.write(&answer, PATIENCE);
            }
            self.board.disconnect();
        });
        if served.is_err() {
            board.disconnect();
        }
    }

    /// Executes a request, and returns its last answer.
    fn answer(&self, channel: &mut Channel, request: Request) -> Option<Answer> {
        match request {
            Request::Status => {
                let nodes = self.board.nodes();
                let down = nodes.iter().filter(|node| !node.is_up);
                let down: Vec<&str> = down.map(|node| node.node.as_str()).collect();
                let problem = match (&nodes[..], &down[..]) {
                    ([], _) => Some("no node has started yet".to_owned()),
                    (_, []) => None,
                    _ => Some(format!("not up: {}", down.join(", "))),
                };
                Some(Answer::Nodes { nodes, problem })
            }
            Request::Down { timeout } => {
                self.board.set_stopping();
                match timeout {
                    Some(time) => self.board.handle.stop_within(Duration::from_millis(time)),
                    None => self.board.handle.stop(),
                }
                // Drops the sender: a bundle that has not begun never will.
                self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
                let problem = self.board.wait_until_ended();
                Some(Answer::Nodes { nodes: self.board.nodes(), problem })
            }
            Request::Up(request) => match self.up(&request) {
                Err(failure) => {
                    let (code, message) = (failure.code(), failure.to_string());
                    Some(Answer::Failed { code, message })
                }
                Ok((lines, unchecked)) => {
                    channel.write(&Answer::Changes { lines }, PATIENCE).ok()?;
                    let wait = request.wait.map(Duration::from_millis);
                    let problem = wait.and_then(|limit| self.wait_until_up(limit));
                    let reason = unchecked.map(|it| format!("\nthe file was not checked: {it}"));
                    let problem = problem.map(|it| it + reason.as_deref().unwrap_or_default());
                    Some(Answer::Nodes { nodes: self.board.nodes(), problem })
                }
            },
        }
    }

    /// Runs the nodes of a request. Returns a line about each, and why the file was not checked with
    /// their programs.
    pub fn up(&self, request: &UpRequest) -> Result<(Vec<String>, Option<String>), Failure> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = || {
            let title = self.board.place.title();
            Failure::Unavailable(format!("{title} ends at the moment: run `up` again when it has"))
        };
        if self.board.is_stopping() || self.board.handle.is_ending() {
            return Err(ended());
        }
        let (plan, files, unchecked) = match self.plan(request) {
            Ok(planned) => planned,
            Err(failure) => {
                if first.take().is_some() {
                    // The bundle has not begun, so the launcher ends.
                    self.board.set_stopping();
                }
                return Err(failure);
            }
        };
        let member =
            |node: &str| member(&self.board.place, self.board.manner, &plan.nodes[node], &files);
        let completed = self.board.members(MemberPhase::Completed).map(|member| member.name);
        let steps = plan.steps(&self.board.plan().0, &completed.collect());
        match first.take() {
            Some(sender) => {
                self.board.set_plan(plan.clone(), request.clone());
                let members = plan.nodes.keys().map(|node| member(node)).collect();
                sender.send(members).map_err(|_| ended())?;
            }
            None => {
                let changes = steps.iter().filter_map(|(node, step)| match step {
                    Step::Keep => None,
                    Step::Start => Some(Change::Add(member(node))),
                    Step::Restart(_) => Some(Change::Replace(member(node))),
                    Step::Stop => Some(Change::Remove(node.clone())),
                });
                let changed = self.board.handle.change(changes.collect::<Vec<_>>());
                changed.map_err(|error| match error {
                    ChangeError::Ended => ended(),
                    error => Failure::Unavailable(error.to_string()),
                })?;
                self.board.set_plan(plan.clone(), request.clone());
            }
        }
        Ok((steps.iter().map(|(node, step)| step.line(node)).collect(), unchecked))
    }

    /// Reads the file of a request. Returns the plan, the copy of the texts, and why the file
    /// was not checked with the programs.
    fn plan(&self, request: &UpRequest) -> Result<(Plan, Arc<FilesCopy>, Option<String>), Failure> {
        let topology = topology(request)?;
        let number = self.requests.fetch_add(1, Relaxed);
        let files =
            FilesCopy::write(&self.board.place, number, topology.files()).map_err(|error| {
                let directory = shown(self.board.place.directory());
                Failure::Unavailable(format!("a copy of the topology in `{directory}`: {error}"))
            })?;
        let mut unchecked = None;
        let plan = Plan::new(request, &topology, |source| {
            let found = flows(request, files.path())?;
            let found = found.map_err(|reason| unchecked = Some(reason)).ok();
            Ok(self.described.update(source, found))
        })?;
        Ok((plan, Arc::new(files), unchecked))
    }

    /// Waits until all nodes are up. If a node is not, returns the reason, with the end of the log
    /// of the failed node.
    fn wait_until_up(&self, limit: Duration) -> Option<String> {
        let (clock, mut before) = (Clock::start(), BTreeMap::<String, u64>::new());
        let tail = |node: &NodeStatus| self.board.place.log_tail(&node.node);
        loop {
            let nodes = self.board.nodes();
            if self.board.is_stopping() {
                return Some("the bundle was ended meanwhile".to_owned());
            }
            if let Some(ended) = self.board.ended() {
                let problem = ended?;
                let failed = nodes.iter().find(|it| problem.contains(&format!("`{}`", it.node)));
                return Some(format!("{problem}{}", failed.map(tail).unwrap_or_default()));
            }
            for node in &nodes {
                let first = before.entry(node.node.clone()).or_insert(node.restarts);
                // The restarts of a changed node are counted from zero again.
                *first = node.restarts.min(*first);
                if node.restarts >= first.saturating_add(FAILED) {
                    let text = format!("node `{}` fails again and again{}", node.node, tail(node));
                    return Some(text);
                }
            }
            let late = nodes.iter().filter(|node| !node.is_up).map(|node| &*node.node);
            let late: Vec<&str> = late.collect();
            if nodes.len() == self.board.planned() && late.is_empty() {
                return None;
            }
            let left = limit.saturating_sub(clock.now());
            if left.is_zero() {
                return Some(format!(
                    "not ready within {limit:?}: {}; `mycelium status` shows them",
                    late.join(", ")
                ));
            }
            self.board.wait(left.min(Duration::from_millis(200)));
        }
    }
}
