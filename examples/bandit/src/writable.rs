//! Whether a file can be written, before there is anything to write.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::FileTypeExt,
    path::Path,
};

/// Checks that a file can be written or created, without doing it.
///
/// # Errors
/// Those of opening it.
pub fn check_writable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() || found.is_dir() => {
            OpenOptions::new().write(true).open(path).map(drop)
        }
        // To open a pipe waits for its reader, and a service that is restarted cannot truncate it.
        Ok(found) if found.file_type().is_fifo() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe: expected a file"))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            OpenOptions::new().write(true).create_new(true).open(path)?;
            fs::remove_file(path)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn files_are_checked_and_left_as_they_were() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        check_writable(&path).unwrap();
        assert!(!path.exists());
        fs::write(&path, "text").unwrap();
        check_writable(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        check_writable(Path::new("/dev/null")).unwrap();
        let pipe = directory.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for wrong in [directory.path().join("none/file"), directory.path().to_owned(), pipe] {
            assert!(check_writable(&wrong).is_err(), "{}", wrong.display());
        }
    }
}
