//! The task that owns one live connection: the session, its socket, and all channels.
//!
//! libssh2 is one state machine for all channels of a session, so one task drives it. Callers put jobs into a queue
//! and wait for answers. The loop: take jobs, run rounds over all channels until a whole round moves nothing, sleep
//! until the socket, a caller or the clock has news. Rules that were measured, each after a hang without it:
//!
//! 1. No session, channel or stream ever leaves this task, nor is dropped elsewhere.
//! 2. One channel at a time between open and exec (`Op::is_starting`).
//! 3. What had to wait is repeated with the same arguments in every round.
//! 4. Cancelling marks; the channel is freed only after its close went out (`Op`).
//! 5. The socket is watched in both directions at all times; once the server has closed its side, what it sent is read
//!    to the end, and then everybody is told.
//! 6. Whether the server lives is judged by the kernel's account of the last data (`Pulse`). A sign of life is a channel
//!    opened and closed again: the answer to libssh2's own keep-alive would stay in the session's memory for good, and
//!    opening a channel also reads what has piled up, so that the server's own keep-alives are answered.
//!
//! A connection on which nothing can be started any more is retired: it takes no more work, so that callers make a new
//! one, and ends when nobody waits for what still runs on it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use ssh2::Session;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep_until},
};
use tracing::debug;

use crate::{
    fault::Fault,
    job::{Answer, Input, Job, JobError, Lane},
    op::{NoChannel, Op},
    pulse::{Pulse, Verdict},
    settings::Settings,
    sink::Sink,
    socket::Socket,
};

/// While something is to be sent, look again so often even without an event.
const TICK: Duration = Duration::from_millis(500);

/// So many rounds without a pause before other tasks get their turn.
const ROUNDS_PER_TURN: u32 = 8;

/// For so long after a channel was freed the server may still count its session, and refuse another: it frees
/// sessions only after it has read everything that came with the close.
const SESSION_LINGERS: Duration = Duration::from_secs(1);

/// How long to wait before a channel that was refused for that reason is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// On a new connection commands come first: who wants a long-lived one asks for the connection at the same moment, and
/// on a server with few sessions would get the last of them again and again.
const COMMANDS_FIRST: Duration = Duration::from_millis(100);

/// Starts the task for a session that has logged in. The returned way is the only one to it.
pub(crate) fn spawn(
    session: Session,
    socket: Socket,
    address: String,
    settings: &Settings,
    closed: watch::Receiver<bool>,
) -> Lane {
    let (sender, jobs) = mpsc::channel(settings.queue_max.max(1));
    let wake = Arc::new(Notify::new());
    let lane = Lane {
        jobs: sender,
        wake: Arc::clone(&wake),
        address: address.clone(),
    };
    let actor = Actor {
        ops: Vec::new(),
        waiting: VecDeque::new(),
        session,
        socket,
        address,
        jobs,
        queue_max: settings.queue_max.max(1),
        room: settings.channels_max.max(1),
        stuck_after: settings.stuck_after,
        stuck_since: None,
        freed_at: None,
        open_from: Instant::now(),
        lines_from: Instant::now() + COMMANDS_FIRST,
        pulse: Pulse::new(settings.keepalive, settings.dead_after),
        keepalive_secs: u32::try_from(settings.keepalive.as_secs())
            .unwrap_or(u32::MAX)
            .max(2),
        look_at: Instant::now() + settings.keepalive,
        retired: false,
    };
    tokio::spawn(actor.run(wake, closed));
    lane
}

struct Actor {
    // Channels go before the session they belong to.
    ops: Vec<Op>,
    waiting: VecDeque<Job>,
    session: Session,
    socket: Socket,
    address: String,
    jobs: mpsc::Receiver<Job>,
    queue_max: usize,
    /// Channels that may be open at a time; less than the setting if the server allows fewer.
    room: usize,
    stuck_after: Duration,
    /// Since when jobs wait while abandoned channels take the room.
    stuck_since: Option<Instant>,
    /// When a channel was freed last.
    freed_at: Option<Instant>,
    /// No channel is asked for before.
    open_from: Instant,
    /// None for a long-lived command before.
    lines_from: Instant,
    pulse: Pulse,
    keepalive_secs: u32,
    /// When to look at the pulse.
    look_at: Instant,
    /// Takes no more work.
    retired: bool,
}

impl Actor {
    async fn run(mut self, wake: Arc<Notify>, mut closed: watch::Receiver<bool>) {
        let why = self.serve(&wake, &mut closed).await;
        debug!(address = %self.address, %why, "connection ends");
        self.socket.shut();
        self.jobs.close();
        self.take_jobs();
        for mut job in self.waiting.drain(..) {
            job.answer.fail(JobError::NotStarted(why.clone()));
        }
        for op in &mut self.ops {
            op.fail(&why);
        }
    }

    /// Until the connection ends, for the returned reason.
    async fn serve(&mut self, wake: &Notify, closed: &mut watch::Receiver<bool>) -> String {
        let mut server_closed = false;
        loop {
            // Whatever keeps waking this task, others get their turn.
            tokio::task::consume_budget().await;
            if let Err(why) = self.rounds().await {
                return why;
            }
            if server_closed {
                return "the server has closed it".to_owned();
            }
            let now = Instant::now();
            self.notice_stuck(now);
            if self.retired && !self.ops.iter().any(Op::is_awaited) {
                return "no longer needed".to_owned();
            }
            let look_again = self.next_look(now);
            tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => {
                    self.cut_off("closed by the dispatcher");
                    return "closed by the dispatcher".to_owned();
                }
                changed = self.socket.changed() => match changed {
                    Ok(closed) => server_closed = closed,
                    Err(error) => return error.to_string(),
                },
                job = self.jobs.recv(), if !self.retired => match job {
                    Some(job) => self.enqueue(job),
                    None => self.retire("another connection has taken its place"),
                },
                () = wake.notified() => {}
                () = sleep_until(look_again) => {}
            }
            if let Err(why) = self.look_at_pulse() {
                return why;
            }
        }
    }

    /// Rounds over all channels until nothing moves.
    async fn rounds(&mut self) -> Result<(), String> {
        let mut n_rounds = 0;
        loop {
            self.take_jobs();
            let admitted = self.admit();
            if !self.round()? && !admitted {
                return Ok(());
            }
            n_rounds += 1;
            if n_rounds % ROUNDS_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn round(&mut self) -> Result<bool, String> {
        let mut moved = false;
        let mut refused = None;
        for (index, op) in self.ops.iter_mut().enumerate() {
            match op.step(&self.session, &self.socket) {
                Ok(Ok(op_moved)) => moved |= op_moved,
                Ok(Err(no_channel)) => refused = Some((index, no_channel)),
                Err(Fault::Channel(why) | Fault::Connection(why)) => return Err(why),
            }
        }
        if let Some((index, no_channel)) = refused {
            let op = self.ops.remove(index);
            self.refused(op, no_channel);
            moved = true;
        }
        let n_ops = self.ops.len();
        self.ops.retain(|op| !op.is_freed());
        if self.ops.len() < n_ops {
            self.freed_at = Some(Instant::now());
        }
        Ok(moved)
    }

    /// The server opened no channel. If commands that will end have others open, it allows fewer than we do. If one has
    /// just ended, the server may not have noticed. Otherwise this connection is of no use: long-lived ones would keep
    /// everybody else waiting for ever.
    fn refused(&mut self, op: Op, NoChannel { why }: NoChannel) {
        let mut job = op.into_job();
        let now = Instant::now();
        if !self.ops.iter().all(Op::is_lines) {
            debug!(address = %self.address, n_channels = self.ops.len(), "the server opens no more channels");
            self.room = self.ops.len();
            if job.answer.is_awaited() {
                self.waiting.push_front(job);
            }
        } else if self.freed_at.is_some_and(|at| now < at + SESSION_LINGERS) {
            self.open_from = now + ASK_AGAIN;
            if job.answer.is_awaited() {
                self.waiting.push_front(job);
            }
        } else {
            // In this order: a caller who is told looks for another connection at once, and must not find this one.
            self.retire("the server opens no channel");
            job.answer.fail(JobError::NotStarted(format!(
                "the server opens no channel: {why}"
            )));
        }
    }

    fn take_jobs(&mut self) {
        while let Ok(job) = self.jobs.try_recv() {
            self.enqueue(job);
        }
        self.waiting.retain(|job| !job.ticket.is_cancelled());
    }

    fn enqueue(&mut self, mut job: Job) {
        self.waiting.retain(|job| !job.ticket.is_cancelled());
        if self.waiting.len() < self.queue_max {
            self.waiting.push_back(job);
        } else {
            job.answer.fail(JobError::Denied(format!(
                "{} commands wait already",
                self.waiting.len()
            )));
        }
    }

    /// Gives the next job a channel if there is one. Says so.
    fn admit(&mut self) -> bool {
        if self.retired
            || self.ops.len() >= self.room
            || self.ops.iter().any(Op::is_starting)
            || Instant::now() < self.open_from
        {
            return false;
        }
        let now = Instant::now();
        let may_start = |job: &Job| now >= self.lines_from || !job.answer.is_lines();
        let next = self.waiting.iter().position(may_start);
        let Some(job) = next.and_then(|next| self.waiting.remove(next)) else {
            return false;
        };
        self.stuck_since = None;
        self.ops.push(Op::new(job, now));
        self.look_at = self.look_at.min(self.pulse.look_by(now));
        true
    }

    /// Retires the connection if nothing has been started on it for too long although something should be, or never
    /// will be.
    fn notice_stuck(&mut self, now: Instant) {
        if self.ops.len() >= self.room
            && self.ops.iter().all(Op::is_lines)
            && self.waiting.iter().any(|job| !job.answer.is_lines())
        {
            return self.retire("long-lived commands take all its channels");
        }
        let no_room = self.ops.len() >= self.room && self.ops.iter().any(Op::is_abandoned);
        self.stuck_since = match self.stuck_since {
            _ if self.waiting.is_empty() || !no_room => None,
            Some(since) => Some(since),
            None => Some(now),
        };
        let starting_since = self
            .ops
            .iter()
            .find(|op| op.is_starting())
            .map(|op| op.began);
        let too_long =
            |since: Option<Instant>| since.is_some_and(|since| now >= since + self.stuck_after);
        if too_long(self.stuck_since) {
            self.retire("commands that nobody waits for any more take all its channels");
        } else if too_long(starting_since) {
            self.retire("the server does not start commands");
        }
    }

    /// Takes no more work. Commands go on to their end; what waits may go elsewhere; long-lived ones must.
    fn retire(&mut self, why: &str) {
        if self.retired {
            return;
        }
        debug!(address = %self.address, n_channels = self.ops.len(), why, "connection takes no more commands");
        self.retired = true;
        self.jobs.close();
        while let Ok(job) = self.jobs.try_recv() {
            self.waiting.push_back(job);
        }
        for mut job in self.waiting.drain(..) {
            job.answer.fail(JobError::NotStarted(why.to_owned()));
        }
        for op in self.ops.iter_mut().filter(|op| op.is_lines()) {
            op.fail(why);
        }
    }

    /// The caller wants an end, of what waits as well.
    fn cut_off(&mut self, why: &str) {
        self.jobs.close();
        self.take_jobs();
        for mut job in self.waiting.drain(..) {
            job.answer.fail(JobError::Broken(why.to_owned()));
        }
    }

    fn next_look(&self, now: Instant) -> Instant {
        let sending = self.ops.iter().any(Op::is_sending) || !self.waiting.is_empty();
        let held_up_until = [self.open_from, self.lines_from]
            .into_iter()
            .filter(|at| now < *at && !self.waiting.is_empty())
            .min();
        if let Some(until) = held_up_until {
            self.look_at.min(until)
        } else if sending {
            self.look_at.min(now + TICK)
        } else {
            self.look_at
        }
    }

    fn look_at_pulse(&mut self) -> Result<(), String> {
        let now = Instant::now();
        if now < self.look_at {
            return Ok(());
        }
        let silence = self.socket.silence().map_err(|error| error.to_string())?;
        self.look_at = match self.pulse.look(silence, self.ops.is_empty(), now) {
            Verdict::Fine { again_at } => again_at,
            Verdict::Ask { again_at } => {
                self.ask_for_a_sign();
                again_at
            }
            Verdict::Dead => {
                return Err(format!("nothing was heard for {} ms", silence.as_millis()));
            }
        };
        Ok(())
    }

    fn ask_for_a_sign(&mut self) {
        if self.ops.iter().any(Op::is_starting) || !self.waiting.is_empty() {
            // An answer is due anyway.
        } else if self.ops.len() < self.room && !self.retired {
            self.ops.push(Op::new(sign_of_life(), Instant::now()));
        } else if self.socket.takes_a_packet() {
            self.session.set_keepalive(true, self.keepalive_secs);
            // If it cannot be sent, silence will show it.
            let _ = self.session.keepalive_send();
        }
    }
}

fn sign_of_life() -> Job {
    Job {
        ticket: Arc::default(),
        line: String::new(),
        input: Input::whole(bytes::Bytes::new()),
        stdout: Sink::Discard,
        stderr: Sink::Discard,
        answer: Answer::Nobody,
    }
}
