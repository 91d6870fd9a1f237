//! The cluster's configuration, as YAML and as TOML.

use dispatch_config::{Context, Format, HostFacts, Severity, Source, dump, load};
use jiff::Timestamp;

use super::Target;

#[derive(Default)]
pub(super) struct Config {
    understood: u64,
}

impl Target for Config {
    fn name(&self) -> &'static str {
        "config"
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "Clusters",
            "zzzzz:",
            "Containers:",
            "CloudVMs:",
            "SAMPLE",
            "null",
            "&a",
            "*a",
            "!!binary",
            "<<: *a",
            "? ",
            "- ",
            "| ",
            "  ",
            "\t",
            "[Clusters.zzzzz]",
            "= ",
            "\"\"\"",
            "10s",
            "1GiB",
            "InstanceTypes:",
            "Price: -1",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(input);
        for format in [Format::Yaml, Format::Toml] {
            self.understood += u64::from(one(&text, format)?);
        }
        Ok(())
    }

    fn understood(&self) -> u64 {
        self.understood
    }
}

/// Whether it can be used.
fn one(text: &str, format: Format) -> Result<bool, String> {
    let context = Context {
        known_drivers: &["ec2", "loopback"],
        host: HostFacts {
            cpus: 4,
            ram_bytes: 8 << 30,
            tmp_bytes: 100 << 30,
        },
    };
    let source = Source::from_text(text, format, "f", Timestamp::UNIX_EPOCH);
    match load(&source, &context) {
        Ok(loaded) => {
            let shown = dump(&loaded, Format::Yaml);
            let again = Source::from_text(&shown, Format::Yaml, "again", Timestamp::UNIX_EPOCH);
            // Secrets are masked in it, so that it need not be usable; it must be a configuration of one cluster.
            match load(&again, &context) {
                Ok(_) => Ok(true),
                Err(problems) if problems.iter().all(|problem| !problem.key.is_empty()) => Ok(true),
                Err(problems) => Err(format!("what is dumped cannot be read: {}", problems[0])),
            }
        }
        Err(problems) => {
            let errors = problems
                .iter()
                .filter(|problem| problem.severity == Severity::Error);
            match errors.count() {
                0 => Err("refused without an error".into()),
                _ => Ok(false),
            }
        }
    }
}
