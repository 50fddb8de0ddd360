//! The texts of a topology's files, and their copy on the disk. A launcher passes the copy to its
//! nodes, so that they use the same version of the files as the launcher.
//!
//! A copy is a file. It has a first line, and then for each topology file: the number of its paths
//! and the size of its text; the size of each path, and the path; the text. Each of these lines,
//! paths and texts ends with a line break:
//!
//! ```text
//! mycelium topology files 1
//! 2 12
//! 13
//! /srv/app.toml
//! 24
//! /srv/releases/7/app.toml
//! [node.main]
//!
//! ```
//!
//! Panic contract: no content of a copy causes a panic in this module.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::topology::Topology;
use crate::topology::source::FileText;

/// The maximum size of all files of a topology together, in bytes.
pub(crate) const LARGEST: u64 = 16 << 20;
/// The first line of a copy.
const HEAD: &[u8] = b"mycelium topology files 1\n";
/// The maximum size of a copy, in bytes: half for the texts, and half for the paths.
const LARGEST_COPY: u64 = 2 * LARGEST;

/// The texts of a topology's files, by their paths: [`Topology::files`].
///
/// A launcher writes them to a file, which its nodes read instead of the files on the disk. So a
/// node does not see a file that is changed while the node starts, and a restarted node reads the
/// same texts as before.
///
/// ```
/// use mycelium::topology::TopologyFiles;
/// use mycelium::Topology;
///
/// # let directory = std::env::temp_dir().join(format!("mycelium-files-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let file = directory.join("app.toml");
/// std::fs::write(&file, "[node.feed]\n[node.store]\n")?;
/// let copy = directory.join("files-1");
/// Topology::load(&file)?.files().write(&copy)?;
///
/// std::fs::write(&file, "[node.fe")?;
/// // A process of `mycelium_bundle` does this by itself if `TopologyFiles::VARIABLE` is in its
/// // environment, and has the path of the copy.
/// let topology = Topology::options().files(TopologyFiles::read(&copy)?).load(&file)?;
/// assert!(topology.nodes().eq(["feed", "store"]));
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopologyFiles(Arc<Vec<FileText>>);

impl Topology {
    /// Returns the texts that were read: of the topology file, and of the files that it includes.
    /// Empty if the topology was parsed from a text.
    #[must_use]
    pub fn files(&self) -> TopologyFiles {
        TopologyFiles(Arc::new(self.file.texts()))
    }
}

impl TopologyFiles {
    /// The environment variable with the path of a copy. [`Topology::load`] reads the texts from
    /// this copy in a process that a launcher (`mycelium_bundle`) has started with the variable,
    /// and whose standard input is the launcher's pipe. Other processes that inherit the variable
    /// ignore it.
    pub const VARIABLE: &str = "MYCELIUM_TOPOLOGY_FILES";

    /// Writes a copy atomically; an existing file is replaced. Only this user can read it.
    ///
    /// # Errors
    /// The system's error if the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let written = private(Path::new(&new))
            .and_then(|mut file| file.write_all(&self.encode()))
            .and_then(|()| fs::rename(&new, path));
        if written.is_err() {
            // Ignores an error: the file may not exist.
            let _ = fs::remove_file(&new);
        }
        written
    }

    /// Reads a copy.
    ///
    /// # Errors
    /// [`io::Error`]: the file cannot be read, or is not a copy that this version can read.
    pub fn read(path: impl AsRef<Path>) -> io::Result<TopologyFiles> {
        let mut bytes = Vec::new();
        File::open(path)?.take(LARGEST_COPY).read_to_end(&mut bytes)?;
        let invalid = || {
            let problem = "it is not a copy of the files of a topology that this version can read";
            io::Error::new(io::ErrorKind::InvalidData, problem)
        };
        decode(&bytes).map(|files| TopologyFiles(Arc::new(files))).ok_or_else(invalid)
    }

    /// Returns the texts from the launcher of this process; none without a launcher.
    ///
    /// # Errors
    /// A text with the path of the copy, if it cannot be read.
    pub(crate) fn of_launcher() -> Result<TopologyFiles, String> {
        let given = env::var_os(TopologyFiles::VARIABLE).filter(|_| has_launcher());
        let Some(path) = given else { return Ok(TopologyFiles::default()) };
        TopologyFiles::read(&path).map_err(|error| {
            let path = Path::new(&path).display();
            let hint = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "; start a process of another user without the variable `MYCELIUM_TOPOLOGY_FILES`"
                }
                _ => "",
            };
            format!(
                "the launcher of this process has a copy of the files at `{path}`: {error}{hint}"
            )
        })
    }

    /// Returns the file with this path: the path without symlinks, or one by which the file was
    /// found.
    pub(crate) fn find(&self, path: &Path) -> Option<&FileText> {
        let with = |path: &Path| self.0.iter().find(|file| file.paths.iter().any(|it| it == path));
        if self.0.is_empty() {
            return None;
        }
        with(&std::path::absolute(path).ok()?).or_else(|| with(&fs::canonicalize(path).ok()?))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = HEAD.to_vec();
        for FileText { paths, text } in self.0.iter() {
            bytes.extend_from_slice(format!("{} {}\n", paths.len(), text.len()).as_bytes());
            for path in paths {
                let path = path.as_os_str().as_encoded_bytes();
                bytes.extend_from_slice(format!("{}\n", path.len()).as_bytes());
                bytes.extend_from_slice(path);
                bytes.push(b'\n');
            }
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(b'\n');
        }
        bytes
    }
}

/// Returns the files of a copy. `None` if the bytes are not a copy.
fn decode(bytes: &[u8]) -> Option<Vec<FileText>> {
    let mut rest = bytes.strip_prefix(HEAD)?;
    let mut files = Vec::new();
    while !rest.is_empty() {
        let (paths, size) = line(&mut rest)?.split_once(' ')?;
        let (count, size): (usize, usize) = (paths.parse().ok()?, size.parse().ok()?);
        let mut paths = Vec::new();
        for _ in 0..count {
            let length = line(&mut rest)?.parse().ok()?;
            paths.push(path(part(&mut rest, length)?)?);
        }
        paths.first()?;
        let text = std::str::from_utf8(part(&mut rest, size)?).ok()?.to_owned();
        files.push(FileText { paths, text });
    }
    Some(files)
}

/// Takes a line of numbers from the input.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    std::str::from_utf8(part(rest, end)?).ok()
}

/// Takes this many bytes, and the line break after them, from the input.
fn part<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (part, after) = rest.split_at_checked(length)?;
    *rest = after.strip_prefix(b"\n")?;
    Some(part)
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems have no path of these bytes")]
fn path(bytes: &[u8]) -> Option<PathBuf> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    Some(OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
fn path(bytes: &[u8]) -> Option<PathBuf> {
    std::str::from_utf8(bytes).ok().map(PathBuf::from)
}

/// Creates a file that only this user can read.
fn private(path: &Path) -> io::Result<File> {
    // Removes an earlier file, which may have other permissions.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create_new(true).open(path)
}

/// Returns whether a launcher has started this process.
fn has_launcher() -> bool {
    #[cfg(unix)]
    return crate::support::launcher::pipe().is_ok_and(|pipe| pipe.is_some());
    #[cfg(not(unix))]
    return false;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> TopologyFiles {
        let file = |paths: &[&str], text: &str| FileText {
            paths: paths.iter().map(PathBuf::from).collect(),
            text: text.to_owned(),
        };
        TopologyFiles(Arc::new(vec![
            file(&["/a/b.toml", "/l\n/b.toml"], "[node.größe]\n"),
            file(&["/c"], ""),
            file(&["/d.toml"], "# 1 2\n3\n/d\n"),
        ]))
    }

    #[test]
    fn other_bytes_are_refused() {
        let whole = files().encode();
        let ends: Vec<usize> = (0..files().0.len())
            .map(|count| TopologyFiles(Arc::new(files().0[..count].to_vec())).encode().len())
            .collect();
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length]).is_some(), ends.contains(&length), "{length}");
        }
        for at in 0..whole.len() {
            for byte in [b'\n', b' ', b'9', 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                // Damaged bytes are refused, or decoded to other files: they never cause a panic.
                let _ = decode(&bytes);
            }
        }
        let head = |text: &str| [HEAD, text.as_bytes()].concat();
        let huge = format!("1 {}\n1\n/\n\n", u64::MAX);
        for text in ["\n", "1\n", "0 0\n\n", "1 0\n9\n/a\n\n", "-1 0\n\n", "9 9\n", &huge] {
            assert_eq!(decode(&head(text)), None, "{text}");
        }
    }
}
