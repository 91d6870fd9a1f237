//! How one instance is reached: the live connection, the attempt to make one, and the pause after failures.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use dispatch_cloud::exec::{ExecError, Target};
use dispatch_model::InstanceSecret;
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    dial::{Destination, Dialled, Late, NotDialled, Patience, dial},
    executor::Shared,
    job::Lane,
    pause::Pause,
    verify::HostKey,
};

/// So many attempts that reached nobody in time add one more `boot_reach` to the patience. A server that is reached and
/// says nothing gets one more each time: it is there, and slow.
const UNREACHED_PER_REACH: u32 = 10;

/// The state of one instance's handle. Attempts hold it too.
pub(crate) struct Link {
    pub(crate) shared: Arc<Shared>,
    secret: Option<InstanceSecret>,
    state: Mutex<State>,
    pub(crate) closed: watch::Sender<bool>,
    /// One upload at a time: each needs a connection of its own.
    pub(crate) uploading: AsyncMutex<()>,
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
    /// Attempts since the last that went well: without a connection in time, without a banner in time.
    n_unreached: u32,
    n_silent: u32,
}

/// An attempt under way, which all callers wait for (facts X7).
struct Dialling {
    number: u64,
    address: String,
    result: watch::Receiver<Option<Result<Lane, ExecError>>>,
}

/// Who asks for a connection.
#[derive(Clone, Copy)]
pub(crate) enum Asking {
    /// `connect`: tries at once.
    Explicitly,
    /// A command: waits until the pause is over, or fails at once if it outlasts the deadline.
    ForCommand { until: Instant },
}

impl Link {
    pub(crate) fn new(shared: Arc<Shared>, target: Target) -> Self {
        let state = State {
            address: target.address,
            lane: None,
            dialling: None,
            n_dials: 0,
            verified: None,
            pause: Pause::default(),
            was_up: false,
            n_unreached: 0,
            n_silent: 0,
        };
        Self {
            shared,
            secret: target.secret,
            state: Mutex::new(state),
            closed: watch::Sender::new(false),
            uploading: AsyncMutex::new(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    /// Where the next connection goes.
    pub(crate) fn address(&self) -> String {
        self.state().address.clone()
    }

    /// From the next connection on, there.
    pub(crate) fn set_address(&self, address: &str) {
        let mut state = self.state();
        if state.address != address {
            address.clone_into(&mut state.address);
            state.pause.over();
            state.was_up = false;
            state.n_unreached = 0;
            state.n_silent = 0;
        }
    }

    /// Ends the live connection and any attempt, for good.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
        let mut state = self.state();
        state.lane = None;
        state.dialling = None;
    }

    /// A connection apart from the shared one, made in the caller's own time.
    pub(crate) async fn lane_of_its_own(&self, until: Instant) -> Result<Lane, ExecError> {
        self.wait_out_pause(until).await?;
        self.check_can_dial()?;
        let mut closed = self.closed.subscribe();
        let dialled = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => return Err(closed_error()),
            dialled = dial(&self.shared, self.destination(), self.closed.subscribe()) => dialled,
        };
        let Dialled { lane, key } = dialled.map_err(|NotDialled { error, .. }| error)?;
        self.state().verified = Some(key);
        Ok(lane)
    }

    /// A live connection, made if need be.
    pub(crate) async fn lane_until(
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
        let patience = if state.was_up {
            Patience {
                connect: settings.connect,
                banner: settings.banner,
            }
        } else {
            let reaches = |n: u32| settings.boot_reach.saturating_mul(1 + n);
            let unreached = state.n_unreached / UNREACHED_PER_REACH;
            Patience {
                connect: reaches(unreached).min(settings.connect),
                banner: reaches(state.n_silent).min(settings.banner),
            }
        };
        Destination {
            address: state.address.clone(),
            secret: self.secret.clone(),
            verified: state.verified.clone(),
            patience,
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
                    state.n_unreached = 0;
                    state.n_silent = 0;
                    state.lane = Some(lane.clone());
                }
                Ok(lane)
            }
            Err(NotDialled { error, late }) => {
                if is_present {
                    let settings = &self.shared.settings;
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "spreads instances that failed together; nothing is decided by it"
                    )]
                    let luck = rand::random::<f64>();
                    match late {
                        Some(Late::Connection) => state.n_unreached += 1,
                        Some(Late::Banner) => state.n_silent += 1,
                        None => {}
                    }
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

fn closed_error() -> ExecError {
    ExecError::Disconnected("closed by the dispatcher".to_owned())
}

pub(crate) fn not_connected(address: &str, deadline: Duration) -> ExecError {
    ExecError::Connect {
        address: address.to_owned(),
        reason: format!("no connection within {} ms", deadline.as_millis()),
    }
}
