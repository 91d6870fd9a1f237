//! Term after term of command (facts M6, K8): what acts exists only while the dispatchers' lock is held, in a runtime of
//! its own. With the term that runtime ends, and with it every call, task and connection, whoever began it; the next
//! term begins with a brain that knows nothing and surveys anew.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dispatch_lock::{Keeper, Settings, Standing, Term, Timing};
use dispatch_telemetry::LockState;
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    StartError,
    assembly::Means,
    health::{Aside, Health},
    shell::stopped,
};

/// How long it may take to end everything when the lock is lost: the next holder acts a second after we must have
/// stopped.
const CUT_OFF_WITHIN: Duration = Duration::from_millis(700);

/// Runs one term after the other.
pub(crate) struct Command {
    means: Arc<Means>,
    lock: Option<Settings>,
    told_ready: Arc<AtomicBool>,
}

/// How a term ended.
enum Ended {
    /// The daemon is to stop.
    Asked,
    /// The lock is lost.
    Lost,
}

impl Command {
    pub(crate) fn new(means: Means, lock: Option<Settings>) -> Command {
        Command {
            means: Arc::new(means),
            lock,
            told_ready: Arc::default(),
        }
    }

    /// Until `stopping` becomes true.
    pub(crate) async fn run(self, mut stopping: watch::Receiver<bool>) -> Result<(), StartError> {
        let metrics = &self.means.metrics;
        let Some(lock) = self.lock.clone() else {
            tracing::warn!(
                "PostgreSQL.Connection is not configured, so no lock is taken: see that no other dispatcher serves \
                 this cluster"
            );
            metrics.dispatch_lock(LockState::None);
            return self.serve(&Term::without_lock(), &stopping).await.map(drop);
        };
        metrics.dispatch_lock(LockState::Waiting);
        let keeper = Keeper::start(lock, Timing::USUAL)
            .map_err(|error| StartError::Runtime(error.to_string()))?;
        let mut standing = keeper.standing();
        let mut last = None;
        let outcome = loop {
            let term = tokio::select! {
                () = stopped(&mut stopping) => break Ok(()),
                term = self.next_term(&mut standing) => match term {
                    Ok(term) => term,
                    Err(error) => break Err(error),
                },
            };
            last = Some(term.clone());
            match self.serve(&term, &stopping).await {
                Ok(Ended::Asked) => break Ok(()),
                Ok(Ended::Lost) => {
                    term.nothing_acts();
                    metrics.dispatch_lock(LockState::Waiting);
                    self.forget();
                }
                // Something may still act: the lock goes with this process, not before.
                Err(error @ StartError::NotCutOff(_)) => {
                    keeper.keep_until_the_end();
                    return Err(error);
                }
                Err(error) => break Err(error),
            }
        };
        keeper.release().await;
        if let Some(term) = last {
            term.nothing_acts();
        }
        outcome
    }

    /// Waits for the lock, and then until one may look about. Says meanwhile what it waits for.
    async fn next_term(
        &self,
        standing: &mut watch::Receiver<Standing>,
    ) -> Result<Term, StartError> {
        loop {
            let now = standing.borrow_and_update().clone();
            let words = now.to_string();
            if let Standing::Held(term) = &now {
                self.stand_aside(format!("{words}, and gives others time to stop"), true);
                tokio::select! {
                    biased;
                    _ = term.over() => {}
                    () = sleep_until(term.surveys_at()) => return Ok(term.clone()),
                }
            } else {
                let well = matches!(now, Standing::Trying | Standing::Behind(_));
                self.stand_aside(words, well);
                if !matches!(now, Standing::Trying) {
                    tell_ready(&self.told_ready);
                }
            }
            if standing.changed().await.is_err() {
                return Err(StartError::KeeperDied);
            }
        }
    }

    /// Runs everything for one term, in a runtime of its own, and ends all of it.
    async fn serve(
        &self,
        term: &Term,
        stopping: &watch::Receiver<bool>,
    ) -> Result<Ended, StartError> {
        let runtime = Builder::new_multi_thread()
            .thread_name("dispatch-term")
            .enable_all()
            .build()
            .map_err(|error| StartError::Runtime(error.to_string()))?;
        term.something_acts();
        let work = runtime.spawn(self.work(term, stopping));
        let ended = tokio::select! {
            biased;
            why = term.over() => Ok(Some(why)),
            done = work => match done {
                Ok(done) => done.map(|()| None),
                Err(error) => Err(StartError::LoopDied(error.to_string())),
            },
        };
        if let Err(error) = end(runtime).await {
            // Said at once: whoever waits for this process' end may not see it.
            tracing::error!("{error}");
            return Err(error);
        }
        match ended? {
            None => Ok(Ended::Asked),
            Some(why) => {
                tracing::warn!(
                    term = term.number(),
                    "the dispatchers' lock is lost ({why}): everything was stopped; running containers go on"
                );
                Ok(Ended::Lost)
            }
        }
    }

    /// What a term consists of.
    fn work(
        &self,
        term: &Term,
        stopping: &watch::Receiver<bool>,
    ) -> impl Future<Output = Result<(), StartError>> + Send + use<> {
        let (means, term, stopping) = (Arc::clone(&self.means), term.clone(), stopping.clone());
        let ready = Arc::clone(&self.told_ready);
        let locked = self.lock.is_some();
        async move {
            let shell = means.assemble(&term).await?;
            means.health.take_command();
            tell_ready(&ready);
            tokio::spawn(keep_telling(
                Arc::clone(&means.health),
                term.clone(),
                locked,
            ));
            if locked {
                means.metrics.dispatch_lock(LockState::Surveying);
                let means = Arc::clone(&means);
                tokio::spawn(async move {
                    sleep_until(term.acts_at()).await;
                    means.metrics.dispatch_lock(LockState::InCommand);
                    tracing::info!(term = term.number(), "in command");
                });
            }
            shell.run(stopping).await;
            Ok(())
        }
    }

    /// Shows nothing that was known while in command.
    fn forget(&self) {
        self.means.desk.send_replace(None);
        let empty = self.means.fresh_brain().snapshot();
        self.means.snapshots.send_replace(Arc::new(empty));
    }

    fn stand_aside(&self, why: String, well: bool) {
        tell_status(&why);
        self.means.health.stand_aside(Aside { why, well });
    }
}

/// Tells systemd, once, that the daemon does what it can: it serves health and metrics also while it waits.
fn tell_ready(told: &AtomicBool) {
    if !told.swap(true, Ordering::Relaxed) {
        // Not started by systemd, or an old one: nobody to tell.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    }
}

/// Shows how the term goes, whenever that changes: being ready says only that the daemon listens.
async fn keep_telling(health: Arc<Health>, term: Term, locked: bool) {
    const LOOK_EVERY: Duration = Duration::from_millis(500);
    let mut told = String::new();
    loop {
        let stage = match (locked, Instant::now() >= term.acts_at()) {
            (false, _) => "at work, without a lock",
            (true, false) => "surveys",
            (true, true) => "in command",
        };
        let words = status(stage, &health.troubles());
        if words != told {
            tell_status(&words);
            told = words;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// One line, however many the words of others have.
fn status(stage: &str, troubles: &[String]) -> String {
    const CHARS_MAX: usize = 500;
    let mut words = stage.to_owned();
    for trouble in troubles {
        words.push_str("; ");
        words.push_str(trouble);
    }
    words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(CHARS_MAX)
        .collect()
}

/// Shows in `systemctl status` how things stand.
fn tell_status(words: &str) {
    // Not started by systemd: nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(words)]);
}

/// Ends every task of the runtime, which closes its connections. What blocks a thread (the look-up of a name, say) acts on
/// nothing, and is not waited for.
async fn end(runtime: Runtime) -> Result<(), StartError> {
    const LOOK_EVERY: Duration = Duration::from_millis(2);
    let deadline = Instant::now() + CUT_OFF_WITHIN;
    let tasks = runtime.handle().metrics();
    runtime.shutdown_background();
    while tasks.num_alive_tasks() > 0 {
        if Instant::now() >= deadline {
            return Err(StartError::NotCutOff(CUT_OFF_WITHIN.as_millis()));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_one_short_line_with_what_fails() {
        assert_eq!(status("in command", &[]), "in command");
        let troubles = ["the API: refused\nREADY=1".to_owned(), "x".repeat(1000)];
        let words = status("in command", &troubles);
        assert!(
            words.starts_with("in command; the API: refused READY=1; xxx"),
            "{words}"
        );
        assert_eq!(words.chars().count(), 500);
    }
}
