//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Version and build, as `cargo xtask dist` writes them.
pub(crate) const VERSION: &str = match option_env!("DISPATCH_BUILD") {
    Some(version) => version,
    None => concat!(env!("CARGO_PKG_VERSION"), " (development build)"),
};

/// Runs an Arvados cluster's containers on cloud VMs.
///
/// Watches the container queue, creates instances when the ones it has are full, starts a crunch-run process for each
/// container over SSH, and destroys instances that nobody needs. Without a command it runs the dispatcher.
#[derive(Parser, Debug)]
#[command(
    name = "arvados-dispatch-cloud",
    version = VERSION,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run the dispatcher until SIGTERM.
    Run(RunArgs),
    /// Check the configuration: says everything that is wrong with it, each with its remedy.
    ///
    /// Files that it names are checked as this host has them: a certificate or key that cannot be used is an error. A
    /// runner (DeployRunnerBinary) that is not on this host is a warning, since the dispatcher may run on another:
    /// `run` will not start here. Nothing is connected to: neither the addresses to listen at, nor the API, the
    /// database and the cloud are tried.
    ///
    /// Exit status: 0 if it has no errors (there may be warnings), 1 if it has errors, 2 if there was nothing to check.
    ConfigCheck(ConfigArgs),
    /// Print the configuration as it takes effect: the file's values over the defaults, secrets masked.
    ConfigDump(DumpArgs),
    /// Try out the cloud: make an instance in each subnet, log in to it, and destroy it again.
    ///
    /// Every step is told with its outcome. Whatever happens, what was made is destroyed as far as the cloud allows, and
    /// it ends in time. Exit status: 0 if every step passed, 1 if not. This makes real instances, which cost money.
    Cloudtest(CloudtestArgs),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {
    /// Cluster configuration, YAML or (if it ends in .toml) TOML; "-" is standard input. Without it $ARVADOS_CONFIG,
    /// and if that is not set or empty, /etc/arvados/config.yml.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// In which syntax.
    #[arg(long, value_enum, default_value_t = Syntax::Yaml)]
    pub(crate) format: Syntax,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CloudtestArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Destroy the instances that an earlier test has left, instead of stopping there.
    #[arg(long)]
    pub(crate) destroy_existing: bool,
    /// Image to use instead of Containers.CloudVMs.ImageID.
    #[arg(long, value_name = "ID")]
    pub(crate) image_id: Option<String>,
    /// Marks the instances of the test. The dispatcher's own are left alone.
    #[arg(long, value_name = "ID", default_value = "cloudtest")]
    pub(crate) instance_set_id: String,
    /// Which of the configured types to make; the cheapest if not given.
    #[arg(long, value_name = "NAME")]
    pub(crate) instance_type: Option<String>,
    /// A shell command to run on the instance.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) command: Option<String>,
    /// Ask before the instance is destroyed, so that one can look at it.
    #[arg(long)]
    pub(crate) pause_before_destroy: bool,
    /// How many minutes one test may take, its clean-up included and such a pause not.
    #[arg(long, value_name = "MINUTES", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1440))]
    pub(crate) deadline: u64,
    /// Then run every check of the driver's contract as well: about twenty more instances, one after the other.
    #[arg(long)]
    pub(crate) all_checks: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Syntax {
    Yaml,
    Toml,
}

/// Flags of the Go programs.
const GO_FLAGS: &[&str] = &[
    "version",
    "config",
    "help",
    "command",
    "destroy-existing",
    "image-id",
    "instance-set-id",
    "instance-type",
    "pause-before-destroy",
];

/// The Go dispatcher's flags have one dash; unit files and habits still write them so.
pub(crate) fn modernized(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    args.map(|arg| match arg.to_str() {
        Some(text)
            if text
                .strip_prefix('-')
                .is_some_and(|flag| GO_FLAGS.contains(&flag.split('=').next().unwrap_or(flag))) =>
        {
            OsString::from(format!("-{text}"))
        }
        _ => arg,
    })
    .collect()
}
