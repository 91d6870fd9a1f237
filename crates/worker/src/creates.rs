//! Orders of instances: tickets that count from the moment they are taken, wait for their turn in order of arrival,
//! and have exactly one outcome (facts P7, S23, W21, W40).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use dispatch_model::{
    CloudErrorClass, HoldCause, InstanceSecret, InstanceTypeName, Time, WorkerId, WorkerState,
};

use crate::{
    Action, CallId, Failure, ListedInstance, PoolNews, WorkerNews,
    desk::OpenCall,
    pool::Pool,
    tags, wide,
    worker::{Worker, WorkerEvent},
};

/// A cloud answers a creation within seconds. One that takes longer does not hold up the others (facts P7).
const USUAL_ANSWER: Duration = Duration::from_secs(2);
/// For how long the answer to a call is still of use after its ticket has been given up.
const LATE_ANSWERS: Duration = Duration::from_secs(3600);

/// Everything that has been ordered and has not arrived.
#[derive(Debug, Default)]
pub(crate) struct Creates {
    /// Not sent, in order of arrival.
    waiting: VecDeque<WorkerId>,
    /// Sent, not answered. The worker may have arrived already, if a list was faster.
    sent: BTreeMap<CallId, Sent>,
    /// Nobody knows whether the call took effect.
    unsure: BTreeMap<WorkerId, Unsure>,
    /// Secrets of those that have not arrived, by which lists name them.
    pub(crate) by_secret: BTreeMap<InstanceSecret, WorkerId>,
    /// Calls that have not been answered in time, since when.
    late: BTreeMap<CallId, Time>,
}

#[derive(Debug)]
struct Sent {
    worker: WorkerId,
    open: OpenCall,
}

/// A creation of which nobody knows whether it took effect.
#[derive(Clone, Copy, Debug)]
struct Unsure {
    asked_at: Time,
    /// Since when nobody knows.
    since: Time,
}

impl Creates {
    pub(crate) fn is_unsure(&self, worker: WorkerId) -> bool {
        self.unsure.contains_key(&worker)
    }

    pub(crate) fn deadline(&self, now: Time) -> Option<Time> {
        // All calls have the same deadline, so the first that was sent is the first to be overdue.
        let overdue = self.sent.values().next().map(|sent| sent.open.overdue_at);
        let late = self.late.values().next().map(|since| *since + LATE_ANSWERS);
        let slow_at = |sent: &Sent| sent.open.asked_at + USUAL_ANSWER;
        let next_slow = self.sent.values().map(slow_at).find(|at| *at > now);
        [overdue, late, next_slow].into_iter().flatten().min()
    }

    /// Calls under way that take longer than usual.
    pub(crate) fn slow(&self, now: Time) -> usize {
        let is_slow = |sent: &&Sent| sent.open.asked_at + USUAL_ANSWER <= now;
        self.sent.values().take_while(is_slow).count()
    }

    fn call_of(&self, worker: WorkerId) -> Option<Time> {
        let sent = self.sent.values().find(|sent| sent.worker == worker);
        sent.map(|sent| sent.open.asked_at)
    }
}

impl Pool {
    /// Takes an order, or says why not: the planner may have looked at an older snapshot.
    pub(crate) fn order(&mut self, name: InstanceTypeName, secret: InstanceSecret) {
        let refusal = match self.types.get(&name) {
            None => Some("it is not configured".to_owned()),
            Some(_) if !self.snapshot.surveyed => Some("there is no list of instances yet".into()),
            Some(_) if self.creates.by_secret.contains_key(&secret) => {
                Some("its secret is in use".to_owned())
            }
            Some(instance_type) => {
                let any = self.holds.any(self.workers.len());
                let hold = any
                    .or_else(|| self.hold_of_type(instance_type))
                    .or_else(|| self.spending_hold(instance_type.price));
                hold.map(|hold| format!("{}: {}", hold.cause, hold.detail))
            }
        };
        let (Some(instance_type), None) = (self.types.get(&name).cloned(), &refusal) else {
            self.desk.tell(PoolNews::CreateRefused {
                instance_type: name,
                reason: refusal.unwrap_or_default(),
            });
            return;
        };
        let id = self.next_worker_id();
        let worker = Worker::ordered(id, instance_type, secret.clone(), &self.desk);
        worker.tell(WorkerNews::Ordered, &mut self.desk);
        self.holds.ordered(&name, id);
        self.creates.by_secret.insert(secret, id);
        self.creates.waiting.push_back(id);
        self.insert(worker);
        self.with_worker(id, WorkerEvent::Tick);
    }

    /// An order is not wanted any more. One that has not been sent is dropped; one that is under way shows as Shutdown,
    /// and goes as soon as it has arrived.
    pub(crate) fn abandon(&mut self, id: WorkerId, reason: String) {
        if self.creates.waiting.contains(&id) {
            self.drop_order(id, reason);
        } else {
            self.with_worker(id, WorkerEvent::KillInstance(reason));
        }
    }

    /// Sends what may be sent, and drops what should rather be decided anew.
    pub(crate) fn advance_creates(&mut self) {
        let now = self.desk.time();
        self.give_up_overdue_creates();
        self.creates
            .late
            .retain(|_, since| *since + LATE_ANSWERS > now);
        if self.creates.waiting.is_empty() || self.holds.stopping {
            return;
        }
        self.drop_surplus_orders();
        let any = self.holds.any(0).map(|hold| hold.cause);
        if matches!(any, Some(HoldCause::RateLimit)) {
            return;
        }
        let room = self.desk.settings.max_concurrent_creates;
        let room = room.map_or(usize::MAX, |max| {
            max.saturating_sub(self.creates.sent.len())
        });
        let mut to_send = Vec::new();
        for id in &self.creates.waiting {
            if to_send.len() >= room {
                break;
            }
            let worker = &self.workers[id];
            if self
                .holds
                .of_type(&worker.instance_type, Some(*id))
                .is_none()
            {
                to_send.push(*id);
            }
        }
        for id in to_send {
            self.send_order(id);
        }
    }

    /// Orders beyond a limit that has become known, the newest first, and those of types that are held for long.
    fn drop_surplus_orders(&mut self) {
        if let Some(reason) = self.holds.nothing_before_mended() {
            for id in std::mem::take(&mut self.creates.waiting) {
                self.drop_order(id, reason.clone());
            }
        }
        let limit = self.holds.limit().unwrap_or(usize::MAX);
        while self.workers.len() > limit
            && let Some(id) = self.creates.waiting.back().copied()
        {
            self.drop_order(id, format!("there may be {limit} instances"));
        }
        if !self.holds.any_type() {
            return;
        }
        let held: Vec<(WorkerId, String)> = self
            .creates
            .waiting
            .iter()
            .filter_map(|id| {
                let instance_type = &self.workers[id].instance_type;
                let hold = self.holds.of_type(instance_type, Some(*id))?;
                let lasting = self.holds.is_lasting(instance_type, &hold);
                lasting.then(|| (*id, format!("{}: {}", hold.cause, hold.detail)))
            })
            .collect();
        for (id, reason) in held {
            self.drop_order(id, reason);
        }
    }

    fn send_order(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        let Some(secret) = worker.secret.clone() else {
            return;
        };
        let within = self.desk.settings.timing.cloud_call;
        let open = self.desk.open(within);
        self.creates.waiting.retain(|waiting| *waiting != id);
        self.creates
            .sent
            .insert(open.call, Sent { worker: id, open });
        let instance_type = worker.instance_type.clone();
        let tags = tags::at_creation(&instance_type, &self.desk.settings);
        self.desk.order(Action::Create {
            call: open.call,
            worker: id,
            instance_type,
            tags,
            secret,
            within,
        });
    }

    /// The cloud has answered a creation.
    pub(crate) fn created(&mut self, call: CallId, result: Result<ListedInstance, Failure>) {
        let Some(sent) = self.creates.sent.remove(&call) else {
            if self.creates.late.remove(&call).is_some()
                && let Ok(listed) = result
            {
                self.late_instance(listed);
            }
            return;
        };
        let took = self.desk.time().since(sent.open.asked_at);
        match result {
            Ok(listed) => self.created_instance(sent.worker, listed, took),
            Err(failure) => self.create_failed(&sent, failure, took),
        }
    }

    fn created_instance(&mut self, id: WorkerId, listed: ListedInstance, took: Duration) {
        let known_as = self.by_instance.get(&listed.id).copied();
        match (known_as, self.workers.get(&id)) {
            // A list was faster.
            (Some(known_as), _) if known_as == id => {}
            (Some(known_as), Some(worker)) if worker.instance.is_none() => {
                self.drop_order(id, format!("its instance is known as {known_as}"));
            }
            (None, Some(worker)) if worker.instance.is_none() => self.arrive(id, listed, took),
            // The ticket has another instance already, or is gone: this one is adopted.
            (None, _) => self.adopt(listed, self.desk.time()),
            (Some(_), _) => {}
        }
    }

    fn late_instance(&mut self, listed: ListedInstance) {
        if self.by_instance.contains_key(&listed.id) {
            return;
        }
        let secret = tags::secret(&listed.tags, &self.desk.settings);
        let ticket = secret.and_then(|secret| self.creates.by_secret.get(&secret).copied());
        match ticket {
            Some(id) => self.arrive(id, listed, Duration::ZERO),
            None => self.adopt(listed, self.desk.time()),
        }
    }

    /// A list shows an instance with the secret of a ticket.
    pub(crate) fn listed_ticket(&mut self, id: WorkerId, listed: ListedInstance) {
        let now = self.desk.time();
        let asked_at = self.creates.call_of(id);
        let unsure = self.creates.unsure.get(&id);
        let since = asked_at.or_else(|| unsure.map(|unsure| unsure.since));
        self.arrive(id, listed, now.since(since.unwrap_or(now)));
    }

    /// An order has become an instance.
    pub(crate) fn arrive(&mut self, id: WorkerId, listed: ListedInstance, took: Duration) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if let Some(secret) = &worker.secret {
            self.creates.by_secret.remove(secret);
        }
        self.creates.unsure.remove(&id);
        self.creates.waiting.retain(|waiting| *waiting != id);
        self.by_instance.insert(listed.id.clone(), id);
        let instance_type = Arc::clone(&worker.instance_type);
        let typical_boot = self.typical_boots.get(&instance_type.name).copied();
        worker.arrive(listed, took, typical_boot, &mut self.desk);
        self.holds.created(&instance_type, self.by_instance.len());
        self.probation.worked();
        self.with_worker(id, WorkerEvent::Tick);
    }

    fn create_failed(&mut self, sent: &Sent, mut failure: Failure, took: Duration) {
        let now = self.desk.time();
        let id = sent.worker;
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        failure.class = wide::of_one_image(failure.class, &worker.instance_type);
        // One is enough to see whether that has changed.
        if matches!(
            failure.class,
            CloudErrorClass::Quota | CloudErrorClass::RefusedWidely(_)
        ) {
            self.probation.refused();
        }
        self.holds.create_failed(
            &worker.instance_type,
            &failure.class,
            &failure.message,
            self.by_instance.len(),
            sent.open.asked_at,
            now,
        );
        if worker.instance.is_some() {
            // A list has shown it: whatever the call says, it is there.
            return;
        }
        let Failure { class, message } = failure;
        if class == CloudErrorClass::OutcomeUnknown {
            // It may be long until a list tells more, so that others are let go on, and another may try to boot.
            self.probation.unsure();
            self.holds.trial_over(&worker.instance_type.name, id);
            worker.tell(WorkerNews::CreateUnsure { message }, &mut self.desk);
            let asked_at = sent.open.asked_at;
            let unsure = Unsure {
                asked_at,
                since: now,
            };
            self.creates.unsure.insert(id, unsure);
            let grace = self.desk.settings.timing.fresh_grace;
            self.lists.no_later_than(now + grace);
            self.with_worker(id, WorkerEvent::Tick);
            return;
        }
        let wait = matches!(class, CloudErrorClass::RateLimited(_));
        let news = WorkerNews::CreateFailed {
            class,
            message: message.clone(),
            took,
        };
        worker.tell(news, &mut self.desk);
        if wait && worker.state != WorkerState::Shutdown {
            self.creates.waiting.push_front(id);
        } else {
            self.forget_order(id);
        }
    }

    fn give_up_overdue_creates(&mut self) {
        let now = self.desk.time();
        while let Some(entry) = self.creates.sent.first_entry()
            && entry.get().open.overdue_at <= now
        {
            let (call, sent) = entry.remove_entry();
            self.creates.late.insert(call, now);
            let took = now.since(sent.open.asked_at);
            let failure = Failure {
                class: CloudErrorClass::OutcomeUnknown,
                message: "no answer".to_owned(),
            };
            self.create_failed(&sent, failure, took);
        }
    }

    /// A list that was asked for at this time shows none of the creations of unknown outcome that are still open: those
    /// that have had their time are given up. If an instance appears later still, it is adopted.
    pub(crate) fn settle_unsure(&mut self, asked_at: Time) {
        let grace = self.desk.settings.timing.fresh_grace;
        let unsure = self.creates.unsure.iter();
        let over: Vec<(WorkerId, Unsure)> = unsure
            .filter(|(_, unsure)| asked_at >= unsure.since + grace)
            .map(|(id, unsure)| (*id, *unsure))
            .collect();
        let now = self.desk.time();
        for (id, unsure) in over {
            if let Some(worker) = self.workers.get(&id) {
                let news = WorkerNews::CreateFailed {
                    class: CloudErrorClass::OutcomeUnknown,
                    message: "no list has shown its instance".to_owned(),
                    took: now.since(unsure.asked_at),
                };
                worker.tell(news, &mut self.desk);
            }
            self.forget_order(id);
        }
        let first = self.creates.unsure.values().map(|unsure| unsure.since);
        if let Some(since) = first.min() {
            self.lists
                .no_later_than((since + grace).max(now + grace / 4));
        }
    }

    fn drop_order(&mut self, id: WorkerId, reason: String) {
        if let Some(worker) = self.workers.get(&id) {
            worker.tell(WorkerNews::CreateDropped { reason }, &mut self.desk);
            self.forget_order(id);
        }
    }

    fn forget_order(&mut self, id: WorkerId) {
        if let Some(secret) = self
            .workers
            .get(&id)
            .and_then(|worker| worker.secret.as_ref())
        {
            self.creates.by_secret.remove(secret);
        }
        self.creates.unsure.remove(&id);
        self.creates.waiting.retain(|waiting| *waiting != id);
        self.remove(id);
    }
}
