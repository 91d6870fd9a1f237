//! The loop: takes in all that waits, lets the brain think once, obeys, shows.

use std::{sync::Arc, time::Duration};

use dispatch_brain::{Brain, Command, Fact, Input, NotFound, Snapshot, Wish};
use dispatch_model::Time;
use dispatch_worker::{Action, WorkerNews};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{clock::Clock, facts::Reporter, hands::Hands, health};

/// Inputs that may wait; calls beyond that wait to hand theirs over.
pub(crate) const INPUTS_MAX: usize = 4096;
/// Inputs taken in before the brain thinks: enough to share a plan, few enough to stay quick.
const INPUTS_AT_ONCE: usize = 2000;
/// Readers get a new snapshot this often while what they see changes: making one costs a little for each container.
const SHOW_EVERY: Duration = Duration::from_millis(50);
/// How long calls under way get to finish when the daemon stops.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// An operator's wish, and where its answer goes.
pub(crate) type AskedWish = (Wish, oneshot::Sender<Result<(), NotFound>>);

/// Everything the loop needs.
pub(crate) struct Shell {
    pub(crate) clock: Clock,
    pub(crate) brain: Brain,
    pub(crate) hands: Hands,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) wishes: mpsc::Receiver<AskedWish>,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(crate) reporter: Reporter,
    pub(crate) health: Arc<health::Health>,
}

impl Shell {
    /// Runs until `stop` becomes true, then lets calls under way finish for a few seconds. Running containers are left
    /// alone: the next daemon adopts them (facts K33).
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut shown_at = self.clock.time();
        let mut shown = None;
        let mut stop_by: Option<Time> = None;
        let mut answers = Vec::new();
        loop {
            let beat = self.clock.time() + health::HEARTBEAT;
            let stale = shown != Some(self.brain.revision());
            let show_at = stale.then(|| shown_at + SHOW_EVERY);
            let wake_at = [self.brain.deadline(), show_at, stop_by, Some(beat)]
                .into_iter()
                .flatten()
                .min();
            tokio::select! {
                biased;
                () = stopped(&mut stop), if stop_by.is_none() => {
                    tracing::info!("stopping; running containers are left alone");
                    stop_by = Some(self.clock.time() + STOP_WITHIN);
                    self.brain.take(Input::Stop, self.clock.now());
                }
                Some(input) = self.inputs.recv() => {
                    let now = self.clock.now();
                    self.brain.take(input, now);
                    for _ in 1..INPUTS_AT_ONCE {
                        let Ok(input) = self.inputs.try_recv() else { break };
                        self.brain.take(input, now);
                    }
                }
                Some((wish, answer)) = self.wishes.recv() => {
                    answers.push((answer, self.brain.wish(wish, self.clock.now())));
                    while let Ok((wish, answer)) = self.wishes.try_recv() {
                        answers.push((answer, self.brain.wish(wish, self.clock.now())));
                    }
                }
                // Else they are reaped in passing: the end of each comes with an input.
                () = self.hands.reap(), if stop_by.is_some() => {}
                () = self.clock.reach(wake_at) => {}
            }
            self.think_and_obey();
            self.hands.reap_ended();
            self.health.turned();
            let now = self.clock.time();
            let revision = Some(self.brain.revision());
            if shown != revision && (now >= shown_at + SHOW_EVERY || !answers.is_empty()) {
                self.snapshots.send_replace(Arc::new(self.brain.snapshot()));
                shown_at = now;
                shown = revision;
            }
            // Whoever looks after the answer sees what has become of the wish.
            for (answer, granted) in answers.drain(..) {
                // Nobody waits for it any more if the client has hung up.
                let _ = answer.send(granted);
            }
            if stop_by.is_some_and(|by| now >= by || self.hands.n_calls() == 0) {
                return;
            }
        }
    }

    /// From a container's creation until the command that starts it returned, for the metrics.
    fn count_start(&self, fact: &Fact) {
        let Fact::Pool(dispatch_worker::Fact::Worker {
            news: WorkerNews::StartAnswered { container, .. },
            ..
        }) = fact
        else {
            return;
        };
        let created_at = self
            .brain
            .queue()
            .snapshot()
            .entries
            .get(container)
            .and_then(|entry| entry.created_at);
        if let Some(waited) = created_at
            .and_then(|at| Duration::try_from(self.clock.now().wall.duration_since(at)).ok())
        {
            self.reporter.metrics.crunch_run_started(waited);
        }
    }

    fn think_and_obey(&mut self) {
        let step = self.brain.step(self.clock.now());
        for fact in step.facts {
            self.reporter.report(&fact);
            self.count_start(&fact);
        }
        // Destroys go first: they give back quota that creates may need, and stop the bill.
        let (destroys, others): (Vec<_>, Vec<_>) = step
            .commands
            .into_iter()
            .partition(|command| matches!(command, Command::Pool(Action::Destroy { .. })));
        for command in destroys.into_iter().chain(others) {
            self.hands.obey(command);
        }
    }
}

/// Waits until `stop` is true or nobody can set it any more.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
