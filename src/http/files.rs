//! Files that an operator changes while the server runs: certificates and credentials. What does not load leaves what
//! was loaded before in force.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;
use tracing::{error, info};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct FileError {
    file: String,
    problem: String,
}

impl FileError {
    pub(crate) fn new(file: &Path, problem: impl ToString) -> FileError {
        FileError {
            file: file.display().to_string(),
            problem: problem.to_string(),
        }
    }
}

/// Reads a file that may be `limit` bytes long.
pub(crate) fn read(file: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let size = std::fs::metadata(file).map_err(|why| FileError::new(file, why))?;
    if size.len() > limit {
        return Err(FileError::new(file, format!("longer than {limit} bytes")));
    }
    std::fs::read(file).map_err(|why| FileError::new(file, why))
}

/// What a file looked like when it was read; none when it was not there.
type Stamp = Option<(SystemTime, u64)>;

type Load<T> = Box<dyn Fn() -> Result<T, FileError> + Send + Sync>;

/// What was made of some files.
pub(crate) struct Loaded<T> {
    what: &'static str,
    files: Vec<PathBuf>,
    load: Load<T>,
    current: RwLock<Arc<T>>,
    seen: Mutex<Vec<Stamp>>,
}

impl<T> fmt::Debug for Loaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl<T> Loaded<T> {
    /// `what` stands in log lines.
    pub(crate) fn new(
        what: &'static str,
        files: Vec<PathBuf>,
        load: Load<T>,
    ) -> Result<Loaded<T>, FileError> {
        let seen = stamps(&files); // before it is read: a change meanwhile is seen the next time
        let current = load()?;
        Ok(Loaded {
            what,
            files,
            load,
            current: RwLock::new(Arc::new(current)),
            seen: Mutex::new(seen),
        })
    }

    pub(crate) fn current(&self) -> Arc<T> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What can be brought up to date.
pub(crate) trait Refresh: Send + Sync {
    /// Loads again what has changed, or everything when it is asked for.
    fn refresh(&self, is_asked: bool);
}

impl<T: Send + Sync> Refresh for Loaded<T> {
    fn refresh(&self, is_asked: bool) {
        let now = stamps(&self.files);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if !is_asked && *seen == now {
                return;
            }
            *seen = now; // a file that does not load is not tried again until it changes
        }
        match (self.load)() {
            Ok(new) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                info!(what = self.what, "loaded again");
            }
            Err(error) => {
                error!(what = self.what, %error, "cannot be loaded; what was loaded before stays in force");
            }
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let facts = std::fs::metadata(file).ok()?;
        Some((facts.modified().ok()?, facts.len()))
    };
    files.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_load_leaves_what_was_loaded_in_force() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write("7");
        let path = file.path().to_owned();
        let load = Box::new(move || {
            let text = String::from_utf8(read(&path, 5)?).unwrap();
            text.parse::<u32>()
                .map_err(|why| FileError::new(&path, why))
        });
        let loaded = Loaded::new("number", vec![file.path().to_owned()], load).unwrap();
        for (case, text, is_asked, now) in [
            ("unchanged", "7", false, 7),
            ("another", "12", false, 12),
            ("no number", "x", false, 12),
            ("no number, asked for", "x", true, 12),
            ("too long", "123456", false, 12),
            ("a number again", "123", true, 123),
        ] {
            write(text);
            loaded.refresh(is_asked);
            assert_eq!(*loaded.current(), now, "{case}");
        }
        drop(file);
        loaded.refresh(false);
        assert_eq!(*loaded.current(), 123, "gone");
    }
}
