//! Sizes, durations and addresses, as operators write them.

use dispatch_config::{Address, duration, size};

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
            "KiB", "GB", "E", "h", "ms", "µs", "1h30m", "https://", ":9006", "[::1]", "@", ".",
            "e99",
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
        Ok(())
    }

    fn understood(&self) -> u64 {
        self.understood
    }
}
