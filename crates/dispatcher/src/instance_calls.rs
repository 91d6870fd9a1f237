//! Commands on one instance: probe, deploy, start, signal.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use dispatch_cloud::exec::{Command, Connection, ExecError, Exit, Output};
use dispatch_lock::Term;
use dispatch_model::{ContainerId, InstanceType, RunnerReport, Time};
use dispatch_runner::{Start, StartSettings, boot_probe, parse_list};
use dispatch_worker::{ListWhen, ProbeFailure, ProbeOrder, ProbeReport, SignalKind, SignalOutcome};
use tokio::sync::Semaphore;

use crate::{
    as_user::{AsUser, CommandLines},
    clock::Clock,
    masking::{Mask, Onlooker},
    runner_binary::RunnerBinary,
};

/// Deployments under way at once: each sends a whole program.
const UPLOADS_AT_ONCE: usize = 16;
/// How long looking at a deployed program may take, of the time a deployment may take.
const CHECK_WITHIN: Duration = Duration::from_secs(30);

/// What all commands on instances share.
pub(crate) struct OnInstance {
    /// A program is deployed only when it allows that.
    term: Term,
    pub(crate) clock: Clock,
    pub(crate) lines: CommandLines,
    pub(crate) boot_probe_command: String,
    pub(crate) binary: Option<Arc<RunnerBinary>>,
    pub(crate) start: StartSettings,
    pub(crate) mask: Mask,
    uploads: Semaphore,
}

impl OnInstance {
    pub(crate) fn new(
        term: Term,
        clock: Clock,
        lines: CommandLines,
        boot_probe_command: String,
        binary: Option<Arc<RunnerBinary>>,
        start: StartSettings,
        mask: Mask,
    ) -> OnInstance {
        let uploads = Semaphore::new(UPLOADS_AT_ONCE);
        OnInstance {
            term,
            clock,
            lines,
            boot_probe_command,
            binary,
            start,
            mask,
            uploads,
        }
    }

    /// Connects, runs the steps of the order one after the other, and reports on each. `prices`: what the runners there
    /// are to be told of what the instance costs.
    pub(crate) async fn probe(
        &self,
        connection: &dyn Connection,
        lines: &AsUser,
        onlooker: &Onlooker,
        order: &ProbeOrder,
        first_connected: &OnceLock<Time>,
        prices: Option<Bytes>,
    ) -> ProbeReport {
        let mut report = ProbeReport {
            connected_at: first_connected.get().copied(),
            connect: Ok(()),
            boot: None,
            deploy: None,
            list: None,
            list_took: None,
        };
        if let Err(error) = connection.connect(order.connect_within).await {
            report.connect = Err(failure(&error));
            return report;
        }
        report.connected_at = Some(*first_connected.get_or_init(|| self.clock.time()));
        if order.boot {
            report.boot = Some(self.boot(connection, lines, onlooker, order).await);
        }
        let go_on = order.list == ListWhen::Always || !matches!(report.boot, Some(Err(_)));
        if order.deploy && go_on {
            let deploy = self.deploy(connection, lines, onlooker, order.deploy_within);
            report.deploy = Some(deploy.await);
        }
        if go_on && !matches!(report.deploy, Some(Err(_))) {
            let began = self.clock.time();
            let list = self.list(connection, lines, onlooker, prices, order.command_within);
            report.list = Some(list.await);
            report.list_took = Some(self.clock.time().since(began));
        }
        report
    }

    /// The operator's boot probe, and whether the runners' user can work there. Both have the time of one command.
    async fn boot(
        &self,
        connection: &dyn Connection,
        lines: &AsUser,
        onlooker: &Onlooker,
        order: &ProbeOrder,
    ) -> Result<(), ProbeFailure> {
        let within = order.command_within;
        let both = async {
            let command = boot_probe(&self.boot_probe_command).to_owned();
            self.succeed(connection, onlooker, command, within).await?;
            let Some((check, remedy)) = &lines.check else {
                return Ok(());
            };
            let checked = self.succeed(connection, onlooker, check.clone(), within);
            checked.await.map_err(|failure| ProbeFailure {
                message: format!("{remedy}: {}", failure.message),
                ..failure
            })
        };
        tokio::time::timeout(within, both)
            .await
            .unwrap_or_else(|_| Err(failure(&ExecError::TimedOut(within))))
    }

    /// Starts a container's runner.
    pub(crate) async fn start(
        &self,
        connection: &dyn Connection,
        lines: &AsUser,
        onlooker: &Onlooker,
        address: &str,
        container: &ContainerId,
        vcpus: u32,
        gpus: &[u32],
        instance_type: &InstanceType,
        within: Duration,
    ) -> Result<(), String> {
        let document = self.start.document(&Start {
            container,
            container_vcpus: vcpus,
            instance_type,
            instance_address: address,
            gpu_devices: gpus,
        });
        let command = Command {
            line: lines.runner.start(container),
            stdin: Bytes::from(document.into_bytes()),
            deadline: within,
        };
        match connection.run(command).await {
            Ok(output) if output.success() => Ok(()),
            Ok(output) => Err(self.words(&output, onlooker)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Sends a signal to a container's runner.
    pub(crate) async fn signal(
        &self,
        connection: &dyn Connection,
        lines: &AsUser,
        onlooker: &Onlooker,
        container: &ContainerId,
        signal: SignalKind,
        within: Duration,
    ) -> SignalOutcome {
        let number = match signal {
            SignalKind::Term => 15,
            SignalKind::Kill => 9,
        };
        match self
            .run(connection, lines.runner.kill(container, number), within)
            .await
        {
            Ok(output) if output.success() => SignalOutcome::Gone,
            Ok(output) if output.exit == Exit::Status(1) => SignalOutcome::StillThere,
            Ok(output) => SignalOutcome::Failed(self.words(&output, onlooker)),
            Err(error) => SignalOutcome::Failed(error.to_string()),
        }
    }

    async fn list(
        &self,
        connection: &dyn Connection,
        lines: &AsUser,
        onlooker: &Onlooker,
        prices: Option<Bytes>,
        within: Duration,
    ) -> Result<RunnerReport, ProbeFailure> {
        // While one only looks, nothing is written.
        let prices = prices.filter(|_| self.term.allows_acting());
        // Without data the flag must not be given either: runners would wait for it (facts W37).
        let command = Command {
            line: lines.runner.list(prices.is_some()),
            stdin: prices.unwrap_or_default(),
            deadline: within,
        };
        let output = connection.run(command).await.map_err(|e| failure(&e))?;
        self.expect_success(&output, onlooker)?;
        let list = parse_list(&output.stdout, output.truncated).map_err(|error| ProbeFailure {
            expected_while_booting: false,
            message: error.to_string(),
            stderr: self.mask.show(&output.stderr, onlooker),
        })?;
        Ok(list.report)
    }

    /// Sees that the runner is in its place, and puts it there if not.
    async fn deploy(
        &self,
        connection: &dyn Connection,
        lines: &AsUser,
        onlooker: &Onlooker,
        within: Duration,
    ) -> Result<(), ProbeFailure> {
        let Some(binary) = &self.binary else {
            return Ok(());
        };
        let target = binary.target();
        let check = || self.run(connection, target.check_command(), CHECK_WITHIN.min(within));
        let output = check().await.map_err(|e| failure(&e))?;
        if target.check_passed(&output.stdout, &output.stderr) {
            return Ok(());
        }
        let upload = async {
            let _turn = self.uploads.acquire().await;
            let reader = Arc::clone(binary);
            let read = tokio::task::spawn_blocking(move || reader.content()).await;
            let content = read
                .unwrap_or_else(|panic| Err(io::Error::other(panic)))
                .map_err(|error| ProbeFailure {
                    expected_while_booting: false,
                    message: format!("cannot read {}: {error}", binary.path().display()),
                    stderr: String::new(),
                })?;
            let upload = connection.upload(Command {
                line: lines.deploy(target),
                stdin: content,
                deadline: within,
            });
            let output = self.term.acting(upload).await;
            self.expect_success(&output.map_err(|e| failure(&e))?, onlooker)
        };
        tokio::time::timeout(within, upload)
            .await
            .unwrap_or_else(|_| Err(failure(&ExecError::TimedOut(within))))
    }

    async fn succeed(
        &self,
        connection: &dyn Connection,
        onlooker: &Onlooker,
        line: String,
        within: Duration,
    ) -> Result<(), ProbeFailure> {
        let output = self
            .run(connection, line, within)
            .await
            .map_err(|e| failure(&e))?;
        self.expect_success(&output, onlooker)
    }

    async fn run(
        &self,
        connection: &dyn Connection,
        line: String,
        within: Duration,
    ) -> Result<Output, ExecError> {
        connection
            .run(Command {
                line,
                stdin: Bytes::new(),
                deadline: within,
            })
            .await
    }

    fn expect_success(&self, output: &Output, onlooker: &Onlooker) -> Result<(), ProbeFailure> {
        if output.success() {
            return Ok(());
        }
        Err(ProbeFailure {
            expected_while_booting: true,
            message: exit_in_words(&output.exit),
            stderr: self.mask.show(&output.stderr, onlooker),
        })
    }

    fn words(&self, output: &Output, onlooker: &Onlooker) -> String {
        format!(
            "{}: {}",
            exit_in_words(&output.exit),
            self.mask.show(&output.stderr, onlooker)
        )
    }
}

fn exit_in_words(exit: &Exit) -> String {
    match exit {
        Exit::Status(status) => format!("exit status {status}"),
        Exit::Signal(signal) => format!("ended by signal {signal}"),
    }
}

fn failure(error: &ExecError) -> ProbeFailure {
    let expected_while_booting = match error {
        ExecError::NoAddress
        | ExecError::Connect { .. }
        | ExecError::TimedOut(_)
        | ExecError::Disconnected(_) => true,
        ExecError::Refused { .. } | ExecError::Unverified { .. } => false,
    };
    ProbeFailure {
        expected_while_booting,
        message: error.to_string(),
        stderr: String::new(),
    }
}
