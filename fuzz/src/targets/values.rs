//! Sizes, durations, addresses, the keys of a database and the private key, as operators write them.

use std::collections::BTreeMap;

use dispatch_config::{Address, duration, size};
use dispatch_lock::Settings;
use dispatch_ssh_executor::PrivateKey;

use super::Target;

#[derive(Default)]
pub(super) struct Values {
    understood: u64,
}

impl Target for Values {
    fn name(&self) -> &'static str {
        "values"
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "KiB",
            "GB",
            "E",
            "h",
            "ms",
            "µs",
            "1h30m",
            "https://",
            ":9006",
            "[::1]",
            "@",
            ".",
            "e99",
            "host=",
            "sslmode=",
            "port=5432,",
            "-----BEGIN EC PRIVATE KEY-----",
            "-----END OPENSSH PRIVATE KEY-----",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(input);
        for line in text.lines() {
            let read = [
                size::parse(line).is_ok(),
                duration::parse(line).is_ok(),
                Address::parse(line).is_ok(),
            ];
            self.understood += read.into_iter().map(u64::from).sum::<u64>();
            if let Ok(bytes) = size::parse(line)
                && size::parse(&bytes.to_string()) != Ok(bytes)
            {
                return Err(format!("{line:?} is {bytes} bytes, which is no size"));
            }
            if let Ok(ns) = duration::parse(line)
                && duration::parse(&format!("{ns}ns")) != Ok(ns)
            {
                return Err(format!("{line:?} is {ns} ns, which is no duration"));
            }
            if let Err(error) = Address::parse(line)
                && error.to_string().is_empty()
            {
                return Err("an error without words".into());
            }
        }
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let keys: BTreeMap<String, String> = pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        if let Ok(Some(_)) = Settings::from_connection(&keys, "fuzz") {
            self.understood += 1;
        }
        if let Ok(key) = PrivateKey::parse(&text) {
            if !key.public_line().starts_with(key.algorithm()) {
                return Err(format!("a strange public key: {}", key.public_line()));
            }
            self.understood += 1;
        }
        Ok(())
    }

    fn understood(&self) -> u64 {
        self.understood
    }
}
