//! How a worker is looked after: when it is probed, what an answer means, when it is given up.

use std::time::Duration;

use dispatch_model::{IdleBehavior, Time, WorkerState};

use crate::{
    Action, BootOutcome, CallId, ListWhen, ProbeFailure, ProbeOrder, ProbeReport, ProbeStep,
    WorkerNews,
    desk::{Desk, OpenCall, growing_pause},
    pace::{Attempts, jitter},
    worker::Worker,
};

/// How soon a ready worker is asked again after a probe that failed; then twice as long, up to ProbeInterval.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// When a worker was and will be probed, and what came of it.
#[derive(Debug)]
pub(crate) struct Probing {
    open: Option<OpenProbe>,
    /// The next probe; none before there is an address.
    next: Option<Next>,
    attempts: Attempts,
    /// Since when there is an address.
    addressed_at: Time,
    /// The last probe whose every step succeeded; before the first, its appearance.
    pub(crate) last_good: Time,
    /// When that probe was asked.
    pub(crate) good_asked_at: Time,
    /// The last list of runners.
    pub(crate) last_list: Option<Time>,
    /// What failed last; none after a good probe.
    pub(crate) last_failure: Option<(ProbeStep, ProbeFailure)>,
    /// Probes that failed since the last good one.
    pub(crate) n_failures: u32,
    /// When the first connection came up.
    pub(crate) connected_at: Option<Time>,
    n_probes: u64,
}

#[derive(Debug)]
struct OpenProbe {
    open: OpenCall,
    /// Its state when it was asked, by which the answer is judged (facts W30).
    state: WorkerState,
    /// Something has happened since that only another list can tell.
    again_by: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    at: Time,
    /// It takes its turn in the sweep and has not got one yet.
    sweep: bool,
}

impl Probing {
    pub(crate) fn new(typical_boot: Option<Duration>, now: Time) -> Probing {
        Probing {
            open: None,
            next: None,
            attempts: Attempts::new(typical_boot),
            addressed_at: now,
            last_good: now,
            good_asked_at: now,
            last_list: None,
            last_failure: None,
            n_failures: 0,
            connected_at: None,
            n_probes: 0,
        }
    }

    /// There is an address, or another one: try it at once.
    pub(crate) fn found(&mut self, now: Time) {
        self.addressed_at = now;
        self.next = Some(Next {
            at: now,
            sweep: false,
        });
    }
}

impl Worker {
    /// Sees to it that a probe begins by then, out of turn.
    pub(crate) fn probe_within(&mut self, within: Duration, desk: &Desk) {
        let at = desk.time() + within;
        let probing = &mut self.probing;
        if let Some(open) = &mut probing.open {
            open.again_by = Some(open.again_by.map_or(at, |by| by.min(at)));
        } else if let Some(next) = &mut probing.next
            && at < next.at
        {
            *next = Next { at, sweep: false };
        }
    }

    /// Sends the probe that is due, and gives up waiting for one that is overdue (facts K9).
    pub(crate) fn advance_probe(&mut self, desk: &mut Desk) {
        let now = desk.time();
        if let Some(probe) = &self.probing.open
            && probe.open.overdue_at <= now
        {
            self.probed(probe.open.call, no_answer(), desk);
        }
        if self.state == WorkerState::Shutdown || self.probing.open.is_some() {
            return;
        }
        let Some(next) = self.probing.next.filter(|next| next.at <= now) else {
            return;
        };
        if next.sweep {
            let at = desk.sweep.reserve(now);
            if at > now {
                self.probing.next = Some(Next { at, sweep: false });
                return;
            }
        }
        let order = self.probe_order(desk);
        let open = desk.open(order.within());
        self.probing.next = None;
        self.probing.n_probes += 1;
        self.probing.open = Some(OpenProbe {
            open,
            state: self.state,
            again_by: None,
        });
        desk.order(Action::Probe {
            call: open.call,
            worker: self.id,
            order,
        });
    }

    pub(crate) fn probe_due(&self) -> Option<Time> {
        if self.state == WorkerState::Shutdown {
            return None;
        }
        match &self.probing.open {
            Some(probe) => Some(probe.open.overdue_at),
            None => self.probing.next.map(|next| next.at),
        }
    }

    /// What to look at (facts §8.5). No command takes longer than the time-out that its failure counts towards.
    fn probe_order(&self, desk: &Desk) -> ProbeOrder {
        let settings = &desk.settings;
        let (ready, list, patience) = match self.state {
            WorkerState::Unknown => (false, ListWhen::Always, settings.boot_timeout),
            WorkerState::Booting => (false, ListWhen::IfBooted, settings.boot_timeout),
            WorkerState::Idle | WorkerState::Running | WorkerState::Shutdown => {
                (true, ListWhen::Always, settings.probe_timeout)
            }
        };
        ProbeOrder {
            boot: !ready,
            deploy: !ready && settings.deploy_runner,
            list,
            connect_within: settings.timing.connect.min(patience),
            command_within: settings.timing.command.min(patience),
            deploy_within: settings.timing.deploy.min(patience),
        }
    }

    /// A probe was answered, or counts as answered.
    pub(crate) fn probed(&mut self, call: CallId, report: ProbeReport, desk: &mut Desk) {
        let is_this = |probe: &mut OpenProbe| probe.open.call == call;
        let Some(probe) = self.probing.open.take_if(is_this) else {
            return;
        };
        if self.state == WorkerState::Shutdown {
            return;
        }
        self.note_connection(&report, &probe, desk);
        let failure = first_failure(&report);
        if let Some(took) = report.list_took {
            let ok = matches!(report.list, Some(Ok(_)));
            self.tell(WorkerNews::ListProbe { ok, took }, desk);
        }
        if let Some(Ok(list)) = &report.list {
            self.probing.last_list = Some(desk.time());
            self.apply_list(list, probe.open.call.0, probe.open.asked_at, desk);
        }
        self.runners.forget_removed();
        let slowly = matches!(failure, Some((ProbeStep::Deploy, _)));
        match failure {
            None => self.probe_succeeded(&probe, desk),
            Some((step, failure)) => self.probe_failed(&probe, step, failure, desk),
        }
        self.plan_next_probe(&probe, slowly, desk);
    }

    fn note_connection(&mut self, report: &ProbeReport, probe: &OpenProbe, desk: &mut Desk) {
        if self.probing.connected_at.is_some() {
            return;
        }
        self.probing.connected_at = report.connected_at;
        if let Some(connected_at) = report.connected_at
            && self.created
            && probe.state == WorkerState::Booting
        {
            let after = connected_at.since(self.appeared_at);
            self.tell(WorkerNews::SshUp { after }, desk);
        }
    }

    fn probe_succeeded(&mut self, probe: &OpenProbe, desk: &mut Desk) {
        let now = desk.time();
        self.probing.last_good = now;
        self.probing.good_asked_at = probe.open.asked_at;
        self.probing.last_failure = None;
        self.probing.n_failures = 0;
        match self.state {
            WorkerState::Unknown | WorkerState::Booting => {
                if self.created && probe.state == WorkerState::Booting && self.broken.is_none() {
                    let since = self.probing.connected_at.unwrap_or(self.appeared_at);
                    let after = now.since(since);
                    self.tell(WorkerNews::Ready { after }, desk);
                }
                self.end_boot(BootOutcome::Success, desk);
                let to = if self.runners.n_live() == 0 {
                    WorkerState::Idle
                } else {
                    WorkerState::Running
                };
                self.enter(to, "passed its probes", desk);
            }
            WorkerState::Idle | WorkerState::Running => self.settle_in_service(desk),
            WorkerState::Shutdown => {}
        }
    }

    fn probe_failed(
        &mut self,
        probe: &OpenProbe,
        step: ProbeStep,
        failure: ProbeFailure,
        desk: &mut Desk,
    ) {
        let booting = matches!(probe.state, WorkerState::Unknown | WorkerState::Booting);
        let last = Some((step, failure.clone()));
        // While it boots the same failure comes twice a second: once is enough to be told.
        if !booting || self.probing.last_failure != last {
            let expected = booting && failure.expected_while_booting;
            let news = WorkerNews::ProbeFailed {
                step,
                failure,
                expected,
            };
            self.tell(news, desk);
        }
        self.probing.last_failure = last;
        self.probing.n_failures = self.probing.n_failures.saturating_add(1);
        self.settle_in_service(desk);
        self.give_up_if_silent(probe.open.asked_at, desk);
    }

    /// Compares the time at which the failed probe *began* with the last success, so that at least one full attempt
    /// begins after the time-out (facts W5).
    fn give_up_if_silent(&mut self, asked_at: Time, desk: &mut Desk) {
        if self.idle_behavior == IdleBehavior::Hold || desk.stopping {
            return;
        }
        let now = desk.time();
        match self.state {
            WorkerState::Unknown | WorkerState::Booting if self.runners.n_live() == 0 => {
                if asked_at.since(self.appeared_at) >= self.boot_patience(desk) {
                    self.give_up_boot(desk);
                }
            }
            // Adopted and busy: only silence counts, not a failing boot probe (facts W4, K3).
            WorkerState::Unknown | WorkerState::Booting => {
                let heard = self.probing.last_list.unwrap_or(self.appeared_at);
                self.give_up_silent(heard, asked_at, now, desk);
            }
            // Its fate waits for the answer of a start, which has a deadline of its own.
            WorkerState::Idle | WorkerState::Running if self.runners.any_starting() => {}
            WorkerState::Idle | WorkerState::Running => {
                self.give_up_silent(self.probing.last_good, asked_at, now, desk);
            }
            WorkerState::Shutdown => {}
        }
    }

    fn give_up_silent(&mut self, heard: Time, asked_at: Time, now: Time, desk: &mut Desk) {
        if asked_at.since(heard) < desk.settings.probe_timeout {
            return;
        }
        let news = WorkerNews::Unresponsive {
            silent_for: now.since(heard),
            last: self.probing.last_failure.clone(),
        };
        self.tell(news, desk);
        self.end_boot(BootOutcome::Failure, desk);
        self.shut_down("silent for TimeoutProbe".to_owned(), desk);
    }

    /// It has not come up in time.
    pub(crate) fn give_up_boot(&mut self, desk: &mut Desk) {
        let news = WorkerNews::BootGivenUp {
            after: desk.time().since(self.appeared_at),
            last: self.probing.last_failure.clone(),
        };
        self.tell(news, desk);
        self.end_boot(BootOutcome::Failure, desk);
        self.shut_down("not ready within TimeoutBooting".to_owned(), desk);
    }

    /// How long it may take to become ready. An adopted one of which nobody knows what runs on it has TimeoutProbe
    /// to answer, if that is longer.
    pub(crate) fn boot_patience(&self, desk: &Desk) -> Duration {
        let settings = &desk.settings;
        if self.state == WorkerState::Unknown && self.probing.last_list.is_none() {
            settings.boot_timeout.max(settings.probe_timeout)
        } else {
            settings.boot_timeout
        }
    }

    /// A probe sets the time of the next one; it does not send it.
    fn plan_next_probe(&mut self, probe: &OpenProbe, slowly: bool, desk: &Desk) {
        let now = desk.time();
        let settings = &desk.settings;
        let asked_at = probe.open.asked_at;
        let in_service = match self.state {
            WorkerState::Idle | WorkerState::Running => true,
            WorkerState::Unknown | WorkerState::Booting => false,
            WorkerState::Shutdown => return,
        };
        let mut next = if in_service {
            let (n_probes, n_failures) = (self.probing.n_probes, self.probing.n_failures);
            let interval = settings.probe_interval;
            let again = growing_pause(FIRST_RETRY, n_failures, interval);
            if n_failures > 0 && again < interval {
                // Nothing starts on it meanwhile: out of turn, to learn soon whether it was only a lost answer.
                Next {
                    at: now + again,
                    sweep: false,
                }
            } else {
                Next {
                    at: asked_at + interval + jitter(self.id, n_probes, interval),
                    sweep: true,
                }
            }
        } else {
            let age = now.since(self.probing.addressed_at);
            let attempts = &mut self.probing.attempts;
            Next {
                at: asked_at + attempts.next_gap(age, slowly, settings.probe_interval),
                sweep: false,
            }
        };
        // When its time is up, one more attempt is due.
        let verdict = if in_service {
            self.probing.last_good + settings.probe_timeout
        } else {
            self.appeared_at + self.boot_patience(desk)
        };
        let failing = self.probing.last_failure.is_some();
        let verdict = Some(verdict).filter(|at| failing && asked_at < *at);
        let stale = self.runners.stale_due(settings.stale_lock_timeout);
        let stale = stale.filter(|at| asked_at < *at);
        let unsure = self.runners.unsure_due().filter(|at| asked_at < *at);
        let dues = [probe.again_by, verdict, stale, unsure];
        for at in dues.into_iter().flatten() {
            if at < next.at {
                next = Next { at, sweep: false };
            }
        }
        next.at = next.at.max(now);
        self.probing.next = Some(next);
    }
}

/// The first step that failed; a list that was not reached without a failure before it counts as one.
fn first_failure(report: &ProbeReport) -> Option<(ProbeStep, ProbeFailure)> {
    let failed = |step, result: Option<&Result<(), ProbeFailure>>| match result {
        Some(Err(failure)) => Some((step, failure.clone())),
        Some(Ok(())) | None => None,
    };
    failed(ProbeStep::Connect, Some(&report.connect))
        .or_else(|| failed(ProbeStep::Boot, report.boot.as_ref()))
        .or_else(|| failed(ProbeStep::Deploy, report.deploy.as_ref()))
        .or_else(|| match &report.list {
            Some(Ok(_)) => None,
            Some(Err(failure)) => Some((ProbeStep::List, failure.clone())),
            None => Some((ProbeStep::List, silence("the runners were not listed"))),
        })
}

fn silence(message: &str) -> ProbeFailure {
    ProbeFailure {
        expected_while_booting: true,
        message: message.to_owned(),
        stderr: String::new(),
    }
}

fn no_answer() -> ProbeReport {
    ProbeReport {
        connected_at: None,
        connect: Err(silence("no answer")),
        boot: None,
        deploy: None,
        list: None,
        list_took: None,
    }
}
