//! Fuzzes for as long as one likes: `cargo xtask fuzz`.

use std::{
    io::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use dispatch_fuzz::{corpus, run, targets};

/// Feeds everything that parses what others wrote with mutated inputs.
#[derive(Parser)]
struct Cli {
    /// How long, all targets together.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    seconds: u64,
    /// Decides which inputs; the same seed, the same inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this target.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut chosen = targets::all();
    chosen.retain(|(target, _)| {
        cli.target
            .as_deref()
            .is_none_or(|name| name == target.name())
    });
    if chosen.is_empty() {
        say("there is no such target\n");
        return ExitCode::from(2);
    }
    let each = Duration::from_secs(cli.seconds) / u32::try_from(chosen.len()).unwrap_or(1);
    let mut n_found = 0;
    for (target, _) in &mut chosen {
        let began = Instant::now();
        let mut n_tried = 0;
        let found = run::corpus(&mut **target).and_then(|found| match found {
            Some(found) => Ok(Some(found)),
            None => run::mutations(&mut **target, cli.seed, |n| {
                n_tried = n;
                Instant::now() - began < each
            }),
        });
        let name = target.name();
        match found {
            Ok(None) => say(&format!("{name}: {n_tried} inputs, nothing found\n")),
            Ok(Some(found)) => {
                n_found += 1;
                let kept = corpus::keep(name, &found.input);
                let kept =
                    kept.map_or_else(|error| error.to_string(), |path| path.display().to_string());
                say(&format!(
                    "{name}: FOUND at {}: {}\n    kept as {kept}\n",
                    found.name, found.what
                ));
            }
            Err(error) => {
                n_found += 1;
                say(&format!("{name}: {error:#}\n"));
            }
        }
    }
    if n_found > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn say(text: &str) {
    // Nobody can be told if standard output is closed.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
