//! What must hold after each step, judged on the world and on the clock.

use dispatch_lab::{World, world::Event};

/// What counts as a failure, beyond a broken invariant.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// While containers wait or run, something must happen in the world within so long, ms.
    pub progress_within_ms: u64,
    /// So often a second the brain may think although nobody has told it anything, on average over ten seconds.
    pub idle_steps_per_second: u64,
    /// So many lists and reads a minute the API must bear; none: it is not counted.
    pub api_reads_per_minute: Option<u64>,
    /// How long everything may take to be gone after the last container, ms.
    pub drain_within_ms: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            progress_within_ms: 700_000,
            idle_steps_per_second: 400,
            api_reads_per_minute: None,
            drain_within_ms: 900_000,
        }
    }
}

/// In one millisecond the brain thinks at most so often: each time something must have reached it.
const STEPS_AT_ONCE_MAX: u64 = 500;
const WINDOW_MS: u64 = 10_000;

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Checks {
    bounds: Bounds,
    progress_ms: u64,
    last_step_ms: u64,
    steps_at_once: u64,
    window_ms: u64,
    idle_steps: u64,
    pub(super) n_steps: u64,
    pub(super) n_idle_steps: u64,
}

impl Checks {
    pub(super) fn new(bounds: Bounds) -> Checks {
        Checks {
            bounds,
            ..Checks::default()
        }
    }

    /// The brain has thought; `idle`: nobody had told it anything.
    pub(super) fn stepped(&mut self, idle: bool, now_ms: u64) {
        self.n_steps += 1;
        self.n_idle_steps += u64::from(idle);
        if self.last_step_ms != now_ms {
            (self.last_step_ms, self.steps_at_once) = (now_ms, 0);
        }
        self.steps_at_once += 1;
        assert!(
            self.steps_at_once <= STEPS_AT_ONCE_MAX,
            "busy loop: {STEPS_AT_ONCE_MAX} steps in one millisecond"
        );
        if now_ms >= self.window_ms + WINDOW_MS {
            (self.window_ms, self.idle_steps) = (now_ms, 0);
        }
        self.idle_steps += u64::from(idle);
        let most = self.bounds.idle_steps_per_second * WINDOW_MS / 1000;
        assert!(
            self.idle_steps <= most,
            "busy loop: more than {most} steps within {} ms without any news",
            now_ms - self.window_ms
        );
    }

    /// Something happened in the world.
    pub(super) fn happened(&mut self, event: &Event, now_ms: u64) {
        match event {
            Event::Up { .. } | Event::Gone { .. } | Event::Changed { .. } => {
                self.progress_ms = now_ms;
            }
            Event::Silence { .. }
            | Event::Broken { .. }
            | Event::WatchLine { .. }
            | Event::RestartDispatcher => {}
        }
    }

    /// From here on something must happen again.
    pub(super) fn patience_from(&mut self, now_ms: u64) {
        self.progress_ms = self.progress_ms.max(now_ms);
    }

    /// Looks at the world.
    pub(super) fn look(&mut self, world: &World, why: impl FnOnce() -> String, now_ms: u64) {
        let breaches = world.judge().breaches();
        assert!(
            breaches.is_empty(),
            "the world was wronged: {}",
            breaches.last().map_or("", String::as_str)
        );
        if now_ms > self.progress_ms + self.bounds.progress_within_ms {
            let mut containers = world.containers().containers().values();
            assert!(
                !containers.any(|one| !one.state.is_final() && one.priority > 0),
                "nothing has happened for {} ms: {}",
                now_ms - self.progress_ms,
                why()
            );
            self.progress_ms = now_ms;
        }
    }
}
