//! Imports point down only: which member of the workspace may be built with which others.

use super::Problem;
use crate::tree::Package;

/// Each package and the packages it may use, tests aside, by their folders. docs/architecture.md draws it.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("config", &["model"]),
    ("telemetry", &["model"]),
    // What decides.
    ("scheduler", &["model"]),
    ("worker", &["model"]),
    ("container-queue", &["model"]),
    ("runner", &["model"]),
    (
        "brain",
        &["model", "scheduler", "worker", "container-queue"],
    ),
    // What acts. A driver knows its contract and the vocabulary, nothing else of ours.
    ("arvados-client", &["model"]),
    ("cloud", &["model"]),
    ("cloud-ec2", &["model", "cloud"]),
    ("cloud-azure", &["model", "cloud"]),
    ("cloud-loopback", &["model", "cloud"]),
    ("cloud-lab", &["model", "cloud"]),
    ("cloud-conformance", &["model", "cloud"]),
    // Knows drivers and executors by their contract alone.
    ("cloudtest", &["model", "cloud"]),
    ("ssh-executor", &["model", "cloud"]),
    ("lock", &["model"]),
    ("management-api", &["model", "telemetry"]),
    (
        "dispatcher",
        &[
            "model",
            "config",
            "telemetry",
            "scheduler",
            "worker",
            "container-queue",
            "runner",
            "brain",
            "arvados-client",
            "cloud",
            "ssh-executor",
            "lock",
            "management-api",
        ],
    ),
    // The lab knows nothing of the dispatcher, so that a mistake of one is not believed by the other.
    ("lab", &[]),
    ("lab-net", &["lab"]),
    (
        "arvados-dispatch-cloud",
        &[
            "model",
            "config",
            "telemetry",
            "dispatcher",
            "cloud",
            "cloud-ec2",
            "cloud-azure",
            "cloud-loopback",
            "cloud-lab",
            "cloud-conformance",
            "cloudtest",
            "runner",
            "ssh-executor",
        ],
    ),
    ("arvados-dispatch-ctl", &["config", "management-api"]),
    ("arvados-dispatch-lab", &["lab", "lab-net"]),
    ("xtask", &[]),
];

/// These join everything, and nothing is built with them.
const FREE: &[&str] = &["tests", "fuzz"];

pub(super) fn check(packages: &[Package]) -> Vec<Problem> {
    let mut problems = vec![];
    for package in packages {
        let folder = short(&package.folder);
        if FREE.contains(&folder) {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == folder) else {
            problems.push(Problem::new(
                &package.folder,
                "say in xtask/src/tidy/layers.rs what this package may use",
            ));
            continue;
        };
        if package.folder.starts_with("crates/") && package.name != format!("dispatch-{folder}") {
            problems.push(Problem::new(
                &package.folder,
                format!("`{}` should be `dispatch-{folder}`", package.name),
            ));
        }
        for used in &package.uses {
            let used = used.strip_prefix("dispatch-").unwrap_or(used);
            if !allowed.contains(&used) {
                problems.push(Problem::new(
                    &package.folder,
                    format!("may not use `{used}` (it may use {allowed:?})"),
                ));
            }
        }
    }
    problems
}

/// The folder's own name.
fn short(folder: &str) -> &str {
    folder.rsplit('/').next().unwrap_or(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &str, name: &str, uses: &[&str]) -> Package {
        let uses = uses.iter().map(|name| (*name).into()).collect();
        Package {
            name: name.into(),
            folder: folder.into(),
            uses,
            binaries: vec![],
        }
    }

    #[track_caller]
    fn finds(package: Package, n_problems: usize) {
        let found = check(&[package]);
        assert_eq!(found.len(), n_problems, "{found:?}");
    }

    #[test]
    fn an_import_that_points_up_is_found() {
        finds(
            package("crates/worker", "dispatch-worker", &["dispatch-model"]),
            0,
        );
        finds(
            package("crates/worker", "dispatch-worker", &["dispatch-brain"]),
            1,
        );
        finds(
            package("crates/lab", "dispatch-lab", &["dispatch-runner"]),
            1,
        );
    }

    #[test]
    fn a_package_that_nobody_placed_is_found() {
        finds(package("crates/new", "dispatch-new", &[]), 1);
        finds(package("crates/worker", "worker", &[]), 1);
        finds(package("tests", "dispatch-tests", &["dispatch-brain"]), 0);
    }
}
