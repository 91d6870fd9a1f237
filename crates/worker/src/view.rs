//! What the planner and the readers see of a worker.

use std::collections::BTreeMap;

use dispatch_model::{ContainerId, RunnerState, WorkerState, WorkerView};

use crate::{
    gpus,
    worker::{Worker, gpu_assignments},
};

impl Worker {
    /// The worker as it is.
    pub(crate) fn view(&self) -> WorkerView {
        WorkerView {
            id: self.id,
            instance: self.instance.clone(),
            address: self.address.clone(),
            instance_type: self.instance_type.clone(),
            state: self.state,
            idle_behavior: self.idle_behavior,
            containers: self.runners.live().cloned().collect(),
            takes_work: self.takes_work(),
            will_take_work: self.will_take_work(),
            runners_known: match self.state {
                WorkerState::Unknown | WorkerState::Shutdown => self.probing.last_list.is_some(),
                // Nobody else starts anything on an instance that this daemon has just created.
                WorkerState::Booting | WorkerState::Idle | WorkerState::Running => true,
            },
            free_gpus: gpus::free(
                self.instance_type.gpu.device_count,
                &gpu_assignments(&self.runners.by_container),
            ),
            state_since: self.state_since,
            last_busy: self.last_busy,
            last_container: self.last_container.clone(),
            remark: self.remark(),
        }
    }

    /// Its runners, exited ones included.
    pub(crate) fn runner_states(&self) -> BTreeMap<ContainerId, RunnerState> {
        let runners = self.runners.by_container.iter();
        runners
            .map(|(container, runner)| (container.clone(), runner.state()))
            .collect()
    }

    /// What is wrong with it, for people.
    pub(crate) fn remark(&self) -> Option<String> {
        if let Some(reason) = &self.broken {
            return Some(reason.clone());
        }
        if !self.type_known {
            return Some("its type is not configured".to_owned());
        }
        if let Some((step, failure)) = &self.probing.last_failure {
            return Some(format!("{step} failed: {}", failure.message));
        }
        let full = "no more containers fit into its tag of GPU devices";
        (self.is_in_service() && !self.takes_work()).then(|| full.to_owned())
    }
}

/// Whether a planner could decide differently.
pub(crate) fn matters(old: &WorkerView, new: &WorkerView) -> bool {
    let plans = |view: &WorkerView| {
        (
            view.instance.is_some(),
            view.state,
            view.idle_behavior,
            view.takes_work,
            view.will_take_work,
            view.runners_known,
            view.free_gpus,
        )
    };
    plans(old) != plans(new) || old.containers != new.containers
}
