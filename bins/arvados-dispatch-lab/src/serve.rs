//! `serve`: the lab as services, with a config.yml for any dispatcher.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use dispatch_lab::{faults::Level, settings::Settings};
use dispatch_lab_net::{Ec2Api, Ec2Settings};

use crate::{display::say, setup, stop::Stop, written};

/// Options of `serve`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where to write the cluster configuration. Only a file that this program wrote is replaced.
    #[arg(long, default_value = "config.yml")]
    config: PathBuf,
    /// Decides everything that is luck.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much goes wrong: none, some or many.
    #[arg(long, default_value = "none", value_parser = parse_level)]
    faults: Level,
    /// A JSON file with settings of the lab; only what differs from the defaults.
    #[arg(long)]
    settings: Option<PathBuf>,
    /// Serve the Arvados API without TLS.
    #[arg(long)]
    plain_http: bool,
    /// Where the dispatcher shall serve its management API.
    #[arg(long, default_value = "127.0.0.1:9006")]
    management: String,
    /// The runner binary that the dispatcher shall deploy; none if not given.
    #[arg(long)]
    runner: Option<PathBuf>,
    /// What the virtual machines are: in-process, or sshd (real OpenSSH servers; needs root).
    #[arg(long, default_value = "in-process", value_parser = ["in-process", "sshd"])]
    vms: String,
    /// Which cloud the dispatcher shall see: the lab's own, or Amazon EC2, as the lab plays it.
    #[arg(long, default_value = "lab", value_parser = ["lab", "ec2"])]
    cloud: String,
    /// Where to write variables for the dispatcher's environment (which configuration, where EC2 is) and for yours
    /// (where the control API is). Only a file that this program wrote is replaced.
    #[arg(long, value_name = "FILE")]
    environment: Option<PathBuf>,
    /// Replace these files even if this program did not write them.
    #[arg(long)]
    overwrite: bool,
    /// Submit so many containers of the mixed load at once.
    #[arg(long, default_value_t = 0, value_parser = setup::parse_containers)]
    containers: usize,
}

/// The level of this name.
pub(crate) fn parse_level(text: &str) -> Result<Level, String> {
    match text {
        "none" => Ok(Level::None),
        "some" => Ok(Level::Some),
        "many" => Ok(Level::Many),
        _ => Err("one of none, some, many".into()),
    }
}

/// Serves until somebody wants it to end.
pub(crate) async fn run(arguments: Arguments, mut stop: Stop) -> anyhow::Result<ExitCode> {
    tokio::select! {
        biased;
        () = stop.wanted() => Ok(ExitCode::SUCCESS),
        served = serve(&arguments) => served,
    }
}

async fn serve(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    written::check(&arguments.config, "--config", arguments.overwrite)?;
    if let Some(path) = &arguments.environment {
        // It is written last, so that it is a sign that the lab serves.
        written::remove(path, "--environment", arguments.overwrite)?;
    }
    let mut lab = setup::lab(arguments.seed, arguments.faults);
    let real = arguments.vms == "sshd";
    let machines = if real {
        Some(setup::machines_directory()?)
    } else {
        None
    };
    if let Some(directory) = &machines {
        lab.vms = dispatch_lab_net::VmKind::Sshd(directory.path().into());
    }
    lab.config = setup::config(
        arguments.management.clone(),
        arguments.runner.as_deref(),
        real,
    );
    let ec2 = arguments.cloud == "ec2";
    if ec2 {
        setup::as_ec2(&mut lab);
    }
    if arguments.plain_http {
        lab.scheme = dispatch_lab_net::Scheme::Http;
    }
    if let Some(path) = &arguments.settings {
        lab.settings = patched(&lab.settings, path)?;
    }
    let lab = lab.start().await?;
    // It ends when it is dropped.
    let ec2 = if ec2 {
        Some(lab.serve_ec2(Ec2Settings::default()).await?)
    } else {
        None
    };
    written::write(
        &arguments.config,
        "--config",
        arguments.overwrite,
        lab.config_yaml(),
    )?;
    if let Some(path) = &arguments.environment {
        let lines = environment(
            &arguments.config,
            &lab.control_url(),
            ec2.as_ref().map(Ec2Api::url),
        )?;
        written::write(path, "--environment", arguments.overwrite, &lines)?;
    }
    lab.world(|world, now| world.submit_mixed(arguments.containers, now));
    say(&format!("configuration  {}", arguments.config.display()));
    say(&format!("Arvados API    {}", lab.api_url()));
    say(&format!("cloud API      {}", lab.cloud_url()));
    if let Some(ec2) = &ec2 {
        say(&format!("EC2 API        {}", ec2.url()));
    }
    say(&format!("control API    {}", lab.control_url()));
    say(&format!(
        "try            arvados-dispatch-cloud run --config {}",
        arguments.config.display()
    ));
    // Until somebody wants the end: then this is dropped where it waits, the lab before its machines' files.
    std::future::pending().await
}

/// Lines for an environment file: of a shell, of a service.
fn environment(config: &Path, control_url: &str, ec2_url: Option<&str>) -> anyhow::Result<String> {
    let config = std::path::absolute(config).context("cannot tell which folder this is")?;
    let mut lines = format!(
        "ARVADOS_CONFIG={}\nLAB_CONTROL_URL={control_url}\n",
        config.display()
    );
    if let Some(url) = ec2_url {
        // This host's own role, if it has one, is nobody's business here.
        lines.push_str(&format!(
            "AWS_ENDPOINT_URL={url}\nAWS_EC2_METADATA_DISABLED=true\n"
        ));
    }
    Ok(lines)
}

fn patched(settings: &Settings, path: &Path) -> anyhow::Result<Settings> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the file {} of --settings", path.display()))?;
    let patch =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    settings
        .patched(&patch)
        .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}
