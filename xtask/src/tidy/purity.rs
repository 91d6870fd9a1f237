//! The crates that decide know no runtime, no network, no entropy, and no crate that would bring them; the daemon knows
//! no cloud's SDK unless it was asked for.

use anyhow::Result;

use super::Problem;
use crate::command::{cargo, output};

/// The crates that decide.
const DECIDING: &[&str] = &[
    "dispatch-model",
    "dispatch-scheduler",
    "dispatch-worker",
    "dispatch-container-queue",
    "dispatch-runner",
    "dispatch-brain",
];

/// Crates that do not decide, yet run under any runtime or none.
const WITHOUT_RUNTIME: &[&str] = &["dispatch-config", "dispatch-lab"];

const RUNTIMES_AND_NETWORK: &[&str] = &[
    "async-std",
    "hyper",
    "hyper-util",
    "libssh2-sys",
    "mio",
    "openssl-sys",
    "reqwest",
    "russh",
    "rustls",
    "smol",
    "socket2",
    "ssh2",
    "tokio",
];

const ENTROPY: &[&str] = &["getrandom", "fastrand"];

pub(super) fn check() -> Result<Vec<Problem>> {
    let mut problems = vec![];
    for package in DECIDING {
        problems.extend(judge(
            package,
            &tree(package)?,
            &[RUNTIMES_AND_NETWORK, ENTROPY].concat(),
        ));
    }
    for package in WITHOUT_RUNTIME {
        problems.extend(judge(package, &tree(package)?, RUNTIMES_AND_NETWORK));
    }
    let bare = daemon_tree(&["--no-default-features"])?;
    let sdk = sdk_crates(&bare);
    problems.extend(judge(DAEMON, &bare, &sdk));
    Ok(problems)
}

const DAEMON: &str = "arvados-dispatch-cloud";

/// Everything the daemon is built with, given these features.
fn daemon_tree(features: &[&str]) -> Result<String> {
    let tree = ["tree", "--package", DAEMON, "--edges", "normal"];
    output(cargo(tree).args(["--prefix", "none"]).args(features))
}

/// The crates of clouds' SDKs among these, and what only they need. (`aws-lc-rs` is no part of them: TLS is built on
/// that everywhere.)
fn sdk_crates(tree: &str) -> Vec<&str> {
    const FAMILIES: [&str; 9] = [
        "aws-config",
        "aws-credential-types",
        "aws-runtime",
        "aws-sdk-",
        "aws-sigv4",
        "aws-smithy-",
        "aws-types",
        "azure_",
        "http-types",
    ];
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names
        .filter(|name| FAMILIES.iter().any(|family| name.starts_with(family)))
        .collect()
}

/// Everything the package is built with, one `name version` a line.
fn tree(package: &str) -> Result<String> {
    output(&mut cargo([
        "tree",
        "--package",
        package,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--all-features",
    ]))
}

fn judge(package: &str, tree: &str, forbidden: &[&str]) -> Vec<Problem> {
    let mut names: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    names.sort_unstable();
    names.dedup();
    let found = names.into_iter().filter(|name| forbidden.contains(name));
    found
        .map(|name| {
            Problem::new(
                package,
                format!("is built with `{name}` (cargo tree -p {package} -i {name})"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_has_the_sdk_of_a_cloud_with_its_feature_and_no_crate_of_it_without() {
        let bare = daemon_tree(&["--no-default-features"]).unwrap();
        assert!(bare.contains("dispatch-dispatcher"), "{bare}");
        assert_eq!(sdk_crates(&bare), Vec::<&str>::new());
        let with_ec2 = daemon_tree(&["--no-default-features", "--features", "ec2"]).unwrap();
        assert!(sdk_crates(&with_ec2).contains(&"aws-sdk-ec2"));
        assert!(!sdk_crates(&with_ec2).contains(&"azure_core"));
        let with_azure = daemon_tree(&["--no-default-features", "--features", "azure"]).unwrap();
        assert!(sdk_crates(&with_azure).contains(&"azure_mgmt_compute"));
        assert!(!sdk_crates(&with_azure).contains(&"aws-sdk-ec2"));
        // Its own HTTP client stays switched off.
        assert!(!with_azure.contains("reqwest v0.12"), "{with_azure}");
    }

    #[test]
    fn a_runtime_below_a_deciding_crate_is_found_once() {
        let tree = "dispatch-brain v0.1.0\ntokio v1.54.1\njiff v0.2.46\ntokio v1.54.1 (*)\ntokio-macros v2.7.2\n";
        let found = judge("dispatch-brain", tree, RUNTIMES_AND_NETWORK);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
