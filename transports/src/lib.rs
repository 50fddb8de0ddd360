//! Transports: how messages travel between services, in a process and over links.
//!
//! | module | content | may use |
//! | --- | --- | --- |
//! | [`counters`] | the numbers of sent, taken and dropped messages | the core, `memory` |
//! | [`local`] | topics within one process: rings and subscriptions | `counters`, `memory` |
//! | [`seam`] | where transports attach to topics | `local`, `memory`, the executor trait |
//! | [`stream`] | a link over a stream of bytes | the core, the executor trait |
//! | [`engine`] | topics as packets, for engines of others | `seam` |
//! | [`endpoint`] | where a node listens, and how others connect | the executor trait, `tls` |
//! | `tls` (a feature) | proofs of the names of nodes on several machines | the executor trait |
//! | [`memory`] | shared memory, and the socket that passes it | `endpoint` |
//! | [`link`] | topics between processes, over links | `seam`, `stream`, `endpoint`, `memory` |
//! | [`untyped`] | topics of other processes, read without their types | `link` |
//! | `conformance` (a feature) | the laws of every transport, as generic tests | all modules |
//!
//! Transports do not know the adapters of executors: a transport needs only a
//! [`Waker`](std::task::Waker) and the executor trait.
//!
//! Only the module `memory` and the options of Unix sockets have `unsafe` code.
#![deny(unsafe_code)]

#[cfg(all(feature = "conformance", unix))]
pub mod conformance;
pub mod counters;
mod descriptor;
pub mod endpoint;
pub mod engine;
mod gate;
mod layout;
pub mod link;
pub mod local;
pub mod memory;
pub mod seam;
pub mod stream;
mod sync;
#[cfg(feature = "tls")]
pub mod tls;
pub mod untyped;

/// Returns the private directories of this user that exist, with their names. Leaves out
/// directories that another user has created. Programs without a topology file find the sockets of
/// nodes there, as `<node>.sock`.
///
/// # Errors
/// If the system cannot list them, for example for lack of a descriptor.
pub fn private_directories() -> std::io::Result<Vec<(String, std::path::PathBuf)>> {
    // The directory of the empty name is the prefix of the directories of all names.
    let prefix = private_directory("");
    let (Some(parent), Some(prefix)) = (prefix.parent(), prefix.file_name()) else {
        return Ok(Vec::new());
    };
    let entries = match std::fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str()?.strip_prefix(prefix.to_str()?)?.to_owned();
            is_private(&entry.path()).then(|| (name, entry.path()))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// Whether a directory belongs to this user, and no other user can put a socket there.
#[cfg(target_os = "linux")]
fn is_private(directory: &std::path::Path) -> bool {
    use endpoint::unix::{check_directory, own_user};

    check_directory(directory, 0o755, own_user()).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn is_private(directory: &std::path::Path) -> bool {
    directory.is_dir()
}

/// Returns the private directory of this user for processes that share a `name`. It lies in
/// `XDG_RUNTIME_DIR`, if that is an absolute path, or else in the directory for temporary files. It
/// may not exist yet.
#[must_use]
pub fn private_directory(name: &str) -> std::path::PathBuf {
    // A path that is empty or not absolute counts as not set, as the specification of the variable
    // says.
    let directory = std::env::var_os("XDG_RUNTIME_DIR").map(std::path::PathBuf::from);
    match directory.filter(|directory| directory.is_absolute()) {
        Some(directory) => directory.join(format!("mycelium-{name}")),
        None => {
            #[cfg(target_os = "linux")]
            let user = endpoint::unix::own_user().to_string();
            #[cfg(not(target_os = "linux"))]
            let user = "user";
            std::env::temp_dir().join(format!("mycelium-{user}-{name}"))
        }
    }
}
