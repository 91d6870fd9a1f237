//! The handle of one instance: finds or makes a live connection, and gives up in time.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use dispatch_cloud::exec::{Command, Connection, ExecError, Lines, Output, Target};
use dispatch_model::InstanceSecret;
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    dial::{Destination, Dialled, NotDialled, dial},
    executor::Shared,
    job::{Answer, CancelOnDrop, Input, Job, JobError, Lane, Ticket},
    lines::{LINES_MAX, LineEnds},
    pause::Pause,
    sink::{Sink, Splitter},
    verify::HostKey,
};

/// What a long-lived command says on standard error is kept for nobody, but a little of it may be of help.
const LINES_STDERR_BYTES_MAX: usize = 4 << 10;

/// So many attempts that ended in a time-out add one more `boot_reach` to the patience.
const SLOW_ATTEMPTS_PER_REACH: u32 = 10;

/// One instance. Without a live connection it is nothing but this.
pub(crate) struct SshConnection {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    secret: Option<InstanceSecret>,
    state: Mutex<State>,
    closed: watch::Sender<bool>,
    /// One upload at a time: each needs a connection of its own.
    uploading: AsyncMutex<()>,
}

struct State {
    address: String,
    lane: Option<Lane>,
    dialling: Option<Dialling>,
    n_dials: u64,
    verified: Option<HostKey>,
    pause: Pause,
    /// Whether there was ever a connection to this address.
    was_up: bool,
    n_slow: u32,
}

/// An attempt under way, which all callers wait for (facts X7).
struct Dialling {
    number: u64,
    address: String,
    result: watch::Receiver<Option<Result<Lane, ExecError>>>,
}

/// Who asks for a connection.
#[derive(Clone, Copy)]
enum Asking {
    /// `connect`: tries at once.
    Explicitly,
    /// A command: waits until the pause is over, or fails at once if it outlasts the deadline.
    ForCommand { until: Instant },
}

impl SshConnection {
    pub(crate) fn new(shared: Arc<Shared>, target: Target) -> Self {
        let state = State {
            address: target.address,
            lane: None,
            dialling: None,
            n_dials: 0,
            verified: None,
            pause: Pause::default(),
            was_up: false,
            n_slow: 0,
        };
        let inner = Inner {
            shared,
            secret: target.secret,
            state: Mutex::new(state),
            closed: watch::Sender::new(false),
            uploading: AsyncMutex::new(()),
        };
        Self {
            inner: Arc::new(inner),
        }
    }
}

#[async_trait]
impl Connection for SshConnection {
    fn set_address(&self, address: &str) {
        let mut state = self.inner.state();
        if state.address != address {
            address.clone_into(&mut state.address);
            state.pause.over();
            state.was_up = false;
            state.n_slow = 0;
        }
    }

    async fn connect(&self, deadline: Duration) -> Result<(), ExecError> {
        let until = Instant::now() + deadline;
        self.inner
            .lane_until(Asking::Explicitly, until, deadline)
            .await
            .map(drop)
    }

    async fn run(&self, command: Command) -> Result<Output, ExecError> {
        let until = Instant::now() + command.deadline;
        let bytes_max = self.inner.shared.settings.output_bytes_max;
        let mut tried_before = false;
        loop {
            let lane = self
                .inner
                .lane_until(Asking::ForCommand { until }, until, command.deadline)
                .await?;
            let failure = match run_on(&lane, &command, until, bytes_max).await {
                Ok(output) => return Ok(output),
                Err(failure) => failure,
            };
            // The connection ended before the command was sent: a new one may serve it.
            if !matches!(failure, Failure::Job(JobError::NotStarted(_))) || tried_before {
                return Err(failure.into_error(&lane.address, command.deadline));
            }
            tried_before = true;
        }
    }

    async fn upload(&self, command: Command) -> Result<Output, ExecError> {
        let until = Instant::now() + command.deadline;
        let inner = &self.inner;
        let address = inner.state().address.clone();
        let prepared = async {
            let turn = inner.uploading.lock().await;
            inner.wait_out_pause(until).await?;
            inner.check_can_dial()?;
            let mut closed = inner.closed.subscribe();
            let dialled = tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => return Err(closed_error()),
                dialled = dial(&inner.shared, inner.destination(), inner.closed.subscribe()) => dialled,
            };
            let Dialled { lane, key } = dialled.map_err(|NotDialled { error, .. }| error)?;
            inner.state().verified = Some(key);
            Ok((turn, lane))
        };
        let (_turn, lane) = timeout_at(until, prepared)
            .await
            .map_err(|_| not_connected(&address, command.deadline))??;
        run_on(
            &lane,
            &command,
            until,
            inner.shared.settings.output_bytes_max,
        )
        .await
        .map_err(|failure| failure.into_error(&lane.address, command.deadline))
    }

    async fn lines(&self, command: &str, deadline: Duration) -> Result<Box<dyn Lines>, ExecError> {
        let until = Instant::now() + deadline;
        let mut tried_before = false;
        loop {
            let lane = self
                .inner
                .lane_until(Asking::ForCommand { until }, until, deadline)
                .await?;
            let failure = match lines_on(
                &lane,
                command,
                until,
                self.inner.shared.settings.line_write,
            )
            .await
            {
                Ok(ends) => return Ok(Box::new(ends)),
                Err(failure) => failure,
            };
            if !matches!(failure, Failure::Job(JobError::NotStarted(_))) || tried_before {
                return Err(failure.into_error(&lane.address, deadline));
            }
            tried_before = true;
        }
    }

    fn close(&self) {
        self.inner.closed.send_replace(true);
        let mut state = self.inner.state();
        state.lane = None;
        state.dialling = None;
    }
}

impl Drop for SshConnection {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    /// A live connection, made if need be.
    async fn lane_until(
        self: &Arc<Self>,
        asking: Asking,
        until: Instant,
        deadline: Duration,
    ) -> Result<Lane, ExecError> {
        match timeout_at(until, self.lane(asking)).await {
            Ok(lane) => lane,
            Err(_) => Err(not_connected(&self.state().address, deadline)),
        }
    }

    async fn lane(self: &Arc<Self>, asking: Asking) -> Result<Lane, ExecError> {
        if let Some(lane) = self.present_lane() {
            return Ok(lane);
        }
        if matches!(asking, Asking::ForCommand { .. })
            && self.state().pause.current(Instant::now()).is_some()
            && let Some(lane) = self.older_lane()
        {
            return Ok(lane);
        }
        let outcome = self.new_lane(asking).await;
        match outcome {
            Ok(lane) => Ok(lane),
            // The old connection may still work although the new address does not (facts X8).
            Err(error) => self.older_lane().ok_or(error),
        }
    }

    async fn new_lane(self: &Arc<Self>, asking: Asking) -> Result<Lane, ExecError> {
        if let Asking::ForCommand { until } = asking {
            self.wait_out_pause(until).await?;
        }
        self.check_can_dial()?;
        let mut result = self.join_dial();
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => Err(closed_error()),
            result = result.wait_for(Option::is_some) => match result {
                Ok(result) => result.clone().expect("waited for it"),
                Err(_) => Err(ExecError::Disconnected("the attempt to connect was abandoned".to_owned())),
            },
        }
    }

    /// The live connection to the present address.
    fn present_lane(&self) -> Option<Lane> {
        let state = self.state();
        state
            .lane
            .as_ref()
            .filter(|lane| !lane.has_ended() && lane.address == state.address)
            .cloned()
    }

    /// A live connection to any address that the instance had.
    fn older_lane(&self) -> Option<Lane> {
        self.state()
            .lane
            .as_ref()
            .filter(|lane| !lane.has_ended())
            .cloned()
    }

    /// Fails at once if the pause outlasts the deadline, with the reason for the pause.
    async fn wait_out_pause(&self, until: Instant) -> Result<(), ExecError> {
        let pause_until = match self.state().pause.current(Instant::now()) {
            None => return Ok(()),
            Some((pause_until, error)) if pause_until >= until => return Err(error.clone()),
            Some((pause_until, _)) => pause_until,
        };
        sleep_until(pause_until).await;
        Ok(())
    }

    /// Whether an attempt makes sense at all.
    fn check_can_dial(&self) -> Result<(), ExecError> {
        let state = self.state();
        if *self.closed.borrow() {
            return Err(ExecError::Connect {
                address: state.address.clone(),
                reason: "the dispatcher has closed this connection".to_owned(),
            });
        }
        if state.address.trim().is_empty() {
            return Err(ExecError::NoAddress);
        }
        if !self.shared.verifier.can_verify(self.secret.as_ref()) {
            return Err(ExecError::Unverified {
                address: state.address.clone(),
                reason: "there is no secret to compare with".to_owned(),
            });
        }
        Ok(())
    }

    fn destination(&self) -> Destination {
        let state = self.state();
        let settings = &self.shared.settings;
        let reach = settings
            .boot_reach
            .saturating_mul(1 + state.n_slow / SLOW_ATTEMPTS_PER_REACH)
            .min(settings.connect + settings.banner);
        Destination {
            address: state.address.clone(),
            secret: self.secret.clone(),
            verified: state.verified.clone(),
            reach: (!state.was_up).then_some(reach),
        }
    }

    /// Joins the attempt under way or begins one. An attempt goes on when its callers give up: it is bounded by its own
    /// deadlines, and the next caller finds what it brought. Only `close` stops it.
    fn join_dial(self: &Arc<Self>) -> watch::Receiver<Option<Result<Lane, ExecError>>> {
        let destination = self.destination();
        let mut state = self.state();
        if let Some(dialling) = &state.dialling
            && dialling.address == destination.address
        {
            return dialling.result.clone();
        }
        let (sender, result) = watch::channel(None);
        state.n_dials += 1;
        let number = state.n_dials;
        let address = destination.address.clone();
        state.dialling = Some(Dialling {
            number,
            address,
            result: result.clone(),
        });
        drop(state);
        tokio::spawn(Arc::clone(self).attempt(number, destination, sender));
        result
    }

    async fn attempt(
        self: Arc<Self>,
        number: u64,
        destination: Destination,
        sender: watch::Sender<Option<Result<Lane, ExecError>>>,
    ) {
        let mut closed = self.closed.subscribe();
        let dialled = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => return,
            dialled = dial(&self.shared, destination, self.closed.subscribe()) => dialled,
        };
        let mut state = self.state();
        // Another attempt, to another address, may have taken its place: then this one changes nothing.
        let is_present = state
            .dialling
            .as_ref()
            .is_some_and(|dialling| dialling.number == number);
        let result = match dialled {
            Ok(Dialled { lane, key }) => {
                if is_present {
                    state.verified = Some(key);
                    state.pause.over();
                    state.was_up = true;
                    state.n_slow = 0;
                    state.lane = Some(lane.clone());
                }
                Ok(lane)
            }
            Err(NotDialled { error, was_slow }) => {
                if is_present {
                    let settings = &self.shared.settings;
                    let luck = rand::random::<f64>();
                    state.n_slow = state.n_slow.saturating_add(u32::from(was_slow));
                    state.pause.failed(
                        error.clone(),
                        settings.pause_min,
                        settings.pause_max,
                        luck,
                        Instant::now(),
                    );
                }
                Err(error)
            }
        };
        if is_present {
            state.dialling = None;
        }
        drop(state);
        sender.send_replace(Some(result));
    }
}

/// Why a command that had a connection has no output.
pub(crate) enum Failure {
    Job(JobError),
    /// In time; and whether it may have been sent.
    Late {
        sent: bool,
    },
}

impl Failure {
    pub(crate) fn into_error(self, address: &str, deadline: Duration) -> ExecError {
        let address = address.to_owned();
        match self {
            Failure::Job(JobError::NotStarted(reason) | JobError::Denied(reason)) => {
                ExecError::Connect { address, reason }
            }
            Failure::Job(JobError::Broken(reason)) => ExecError::Disconnected(reason),
            Failure::Late { sent: true } => ExecError::TimedOut(deadline),
            Failure::Late { sent: false } => {
                let reason = format!("no free channel within {} ms", deadline.as_millis());
                ExecError::Connect { address, reason }
            }
        }
    }
}

/// Runs a command on a live connection.
pub(crate) async fn run_on(
    lane: &Lane,
    command: &Command,
    until: Instant,
    bytes_max: usize,
) -> Result<Output, Failure> {
    let (sender, answer) = oneshot::channel();
    let job = Job {
        ticket: Arc::default(),
        line: command.line.clone(),
        input: Input::whole(command.stdin.clone()),
        stdout: Sink::capture(bytes_max),
        stderr: Sink::capture(bytes_max),
        answer: Answer::Output(sender),
    };
    let guard = lane.submit(job).map_err(Failure::Job)?;
    await_answer(answer, &guard, until).await
}

async fn lines_on(
    lane: &Lane,
    line: &str,
    until: Instant,
    write_deadline: Duration,
) -> Result<LineEnds, Failure> {
    let (sender, started) = oneshot::channel();
    let (input, from_caller) = mpsc::channel::<Bytes>(LINES_MAX);
    let (to_caller, output) = mpsc::channel(LINES_MAX);
    let broken = Arc::new(OnceLock::new());
    let job = Job {
        ticket: Arc::default(),
        line: line.to_owned(),
        input: Input::stream(from_caller),
        stdout: Sink::Lines(Splitter::new(to_caller)),
        stderr: Sink::capture(LINES_STDERR_BYTES_MAX),
        answer: Answer::Lines {
            started: Some(sender),
            broken: Arc::clone(&broken),
        },
    };
    let guard = lane.submit(job).map_err(Failure::Job)?;
    await_answer(started, &guard, until).await?;
    Ok(LineEnds {
        input,
        output,
        broken,
        write_deadline,
        guard,
    })
}

async fn await_answer<T>(
    answer: oneshot::Receiver<Result<T, JobError>>,
    guard: &CancelOnDrop,
    until: Instant,
) -> Result<T, Failure> {
    match timeout_at(until, answer).await {
        Ok(Ok(answer)) => answer.map_err(Failure::Job),
        Ok(Err(_)) => Err(Failure::Job(JobError::Broken(
            "the connection was abandoned".to_owned(),
        ))),
        Err(_) => Err(Failure::Late {
            sent: Ticket::cancel(&guard.ticket),
        }),
    }
}

fn closed_error() -> ExecError {
    ExecError::Disconnected("closed by the dispatcher".to_owned())
}

fn not_connected(address: &str, deadline: Duration) -> ExecError {
    ExecError::Connect {
        address: address.to_owned(),
        reason: format!("no connection within {} ms", deadline.as_millis()),
    }
}
