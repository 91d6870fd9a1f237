//! How a runner is started: admitted, its GPU devices written down, the command sent, its end noted.

use std::{sync::Arc, time::Duration};

use dispatch_model::{ContainerId, Sizing, Time};

use crate::{
    Action, CallId, HowEnded, WorkerNews,
    desk::Desk,
    gpus,
    runners::{Runner, Stage},
    tags::Tag,
    worker::{Worker, gpu_assignments},
};

/// How often writing down the GPU devices of a start is tried before the start is called off.
const MAX_TAG_FAILURES: u32 = 4;
/// A start that seems to have worked is confirmed by a list this soon, even if its end cannot be watched.
const CONFIRM_WITHIN: Duration = Duration::from_secs(1);

impl Worker {
    /// Starts a runner, or says why not: the world may have changed since the planner looked (facts W18).
    pub(crate) fn start(&mut self, container: ContainerId, sizing: Arc<Sizing>, desk: &mut Desk) {
        let gpus = match self.admit(&container, &sizing, desk) {
            Ok(gpus) => gpus,
            Err(reason) => {
                self.tell(WorkerNews::StartRefused { container, reason }, desk);
                return;
            }
        };
        let mark = desk.mark();
        let tagging = self.instance_type.gpu.device_count > 0;
        let stage = Stage::Tagging {
            sizing: sizing.clone(),
            carried_by: None,
            failures: 0,
        };
        let runner = Runner {
            stage,
            changed: mark,
            gpus: Some(gpus),
            kill: None,
        };
        self.last_busy = desk.now.wall;
        self.last_container = Some(container.clone());
        self.runners.by_container.insert(container.clone(), runner);
        self.settle_in_service(desk);
        if tagging {
            self.want_gpu_tag(desk);
        } else {
            self.send_start(&container, sizing, desk);
        }
    }

    /// The devices for a start, or why it cannot be.
    fn admit(
        &self,
        container: &ContainerId,
        sizing: &Sizing,
        desk: &Desk,
    ) -> Result<Vec<u32>, String> {
        if desk.stopping {
            return Err("the daemon is stopping".to_owned());
        }
        if !self.takes_work() {
            let why = self
                .remark()
                .map_or(String::new(), |remark| format!(": {remark}"));
            return Err(format!(
                "the worker is {} and takes no work{why}",
                self.state
            ));
        }
        if self.runners.by_container.contains_key(container) {
            return Err("its previous runner has not been dealt with".to_owned());
        }
        let mut assigned = gpu_assignments(&self.runners.by_container);
        let n_devices = self.instance_type.gpu.device_count;
        let devices = gpus::assign(n_devices, sizing.needs.gpus, &assigned)?;
        assigned.insert(container, Some(&devices));
        if n_devices > 0 && gpus::to_tag(&assigned).is_none() {
            return Err("its GPU devices do not fit into a tag any more".to_owned());
        }
        Ok(devices)
    }

    fn want_gpu_tag(&mut self, desk: &Desk) {
        let assigned = gpu_assignments(&self.runners.by_container);
        if let Some(text) = gpus::to_tag(&assigned) {
            self.want_tag(Tag::Gpus, text, desk);
        }
    }

    /// The devices are written down: the start commands that waited for this call go out, if they are still wanted.
    pub(crate) fn tag_written(&mut self, call: CallId, desk: &mut Desk) {
        for (container, sizing, _) in self.waiting_for_tag(call) {
            if self.is_in_service() && !desk.stopping {
                self.send_start(&container, sizing, desk);
            } else {
                self.exit(&container, HowEnded::NeverSent, desk);
            }
        }
        self.settle_in_service(desk);
    }

    /// The devices are not written down: after a few failures the starts are called off.
    pub(crate) fn tag_not_written(&mut self, call: CallId, desk: &mut Desk) {
        for (container, _, n_failures) in self.waiting_for_tag(call) {
            if n_failures + 1 >= MAX_TAG_FAILURES {
                self.exit(&container, HowEnded::NeverSent, desk);
            } else if let Some(Stage::Tagging { failures, .. }) = self
                .runners
                .by_container
                .get_mut(&container)
                .map(|runner| &mut runner.stage)
            {
                *failures = n_failures + 1;
            }
        }
        self.settle_in_service(desk);
    }

    fn waiting_for_tag(&self, call: CallId) -> Vec<(ContainerId, Arc<Sizing>, u32)> {
        let runners = self.runners.by_container.iter();
        runners
            .filter_map(|(container, runner)| match &runner.stage {
                Stage::Tagging {
                    sizing,
                    carried_by,
                    failures,
                } if *carried_by == Some(call) => {
                    Some((container.clone(), sizing.clone(), *failures))
                }
                Stage::Tagging { .. }
                | Stage::Sent { .. }
                | Stage::Unconfirmed { .. }
                | Stage::Alive
                | Stage::Exited { .. } => None,
            })
            .collect()
    }

    /// Starts that have not been sent are called off: the worker goes.
    pub(crate) fn drop_unsent_starts(&mut self, desk: &mut Desk) {
        let runners = self.runners.by_container.iter();
        let unsent: Vec<ContainerId> = runners
            .filter(|(_, runner)| matches!(runner.stage, Stage::Tagging { .. }))
            .map(|(container, _)| container.clone())
            .collect();
        for container in unsent {
            self.exit(&container, HowEnded::NeverSent, desk);
        }
    }

    fn send_start(&mut self, container: &ContainerId, sizing: Arc<Sizing>, desk: &mut Desk) {
        let within = desk.settings.timing.command;
        let open = desk.open(within);
        let Some(runner) = self.runners.by_container.get_mut(container) else {
            return;
        };
        runner.stage = Stage::Sent { open };
        runner.changed = open.call.0;
        let gpus = runner.gpus.clone().unwrap_or_default();
        desk.order(Action::Start {
            call: open.call,
            worker: self.id,
            container: container.clone(),
            sizing,
            gpus: gpus.clone(),
            instance_type: self.instance_type.clone(),
            within,
        });
        let container = container.clone();
        self.tell(WorkerNews::Starting { container, gpus }, desk);
    }

    /// The start command has ended. Even if it failed, the runner may live: the next list decides (facts W9).
    pub(crate) fn started(
        &mut self,
        call: CallId,
        container: &ContainerId,
        result: Result<(), String>,
        desk: &mut Desk,
    ) {
        let Some(runner) = self.runners.by_container.get_mut(container) else {
            return;
        };
        let Stage::Sent { open } = &runner.stage else {
            return;
        };
        if open.call != call {
            return;
        }
        let took = desk.time().since(open.asked_at);
        let watch = result.is_ok();
        let late = !watch && open.is_out_of_time(desk.time());
        runner.stage = Stage::Unconfirmed {
            watch,
            may_come_until: late.then(|| desk.time() + desk.settings.timing.command),
        };
        runner.changed = desk.mark();
        let container = container.clone();
        let news = WorkerNews::StartAnswered {
            container,
            result,
            took,
        };
        self.tell(news, desk);
        let within = if watch {
            CONFIRM_WITHIN
        } else {
            Duration::ZERO
        };
        self.probe_within(within, desk);
    }

    /// Start commands that have not been answered in time count as failed (facts K9).
    pub(crate) fn advance_starts(&mut self, desk: &mut Desk) {
        let now = desk.time();
        let runners = self.runners.by_container.iter();
        let overdue: Vec<(ContainerId, CallId)> = runners
            .filter_map(|(container, runner)| match &runner.stage {
                Stage::Sent { open } if open.overdue_at <= now => {
                    Some((container.clone(), open.call))
                }
                Stage::Sent { .. }
                | Stage::Tagging { .. }
                | Stage::Unconfirmed { .. }
                | Stage::Alive
                | Stage::Exited { .. } => None,
            })
            .collect();
        for (container, call) in overdue {
            self.started(call, &container, Err("no answer".to_owned()), desk);
        }
    }

    pub(crate) fn starts_due(&self) -> Option<Time> {
        let runners = self.runners.by_container.values();
        runners
            .filter_map(|runner| match &runner.stage {
                Stage::Sent { open } => Some(open.overdue_at),
                Stage::Tagging { .. }
                | Stage::Unconfirmed { .. }
                | Stage::Alive
                | Stage::Exited { .. } => None,
            })
            .min()
    }
}
