//! What the loopback driver offers: this host (facts §3.5).

use std::{io, path::Path};

/// The size of a host, passed in so that reading a configuration depends on nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostFacts {
    /// Processors.
    pub cpus: u32,
    /// Memory.
    pub ram_bytes: u64,
    /// Size of the file system that temporary files are on.
    pub tmp_bytes: u64,
}

impl HostFacts {
    /// The facts of the host we run on. `tmp` is where temporary files go.
    pub fn of_this_host(tmp: &Path) -> io::Result<HostFacts> {
        let cpus = std::thread::available_parallelism()?.get();
        let meminfo = std::fs::read_to_string("/proc/meminfo")?;
        let ram_bytes = mem_total_bytes(&meminfo).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo has no MemTotal")
        })?;
        let stat = rustix::fs::statvfs(tmp)?;
        Ok(HostFacts {
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            ram_bytes,
            tmp_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}

fn mem_total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_size() {
        let facts = HostFacts::of_this_host(&std::env::temp_dir()).unwrap();
        assert!(
            facts.cpus > 0 && facts.ram_bytes > 0 && facts.tmp_bytes > 0,
            "{facts:?}"
        );
    }

    #[test]
    fn the_memory_is_read_in_kibibytes() {
        assert_eq!(
            mem_total_bytes("MemFree: 1 kB\nMemTotal:       16384 kB\n"),
            Some(16 * 1024 * 1024)
        );
        assert_eq!(mem_total_bytes("MemFree: 1 kB\n"), None);
    }
}
