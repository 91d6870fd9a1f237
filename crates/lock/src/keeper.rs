//! Takes the lock, watches it while it is held, and tells how things stand. Obeys the machine.

use std::{fmt, io, sync::Arc, thread, time::Duration};

use dispatch_model::Time;
use tokio::{
    runtime::Builder,
    sync::{oneshot, watch},
    time::{Instant, sleep_until, timeout, timeout_at},
};

use crate::{
    Due, Holder, Machine, Settings, Term, Timing,
    clocks::{Clocks, Reading},
    connect::connect,
    session::Session,
    term::{Lasts, TermHandle},
};

/// How long giving the lock back may take; closing the line gives it back as well.
const RELEASE_WITHIN: Duration = Duration::from_secs(1);

const NO_TIMER: &str =
    "the kernel gives no timer that would end a dispatcher which was stopped for too long";

/// How things stand.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Nothing is known yet.
    Trying,
    /// Another dispatcher holds the lock.
    Behind(Arc<Holder>),
    /// The database cannot be asked.
    Trouble(Arc<str>),
    /// We have held the lock, and it is lost.
    Lost(Arc<str>),
    /// We hold it.
    Held(Term),
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standing::Trying => f.write_str("tries to take the dispatchers' lock"),
            Standing::Behind(holder) => {
                write!(f, "waits for the dispatchers' lock, held by {holder}")
            }
            Standing::Trouble(why) => {
                write!(f, "waits for the database of the dispatchers' lock: {why}")
            }
            Standing::Lost(why) => write!(f, "has lost the dispatchers' lock: {why}"),
            Standing::Held(_) => f.write_str("holds the dispatchers' lock"),
        }
    }
}

/// Keeps the lock, in a thread of its own, so that nothing keeps its questions waiting. Dropping it gives the lock back.
#[derive(Debug)]
pub struct Keeper {
    standing: watch::Receiver<Standing>,
    release: Option<oneshot::Sender<()>>,
    /// Closed when the thread has ended.
    ended: oneshot::Receiver<()>,
}

impl Keeper {
    /// Begins to try.
    pub fn start(settings: Settings, timing: Timing) -> io::Result<Keeper> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (sender, standing) = watch::channel(Standing::Trying);
        let (release, released) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let work = Work {
            settings,
            timing,
            began: Instant::now(),
            clocks: Clocks::of_this_host(),
            standing: sender,
            terms: 0,
        };
        let keep = move || {
            let _end: oneshot::Sender<()> = end;
            runtime.block_on(work.run(released));
        };
        thread::Builder::new()
            .name("dispatch-lock".into())
            .spawn(keep)?;
        Ok(Keeper {
            standing,
            release: Some(release),
            ended,
        })
    }

    /// How things stand, from now on.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Gives the lock back, so that another need not wait for the database to notice. Nothing may be under way any more
    /// that changes anything.
    pub async fn release(mut self) {
        if let Some(release) = self.release.take() {
            // It has ended by itself: then nothing is held.
            let _ = release.send(());
        }
        let _ = timeout(RELEASE_WITHIN * 2, &mut self.ended).await;
    }

    /// Nobody can have the lock before this process has ended: something of it may still act.
    pub fn keep_until_the_end(self) {
        std::mem::forget(self);
    }
}

struct Work {
    settings: Settings,
    timing: Timing,
    began: Instant,
    clocks: Clocks,
    standing: watch::Sender<Standing>,
    terms: u64,
}

/// What an attempt brought.
enum Attempt {
    /// The lock, which was asked for then, when the clocks said so.
    Taken(Session, Time, Reading),
    Behind(Holder),
}

/// The operator wants an end.
struct Released;

impl Work {
    async fn run(mut self, mut released: oneshot::Receiver<()>) {
        if self.timing.kill.is_some() && std::process::id() == 1 {
            tracing::warn!(
                "this is process 1 of its container, which the kernel does not end: a dispatcher that is stopped for \
                 seconds may act when it goes on; run it below an init (docker run --init)"
            );
        }
        let mut machine = Machine::new(self.timing, self.now());
        loop {
            if let Due::Nothing { until } = machine.due(self.now()) {
                tokio::select! {
                    _ = &mut released => return,
                    () = sleep_until(self.instant(until)) => {}
                }
                continue;
            }
            let began = self.now();
            let attempt = tokio::select! {
                _ = &mut released => return,
                attempt = self.attempt() => attempt,
            };
            match attempt {
                Ok(Attempt::Taken(session, sent, read)) => {
                    if machine.taken(sent, self.now()) {
                        let held = self.hold(session, read, &mut machine, &mut released).await;
                        if let Err(Released) = held {
                            return;
                        }
                    }
                }
                Ok(Attempt::Behind(holder)) => {
                    machine.not_taken(began, self.now());
                    self.tell(Standing::Behind(Arc::new(holder)));
                }
                Err(trouble) => {
                    machine.not_taken(began, self.now());
                    self.tell(Standing::Trouble(trouble.into()));
                }
            }
        }
    }

    /// A session of its own, which is closed again unless it has got the lock (facts M7).
    async fn attempt(&self) -> Result<Attempt, String> {
        let session = connect(&self.settings).await?;
        let asking = async {
            let (sent, read) = (self.now(), self.clocks.read());
            if session.take().await? {
                return Ok(Ok((sent, read)));
            }
            session.holder().await.map(Err)
        };
        let answer = timeout(self.settings.patience(true), asking).await;
        match answer.unwrap_or_else(|_| Err("no answer to the question for the lock".to_owned()))? {
            Ok((sent, read)) => Ok(Attempt::Taken(session, sent, read)),
            Err(holder) => Ok(Attempt::Behind(holder.unwrap_or_default())),
        }
    }

    async fn hold(
        &mut self,
        mut session: Session,
        read: Reading,
        machine: &mut Machine,
        released: &mut oneshot::Receiver<()>,
    ) -> Result<(), Released> {
        self.terms += 1;
        let until = machine.valid_until().map(|until| self.instant(until));
        let lasts = until.map_or(Lasts::Over, |until| Lasts::Until(until, read));
        let (term, handle) = Term::begin(self.terms, self.timing, lasts, self.clocks.clone());
        if let Err(error) = handle.arm() {
            // With the session the lock goes to somebody who can be trusted with it.
            machine.lost(self.now());
            self.tell(Standing::Trouble(format!("{NO_TIMER}: {error}").into()));
            return Ok(());
        }
        self.tell(Standing::Held(term));
        let outcome = tokio::select! {
            biased;
            _ = released => Err(Released),
            why = self.watch(&mut session, machine, &handle) => Ok(why),
        };
        match outcome {
            Ok(why) => {
                handle.end(&why);
                machine.lost(self.now());
                self.tell(Standing::Lost(why.into()));
                Ok(())
            }
            Err(Released) => {
                handle.end("the lock was given back");
                // Whatever comes of it: the line is closed next.
                let _ = timeout(RELEASE_WITHIN, session.release()).await;
                Err(Released)
            }
        }
    }

    /// Until it is lost: why.
    async fn watch(
        &self,
        session: &mut Session,
        machine: &mut Machine,
        handle: &TermHandle,
    ) -> String {
        const SILENT: &str = "the database does not answer";
        const STOOD_STILL: &str =
            "this host has stood still for too long, or its clock was set forward";
        loop {
            let Some(valid_until) = machine.valid_until() else {
                return SILENT.to_owned();
            };
            let now = self.now();
            if now >= valid_until {
                return SILENT.to_owned();
            }
            if !handle.holds() {
                return STOOD_STILL.to_owned();
            }
            if let Due::Nothing { until } = machine.due(now) {
                tokio::select! {
                    biased;
                    why = session.ended() => return why,
                    () = sleep_until(self.instant(until)) => {}
                }
                continue;
            }
            let read = self.clocks.read();
            let answer = timeout_at(self.instant(valid_until), session.still_held()).await;
            match answer {
                Err(_) => return SILENT.to_owned(),
                Ok(Err(why)) => return session.end_or(why).await,
                Ok(Ok(false)) => return "the database says that we do not hold it".to_owned(),
                Ok(Ok(true)) => {
                    if !machine.confirmed(now, self.now()) {
                        return SILENT.to_owned();
                    }
                    let until = machine.valid_until().map(|until| self.instant(until));
                    if !until.is_some_and(|until| handle.valid_until(until, read)) {
                        return STOOD_STILL.to_owned();
                    }
                }
            }
        }
    }

    /// Tells and logs what is new, and only that (facts M7).
    fn tell(&self, standing: Standing) {
        let words = standing.to_string();
        if self.standing.borrow().to_string() != words {
            let place = self.settings.place();
            match &standing {
                Standing::Trying | Standing::Behind(_) => tracing::info!(%place, "{words}"),
                Standing::Trouble(_) | Standing::Lost(_) => tracing::warn!(%place, "{words}"),
                Standing::Held(term) => {
                    tracing::info!(%place, term = term.number(), "{words}");
                }
            }
        }
        self.standing.send_replace(standing);
    }

    fn now(&self) -> Time {
        Time::from_millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn instant(&self, at: Time) -> Instant {
        self.began + at.since(Time::ZERO)
    }
}
