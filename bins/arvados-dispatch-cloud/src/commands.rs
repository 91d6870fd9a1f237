//! What each command does.

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, anyhow};
use dispatch_config::{Context, Format, HostFacts, Loaded, config_path};
use dispatch_dispatcher::{Environment, Start};
use dispatch_telemetry::{LogSettings, Metrics};

use crate::{
    cli::{self, Cli, CloudtestArgs, Command, ConfigArgs, DumpArgs, RunArgs, Syntax},
    cloudtest, drivers, files,
    interrupts::Interrupts,
};

/// Anything else that went wrong.
const FAILURE: u8 = 1;

/// Does what the command line asks for.
pub(crate) fn execute(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        None => run(&cli.run),
        Some(Command::Run(args)) => run(&args),
        Some(Command::ConfigCheck(args)) => config_check(&args),
        Some(Command::ConfigDump(args)) => config_dump(&args),
        Some(Command::Cloudtest(args)) => cloudtest(&args),
    };
    outcome.unwrap_or_else(|error| {
        complain(&format!("{error:#}\n"));
        ExitCode::from(FAILURE)
    })
}

fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let loaded = match load(&path(&args.config))? {
        Ok(loaded) => loaded,
        Err(problems) => {
            complain(&problems);
            return Ok(ExitCode::from(FAILURE));
        }
    };
    let metrics = Metrics::new();
    let _log = dispatch_telemetry::init_logging(&log_settings(&loaded))?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    metrics.config(&loaded.sha256, loaded.source_timestamp, wall());
    metrics.version(cli::VERSION);
    let start = Start {
        loaded,
        drivers: drivers::all(),
        environment: environment(),
        metrics: Arc::new(metrics),
    };
    files::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match runtime.block_on(dispatch_dispatcher::run(start)) {
        Ok(()) => {
            // Calls that no longer matter are not waited for.
            runtime.shutdown_background();
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::error!("{error:#}");
            runtime.shutdown_background();
            Ok(ExitCode::from(FAILURE))
        }
    }
}

fn cloudtest(args: &CloudtestArgs) -> anyhow::Result<ExitCode> {
    let loaded = match load(&path(&args.config))? {
        Ok(loaded) => loaded,
        Err(problems) => {
            complain(&problems);
            return Ok(ExitCode::from(FAILURE));
        }
    };
    let _log = dispatch_telemetry::init_logging(&log_settings(&loaded))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let drivers = drivers::all();
    let passed = runtime.block_on(async {
        let interrupts = Interrupts::listen().context("cannot wait for signals")?;
        tokio::select! {
            passed = cloudtest::run(args, &loaded.config, &drivers, &interrupts) => passed,
            why = interrupts.second() => Err(anyhow!(
                "{why} for a second time: what the test has made may be left. Remedy: look for instances with the set \
                 id {:?}, or run it again with --destroy-existing.",
                args.instance_set_id
            )),
        }
    });
    // A question to the operator that nobody answered any more would be waited for.
    runtime.shutdown_background();
    Ok(if passed? {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILURE)
    })
}

fn config_check(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let drivers = drivers::all();
    let names: Vec<&str> = drivers.iter().map(|driver| driver.name()).collect();
    let (text, code) =
        dispatch_config::check_with(&path(args), &context(&names)?, wall(), |loaded| {
            let vms = &loaded.config.cloud_vms;
            let driver = drivers.iter().find(|driver| driver.name() == vms.driver);
            let problems = driver.map_or_else(Vec::new, |driver| {
                let mut problems = driver.check(vms.driver_parameters.reveal());
                problems.extend(dispatch_dispatcher::problems_of_use(
                    &loaded.config,
                    &**driver,
                ));
                problems
            });
            let mut problems: Vec<_> = problems
                .iter()
                .map(|text| loaded.driver_problem(text))
                .collect();
            problems.extend(dispatch_dispatcher::check_here(loaded));
            problems
        });
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::from(code))
}

fn config_dump(args: &DumpArgs) -> anyhow::Result<ExitCode> {
    match load(&path(&args.config))? {
        Ok(loaded) => {
            let format = match args.format {
                Syntax::Yaml => Format::Yaml,
                Syntax::Toml => Format::Toml,
            };
            io::stdout().write_all(dispatch_config::dump(&loaded, format).as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            complain(&problems);
            Ok(ExitCode::from(FAILURE))
        }
    }
}

/// The configuration, or everything that is wrong with it as a text.
fn load(path: &Path) -> anyhow::Result<Result<Loaded, String>> {
    let drivers = drivers::all();
    let names: Vec<&str> = drivers.iter().map(|driver| driver.name()).collect();
    let loaded = Loaded::from_path(path, &context(&names)?, wall());
    Ok(loaded.map_err(|problems| {
        problems
            .iter()
            .map(|problem| format!("{problem}\n"))
            .collect()
    }))
}

fn context<'a>(drivers: &'a [&'a str]) -> anyhow::Result<Context<'a>> {
    let host = HostFacts::of_this_host(&env::temp_dir())
        .context("cannot find out how large this host is")?;
    Ok(Context {
        known_drivers: drivers,
        host,
    })
}

fn path(args: &ConfigArgs) -> PathBuf {
    let environment = env::var_os("ARVADOS_CONFIG");
    config_path(args.config.as_deref(), environment.as_deref())
}

fn environment() -> Environment {
    let text = |name| env::var(name).ok().filter(|value| !value.is_empty());
    Environment {
        server_address: text("ARVADOS_SERVER_ADDRESS"),
        service_internal_url: text("ARVADOS_SERVICE_INTERNAL_URL"),
        ssl_cert_file: text("SSL_CERT_FILE").is_some(),
    }
}

fn log_settings(loaded: &Loaded) -> LogSettings {
    let logs = &loaded.config.system_logs;
    LogSettings {
        level: format!("{:?}", logs.level).to_lowercase(),
        json: logs.format == dispatch_config::LogFormat::Json,
        cluster_id: loaded.config.cluster_id.clone(),
    }
}

fn complain(text: &str) {
    // Nobody can be told if standard error is closed.
    let _ = io::stderr().write_all(text.as_bytes());
}

#[expect(
    clippy::disallowed_methods,
    reason = "dates the reading of the configuration"
)]
fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
