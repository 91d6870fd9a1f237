//! The programs under test: built once for each run of the tests, in the profile of the tests.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The daemon without the cloud SDKs: these tests need none of them, and they take minutes to compile.
const BUILD: [&str; 9] = [
    "build",
    "--package=arvados-dispatch-cloud",
    "--package=arvados-dispatch-ctl",
    "--package=arvados-dispatch-lab",
    "--no-default-features",
    "--features=arvados-dispatch-cloud/lab,arvados-dispatch-cloud/loopback",
    "--bins",
    "--quiet",
    "--offline",
];

/// `arvados-dispatch-cloud`.
pub(crate) fn daemon_program() -> PathBuf {
    program("arvados-dispatch-cloud")
}

/// `arvados-dispatch-lab`.
pub(crate) fn lab_program() -> PathBuf {
    program("arvados-dispatch-lab")
}

/// The lab's stand-in for crunch-run, for machines that are real processes.
pub(crate) fn stand_in_runner() -> PathBuf {
    program("lab-crunch-run")
}

/// What a program that has ended leaves behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `arvados-dispatch-ctl` with this configuration, and nothing in the environment that could help it.
pub(crate) async fn run_ctl(config: &Path, arguments: &[impl AsRef<OsStr>]) -> Ran {
    let output = tokio::process::Command::new(program("arvados-dispatch-ctl"))
        .arg("--config")
        .arg(config)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .await
        .expect("ctl runs");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn program(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(build).join(name)
}

/// Builds them where this test was built; the directory.
fn build() -> PathBuf {
    // target/<profile>/deps/end_to_end-<hash>
    let own = env::current_exe().expect("this program has a path");
    let directory = own
        .parent()
        .and_then(Path::parent)
        .expect("target/<profile>/deps")
        .to_owned();
    let profile = directory.file_name().and_then(OsStr::to_str);
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(BUILD).args(match profile {
        Some("debug") | None => None,
        Some(profile) => Some(format!("--profile={profile}")),
    });
    command
        .arg("--target-dir")
        .arg(directory.parent().expect("target"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo tells this test of itself would make build scripts run again.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_this_package = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_CRATE_",
            "CARGO_BIN_",
        ];
        if of_this_package
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    let status = command.status().expect("cargo runs");
    assert!(
        status.success(),
        "the programs under test cannot be built; see above, or try: cargo {}",
        BUILD.join(" ")
    );
    directory
}
