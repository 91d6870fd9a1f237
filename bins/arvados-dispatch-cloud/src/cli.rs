//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs an Arvados cluster's containers on cloud VMs.
///
/// Watches the container queue, creates instances when the ones it has are full, starts a crunch-run process for each
/// container over SSH, and destroys instances that nobody needs. Without a command it runs the dispatcher.
#[derive(Parser, Debug)]
#[command(
    name = "arvados-dispatch-cloud",
    version,
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
    /// Exit status: 0 if the dispatcher can start with it (there may be warnings), 1 if it has errors, 2 if there was
    /// nothing to check.
    ConfigCheck(ConfigArgs),
    /// Print the configuration as it takes effect: the file's values over the defaults, secrets masked.
    ConfigDump(DumpArgs),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {
    /// Cluster configuration, YAML or (if it ends in .toml) TOML; "-" is standard input.
    #[arg(long, value_name = "FILE", env = "ARVADOS_CONFIG")]
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

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Syntax {
    Yaml,
    Toml,
}

/// The Go dispatcher's flags have one dash; unit files and habits still write them so.
pub(crate) fn modernized(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    args.map(|arg| match arg.to_str() {
        Some(text)
            if text == "-version"
                || text == "-config"
                || text.starts_with("-config=")
                || text == "-help" =>
        {
            OsString::from(format!("-{text}"))
        }
        _ => arg,
    })
    .collect()
}
