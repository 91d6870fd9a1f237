//! The command line, and the help that teaches it.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use url::Url;

/// Version and build, as `cargo xtask dist` writes them.
const VERSION: &str = match option_env!("DISPATCH_BUILD") {
    Some(version) => version,
    None => concat!(env!("CARGO_PKG_VERSION"), " (development build)"),
};

/// Show and steer the instances and containers of an Arvados cloud dispatcher.
#[derive(Debug, Parser)]
#[command(
    name = "arvados-dispatch-ctl",
    version = VERSION,
    disable_help_subcommand = true,
    after_help = TEACHING,
    after_long_help = TEACHING
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) reach: Reach,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const TEACHING: &str = "\
Examples:
  arvados-dispatch-ctl list                          all instances, as a table
  arvados-dispatch-ctl list --json | jq '.[].instance'
  arvados-dispatch-ctl drain i-0123 i-4567           no new containers; destroyed once idle
  arvados-dispatch-ctl kill --reason 'bad disk' i-0123
  arvados-dispatch-ctl containers list               what waits, and why
  arvados-dispatch-ctl containers show zzzzz-dz642-000000000000005

Where to ask, first of: --url; $ARVADOS_DISPATCH_URL; Services.DispatchCloud.InternalURLs of the configuration.
With what token, first of: --token-file, --token; $ARVADOS_DISPATCH_TOKEN; ManagementToken of the configuration.
The configuration, --config, $ARVADOS_CONFIG or /etc/arvados/config.yml, is read only if it is needed; one that is
named with --config goes before the environment.

Exit codes: 0 all done, 1 something was not done, 2 the command line makes no sense.";

/// Where the dispatcher is, and how to reach it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reaching the dispatcher")]
pub(crate) struct Reach {
    /// Management API of a dispatcher, for instance http://localhost:9006; may be given several times.
    #[arg(long, value_name = "URL", global = true, value_parser = base_url)]
    pub(crate) url: Vec<Url>,
    /// File with the management token.
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// The management token. Other users of this host can see it while the command runs: prefer --token-file.
    #[arg(long, value_name = "TOKEN", global = true)]
    pub(crate) token: Option<String>,
    /// Cluster configuration to take URL and token from (YAML, or TOML by its extension; `-` is standard input).
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Accept any TLS certificate.
    #[arg(long, global = true, conflicts_with = "ca")]
    pub(crate) insecure: bool,
    /// Accept certificates signed by those in this PEM file, besides those the system trusts.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ca: Option<PathBuf>,
    /// Give up on a request after this many seconds.
    #[arg(long, value_name = "SECONDS", global = true, default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show and steer instances, the VMs that run containers.
    #[command(subcommand)]
    Instances(InstanceCommand),
    /// Show and kill containers.
    #[command(subcommand)]
    Containers(ContainerCommand),
    #[command(flatten)]
    Short(InstanceCommand),
}

/// What to do with instances. These are also commands of their own: `list` is `instances list`.
#[derive(Debug, Subcommand)]
pub(crate) enum InstanceCommand {
    /// List all instances.
    List(ListArgs),
    /// Keep instances as they are: they get no new containers, and nothing but `kill` destroys them.
    Hold(InstanceIds),
    /// Let instances end: they get no new containers, and are destroyed when the last one has finished.
    Drain(InstanceIds),
    /// Let instances work as usual again, after hold or drain.
    Run(InstanceIds),
    /// Destroy instances at once, with whatever runs on them.
    Kill(KillInstances),
}

/// What to do with containers.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerCommand {
    /// List the containers the dispatcher knows, in the order it serves them, and why each waits.
    List(ListArgs),
    /// Show everything the dispatcher knows about containers.
    Show(ShowContainers),
    /// End the runner of containers (SIGTERM); what becomes of the container is up to the API.
    Kill(KillContainers),
}

/// How a list is written.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct ListArgs {
    /// As a JSON array, with every field of the management API.
    #[arg(long, conflicts_with_all = ["tsv", "header"])]
    pub(crate) json: bool,
    /// Tab-separated, "-" for what is empty, as `arvados-server instance list` writes it.
    #[arg(long)]
    pub(crate) tsv: bool,
    /// With --tsv: begin with a line of column names.
    #[arg(long, requires = "tsv")]
    pub(crate) header: bool,
}

/// Which instances.
#[derive(Debug, Args)]
pub(crate) struct InstanceIds {
    /// Ids of instances, as `list` shows them.
    #[arg(required = true, value_name = "INSTANCE")]
    pub(crate) ids: Vec<String>,
}

/// Which instances to destroy, and why.
#[derive(Debug, Args)]
pub(crate) struct KillInstances {
    #[command(flatten)]
    pub(crate) which: InstanceIds,
    /// For the dispatcher's log.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// Which containers to show.
#[derive(Debug, Args)]
pub(crate) struct ShowContainers {
    /// UUIDs of containers.
    #[arg(required = true, value_name = "UUID")]
    pub(crate) ids: Vec<String>,
    /// As a JSON array.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which containers to kill, and why.
#[derive(Debug, Args)]
pub(crate) struct KillContainers {
    /// UUIDs of containers.
    #[arg(required = true, value_name = "UUID")]
    pub(crate) ids: Vec<String>,
    /// For the dispatcher's log.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// The base of a management API's addresses.
pub(crate) fn base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error} (write http://HOST:PORT)"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("it must begin with http:// or https:// and a host".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("no user or password belongs here; the token is given apart".into());
    }
    Ok(url)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .trim_end_matches('s')
        .parse()
        .map_err(|_| "write a number of seconds, for instance 30".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(timeout) if timeout >= Duration::from_millis(1) && timeout.as_secs() <= 86_400 => {
            Ok(timeout)
        }
        _ => Err("it must be between 0.001 and 86400 seconds".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_timeout_is_a_sensible_number_of_seconds() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(seconds("30s"), Ok(Duration::from_secs(30)));
        for wrong in ["0", "-1", "soon", "1e9", "NaN"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_endpoint_is_an_http_url_without_secrets() {
        assert!(base_url("http://localhost:9006").is_ok());
        for wrong in [
            "localhost:9006",
            "ftp://host",
            "http://user:secret@host",
            "host",
        ] {
            assert!(base_url(wrong).is_err(), "{wrong}");
        }
    }
}
