//! Progress for people: each step by name, and how long it took.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Does one step of a chore, announcing it before and its duration after.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("==> {name}");
    let begun = Instant::now();
    let outcome = work();
    let verdict = if outcome.is_ok() { "done" } else { "FAILED" };
    println!("==> {name}: {verdict} in {}", human(begun.elapsed()));
    outcome
}

/// A duration as people say it: "0.3 s", "41 s", "3 min 05 s".
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        for (millis, text) in [(300, "0.3 s"), (41_700, "41 s"), (185_000, "3 min 05 s")] {
            assert_eq!(human(Duration::from_millis(millis)), text);
        }
    }
}
