//! What crunch-run says on instances: its list of runners, and the lines of the exit watch.

use dispatch_runner::{ListError, WatchLine, parse_list};

use super::Target;

const GOOD: &str = "zzzzz-dz642-goodgoodgoodgoo";
/// Longest text that goes into a log.
const SHOWN_MAX: usize = 1000;

#[derive(Default)]
pub(super) struct Runner {
    understood: u64,
}

impl Target for Runner {
    fn name(&self) -> &'static str {
        "runner"
    }

    fn words(&self) -> &'static [&'static str] {
        &[GOOD, " stale", "broken", "! ", "zzzzz-dz642-"]
    }

    fn check(&mut self, input: &[u8]) -> Result<(), String> {
        for line in String::from_utf8_lossy(input).lines() {
            match WatchLine::parse(line) {
                WatchLine::Ended(id) if id.as_str() != line => {
                    return Err(format!("{line:?} became {id}"));
                }
                WatchLine::Remark(words) if words.chars().count() > SHOWN_MAX => {
                    return Err("a remark without an end".into());
                }
                WatchLine::Ended(_) | WatchLine::Remark(_) => {}
            }
        }
        let list = match parse_list(input, false) {
            Ok(list) => list,
            Err(ListError::TooLong | ListError::Truncated) => return Ok(()),
        };
        self.understood += list.report.alive.len() as u64;
        let sorted = list.report.alive.windows(2).all(|pair| pair[0] < pair[1]);
        let apart = list
            .report
            .stale
            .iter()
            .all(|id| !list.report.alive.contains(id));
        if !sorted || !apart {
            return Err(format!("not sorted, or alive and stale at once: {list:?}"));
        }
        if list
            .first_ignored
            .is_some_and(|line| line.chars().count() > SHOWN_MAX)
        {
            return Err("a line without an end would be logged".into());
        }
        // One bad line affects that line only.
        let more = [input, b"\n", GOOD.as_bytes(), b"\n"].concat();
        match parse_list(&more, false) {
            Ok(more) => {
                let has = |id: &_| more.report.alive.contains(id);
                if has(&GOOD.into()) && list.report.alive.iter().all(has) {
                    Ok(())
                } else {
                    Err(format!("a good line more, and something is lost: {more:?}"))
                }
            }
            Err(ListError::TooLong) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn understood(&self) -> u64 {
        self.understood
    }
}
