//! `arvados-dispatch-lab`: serves the lab, and shows the dispatcher at work on it.

mod demo;
mod display;
mod serve;
mod setup;
mod stop;
mod written;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stop::Stop;

/// Version and build, as `cargo xtask dist` writes them.
const VERSION: &str = match option_env!("DISPATCH_BUILD") {
    Some(version) => version,
    None => concat!(env!("CARGO_PKG_VERSION"), " (development build)"),
};

/// A simulated Arvados cluster on loopback addresses.
#[derive(Parser)]
#[command(name = "arvados-dispatch-lab", version = VERSION, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the lab until interrupted; write a config.yml that any dispatcher can use.
    Serve(serve::Arguments),
    /// Serve the lab, start the dispatcher on it, submit containers, show and judge what happens.
    Demo(demo::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let done = async {
        let stop = Stop::listen()?;
        match arguments.command {
            Command::Serve(arguments) => serve::run(arguments, stop).await,
            Command::Demo(arguments) => demo::run(arguments, stop).await,
        }
    };
    match done.await {
        Ok(code) => code,
        Err(error) => {
            display::complain(&format!("arvados-dispatch-lab: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
