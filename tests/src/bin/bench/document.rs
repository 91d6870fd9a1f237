//! `docs/performance.md`: the same table with the conditions under which it was measured.

use std::{fmt::Write, fs, path::PathBuf, process::Command};

use crate::table::Line;

/// On what, and when.
pub(crate) struct Conditions {
    date: String,
    commit: String,
    cores: usize,
    processor: String,
    load: String,
}

impl Conditions {
    pub(crate) fn now() -> Conditions {
        let first_of = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let processor = first_of("/proc/cpuinfo")
            .lines()
            .find_map(|line| {
                Some(
                    line.strip_prefix("model name")?
                        .split_once(':')?
                        .1
                        .trim()
                        .to_owned(),
                )
            })
            .unwrap_or_else(|| "unknown".to_owned());
        let load = first_of("/proc/loadavg");
        let load: Vec<&str> = load.split_whitespace().take(2).collect();
        Conditions {
            date: jiff::Timestamp::now()
                .strftime("%Y-%m-%d %H:%M UTC")
                .to_string(),
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor,
            load: load.join(" and "),
        }
    }
}

fn commit() -> Option<String> {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=10"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}

/// Where the document belongs. Cargo says which workspace this is; run by itself, the program does not know.
pub(crate) fn usual_place() -> Option<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")?;
    let workspace = PathBuf::from(package).parent()?.to_owned();
    Some(workspace.join("docs/performance.md"))
}

/// The document.
pub(crate) fn write(conditions: &Conditions, lines: &[Line], tries: &[String]) -> String {
    let mut text = String::new();
    let mut line = |words: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{words}");
    };
    line("# Performance\n");
    line("Written by `cargo xtask bench`; do not edit.\n");
    line(&format!(
        "Measured on {} at commit {}, on {} cores ({}) with a load average of {} before it began.",
        conditions.date, conditions.commit, conditions.cores, conditions.processor, conditions.load
    ));
    line("Dispatcher and lab are two processes on the same machine.");
    line(
        "The lab answers as the cluster did on which the Go dispatcher was measured ([go-measured](reference/go-measured.md)):",
    );
    line(
        "API 20 ms, cloud 200 ms, a create 300 ms, `--list` and all other commands 10 ms, `--detach` 30 ms, Running 100 ms after that.",
    );
    line(
        "The configuration is the default one except for the driver, MaxInstances, DeployRunnerBinary \"\", TimeoutIdle where it matters, and what a row names.",
    );
    line("Every figure comes from what the lab saw, or from `/proc`.");
    line(
        "\"Go/ours\" compares the value that the target is about; where Go's p99 is not known, with its maximum.\n",
    );
    line("| row | what | Go | target | ours | Go/ours | |");
    line("|---|---|---|---|---|---|---|");
    for row in lines {
        line(&format!(
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            row.name, row.what, row.go, row.target, row.ours, row.ratio, row.verdict
        ));
    }
    line("\n## Every try\n");
    line(
        "A row that misses is tried again, since other work on the machine spoils measurements.\n",
    );
    for one in tries {
        line(&format!("- {}", one.replace('\n', " ")));
    }
    text
}
