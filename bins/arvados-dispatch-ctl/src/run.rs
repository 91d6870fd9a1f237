//! From the command line to the exit code.

use std::ffi::OsString;

use anyhow::Result;
use clap::{Parser, error::ErrorKind};

use crate::{
    access::{self, Environment},
    cli::{Cli, Command},
    client::Client,
    containers,
    exit::Exit,
    instances,
    out::Out,
};

/// Does what the arguments say.
pub(crate) async fn run(
    args: impl Iterator<Item = OsString>,
    environment: &Environment,
    out: &mut Out,
) -> Exit {
    let exit = match Cli::try_parse_from(args) {
        Ok(cli) => match obey(cli, environment, out).await {
            Ok(exit) => exit,
            Err(error) => {
                out.err(&format!("error: {error:#}"));
                Exit::Failed
            }
        },
        Err(error) => explain(&error, out),
    };
    out.finish(exit)
}

async fn obey(cli: Cli, environment: &Environment, out: &mut Out) -> Result<Exit> {
    let client = Client::new(access::find(cli.reach, environment)?)?;
    Ok(match &cli.command {
        Command::Instances(command) | Command::Short(command) => {
            instances::obey(&client, command, out).await
        }
        Command::Containers(command) => containers::obey(&client, command, out).await,
    })
}

/// Help and version are results; everything else is a mistake.
fn explain(error: &clap::Error, out: &mut Out) -> Exit {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            out.result(&text);
            Exit::Done
        }
        _ => {
            out.err(text.trim_end());
            Exit::Usage
        }
    }
}

#[cfg(test)]
mod tests;
