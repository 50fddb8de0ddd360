//! The error of a file of this application.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {source}", path.display())]
pub struct FileError {
    what: &'static str,
    path: PathBuf,
    source: Box<dyn Error + Send + Sync>,
}

impl FileError {
    /// Names the file of an error, and what was to be done with it.
    pub(crate) fn of<E: Into<Box<dyn Error + Send + Sync>>>(
        what: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self { what, path: path.into(), source: source.into() }
    }
}
