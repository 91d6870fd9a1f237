//! How the demo looks: a picture for terminals, a line for logs.

use std::time::Duration;

use dispatch_lab::world::Status;

use crate::display::bar;

const WIDTH: usize = 40;

/// A few lines.
pub(crate) fn draw(status: &Status, elapsed: Duration) -> Vec<String> {
    let total: usize = status.containers.values().sum();
    let of = |state: &str| status.containers.get(state).copied().unwrap_or(0);
    let finished = of("Complete") + of("Cancelled");
    vec![
        format!(
            "containers {} {finished}/{total}  {:.0} s",
            bar(finished, total, WIDTH),
            elapsed.as_secs_f64()
        ),
        format!(
            "  queued {:>5}   locked {:>5}   running {:>5}   complete {:>5}   cancelled {:>5}",
            of("Queued"),
            of("Locked"),
            of("Running"),
            of("Complete"),
            of("Cancelled")
        ),
        format!(
            "instances  {} {} busy of {} up of {}",
            bar(status.busy, status.instances, WIDTH),
            status.busy,
            status.up,
            status.instances
        ),
        format!(
            "  created {:>4}   faults so far {:>5}",
            status.created,
            status.kinds_of_faults.values().sum::<u64>()
        ),
    ]
}

/// The same in one line.
pub(crate) fn line(status: &Status, elapsed: Duration) -> String {
    let containers: Vec<String> = ["Queued", "Locked", "Running", "Complete", "Cancelled"]
        .iter()
        .map(|state| {
            format!(
                "{state} {}",
                status.containers.get(state).copied().unwrap_or(0)
            )
        })
        .collect();
    format!(
        "{:>4.0} s  {}  instances {} ({} up, {} busy), {} created",
        elapsed.as_secs_f64(),
        containers.join(" "),
        status.instances,
        status.up,
        status.busy,
        status.created
    )
}
