//! The kept inputs: one file each, in a folder for each target.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where a target's inputs are.
pub fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target)
}

/// A target's inputs with their names, in order.
pub fn read(target: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut inputs = vec![];
    for entry in fs::read_dir(folder(target))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        inputs.push((name.into_owned(), fs::read(&path)?));
    }
    inputs.sort();
    Ok(inputs)
}

/// Keeps an input that failed; returns where.
pub fn keep(target: &str, input: &[u8]) -> io::Result<PathBuf> {
    let path = folder(target).join(format!("found-{:016x}", sum(input)));
    fs::write(&path, input)?;
    Ok(path)
}

/// A name for an input (FNV-1a).
fn sum(input: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    input.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
