//! The dispatcher's admin tool: shows and steers instances and containers over the management API.
//!
//! It knows nothing of how the dispatcher works: it asks what the management API answers, with that crate's wire types.

mod access;
mod act;
mod cli;
mod client;
mod cluster;
mod containers;
mod exit;
mod instances;
mod list;
mod out;
mod run;
mod table;

use std::process::ExitCode;

fn main() -> ExitCode {
    let environment = access::Environment::read();
    let mut out = out::Out::process();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime
            .block_on(run::run(std::env::args_os(), &environment, &mut out))
            .into(),
        Err(error) => {
            out.err(&format!("cannot start: {error}"));
            exit::Exit::Failed.into()
        }
    }
}
