//! The machine, as files of the kernel describe it. A file that is missing, too long or malformed
//! gives `None`: nothing is guessed.
//!
//! Panic contract: no text of a file makes this module panic.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The longest accepted file in bytes; files of the kernel are shorter.
const LONGEST: u64 = 1 << 20;
/// The most cores in a list; longer lists are ignored.
const MOST_CORES: usize = 1 << 16;

/// A machine whose files are below a directory: `/`, or the directory of a test.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    root: PathBuf,
}

impl Machine {
    /// Creates the machine whose files are below `root`.
    pub(super) fn new(root: impl Into<PathBuf>) -> Machine {
        Machine { root: root.into() }
    }

    /// Returns whether this process runs on the machine.
    pub(super) fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Returns the text of a file, without white space at its ends.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let mut text = String::new();
        let file = File::open(self.path(path)).ok()?;
        file.take(LONGEST).read_to_string(&mut text).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Returns whether a file can be read, and has nothing but white space.
    pub(super) fn is_empty(&self, path: &str) -> bool {
        std::fs::read(self.path(path)).is_ok_and(|text| text.iter().all(u8::is_ascii_whitespace))
    }

    /// Returns the number in a file that has one number.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// Returns the cores in a file that has a list of them, such as `0-3,8`.
    pub(super) fn cores(&self, path: &str) -> Option<BTreeSet<usize>> {
        cores_of(&self.text(path)?)
    }

    /// Returns the value of `key` in a file whose lines are `Key: value`.
    pub(super) fn value(&self, path: &str, key: &str) -> Option<String> {
        let text = self.text(path)?;
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(name, _)| *name == key)?;
        Some(value.trim().to_owned())
    }

    /// Returns a value of `/proc/meminfo`: bytes, or a count if it has no unit.
    pub(super) fn memory(&self, key: &str) -> Option<u64> {
        let value = self.value("/proc/meminfo", key)?;
        match value.split_once(' ') {
            Some((kibibytes, "kB")) => kibibytes.parse::<u64>().ok()?.checked_mul(1024),
            Some(_) => None,
            None => value.parse().ok(),
        }
    }

    /// Returns the soft and the hard limit of a line of `/proc/self/limits`. `unlimited` becomes
    /// the largest number.
    pub(super) fn limit(&self, name: &str) -> Option<(u64, u64)> {
        let text = self.text("/proc/self/limits")?;
        let values = text.lines().find_map(|line| line.strip_prefix(name))?;
        let mut values = values.split_whitespace().map(|value| match value {
            "unlimited" => Some(u64::MAX),
            number => number.parse().ok(),
        });
        Some((values.next()??, values.next()??))
    }

    /// Returns the cores that the process may use.
    pub(super) fn allowed_cores(&self) -> Option<BTreeSet<usize>> {
        cores_of(&self.value("/proc/self/status", "Cpus_allowed_list")?)
    }

    /// Returns the user of the process.
    pub(super) fn user(&self) -> Option<u32> {
        self.value("/proc/self/status", "Uid")?.split_whitespace().nth(1)?.parse().ok()
    }

    /// Returns whether the process has a capability.
    pub(super) fn has_capability(&self, number: u32) -> Option<bool> {
        let set = self.value("/proc/self/status", "CapEff")?;
        let set = u64::from_str_radix(&set, 16).ok()?;
        Some(set.checked_shr(number)? & 1 == 1)
    }

    /// Returns the owner and the permissions of a directory.
    pub(super) fn directory(&self, path: &Path) -> Option<(u32, u32)> {
        let path = self.root.join(path.strip_prefix("/").unwrap_or(path));
        let metadata = path.symlink_metadata().ok().filter(std::fs::Metadata::is_dir)?;
        Some((metadata.uid(), metadata.mode() & 0o7777))
    }

    /// Returns a limit of the process's control group; `max` becomes the largest number.
    pub(super) fn limit_of_group(&self, name: &str, old: (&str, &str)) -> Option<u64> {
        match &*self.of_group(name, old)? {
            "max" => Some(u64::MAX),
            number => number.parse().ok(),
        }
    }

    /// Returns a value of the process's control group: by its name in version 2 of control groups,
    /// or else by its controller and name in version 1.
    pub(super) fn of_group(&self, name: &str, (controller, old): (&str, &str)) -> Option<String> {
        let groups = self.text("/proc/self/cgroup")?;
        let mut groups = groups.lines().filter_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            // A path that leaves the hierarchy belongs to another namespace.
            (!path.contains("..")).then_some((controllers, path))
        });
        groups.find_map(|(controllers, path)| {
            let (root, name) = match controllers {
                "" => ("/sys/fs/cgroup".to_owned(), name),
                of if of.split(',').any(|it| it == controller) => {
                    (format!("/sys/fs/cgroup/{controller}"), old)
                }
                _ => return None,
            };
            // In a container the group itself is the root of the mount.
            let whole = self.text(&format!("{root}{path}/{name}"));
            whole.or_else(|| self.text(&format!("{root}/{name}")))
        })
    }
}

/// Reads a list of cores, such as `0-3,8`.
pub(super) fn cores_of(text: &str) -> Option<BTreeSet<usize>> {
    let mut cores = BTreeSet::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= MOST_CORES {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores)
}

/// Returns cores as a list, such as `0-3,8`.
pub(super) fn list(cores: &BTreeSet<usize>) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &core in cores {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == core => *last = core,
            _ => ranges.push((core, core)),
        }
    }
    let ranges = ranges.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    ranges.collect::<Vec<_>>().join(",")
}
