//! Turns each command into one call with a deadline, whose answer is exactly one input.

use std::{collections::BTreeMap, future::Future, panic::AssertUnwindSafe, sync::Arc};

use dispatch_brain::{Command, Input};
use dispatch_cloud::{
    InstanceSet as _,
    exec::{ExecError, Executor},
};
use dispatch_container_queue::Request;
use dispatch_lock::Term;
use dispatch_model::{CloudErrorClass, InstanceId, InstanceSecret, UserName, WorkerId};
use dispatch_worker::{Action, Event, Failure, ProbeFailure, ProbeReport, SignalOutcome};
use futures_util::FutureExt;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    api_calls::{self, Api},
    attached::Attached,
    cloud_calls::Cloud,
    instance_calls::OnInstance,
};

/// Obeys. Whatever changes something waits until the term of command allows it, and ends with the term.
pub(crate) struct Hands {
    term: Term,
    api: Api,
    cloud: Cloud,
    executor: Arc<dyn Executor>,
    on_instance: Arc<OnInstance>,
    attached: BTreeMap<WorkerId, Attached>,
    inputs: mpsc::Sender<Input>,
    calls: JoinSet<()>,
}

impl Hands {
    pub(crate) fn new(
        term: Term,
        api: Api,
        cloud: Cloud,
        executor: Arc<dyn Executor>,
        on_instance: Arc<OnInstance>,
        inputs: mpsc::Sender<Input>,
    ) -> Hands {
        let (attached, calls) = (BTreeMap::new(), JoinSet::new());
        Hands {
            term,
            api,
            cloud,
            executor,
            on_instance,
            attached,
            inputs,
            calls,
        }
    }

    /// Begins to obey; returns at once.
    pub(crate) fn obey(&mut self, command: Command) {
        match command {
            Command::Api(request) => {
                let lost = api_calls::lost(&request);
                let changes = changes_something(&request);
                let call = self.api.clone().call(request);
                if changes {
                    self.act(call, lost);
                } else {
                    self.call(call, lost);
                }
            }
            Command::Pool(action) => self.obey_pool(action),
        }
    }

    /// Reaps calls that have ended; returns when one has.
    pub(crate) async fn reap(&mut self) {
        if self.calls.join_next().await.is_none() {
            std::future::pending().await
        }
    }

    /// Reaps all calls that have ended by now.
    pub(crate) fn reap_ended(&mut self) {
        while self.calls.try_join_next().is_some() {}
    }

    /// How many calls are under way.
    pub(crate) fn n_calls(&self) -> usize {
        self.calls.len()
    }

    fn obey_pool(&mut self, action: Action) {
        match action {
            Action::List { call, within } => {
                let list = self.cloud.clone().list(within);
                let event = move |result| Input::Pool(Event::Listed { call, result });
                let inputs = self.inputs.clone();
                let set = Arc::clone(&self.cloud.set);
                let list = async move {
                    let (ended, result) = list.await;
                    let groups = set.quota_groups();
                    if !groups.is_empty() {
                        let _ = inputs.send(Input::Pool(Event::QuotaGroups(groups))).await;
                    }
                    // Those who have died are told of before the list from which they are missing.
                    for end in ended {
                        // Nobody listens any more only when the daemon has stopped.
                        let _ = inputs.send(Input::Pool(Event::Died(end))).await;
                    }
                    event(result)
                };
                self.call(list, event(Err(task_died())));
            }
            Action::Create {
                call,
                worker,
                instance_type,
                tags,
                secret,
                within,
            } => {
                let create = self
                    .cloud
                    .clone()
                    .create(instance_type, tags, secret, within);
                let event = move |result| {
                    Input::Pool(Event::Created {
                        call,
                        worker,
                        result,
                    })
                };
                self.act(create.map(event), event(Err(task_died())));
            }
            Action::Destroy {
                call,
                worker,
                instance,
                within,
            } => {
                let destroy = self.cloud.clone().destroy(instance, within);
                let event = move |result| {
                    Input::Pool(Event::Destroyed {
                        call,
                        worker,
                        result,
                    })
                };
                self.act(destroy.map(event), event(Err(task_died())));
            }
            Action::SetTags {
                call,
                worker,
                instance,
                tags,
                within,
            } => {
                let set_tags = self.cloud.clone().set_tags(instance, tags, within);
                let event = move |result| {
                    Input::Pool(Event::Tagged {
                        call,
                        worker,
                        result,
                    })
                };
                self.act(set_tags.map(event), event(Err(task_died())));
            }
            Action::Attach {
                worker,
                instance,
                address,
                secret,
                runner_user,
            } => self.attach(worker, instance, address, secret, runner_user),
            Action::Detach { worker } => {
                self.attached.remove(&worker);
            }
            Action::Probe {
                call,
                worker,
                order,
            } => {
                let on_instance = Arc::clone(&self.on_instance);
                let event = move |report| {
                    Input::Pool(Event::Probed {
                        call,
                        worker,
                        report,
                    })
                };
                let Some(attached) = self.attached.get(&worker) else {
                    return self.call(
                        std::future::ready(event(no_connection())),
                        event(no_connection()),
                    );
                };
                let (connection, first) = (
                    Arc::clone(&attached.connection),
                    Arc::clone(&attached.first_connected),
                );
                let (lines, onlooker) = (Arc::clone(&attached.lines), attached.onlooker.clone());
                let prices = self.cloud.prices.of(&attached.instance);
                let (set, instance) = (Arc::clone(&self.cloud.set), attached.instance.clone());
                let probe = async move {
                    let report = on_instance
                        .probe(&*connection, &lines, &onlooker, &order, &first, prices)
                        .await;
                    if has_stopped_answering(&report) {
                        set.doubt(&instance);
                    }
                    event(report)
                };
                self.call(probe, event(no_connection()));
            }
            Action::Start {
                call,
                worker,
                container,
                sizing,
                gpus,
                instance_type,
                within,
            } => {
                let on_instance = Arc::clone(&self.on_instance);
                let id = container.clone();
                let event = move |result| {
                    Input::Pool(Event::Started {
                        call,
                        worker,
                        container: id,
                        result,
                    })
                };
                let lost = event.clone()(Err("the call's task died".to_owned()));
                let Some(attached) = self.attached.get_mut(&worker) else {
                    let error = Err(ExecError::NoAddress.to_string());
                    return self.call(std::future::ready(event(error)), lost);
                };
                attached.onlooker.containers.insert(container.clone());
                let (connection, onlooker) =
                    (Arc::clone(&attached.connection), attached.onlooker.clone());
                let lines = Arc::clone(&attached.lines);
                let address = attached.address.clone();
                let vcpus = sizing.needs.vcpus;
                let start = async move {
                    let start = on_instance.start(
                        &*connection,
                        &lines,
                        &onlooker,
                        &address,
                        &container,
                        vcpus,
                        &gpus,
                        &instance_type,
                        within,
                    );
                    event(start.await)
                };
                self.act(start, lost);
            }
            Action::Signal {
                call,
                worker,
                container,
                signal,
                within,
            } => {
                let on_instance = Arc::clone(&self.on_instance);
                let id = container.clone();
                let event = move |outcome| {
                    Input::Pool(Event::Signalled {
                        call,
                        worker,
                        container: id,
                        outcome,
                    })
                };
                let lost = event.clone()(SignalOutcome::Failed("the call's task died".to_owned()));
                let Some(attached) = self.attached.get(&worker) else {
                    let outcome = SignalOutcome::Failed(ExecError::NoAddress.to_string());
                    return self.call(std::future::ready(event(outcome)), lost);
                };
                let (connection, onlooker) =
                    (Arc::clone(&attached.connection), attached.onlooker.clone());
                let lines = Arc::clone(&attached.lines);
                let send = async move {
                    let send = on_instance.signal(
                        &*connection,
                        &lines,
                        &onlooker,
                        &container,
                        signal,
                        within,
                    );
                    event(send.await)
                };
                self.act(send, lost);
            }
            Action::Watch { worker, containers } => {
                if let Some(attached) = self.attached.get_mut(&worker) {
                    let containers = containers.into_iter().collect();
                    attached.watch(worker, containers, &self.inputs);
                }
            }
        }
    }

    fn attach(
        &mut self,
        worker: WorkerId,
        instance: InstanceId,
        address: String,
        secret: Option<InstanceSecret>,
        runner_user: Option<UserName>,
    ) {
        let lines = Arc::new(self.on_instance.lines.as_user(runner_user));
        let (all, executor) = (&mut self.attached, &*self.executor);
        Attached::attach(all, executor, worker, instance, address, secret, lines);
    }

    /// As `call`, for what changes something: as soon as the term allows it, and as long as it does.
    fn act(&mut self, call: impl Future<Output = Input> + Send + 'static, lost: Input) {
        let term = self.term.clone();
        self.call(async move { term.acting(call).await }, lost);
    }

    /// Runs a call beside the loop. Should it panic, the brain is told `lost`, so that nobody waits for ever.
    fn call(&mut self, call: impl Future<Output = Input> + Send + 'static, lost: Input) {
        let inputs = self.inputs.clone();
        self.calls.spawn(async move {
            let input = AssertUnwindSafe(call)
                .catch_unwind()
                .await
                .unwrap_or_else(|_| {
                    tracing::error!("a call panicked; it is treated as failed");
                    lost
                });
            // Nobody listens any more only when the daemon has stopped.
            let _ = inputs.send(input).await;
        });
    }
}

/// Whether the API is to do more than answer.
fn changes_something(request: &Request) -> bool {
    match request {
        Request::Lock { .. } | Request::Unlock { .. } | Request::Cancel { .. } => true,
        Request::WhoAmI
        | Request::Poll { .. }
        | Request::ReadMounts { .. }
        | Request::Read { .. } => false,
    }
}

fn task_died() -> Failure {
    Failure {
        class: CloudErrorClass::OutcomeUnknown,
        message: "the call's task died".to_owned(),
    }
}

/// It has answered before, and now it does not.
fn has_stopped_answering(report: &ProbeReport) -> bool {
    let fails = report.connect.is_err() || matches!(report.list, Some(Err(_)));
    report.connected_at.is_some() && fails
}

fn no_connection() -> ProbeReport {
    let failure = ProbeFailure {
        expected_while_booting: true,
        message: ExecError::NoAddress.to_string(),
        stderr: String::new(),
    };
    ProbeReport {
        connected_at: None,
        connect: Err(failure),
        boot: None,
        deploy: None,
        list: None,
        list_took: None,
    }
}
