//! Connections to instances as the SSH executor keeps them: dialled when needed, verified before the first command,
//! used until they break.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use dispatch_lab::{When, vm::Exit, vm::Reach};
use dispatch_model::{InstanceSecret, Time, WorkerId};
use dispatch_runner::Login;

use super::{watch::Watch, wires::Wires};

/// How long an accepted connection may stay without a banner, ms.
const BANNER_MS: u64 = 1000;

/// Why a command brought no answer.
#[derive(Clone, Debug)]
pub(super) enum Broken {
    NoAddress,
    Connect(&'static str),
    Unverified,
    TimedOut,
    Disconnected,
}

impl Broken {
    /// Whether this is how a booting instance looks (facts W31).
    pub(super) fn expected_while_booting(&self) -> bool {
        !matches!(self, Broken::Unverified)
    }
}

/// What a command left behind.
pub(super) struct Output {
    pub(super) exit: Exit,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

impl Output {
    pub(super) fn success(&self) -> bool {
        self.exit == Exit::Status(0)
    }
}

/// All connections of one daemon.
pub(super) struct Machines {
    pub(super) wires: Wires,
    pub(super) login: Login,
    pub(super) user: String,
    pub(super) lines: RefCell<BTreeMap<WorkerId, Line>>,
}

/// One worker's connection.
pub(super) struct Line {
    pub(super) address: String,
    secret: Option<InstanceSecret>,
    /// The instance that has been verified, while the connection stands.
    up: Option<String>,
    pub(super) first_connected: Option<Time>,
    pub(super) watch: Watch,
}

impl Machines {
    pub(super) fn attach(&self, worker: WorkerId, address: String, secret: Option<InstanceSecret>) {
        let mut lines = self.lines.borrow_mut();
        match lines.get_mut(&worker) {
            Some(line) => {
                line.address = address;
                line.secret = secret.or(line.secret.take());
            }
            None => {
                let line = Line {
                    address,
                    secret,
                    up: None,
                    first_connected: None,
                    watch: Watch::default(),
                };
                lines.insert(worker, line);
            }
        }
    }

    /// Connects, and runs one command.
    pub(super) async fn run(
        &self,
        worker: WorkerId,
        command: &str,
        stdin: &[u8],
        within: Duration,
    ) -> Result<Output, Broken> {
        let run = async {
            self.connect(worker).await?;
            let address = self.address(worker)?;
            let output = self.exec(&address, command, stdin).await;
            if matches!(output, Err(Broken::Disconnected)) {
                self.hang_up(worker);
            }
            output
        };
        let output = self.wires.within(within, run).await;
        output.unwrap_or(Err(Broken::TimedOut))
    }

    /// Sees that there is a verified connection.
    pub(super) async fn connect(&self, worker: WorkerId) -> Result<(), Broken> {
        let address = self.address(worker)?;
        if self.is_up(worker, &address) {
            return Ok(());
        }
        let reach = self
            .wires
            .reach_world("connect", |world, now| world.reach(&address, now))
            .await;
        match reach {
            Reach::Refused => Err(Broken::Connect("connection refused")),
            Reach::Silent => {
                self.wires.sleep(BANNER_MS).await;
                Err(Broken::Connect("no banner"))
            }
            Reach::Speaks(ms) => {
                let usual = self.wires.wire(|wire| wire.handshake_ms);
                self.wires.sleep(ms + self.wires.ground.draw(usual)).await;
                self.verify(worker, &address).await
            }
        }
    }

    /// Nothing is executed before this but this (facts X3).
    async fn verify(&self, worker: WorkerId, address: &str) -> Result<(), Broken> {
        let secret = match self.lines.borrow().get(&worker) {
            Some(line) => line.secret.clone().ok_or(Broken::Unverified)?,
            None => return Err(Broken::NoAddress),
        };
        let output = self
            .exec(address, &self.login.secret_command(), b"")
            .await?;
        if !output.success() || !Login::shows_secret(&output.stdout, &secret) {
            return Err(Broken::Unverified);
        }
        let world = self.wires.ground.world.borrow();
        let instance = world.vm_at(address).map(|vm| vm.instance.clone());
        if let Some(line) = self.lines.borrow_mut().get_mut(&worker) {
            line.up = instance;
            line.first_connected.get_or_insert(self.wires.time());
        }
        Ok(())
    }

    /// One command on a connection that stands.
    async fn exec(&self, address: &str, command: &str, stdin: &[u8]) -> Result<Output, Broken> {
        self.until_heard(address).await?;
        let execution = self
            .wires
            .reach_world("exec", |world, now| {
                world.exec(address, &self.user, command, stdin, now)
            })
            .await
            .ok_or(Broken::Disconnected)?;
        match execution.when {
            When::Never => std::future::pending().await,
            When::Cut(ms) => {
                self.wires.sleep(ms).await;
                Err(Broken::Disconnected)
            }
            When::After(ms) => {
                self.wires.sleep(ms).await;
                self.until_heard(address).await?;
                Ok(Output {
                    exit: execution.exit,
                    stdout: execution.stdout,
                    stderr: execution.stderr,
                })
            }
        }
    }

    /// What is said to a machine that is cut off for a while, and by it, arrives when it is heard again.
    async fn until_heard(&self, address: &str) -> Result<(), Broken> {
        while let Some(until_ms) = self.silent_until(address)? {
            self.wires.ground.clock.sleep_until(until_ms).await;
        }
        Ok(())
    }

    /// Until when the machine is cut off, if it is; an error if it is gone.
    pub(super) fn silent_until(&self, address: &str) -> Result<Option<u64>, Broken> {
        let world = self.wires.ground.world.borrow();
        let vm = world.vm_at(address).ok_or(Broken::Disconnected)?;
        let silent = vm.is_silent(self.wires.ground.lab_now());
        Ok(vm.silent.filter(|_| silent).map(|(_, until_ms)| until_ms))
    }

    pub(super) fn address(&self, worker: WorkerId) -> Result<String, Broken> {
        let lines = self.lines.borrow();
        let line = lines.get(&worker).ok_or(Broken::NoAddress)?;
        Ok(line.address.clone())
    }

    pub(super) fn first_connected(&self, worker: WorkerId) -> Option<Time> {
        self.lines.borrow().get(&worker)?.first_connected
    }

    pub(super) fn hang_up(&self, worker: WorkerId) {
        if let Some(line) = self.lines.borrow_mut().get_mut(&worker) {
            line.up = None;
        }
    }

    fn is_up(&self, worker: WorkerId, address: &str) -> bool {
        let world = self.wires.ground.world.borrow();
        let lines = self.lines.borrow();
        let up = lines.get(&worker).and_then(|line| line.up.as_deref());
        up.is_some() && up == world.vm_at(address).map(|vm| vm.instance.as_str())
    }
}
