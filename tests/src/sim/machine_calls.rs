//! Probes, starts and signals, step by step as the shell does them on an instance.

use std::{rc::Rc, sync::Arc, time::Duration};

use dispatch_brain::Input;
use dispatch_lab::{World, vm::Exit};
use dispatch_model::{ContainerId, InstanceType, RunnerReport, Sizing, WorkerId};
use dispatch_runner::{
    DeployPath, RunnerCommands, Start, StartSettings, boot_probe, deploy_script, parse_list,
};
use dispatch_worker::{
    CallId, Event, ListWhen, ProbeFailure, ProbeOrder, ProbeReport, SignalKind, SignalOutcome,
};

use super::machines::{Broken, Machines, Output};

/// What all commands on instances share.
pub(super) struct OnMachine {
    pub(super) machines: Rc<Machines>,
    pub(super) commands: RunnerCommands,
    pub(super) boot_probe_command: String,
    pub(super) start: StartSettings,
    /// What is deployed, and where to.
    pub(super) binary: Option<(DeployPath, Vec<u8>)>,
}

impl OnMachine {
    pub(super) async fn probe(self: Rc<Self>, call: CallId, worker: WorkerId, order: ProbeOrder) {
        let report = self.look(worker, &order).await;
        let event = Event::Probed {
            call,
            worker,
            report,
        };
        self.machines.wires.answer(Input::Pool(event));
    }

    async fn look(&self, worker: WorkerId, order: &ProbeOrder) -> ProbeReport {
        let mut report = ProbeReport {
            connected_at: None,
            connect: Ok(()),
            boot: None,
            deploy: None,
            list: None,
            list_took: None,
        };
        let wires = &self.machines.wires;
        let connect = wires
            .within(order.connect_within, self.machines.connect(worker))
            .await;
        let connect = connect.unwrap_or(Err(Broken::TimedOut));
        report.connected_at = self.machines.first_connected(worker);
        if let Err(broken) = connect {
            report.connect = Err(failure(&broken));
            return report;
        }
        if order.boot {
            let line = boot_probe(&self.boot_probe_command);
            report.boot = Some(self.succeed(worker, line, order.command_within).await);
        }
        let go_on = order.list == ListWhen::Always || !matches!(report.boot, Some(Err(_)));
        if order.deploy && go_on {
            report.deploy = Some(self.deploy(worker, order.deploy_within).await);
        }
        if go_on && !matches!(report.deploy, Some(Err(_))) {
            let began = wires.time();
            report.list = Some(self.list(worker, order.command_within).await);
            report.list_took = Some(wires.time().since(began));
        }
        report
    }

    async fn list(&self, worker: WorkerId, within: Duration) -> Result<RunnerReport, ProbeFailure> {
        let output = self
            .machines
            .run(worker, &self.commands.list(false), b"", within)
            .await;
        let output = output.map_err(|broken| failure(&broken))?;
        expect_success(&output)?;
        let list = parse_list(&output.stdout, false).map_err(|error| ProbeFailure {
            expected_while_booting: false,
            message: error.to_string(),
            stderr: String::new(),
        })?;
        Ok(list.report)
    }

    async fn deploy(&self, worker: WorkerId, within: Duration) -> Result<(), ProbeFailure> {
        let Some((path, content)) = &self.binary else {
            return Ok(());
        };
        let deploy = async {
            let check = self
                .machines
                .run(worker, &path.check_command(), b"", within)
                .await?;
            if path.check_passed(&check.stdout, &check.stderr) {
                return Ok(None);
            }
            let line = deploy_script(&self.machines.login, path);
            self.machines
                .run(worker, &line, content, within)
                .await
                .map(Some)
        };
        let deployed = self.machines.wires.within(within, deploy).await;
        match deployed.unwrap_or(Err(Broken::TimedOut)) {
            Ok(None) => Ok(()),
            Ok(Some(output)) => expect_success(&output),
            Err(broken) => Err(failure(&broken)),
        }
    }

    async fn succeed(
        &self,
        worker: WorkerId,
        line: &str,
        within: Duration,
    ) -> Result<(), ProbeFailure> {
        let output = self.machines.run(worker, line, b"", within).await;
        expect_success(&output.map_err(|broken| failure(&broken))?)
    }

    pub(super) async fn start(
        self: Rc<Self>,
        call: CallId,
        worker: WorkerId,
        container: ContainerId,
        sizing: Arc<Sizing>,
        gpus: Vec<u32>,
        instance_type: Arc<InstanceType>,
        within: Duration,
    ) {
        let result = match self.machines.address(worker) {
            Err(broken) => Err(words(&broken)),
            Ok(address) => {
                let document = self.start.document(&Start {
                    container: &container,
                    container_vcpus: sizing.needs.vcpus,
                    instance_type: &instance_type,
                    instance_address: &address,
                    gpu_devices: &gpus,
                });
                let line = self.commands.start(&container);
                let document = document.into_bytes();
                match self.machines.run(worker, &line, &document, within).await {
                    Ok(output) if output.success() => Ok(()),
                    Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
                    Err(broken) => Err(words(&broken)),
                }
            }
        };
        let event = Event::Started {
            call,
            worker,
            container,
            result,
        };
        self.machines.wires.answer(Input::Pool(event));
    }

    pub(super) async fn signal(
        self: Rc<Self>,
        call: CallId,
        worker: WorkerId,
        container: ContainerId,
        signal: SignalKind,
        within: Duration,
    ) {
        let number = match signal {
            SignalKind::Term => 15,
            SignalKind::Kill => 9,
        };
        let line = self.commands.kill(&container, number);
        let outcome = match self.machines.run(worker, &line, b"", within).await {
            Ok(output) if output.success() => SignalOutcome::Gone,
            Ok(output) if output.exit == Exit::Status(1) => SignalOutcome::StillThere,
            Ok(output) => {
                SignalOutcome::Failed(String::from_utf8_lossy(&output.stderr).into_owned())
            }
            Err(broken) => SignalOutcome::Failed(words(&broken)),
        };
        let event = Event::Signalled {
            call,
            worker,
            container,
            outcome,
        };
        self.machines.wires.answer(Input::Pool(event));
    }
}

/// What is alive on the instance at this address, and what else would have to fit beside it: more than there is?
/// Late starts of a dead daemon count only if they are `known`.
pub(super) fn overloaded(
    world: &World,
    address: &str,
    container: &str,
    known: impl Fn(&str) -> bool,
) -> Option<String> {
    let vm = world.vm_at(address)?;
    let constraint = |uuid: &str, name: &str| {
        let container = world.containers().containers().get(uuid)?;
        container.attribute("runtime_constraints")[name].as_u64()
    };
    let late = |uuid: &str, pid: u32| {
        let story = world.judge().story(uuid);
        story.is_some_and(|story| story.is_late(&vm.instance, pid))
    };
    let alive = || {
        vm.runners()
            .values()
            .filter(|it| it.alive() && (known(&it.uuid) || !late(&it.uuid, it.pid)))
    };
    let others = || {
        alive()
            .map(|runner| runner.uuid.as_str())
            .filter(|uuid| *uuid != container)
    };
    let all = || others().chain([container]);
    let sum = |name| all().filter_map(|uuid| constraint(uuid, name)).sum::<u64>();
    let (vcpus, ram) = (sum("vcpus"), sum("ram"));
    let has = &vm.instance_type;
    (vcpus > u64::from(has.vcpus) || ram > has.ram).then(|| {
        let runs: Vec<&str> = all().collect();
        format!(
            "{} of type {} is told to start {container}: {runs:?} need {vcpus} VCPUs and {ram} bytes",
            vm.instance, has.name
        )
    })
}

fn expect_success(output: &Output) -> Result<(), ProbeFailure> {
    if output.success() {
        return Ok(());
    }
    Err(ProbeFailure {
        expected_while_booting: true,
        message: format!("{:?}", output.exit),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn failure(broken: &Broken) -> ProbeFailure {
    ProbeFailure {
        expected_while_booting: broken.expected_while_booting(),
        message: words(broken),
        stderr: String::new(),
    }
}

fn words(broken: &Broken) -> String {
    match broken {
        Broken::NoAddress => "no address".to_owned(),
        Broken::Connect(why) => format!("cannot connect: {why}"),
        Broken::Unverified => "the host cannot show its secret".to_owned(),
        Broken::TimedOut => "no answer in time".to_owned(),
        Broken::Disconnected => "the connection broke".to_owned(),
    }
}
