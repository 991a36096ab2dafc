//! Writes inputs to begin with into a folder.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| ".".into()));
    for (i, seed) in harness::seeds().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{i:03}")), seed)?;
    }
    Ok(())
}
