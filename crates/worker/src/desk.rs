//! What a worker needs in order to decide, and where it puts its orders.

use std::time::Duration;

use dispatch_model::{InstanceTypeName, Now, Time, WorkerId};

use crate::{
    Action, BootOutcome, CallId, Effects, Fact, PoolNews, Settings, line::Line, pace::Sweep,
};

/// How long after its deadline a call counts as failed although nobody has answered (facts K9). The shell answers at
/// the deadline itself; this is for a shell that is late.
const ANSWER_SLACK: Duration = Duration::from_secs(5);

/// Everything but the workers that deciding takes.
#[derive(Debug)]
pub(crate) struct Desk {
    /// What the operator has set.
    pub(crate) settings: Settings,
    /// The present moment.
    pub(crate) now: Now,
    /// Nothing may be created, started or destroyed any more.
    pub(crate) stopping: bool,
    /// The pace of periodic probes.
    pub(crate) sweep: Sweep,
    /// Whose destroy calls are under way, and who waits for that.
    pub(crate) destroys: Line,
    /// What has come of the event so far.
    pub(crate) effects: Effects,
    /// How boots ended, for the holds.
    pub(crate) boots: Vec<Boot>,
    last_mark: u64,
}

/// How one boot ended.
#[derive(Debug)]
pub(crate) struct Boot {
    pub(crate) worker: WorkerId,
    pub(crate) instance_type: InstanceTypeName,
    pub(crate) outcome: BootOutcome,
    pub(crate) took: Duration,
    /// This daemon has created it; an adopted one says nothing of its type.
    pub(crate) created: bool,
}

impl Desk {
    pub(crate) fn new(settings: Settings) -> Desk {
        let sweep = Sweep::new(settings.max_probes_per_second, settings.probe_timeout);
        let destroys = Line::new(settings.destroys_at_once());
        Desk {
            settings,
            now: Now {
                time: Time::ZERO,
                wall: jiff::Timestamp::UNIX_EPOCH,
            },
            stopping: false,
            sweep,
            destroys,
            effects: Effects::default(),
            boots: Vec::new(),
            last_mark: 0,
        }
    }

    /// The present moment on our own clock.
    pub(crate) fn time(&self) -> Time {
        self.now.time
    }

    /// A number larger than all before: orders what happens within one millisecond.
    pub(crate) fn mark(&mut self) -> u64 {
        self.last_mark += 1;
        self.last_mark
    }

    /// Opens a call that may take this long.
    pub(crate) fn open(&mut self, within: Duration) -> OpenCall {
        OpenCall {
            call: CallId(self.mark()),
            asked_at: self.time(),
            overdue_at: self.time() + within + ANSWER_SLACK,
        }
    }

    /// Gives an order.
    pub(crate) fn order(&mut self, action: Action) {
        self.effects.actions.push(action);
    }

    /// Tells what happened to the pool.
    pub(crate) fn tell(&mut self, news: PoolNews) {
        self.effects.facts.push(Fact::Pool(news));
    }
}

/// A call that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenCall {
    /// Its name, which is also the mark at which it was asked.
    pub(crate) call: CallId,
    pub(crate) asked_at: Time,
    /// When it counts as failed.
    pub(crate) overdue_at: Time,
}

impl OpenCall {
    /// Whether an answer that comes now says no more than that the time is up.
    pub(crate) fn is_out_of_time(&self, now: Time) -> bool {
        now + ANSWER_SLACK >= self.overdue_at
    }
}

/// A pause that doubles with each failure.
pub(crate) fn growing_pause(first: Duration, failures: u32, longest: Duration) -> Duration {
    first
        .saturating_mul(1 << failures.saturating_sub(1).min(20))
        .min(longest)
        .max(first.min(longest))
}
