//! The content of `top`, and how keys change it, independent of a terminal.

use std::collections::BTreeSet;
use std::time::Duration;

use ratatui::crossterm::event::KeyCode;

use crate::live::model::{Node, ProcessState};
use crate::live::sample::{Change, Sample};

/// The shortest and the longest time between two reads.
const INTERVALS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(60)];

/// The state of the screen.
#[derive(Clone, Debug, Default)]
pub struct State {
    before: Option<Sample>,
    now: Sample,
    /// The time between two reads.
    pub interval: Duration,
    /// Whether new reads are not shown.
    pub is_paused: bool,
    /// Whether the help about keys is shown.
    pub shows_help: bool,
    /// Whether the filter is being typed.
    pub is_typing: bool,
    /// The filter: only names that contain it are shown.
    pub filter: String,
    /// The order of nodes, and of the rows in them.
    pub order: Order,
    /// Nodes whose rows are not shown.
    collapsed: BTreeSet<(String, u32)>,
    /// The index of the selected row.
    selected: usize,
    /// Why the last read failed.
    pub problem: Option<String>,
}

/// The order of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By name.
    #[default]
    Name,
    /// The highest rate first.
    Rate,
    /// The fullest ring first, relative to its capacity.
    Depth,
    /// The most drops first.
    Drops,
}

impl Order {
    /// Returns the name of the order.
    pub fn name(self) -> &'static str {
        match self {
            Order::Name => "name",
            Order::Rate => "rate",
            Order::Depth => "depth",
            Order::Drops => "drops",
        }
    }

    fn next(self) -> Order {
        match self {
            Order::Name => Order::Rate,
            Order::Rate => Order::Depth,
            Order::Depth => Order::Drops,
            Order::Drops => Order::Name,
        }
    }
}

/// Whether `top` continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// `top` continues, and draws.
    Draw,
    /// `top` ends.
    Quit,
}

/// A row of the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The kind of the row.
    pub kind: RowKind,
    /// The name, in the first column.
    pub name: String,
    /// The number of messages per second.
    pub rate: Option<f64>,
    /// The number of messages that wait.
    pub depth: Option<u64>,
    /// The number of slots of the ring.
    pub capacity: Option<u64>,
    /// The greatest depth.
    pub high_water: Option<u64>,
    /// The number of messages that were dropped, by reason; the greatest number first.
    pub drops: Vec<(&'static str, u64)>,
    /// The number of emits that waited for room.
    pub waited: Option<u64>,
    /// The number of restarts of services.
    pub restarts: Option<u64>,
    /// For a service, how it waits for messages (`spin 100`, `park`); for a node, its health.
    pub state: String,
    /// Names and values for the line below the table.
    pub details: Vec<(&'static str, u64)>,
}

/// The kind of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowKind {
    /// A node, with the state of its process.
    Node(ProcessState),
    /// A service, or another publisher or reader.
    #[default]
    Member,
    /// A topic that the member publishes.
    Output,
    /// A topic that the member reads.
    Input,
    /// A link with another node.
    Link,
}

impl Row {
    fn new(kind: RowKind, name: String) -> Row {
        Row { kind, name, ..Row::default() }
    }

    /// Returns how much of the ring is in use, from 0 to 1.
    pub fn fill(&self) -> Option<f64> {
        let capacity = self.capacity.filter(|capacity| *capacity > 0)?;
        Some((self.depth? as f64 / capacity as f64).min(1.0))
    }

    /// Returns the number of all messages that were dropped.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

impl State {
    /// Creates the state of a screen before the first read.
    pub fn new(interval: Duration) -> State {
        State { interval: interval.clamp(INTERVALS[0], INTERVALS[1]), ..State::default() }
    }

    /// Takes the result of a read.
    pub fn update(&mut self, seen: Result<Sample, String>) {
        match seen {
            Ok(_) if self.is_paused => {}
            Ok(sample) => {
                self.before = Some(std::mem::replace(&mut self.now, sample));
                self.problem = None;
            }
            Err(problem) => self.problem = Some(problem),
        }
    }

    /// Returns the change between the last two reads.
    pub fn change(&self) -> Change<'_> {
        Change::new(self.before.as_ref(), &self.now)
    }

    /// Returns the index of the selected row if there are `rows` rows: at most the last one.
    pub fn selected(&self, rows: usize) -> usize {
        self.selected.min(rows.saturating_sub(1))
    }

    /// Applies a key. `page` is the number of rows that are visible.
    pub fn key(&mut self, key: KeyCode, page: usize) -> Next {
        if self.is_typing {
            match key {
                KeyCode::Char(c) => self.filter.push(c),
                KeyCode::Backspace => drop(self.filter.pop()),
                KeyCode::Esc => {
                    self.filter.clear();
                    self.is_typing = false;
                }
                _ => self.is_typing = false,
            }
            return Next::Draw;
        }
        let rows = self.rows().len();
        let selected = self.selected(rows);
        self.selected = match key {
            KeyCode::Up | KeyCode::Char('k') => selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => selected + 1,
            KeyCode::PageUp => selected.saturating_sub(page),
            KeyCode::PageDown => selected.saturating_add(page),
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => rows,
            _ => selected,
        };
        self.selected = self.selected(rows);
        match key {
            KeyCode::Enter | KeyCode::Tab | KeyCode::BackTab | KeyCode::Left | KeyCode::Right => {
                self.toggle()
            }
            KeyCode::Char('q') => return Next::Quit,
            KeyCode::Esc if self.shows_help => self.shows_help = false,
            KeyCode::Esc if !self.filter.is_empty() => self.filter.clear(),
            KeyCode::Esc => return Next::Quit,
            KeyCode::Char('?' | 'h') => self.shows_help = !self.shows_help,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char(' ' | 'p') => self.is_paused = !self.is_paused,
            KeyCode::Char('+') => self.interval = (self.interval * 2).min(INTERVALS[1]),
            KeyCode::Char('-') => self.interval = (self.interval / 2).max(INTERVALS[0]),
            _ => {}
        }
        Next::Draw
    }

    /// Hides the rows of the node to which the selected row belongs, or shows them again.
    fn toggle(&mut self) {
        let selected = self.selected;
        let mut row = 0;
        for (node, rows) in self.blocks() {
            if selected < row + rows.len() {
                if !self.collapsed.remove(&node) {
                    self.collapsed.insert(node);
                }
                self.selected = row;
                return;
            }
            row += rows.len();
        }
    }

    /// Returns all rows, in order.
    pub fn rows(&self) -> Vec<Row> {
        self.blocks().into_iter().flat_map(|(_, rows)| rows).collect()
    }

    /// Returns the rows of each node.
    fn blocks(&self) -> Vec<((String, u32), Vec<Row>)> {
        let change = self.change();
        let nodes = change.now().nodes.iter();
        let mut blocks: Vec<_> = nodes
            .map(|node| {
                let key = (node.name.clone(), node.pid);
                let rows = self.rows_of(&change, node, self.collapsed.contains(&key));
                (key, rows)
            })
            .filter(|(_, rows)| !rows.is_empty())
            .collect();
        blocks.sort_by(|(_, first), (_, second)| self.compare(&first[0], &second[0]));
        blocks
    }

    fn compare(&self, first: &Row, second: &Row) -> std::cmp::Ordering {
        let by_name = first.name.cmp(&second.name);
        let descending = |first: Option<f64>, second: Option<f64>| {
            second.unwrap_or(0.0).total_cmp(&first.unwrap_or(0.0))
        };
        let by_value = match self.order {
            Order::Name => by_name,
            Order::Rate => descending(first.rate, second.rate),
            Order::Depth => descending(first.fill(), second.fill()),
            Order::Drops => second.dropped().cmp(&first.dropped()),
        };
        by_value.then(by_name)
    }

    /// Returns the row of a node, and then the rows of its members. Empty if the filter leaves
    /// nothing.
    fn rows_of(&self, change: &Change<'_>, node: &Node, is_collapsed: bool) -> Vec<Row> {
        let names_node = node.name.contains(&self.filter);
        let mut members = members(change, node);
        for (_, rows) in &mut members {
            let names_member = names_node || rows[0].name.contains(&self.filter);
            if !names_member {
                let found = rows[1..].iter().any(|row| row.name.contains(&self.filter));
                rows.retain(|row| {
                    row.name.contains(&self.filter) || (found && !is_topic(row.kind))
                });
            }
            if let [_, topics @ ..] = rows.as_mut_slice() {
                topics.sort_by(|first, second| self.compare(first, second));
            }
        }
        members.retain(|(_, rows)| !rows.is_empty());
        if members.is_empty() && !names_node {
            return Vec::new();
        }
        let topics = members.iter().flat_map(|(_, rows)| rows);
        let row = row_of_node(node, topics);
        if is_collapsed {
            return vec![row];
        }
        members.sort_by(|(first, first_rows), (second, second_rows)| {
            let sum = |rows: &[Row]| {
                let mut sum = Row::new(RowKind::Member, String::new());
                for row in rows {
                    add_to(&mut sum, row);
                }
                sum
            };
            match self.order {
                Order::Name => first.cmp(second),
                _ => self.compare(&sum(first_rows), &sum(second_rows)).then(first.cmp(second)),
            }
        });
        std::iter::once(row).chain(members.into_iter().flat_map(|(_, rows)| rows)).collect()
    }
}

fn is_topic(kind: RowKind) -> bool {
    matches!(kind, RowKind::Output | RowKind::Input)
}

/// Adds a row to a sum: rates and drops add up, and the fullest ring is shown.
fn add_to(sum: &mut Row, row: &Row) {
    if let (RowKind::Output, Some(rate)) = (row.kind, row.rate) {
        sum.rate = Some(sum.rate.unwrap_or(0.0) + rate);
    }
    if row.fill() > sum.fill() {
        (sum.depth, sum.capacity) = (row.depth, row.capacity);
    }
    for (reason, count) in &row.drops {
        match sum.drops.iter_mut().find(|(known, _)| known == reason) {
            Some((_, total)) => *total = total.saturating_add(*count),
            None => sum.drops.push((reason, *count)),
        }
    }
    sum.drops.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    if let Some(restarts) = row.restarts {
        sum.restarts = Some(sum.restarts.unwrap_or(0).saturating_add(restarts));
    }
}

fn row_of_node<'a>(node: &Node, rows: impl Iterator<Item = &'a Row>) -> Row {
    let mut sum = Row::new(RowKind::Node(node.process), format!("{} {}", node.name, node.pid));
    rows.for_each(|row| add_to(&mut sum, row));
    sum.state = match (node.process, node.health.as_str()) {
        (ProcessState::Runs, "") => "runs".to_owned(),
        (ProcessState::Runs, health) => health.to_owned(),
        (state, _) => state.name().to_owned(),
    };
    sum.details = vec![
        ("services", node.services.len() as u64),
        ("publishers", node.publishers()),
        ("readers", node.readers()),
        ("links", node.open_links()),
    ];
    sum
}

/// Returns the rows of each service and of each other publisher and reader, by name.
fn members(change: &Change<'_>, node: &Node) -> Vec<(String, Vec<Row>)> {
    let mut members: Vec<(String, Vec<Row>)> = Vec::new();
    for (name, service) in &node.services {
        let mut row = Row::new(RowKind::Member, name.clone());
        row.restarts = Some(service.restarts());
        row.state = service.wait();
        row.details = vec![
            ("starts", service.starts),
            ("failures", service.failures),
            ("dead letters", service.dead_letters),
            ("seconds stalled", service.stalls),
        ];
        members.push((name.clone(), vec![row]));
    }
    for (peer, link) in &node.links {
        let mut row = Row::new(RowKind::Link, peer.clone());
        row.details = vec![
            ("connections", link.connections),
            ("sent by socket", link.sent),
            ("received by socket", link.received),
            ("errors", link.errors),
            ("bytes sent", link.bytes_sent),
            ("bytes received", link.bytes_received),
        ];
        members.push((peer.clone(), vec![row]));
    }
    let mut place = |name: &str, row: Row| match members.iter_mut().find(|(known, _)| known == name)
    {
        Some((_, rows)) => rows.push(row),
        None => {
            let member = Row::new(RowKind::Member, name.to_owned());
            members.push((name.to_owned(), vec![member, row]));
        }
    };
    for (key, output) in node.outputs.iter().filter(|(_, output)| !output.is_remote) {
        let sent = change.growth(node, |node| Some(node.outputs.get(key)?.sent));
        let mut row = Row::new(RowKind::Output, key.0.clone());
        row.rate = change.per_second(sent);
        (row.depth, row.capacity) = (Some(output.depth), output.capacity);
        row.high_water = output.high_water;
        row.waited = Some(output.waited);
        row.details = vec![
            ("sent", output.sent),
            ("without readers", output.no_subscribers),
            ("waited", output.waited),
            ("refused", output.refused),
        ];
        place(&key.1, row);
    }
    for (key, input) in &node.inputs {
        let (topic, publisher, reader) = key;
        let taken = change.growth(node, |node| Some(node.inputs.get(key)?.taken));
        let mut row = Row::new(RowKind::Input, format!("{topic} of {publisher}"));
        let earlier = change.earlier(node).and_then(|node| node.inputs.get(key));
        let is_stale = input.is_stale || earlier.is_some_and(|input| input.is_stale);
        row.rate = change.per_second(taken).filter(|_| !is_stale);
        row.state = if input.is_stale { "stale".to_owned() } else { String::new() };
        row.depth = input.is_open.then_some(input.depth);
        let ring = node.outputs.get(&(topic.clone(), publisher.clone()));
        row.capacity = ring.and_then(|ring| ring.capacity);
        row.drops = input.dropped.iter().map(|(reason, count)| (*reason, *count)).collect();
        row.drops.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        row.details = vec![
            ("taken", input.taken),
            ("gaps", input.gaps),
            ("retained", input.retained),
            ("redelivered", input.redelivered),
            ("evicted", input.evicted),
        ];
        row.details.extend(row.drops.iter().copied());
        place(reader, row);
    }
    members
}
