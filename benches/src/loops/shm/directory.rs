//! A directory of one column, whose name no other column or run has.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// It may be missing until something is put there, and is removed with all that is in it.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new() -> Directory {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mycelium-benches-{}-{number}", std::process::id());
        Directory(std::env::temp_dir().join(name))
    }

    /// A directory that another process has named.
    pub(super) fn of(path: &str) -> Directory {
        Directory(path.into())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
