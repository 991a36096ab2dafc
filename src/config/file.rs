//! Files that the configuration names.

use std::path::Path;

/// The text of a file of at most so many bytes, or why it cannot be had.
pub fn text(path: &Path, longest: u64) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > longest {
        return Err(format!("longer than {longest} bytes"));
    }
    std::fs::read_to_string(path).map_err(|e| e.to_string())
}
