//! When to poll: one poll at a time, after a pause of the interval or as long as the last poll took (facts Q17, Q18).

use std::time::Duration;

use dispatch_model::Time;

use crate::view::Step;

/// `CloudVMs.PollInterval` where the configuration says 0.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);

/// A poke does not make polls follow each other faster than this, unless the interval is shorter.
const POKED_PAUSE: Duration = Duration::from_millis(250);

/// Never fewer queued rows than this are asked for (facts Q16).
const QUEUED_ROWS_MIN: usize = 100;

/// The interval to use.
pub(super) fn interval_or_default(poll_interval: Duration) -> Duration {
    if poll_interval.is_zero() {
        DEFAULT_INTERVAL
    } else {
        poll_interval
    }
}

/// How soon to repeat what failed (facts Q18).
pub(super) fn retry_pause(interval: Duration) -> Duration {
    (interval / 10).max(Duration::from_secs(1))
}

#[derive(Debug)]
pub(super) struct PollPace {
    interval: Duration,
    state: State,
    /// Not even a poke makes us poll before this.
    not_before: Time,
    poked: bool,
    failed_in_a_row: u32,
    wanted: usize,
    /// How many rows were wanted of the last list, if there were more.
    cut_at: Option<usize>,
}

#[derive(Debug)]
enum State {
    Waiting { until: Time },
    Polling(Polling),
}

/// A poll that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Polling {
    pub(super) asked_at: Time,
    pub(super) step: Step,
    wanted: usize,
}

impl PollPace {
    pub(super) fn new(poll_interval: Duration) -> PollPace {
        PollPace {
            interval: interval_or_default(poll_interval),
            state: State::Waiting { until: Time::ZERO },
            not_before: Time::ZERO,
            poked: false,
            failed_in_a_row: 0,
            wanted: QUEUED_ROWS_MIN,
            cut_at: None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Polling(_) => None,
        }
    }

    pub(super) fn is_polling(&self) -> bool {
        matches!(self.state, State::Polling(_))
    }

    pub(super) fn poke(&mut self, now: Time) {
        match &mut self.state {
            State::Waiting { until } => *until = (*until).min(self.not_before.max(now)),
            // What it brings may be older than the poke.
            State::Polling(_) => self.poked = true,
        }
    }

    /// So many rows could be started now. If the last list was cut before that, the rest is worth a poll.
    pub(super) fn want(&mut self, rows: usize, now: Time) {
        self.wanted = rows.max(QUEUED_ROWS_MIN);
        if self.cut_at.is_some_and(|cut_at| cut_at < self.wanted) {
            self.cut_at = None;
            self.poke(now);
        }
    }

    /// A poll begins; how many queued rows to ask for.
    pub(super) fn begin(&mut self, now: Time, step: Step) -> usize {
        self.poked = false;
        self.state = State::Polling(Polling {
            asked_at: now,
            step,
            wanted: self.wanted,
        });
        self.wanted
    }

    /// The poll that was under way has been answered.
    pub(super) fn end(&mut self) -> Option<Polling> {
        match self.state {
            State::Polling(polling) => Some(polling),
            State::Waiting { .. } => None,
        }
    }

    /// It brought a list; `truncated`: there are more queued rows.
    pub(super) fn succeeded(&mut self, polling: Polling, truncated: bool, now: Time) {
        let took = now.since(polling.asked_at);
        self.failed_in_a_row = 0;
        self.cut_at = truncated.then_some(polling.wanted);
        self.wait(
            self.interval.max(took),
            self.interval.min(POKED_PAUSE).max(took),
            now,
        );
    }

    /// It failed; how many did so in a row.
    pub(super) fn failed(&mut self, polling: Polling, now: Time) -> u32 {
        let took = now.since(polling.asked_at);
        self.failed_in_a_row += 1;
        let pause = retry_pause(self.interval).max(took);
        self.wait(pause, pause, now);
        self.failed_in_a_row
    }

    fn wait(&mut self, pause: Duration, pause_min: Duration, now: Time) {
        self.not_before = now + pause_min;
        self.state = State::Waiting { until: now + pause };
        if self.poked {
            self.poke(now);
        }
    }
}
