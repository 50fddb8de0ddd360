//! Finds the nodes of this machine, and reads their counters.
//!
//! A node needs no port and no feature for this, and does no work: the tool maps the node's
//! counters. It sees the processes of its own user, or all processes if it is root.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use mycelium::counters::{AttachError, Attached, CountersView, Found};
use mycelium::error::Code;

use super::model::{Node, ProcessState};
use super::pairs::pair;
use super::sample::Sample;
use crate::shared::exit::Failure;
use crate::shared::output::printable;

/// Which nodes.
#[derive(Clone, Debug, Default, Args)]
pub struct Target {
    /// Only the node with this name. May be repeated.
    #[arg(long = "node", value_name = "NODE")]
    nodes: Vec<String>,
    /// Only the nodes of this process. May be repeated.
    #[arg(long = "pid", value_name = "PID")]
    processes: Vec<u32>,
    /// Only nodes that listen in this directory.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// The users of nodes: processes of other users do not count.
    #[arg(skip)]
    owners: BTreeMap<String, u32>,
}

impl Target {
    /// Limits the target to these node names, in addition to those that it has.
    pub fn with_nodes(mut self, nodes: impl IntoIterator<Item = String>) -> Target {
        self.nodes.extend(nodes);
        self
    }

    /// Leaves out processes that have the name of one of these nodes, and another user.
    pub fn with_owners(mut self, owners: impl IntoIterator<Item = (String, u32)>) -> Target {
        self.owners.extend(owners);
        self
    }

    /// Returns whether the target has no limits, and so means all nodes.
    pub fn is_all(&self) -> bool {
        self.nodes.is_empty() && self.processes.is_empty() && self.directory.is_none()
    }
}

/// The largest number of printed warnings.
const MOST_WARNINGS: usize = 5;

/// The largest number of nodes that are kept after their end.
const MOST_ENDED: usize = 16;

/// The counters of the nodes that were found.
#[derive(Debug)]
pub struct Nodes {
    target: Target,
    /// The counters, by process and region.
    attached: BTreeMap<(u32, u64), Attached>,
    /// Nodes that have ended, with their last counters.
    ended: Vec<Node>,
    /// Why other counters could not be read.
    refused: Vec<String>,
    /// The processes of those counters that are meant, as far as is known.
    unread: Vec<u32>,
    /// The names of nodes at the last read, by process and region.
    names: BTreeMap<(u32, u64), String>,
    /// The number of processes of other users.
    of_others: usize,
}

impl Nodes {
    /// Finds the running nodes that `target` selects.
    ///
    /// # Errors
    /// If `target` names a process or a directory that does not exist, or the system has no list of
    /// processes.
    pub fn find(target: &Target) -> Result<Nodes, Failure> {
        if !Path::new("/proc/self/stat").exists() {
            let problem = "`/proc` shows no processes: is it mounted?";
            return Err(Failure::Unavailable(problem.to_owned()));
        }
        let mut nodes = Nodes {
            target: target.clone(),
            attached: BTreeMap::new(),
            ended: Vec::new(),
            refused: Vec::new(),
            unread: Vec::new(),
            names: BTreeMap::new(),
            of_others: 0,
        };
        nodes.search(true)?;
        Ok(nodes)
    }

    /// Reads all counters, also of nodes that have started since the last call. Nodes that have
    /// ended stay in the result until other nodes with their names run.
    ///
    /// # Errors
    /// If the system has no list of processes.
    pub fn read(&mut self, at: Duration) -> Result<Sample, Failure> {
        self.refused.clear();
        self.unread.clear();
        self.search(false)?;
        let mut nodes = Vec::new();
        let (ended, refused) = (&mut self.ended, &mut self.refused);
        let owners = &self.target.owners;
        let (names, known, unread) = (&self.target.nodes, &mut self.names, &mut self.unread);
        self.attached.retain(|region, attached| {
            // Checks this before the read: counters that are read after the end are final.
            let has_ended = attached.has_ended();
            let view = match attached.read() {
                Ok(view) => view,
                Err(error) => {
                    refused.push(format!("process {}: {error}", attached.process()));
                    if names.is_empty() || known.get(region).is_some_and(|it| names.contains(it)) {
                        unread.push(attached.process());
                    }
                    return !has_ended;
                }
            };
            let mut node = Node::of_lines(attached.process(), &view.lines);
            // A process that has ended has no user any more: the last read has seen it.
            if let Some(owner) = owners.get(&node.name)
                && (has_ended && known.get(region) != Some(&node.name)
                    || !has_ended && user_of(attached.process()) != Some(*owner))
            {
                known.remove(region);
                return !has_ended;
            }
            known.insert(*region, node.name.clone());
            if has_ended {
                node.process = ProcessState::Ended;
                ended.push(node);
                return false;
            }
            node.process = process_state(attached.process());
            nodes.push(node);
            true
        });
        pair(&mut nodes);
        nodes.retain(|node| names.is_empty() || names.contains(&node.name));
        ended.retain(|old| {
            let is_meant = names.is_empty() || names.contains(&old.name);
            is_meant && nodes.iter().all(|node| node.name != old.name)
        });
        let surplus = ended.len().saturating_sub(MOST_ENDED);
        ended.drain(..surplus);
        nodes.extend(ended.iter().cloned());
        nodes.sort_by(|first, second| (&first.name, first.pid).cmp(&(&second.name, second.pid)));
        Ok(Sample { at, nodes })
    }

    /// Does the same as [`read`](Nodes::read), but having no node is an error.
    ///
    /// # Errors
    /// If there is no such node. The error names the running nodes, and says why others cannot be
    /// read.
    pub fn read_some(&mut self, at: Duration) -> Result<Sample, Failure> {
        let sample = self.read(at)?;
        let is_missing = |name: &&String| sample.nodes.iter().all(|node| node.name != **name);
        let missing: Vec<String> = self.target.nodes.iter().filter(is_missing).cloned().collect();
        match missing.is_empty() && !sample.nodes.is_empty() {
            true => Ok(sample),
            false => Err(self.no_node(&missing)),
        }
    }

    /// Returns a text about processes of other users, if there are such.
    fn others(&self) -> Option<String> {
        let text = format!(
            "the counters of {} processes of other users cannot be seen: run the tool as that \
             user, or as root",
            self.of_others
        );
        (self.of_others > 0).then_some(text)
    }

    /// Prints to standard error which counters the last read could not read, and if it has read
    /// none, whether other users have processes.
    pub fn warn(&self) {
        if let Some(others) = self.others().filter(|_| self.attached.is_empty()) {
            warn(&others);
        }
        self.refused.iter().take(MOST_WARNINGS).for_each(|refused| warn(refused));
        if let Some(others) = self.refused.len().checked_sub(MOST_WARNINGS).filter(|it| *it > 0) {
            warn(&format!("and {others} others"));
        }
    }

    /// Returns the processes whose counters are meant, and that the last read could not read.
    pub fn unread(&self) -> &[u32] {
        &self.unread
    }

    /// Returns the names, processes and counters of all nodes.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn views(&mut self) -> Result<Vec<(String, u32, CountersView)>, Failure> {
        self.read_some(Duration::ZERO)?;
        let mut views = Vec::new();
        for attached in self.attached.values_mut() {
            let Ok(view) = attached.read() else { continue };
            let name = Node::of_lines(attached.process(), &view.lines).name;
            if self.target.nodes.is_empty() || self.target.nodes.contains(&name) {
                views.push((name, attached.process(), view));
            }
        }
        views.sort_by(|first, second| (&first.0, first.1).cmp(&(&second.0, second.1)));
        Ok(views)
    }

    /// Returns why there is no node, or none with these names.
    fn no_node(&mut self, missing: &[String]) -> Failure {
        let names = self.attached.keys().filter_map(|region| self.names.get(region));
        let mut known: Vec<String> = names.map(|name| printable(name).into_owned()).collect();
        known.sort();
        known.dedup();
        // Finds nodes that `--directory` may hide.
        let others = self.target.directory.as_ref().map(|_| Attached::of_all_processes());
        let others = others.and_then(Result::ok).map_or_else(Vec::new, |found| found.regions);
        let others =
            others.into_iter().filter_map(|mut it| Some((name_of(&mut it)?, it.process())));
        let others: Vec<(String, u32)> = others.collect();
        let (mut absent, mut outside) = (Vec::new(), Vec::new());
        for name in missing.iter().map(|name| printable(name)) {
            match others.iter().find(|(other, _)| *other == name) {
                None => absent.push(format!("no node `{name}` runs")),
                Some((_, process)) => outside.push(format!("node `{name}` (process {process})")),
            }
        }
        let mut text = match missing {
            [] => "no node runs whose counters can be read".to_owned(),
            _ => absent.join(", "),
        };
        if !absent.is_empty() && !known.is_empty() {
            text += &format!(": expected one of {}", known.join(", "));
        }
        if let Some(directory) = self.target.directory.as_ref().filter(|_| !outside.is_empty()) {
            text += if absent.is_empty() { "" } else { "; " };
            let (outside, directory) = (outside.join(", "), directory.display().to_string());
            text += &format!(
                "{outside} has no socket in `{}`, as only nodes that others read from listen: \
                 leave `--directory` out, or choose by `--pid`",
                printable(&directory)
            );
        }
        let mut code = None;
        for refused in self.refused.iter().take(3) {
            let (words, its_code) = Code::split(refused);
            text += &format!("; {words}");
            code = code.or(its_code);
        }
        // Warns of none of these, because the message above names them.
        self.refused.clear();
        if let Some(others) = self.others() {
            text += &format!("; {others}");
        }
        if let Some(code) = code {
            text += &format!(" [{code}]");
        }
        Failure::Unavailable(text)
    }

    /// Attaches to new regions.
    fn search(&mut self, is_first: bool) -> Result<(), Failure> {
        let mut processes = self.target.processes.clone();
        if let Some(directory) = &self.target.directory {
            let listening = listening_in(directory)?;
            match processes.is_empty() {
                true => processes = listening,
                false => processes.retain(|process| listening.contains(process)),
            }
        } else if processes.is_empty() {
            let found = Attached::of_all_processes().map_err(failed)?;
            self.add(found);
            return Ok(());
        }
        for process in processes {
            match Attached::of_process(process) {
                Ok(found) => self.add(found),
                // This is an error only the first time, because later a process that was there may
                // have ended.
                Err(error) if is_first && !self.target.processes.is_empty() => {
                    return Err(failed(error));
                }
                Err(error) => {
                    self.refused.push(error.to_string());
                    let has_ended = matches!(error, AttachError::NoProcess { .. });
                    self.unread.extend((!has_ended).then_some(process));
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, found: Found) {
        for attached in found.regions.into_iter().filter(Attached::is_own) {
            self.attached.entry((attached.process(), attached.id())).or_insert(attached);
        }
        self.refused.extend(found.refused.iter().map(ToString::to_string));
        // Without the counters there is no name.
        if self.target.nodes.is_empty() || !self.target.processes.is_empty() {
            self.unread.extend(found.refused.iter().filter_map(AttachError::process));
        }
        self.of_others = found.of_others;
    }
}

/// Prints a warning to standard error.
pub fn warn(text: &str) {
    // Ignores an error: without standard error there is nobody to warn.
    let _ = writeln!(io::stderr(), "warning: {}", printable(text));
}

fn failed(error: AttachError) -> Failure {
    Failure::Unavailable(error.to_string())
}

fn name_of(attached: &mut Attached) -> Option<String> {
    let view = attached.read().ok()?;
    Some(printable(&Node::of_lines(attached.process(), &view.lines).name).into_owned())
}

/// Returns the state of a process, from the letter in `/proc/<pid>/stat`, which follows the
/// process's name. The name may contain anything.
pub fn process_state(process: u32) -> ProcessState {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    match state {
        Some('T' | 't') => ProcessState::Stopped,
        Some('Z' | 'X') | None => ProcessState::Ended,
        Some(_) => ProcessState::Runs,
    }
}

/// Returns the effective user of a process. The owner of its files in `/proc` may be root instead.
fn user_of(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Returns the processes that listen in a directory: they have the locks of the sockets there.
fn listening_in(directory: &Path) -> Result<Vec<u32>, Failure> {
    let failed = |path: &Path, error: io::Error| {
        let text = format!("{}: {error}", path.display());
        match error.kind() {
            ErrorKind::PermissionDenied => Failure::Unavailable(text),
            _ => Failure::Usage(text),
        }
    };
    let mut locks = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| failed(directory, error))? {
        let path = entry.map_err(|error| failed(directory, error))?.path();
        if path.extension().is_some_and(|extension| extension == "lock")
            && let Ok(file) = fs::metadata(&path)
        {
            locks.push((file.dev(), file.ino()));
        }
    }
    let held = Path::new("/proc/locks");
    let text = fs::read_to_string(held).map_err(|error| failed(held, error))?;
    let mut processes: Vec<u32> = text.lines().filter_map(|line| holder(line, &locks)).collect();
    processes.sort_unstable();
    processes.dedup();
    Ok(processes)
}

/// Returns the process of a line of `/proc/locks` such as `1: POSIX  ADVISORY  WRITE 1234
/// 08:01:5678 0 EOF`, if the file of the line is one of `locks`.
fn holder(line: &str, locks: &[(u64, u64)]) -> Option<u32> {
    let mut fields = line.split_ascii_whitespace().skip(4);
    let (process, file) = (fields.next()?.parse().ok()?, fields.next()?);
    let mut numbers = file.split(':');
    let major = u32::from_str_radix(numbers.next()?, 16).ok()?;
    let minor = u32::from_str_radix(numbers.next()?, 16).ok()?;
    let inode: u64 = numbers.next()?.parse().ok()?;
    let device = rustix::fs::makedev(major, minor);
    locks.contains(&(device, inode)).then_some(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_locks_name_their_holders_or_are_ignored() {
        let locks = [(rustix::fs::makedev(8, 17), 5678)];
        let line = "1: POSIX  ADVISORY  WRITE 1234 08:11:5678 0 EOF";
        assert_eq!(holder(line, &locks), Some(1234));
        for other in [
            "",
            "1: -> POSIX",
            "1: POSIX  ADVISORY  WRITE 1234 08:11:5679 0 EOF",
            "1: POSIX  ADVISORY  WRITE -1 08:11:5678 0 EOF",
            "1: POSIX  ADVISORY  WRITE 1234 x:11:5678 0 EOF",
            "1: POSIX  ADVISORY  WRITE 1234 08",
        ] {
            assert_eq!(holder(other, &locks), None, "{other}");
        }
    }
}
