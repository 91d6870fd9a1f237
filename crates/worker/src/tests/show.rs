//! Actions and facts in few words.

use crate::{Action, Fact, PoolNews, SignalKind, WorkerNews};

/// One action, as the scripts show it.
pub(crate) fn action(action: &Action) -> String {
    match action {
        Action::List { .. } => "list".to_owned(),
        Action::Create {
            worker,
            instance_type,
            tags,
            ..
        } => {
            let of_ours = ["PInstanceType", "PVMImage", "PRunnerUser"];
            let mut shown = format!("create {worker} {}", instance_type.name);
            if tags.contains_key("PVMImage") || tags.contains_key("PRunnerUser") {
                for key in of_ours.iter().filter(|key| tags.contains_key(**key)) {
                    shown.push_str(&format!(" {key}={}", tags[*key]));
                }
            }
            shown
        }
        Action::Destroy {
            worker, instance, ..
        } => format!("destroy {worker} {instance}"),
        Action::SetTags { worker, tags, .. } => format!("tag {worker} {tags:?}"),
        Action::Attach {
            worker,
            address,
            secret,
            runner_user,
            ..
        } => {
            let user = runner_user.as_ref();
            let user = user.map_or_else(String::new, |user| format!(" for {user}"));
            let secret = if secret.is_some() {
                ""
            } else {
                " without secret"
            };
            format!("attach {worker} {address}{secret}{user}")
        }
        Action::Detach { worker } => format!("detach {worker}"),
        Action::Probe { worker, order, .. } => {
            let boot = if order.boot { " boot" } else { "" };
            let deploy = if order.deploy { " deploy" } else { "" };
            format!("probe {worker}{boot}{deploy} list:{:?}", order.list)
        }
        Action::Start {
            worker,
            container,
            gpus,
            ..
        } if gpus.is_empty() => format!("start {worker} {container}"),
        Action::Start {
            worker,
            container,
            gpus,
            ..
        } => format!("start {worker} {container} gpus {gpus:?}"),
        Action::Signal {
            worker,
            container,
            signal,
            ..
        } => {
            let signal = match signal {
                SignalKind::Term => "TERM",
                SignalKind::Kill => "KILL",
            };
            format!("signal {worker} {container} {signal}")
        }
        Action::Watch { worker, containers } => format!("watch {worker} {containers:?}"),
    }
}

/// One fact, as the scripts show it; `None` for those that only repeat an action.
pub(crate) fn fact(fact: &Fact) -> Option<String> {
    let (about, news) = match fact {
        Fact::Pool(news) => return Some(pool_news(news)),
        Fact::Worker { about, news } => (about, news),
    };
    let text = match news {
        WorkerNews::Ordered
        | WorkerNews::Destroying
        | WorkerNews::Starting { .. }
        | WorkerNews::Address { .. }
        | WorkerNews::ListProbe { .. } => return None,
        WorkerNews::Created { took } => {
            let instance = about
                .instance
                .as_ref()
                .map_or("", |instance| instance.as_str());
            format!("created as {instance} in {took:?}")
        }
        WorkerNews::CreateFailed {
            class,
            message,
            took,
        } => format!("creation failed: {message} ({class:?}, {took:?})"),
        WorkerNews::CreateUnsure { message } => format!("creation unsure: {message}"),
        WorkerNews::CreateDropped { reason } => format!("creation dropped: {reason}"),
        WorkerNews::Adopted {
            idle_behavior,
            remark,
        } => {
            let remark = remark
                .as_ref()
                .map_or(String::new(), |remark| format!(": {remark}"));
            format!("adopted, {idle_behavior}{remark}")
        }
        WorkerNews::State { from, to, reason } => format!("{from} -> {to}: {reason}"),
        WorkerNews::BootEnded(outcome) => format!("boot {outcome:?}"),
        WorkerNews::SshUp { after } => format!("ssh up after {after:?}"),
        WorkerNews::Ready { after } => format!("ready after {after:?}"),
        WorkerNews::BootGivenUp { after, last } => {
            let last = last
                .as_ref()
                .map(|(step, failure)| (step, &failure.message));
            format!("boot given up after {after:?}, last {last:?}")
        }
        WorkerNews::Unresponsive { silent_for, last } => {
            let last = last
                .as_ref()
                .map(|(step, failure)| (step, &failure.message));
            format!("unresponsive for {silent_for:?}, last {last:?}")
        }
        WorkerNews::ProbeFailed {
            step,
            failure,
            expected,
        } => {
            let warn = if *expected { "" } else { " (!)" };
            format!("{step} failed: {}{warn}", failure.message)
        }
        WorkerNews::Broken { reason } => format!("broken: {reason}"),
        WorkerNews::IdleBehavior { from, to, reason } => format!("{from} => {to}: {reason}"),
        WorkerNews::StartAnswered {
            container, result, ..
        } => format!("{container} start answered {result:?}"),
        WorkerNews::StartRefused { container, reason } => {
            format!("{container} start refused: {reason}")
        }
        WorkerNews::RunnerSeen { container, found } => {
            let found = if *found { ", found" } else { "" };
            format!("{container} alive{found}")
        }
        WorkerNews::RunnerEnded { container, how } => format!("{container} ended ({how:?})"),
        WorkerNews::KillBegan { container, reason } => format!("{container} kill: {reason}"),
        WorkerNews::KillFailed { container, message } => {
            format!("{container} kill failed: {message}")
        }
        WorkerNews::KillGivenUp { container } => format!("{container} kill given up"),
        WorkerNews::ForeignRunner { container } => format!("{container} is another cluster's"),
        WorkerNews::DestroyFailed(failure) => format!("destroy failed: {}", failure.message),
        WorkerNews::TagsFailed(failure) => format!("tags failed: {}", failure.message),
        WorkerNews::Died { cause, reason } => format!("died ({}): {reason}", cause.name()),
        WorkerNews::Gone {
            state,
            after_shutdown,
        } => format!("gone, was {state}, shutdown took {after_shutdown:?}"),
    };
    Some(format!("{} {text}", about.worker))
}

fn pool_news(news: &PoolNews) -> String {
    match news {
        PoolNews::Surveyed { instances } => format!("surveyed {instances}"),
        PoolNews::ListFailed(failure) => format!("list failed: {}", failure.message),
        PoolNews::HoldBegan {
            instance_type,
            hold,
        } => {
            let name = instance_type.as_ref().map_or("any", |name| name.as_str());
            let until = hold
                .until
                .map_or(String::new(), |until| format!(" until {until}"));
            format!("hold {name}: {}{until}", hold.cause)
        }
        PoolNews::HoldEnded {
            instance_type,
            cause,
        } => {
            let name = instance_type.as_ref().map_or("any", |name| name.as_str());
            format!("hold {name}: {cause} ended")
        }
        PoolNews::CreateRefused {
            instance_type,
            reason,
        } => format!("create {instance_type} refused: {reason}"),
        PoolNews::Ignored { instance, reason } => format!("{instance} ignored: {reason}"),
        PoolNews::Violation { message } => format!("VIOLATION {message}"),
    }
}
