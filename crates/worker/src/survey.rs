//! What a list of the cloud means: who is there, who is new, who is gone.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use dispatch_model::{InstanceId, InstanceType, RunnerState, Time, WorkerId};

use crate::{
    Action, BootOutcome, CallId, Failure, HowEnded, ListedInstance, PoolNews, WorkerNews,
    lost::{Lost, departure_in_words},
    pool::Pool,
    tags::{self, Tag},
    worker::{Worker, WorkerEvent},
};

impl Pool {
    /// Asks for a list if one is due.
    pub(crate) fn advance_lists(&mut self) {
        if !self.lists.is_due(self.desk.time()) {
            return;
        }
        let within = self.desk.settings.list_call();
        let open = self.desk.open(within);
        self.lists.sent(open);
        self.desk.order(Action::List {
            call: open.call,
            within,
        });
    }

    /// The cloud has answered with all our instances, or with a failure, which changes nothing.
    pub(crate) fn listed(&mut self, call: CallId, result: Result<Vec<ListedInstance>, Failure>) {
        let now = self.desk.time();
        let Some(asked_at) = self.lists.answered(call, result.as_ref().err(), now) else {
            return;
        };
        let listed = match result {
            Ok(listed) => listed,
            Err(failure) => {
                self.desk.tell(PoolNews::ListFailed(failure));
                return;
            }
        };
        let present: BTreeSet<InstanceId> = listed.iter().map(|one| one.id.clone()).collect();
        self.ignored.retain(|instance| present.contains(instance));
        self.forget_departed();
        for instance in listed {
            self.listed_one(instance, asked_at);
        }
        let absent: Vec<WorkerId> = self
            .by_instance
            .iter()
            .filter(|(instance, _)| !present.contains(*instance))
            .map(|(_, id)| *id)
            .filter(|id| self.workers[id].vanishes_by(asked_at, &self.desk))
            .collect();
        for id in absent {
            self.vanished(id);
        }
        self.settle_unsure(asked_at);
        if !self.snapshot.surveyed {
            self.snapshot.surveyed = true;
            self.revision += 1;
            let instances = self.by_instance.len();
            self.desk.tell(PoolNews::Surveyed { instances });
        }
    }

    fn listed_one(&mut self, listed: ListedInstance, asked_at: Time) {
        if let Some(id) = self.by_instance.get(&listed.id).copied() {
            self.with_worker(id, WorkerEvent::Listed { listed, asked_at });
            return;
        }
        let settings = &self.desk.settings;
        let set_id = Tag::InstanceSetId.read(&listed.tags, settings);
        if set_id != Some(settings.instance_set_id.as_str()) {
            if self.ignored.insert(listed.id.clone()) {
                self.desk.tell(PoolNews::Ignored {
                    instance: listed.id,
                    reason: "it does not carry our InstanceSetID".to_owned(),
                });
            }
            return;
        }
        let secret = tags::secret(&listed.tags, settings);
        let ticket = secret.and_then(|secret| self.creates.by_secret.get(&secret).copied());
        match ticket {
            Some(id) => {
                self.listed_ticket(id, listed.clone());
                self.with_worker(id, WorkerEvent::Listed { listed, asked_at });
            }
            // What has just been destroyed may linger in a stale list.
            None if self.departed.contains_key(&listed.id) => {}
            None => self.adopt(listed, asked_at),
        }
    }

    /// An instance of ours that nobody here knows.
    pub(crate) fn adopt(&mut self, listed: ListedInstance, asked_at: Time) {
        let settings = &self.desk.settings;
        let name = Tag::InstanceType.read(&listed.tags, settings);
        let image = Tag::Image.read(&listed.tags, settings);
        let configured = name.and_then(|name| match image {
            Some(image) => (self.types).get(&InstanceType::name_with_image(name, image)),
            None => self.types.get(name),
        });
        let instance_type = match configured {
            Some(configured) => Ok(configured.clone()),
            None => Err(self.likely_price(name, &listed.provider_type)),
        };
        let id = self.next_worker_id();
        let worker = Worker::adopted(id, &listed, instance_type, &mut self.desk);
        self.by_instance.insert(listed.id.clone(), id);
        self.insert(worker);
        self.with_worker(id, WorkerEvent::Listed { listed, asked_at });
    }

    /// What an instance costs whose type, or its image, is no longer configured, by what is: it counts for the spending
    /// limit as long as it is there.
    fn likely_price(&self, name: Option<&str>, provider_type: &str) -> Option<f64> {
        let of_its_name = name.and_then(|name| self.types.get(name));
        let of_its_provider_type = || {
            let like_it = |one: &&Arc<InstanceType>| one.provider_type == provider_type;
            let dearest =
                |a: &&Arc<InstanceType>, b: &&Arc<InstanceType>| a.price.total_cmp(&b.price);
            self.types.values().filter(like_it).max_by(dearest)
        };
        of_its_name
            .or_else(of_its_provider_type)
            .map(|one| one.price)
    }

    /// The cloud lists it no more: whatever ran on it has ended.
    pub(crate) fn vanished(&mut self, id: WorkerId) {
        let now = self.desk.time();
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let lost = Lost::of(worker, now);
        worker.end_boot(BootOutcome::Disappeared, &mut self.desk);
        let live: Vec<_> = worker.runners.live().cloned().collect();
        for container in &live {
            worker.exit(container, HowEnded::InstanceGone, &mut self.desk);
            // What the cloud has said of it goes first.
            self.deaths
                .entry(container.clone())
                .or_insert_with(|| departure_in_words(worker));
        }
        let first_sent = worker.ending.as_ref().and_then(|ending| ending.first_sent);
        let news = WorkerNews::Gone {
            state: worker.state,
            after_shutdown: first_sent.map(|at| now.since(at)),
        };
        worker.tell(news, &mut self.desk);
        let attached = worker.address.is_some();
        let runners = worker.runner_states();
        if let Some(instance) = worker.instance.clone() {
            self.by_instance.remove(&instance);
            if first_sent.is_some() {
                self.departed.insert(instance, now);
            } else {
                // Why, may be told later.
                self.lost.insert(instance, lost);
            }
        }
        if attached {
            self.desk.order(Action::Detach { worker: id });
        }
        self.publish_runners(id, runners);
        self.remove(id);
    }

    fn forget_departed(&mut self) {
        let now = self.desk.time();
        let grace = self.desk.settings.timing.fresh_grace;
        self.departed.retain(|_, since| *since + grace > now);
        self.lost.retain(|_, lost| !lost.is_over(now));
    }

    /// Exits on instances that are gone are kept here alone, until they have been dealt with.
    pub(crate) fn forget_orphaned_exits(&mut self, container: &dispatch_model::ContainerId) {
        self.deaths.remove(container);
        let Some(views) = self.snapshot.runners.get_mut(container) else {
            return;
        };
        let n = views.len();
        views.retain(|view| {
            self.workers.contains_key(&view.worker)
                || !matches!(view.state, RunnerState::Exited { .. })
        });
        if views.len() < n {
            self.revision += 1;
        }
        if views.is_empty() {
            self.snapshot.runners.remove(container);
        }
    }
}

/// How much a new boot counts in what is typical of a type.
const NEWEST_BOOT_SHARE: f64 = 0.3;

/// What is typical of a type, with one more boot.
pub(crate) fn typical_boot(before: Option<Duration>, newest: Duration) -> Duration {
    before.map_or(newest, |before| {
        before.mul_f64(1.0 - NEWEST_BOOT_SHARE) + newest.mul_f64(NEWEST_BOOT_SHARE)
    })
}
