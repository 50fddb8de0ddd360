//! Watches the processes of a bundle and the size of their logs. Reports to the manager of
//! services, and shows a live table.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mycelium_bundle::MemberPhase;
use mycelium_executor::Clock;

use super::board::Board;
use super::members::Manner;
use super::notify::Manager;
use super::sign::of_process;
use crate::bundle::table::table;
use crate::bundle::wire::NodeStatus;
use crate::shared::output::Format;

/// The time between two checks of the processes while one of them is not up.
const OFTEN: Duration = Duration::from_millis(50);
/// The time between two checks when all are up.
const SELDOM: Duration = Duration::from_millis(500);

/// Starts a thread that watches until the bundle has ended.
pub fn watch(board: Arc<Board>, manager: Option<Manager>) -> io::Result<JoinHandle<()>> {
    let mut watch = Watch { board, manager, clock: Clock::start(), told: Told::default() };
    thread::Builder::new().name("watch".into()).spawn(move || watch.run())
}

struct Watch {
    board: Arc<Board>,
    manager: Option<Manager>,
    clock: Clock,
    told: Told,
}

/// The last reports, so that only changes are reported.
#[derive(Default)]
struct Told {
    is_ready: bool,
    is_stopping: bool,
    status: String,
    /// The time of the last notification that the launcher is alive.
    alive: Option<Duration>,
    /// The number of lines of the table on the terminal.
    lines: usize,
    table: String,
}

impl Watch {
    fn run(&mut self) {
        loop {
            let processes = self.board.members(MemberPhase::Running).filter_map(|it| it.pid);
            self.board.set_signs(processes.map(|pid| (pid, of_process(pid))).collect());
            let (nodes, has_ended) = (self.board.nodes(), self.board.ended().is_some());
            self.notify(&nodes);
            if self.board.manner == Manner::Table {
                self.draw(&nodes);
            }
            if has_ended {
                return;
            }
            nodes.iter().for_each(|node| self.board.place.limit_log(&node.node));
            self.board.place.limit_log("launcher");
            let all_up = nodes.iter().all(|node| node.is_up);
            let pause = if all_up { SELDOM } else { OFTEN };
            let alive = self.manager.as_ref().and_then(Manager::watchdog);
            self.board.wait(alive.map_or(pause, |alive| pause.min(alive / 2)));
        }
    }

    fn notify(&mut self, nodes: &[NodeStatus]) {
        let Some(manager) = &self.manager else { return };
        let mut lines = Vec::new();
        let up = nodes.iter().filter(|node| node.is_up).count();
        let is_stopping = self.board.handle.is_ending();
        if up == nodes.len() && up > 0 && !is_stopping && !self.told.is_ready {
            self.told.is_ready = true;
            lines.push("READY=1".to_owned());
        }
        if is_stopping && !self.told.is_stopping {
            self.told.is_stopping = true;
            lines.push("STOPPING=1".to_owned());
        }
        let status = match is_stopping {
            true => "ends".to_owned(),
            false => format!("{up} of {} nodes are up", nodes.len()),
        };
        if status != self.told.status {
            lines.push(format!("STATUS={status}"));
            self.told.status = status;
        }
        if let Some(time) = manager.watchdog() {
            let is_due = |last| self.clock.now().saturating_sub(last) >= time / 2;
            if self.told.alive.is_none_or(is_due) {
                // Waits until the bundle's thread responds. If it never does, the manager gets no
                // notification, and ends the launcher. Ignores an error: the bundle is ending.
                let _ = self.board.handle.change([]);
                self.told.alive = Some(self.clock.now());
                lines.push("WATCHDOG=1".to_owned());
            }
        }
        if !lines.is_empty() {
            manager.notify(&lines.join("\n"));
        }
    }

    /// Draws the table over the previous one.
    fn draw(&mut self, nodes: &[NodeStatus]) {
        let table = table(nodes, Format::Table).text();
        if table == self.told.table {
            return;
        }
        let up = match self.told.lines {
            0 => String::new(),
            lines => format!("\u{1b}[{lines}A\u{1b}[J"),
        };
        // If the printer has no room for this table, a later one is drawn.
        if self.board.printer.table(format!("{up}{table}")) {
            self.told.lines = table.lines().count();
            self.told.table = table;
        }
    }
}
