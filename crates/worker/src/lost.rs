//! Why an instance ended that nobody here has destroyed: what the cloud says of it, which may be later than it dropped
//! out of the lists.

use std::{sync::Arc, time::Duration};

use dispatch_model::{ContainerId, EndCause, InstanceType, InstanceTypeName, Time};

use crate::{About, Fact, InstanceEnd, WorkerNews, pool::Pool, wide, worker::Worker};

/// For so long clouds may still say why.
const KEPT: Duration = Duration::from_secs(3600);

/// What must be known of an instance to learn from its end.
#[derive(Debug)]
pub(crate) struct Lost {
    about: About,
    instance_type: Arc<InstanceType>,
    /// This daemon has ordered it.
    created: bool,
    appeared_at: Time,
    /// Those that were on it.
    containers: Vec<ContainerId>,
    at: Time,
}

impl Lost {
    pub(crate) fn of(worker: &Worker, now: Time) -> Lost {
        Lost {
            about: worker.about(),
            instance_type: Arc::clone(&worker.instance_type),
            created: worker.created,
            appeared_at: worker.appeared_at,
            containers: worker.runners.live().cloned().collect(),
            at: now,
        }
    }

    pub(crate) fn is_over(&self, now: Time) -> bool {
        self.at + KEPT <= now
    }
}

impl Pool {
    /// The cloud says that an instance has ended, or is ending: nobody waits for its silence.
    pub(crate) fn died(&mut self, end: InstanceEnd) {
        let now = self.desk.time();
        // A stale list may still show it.
        self.departed.insert(end.instance.clone(), now);
        // The cloud may say why later.
        let is_explained = !end.reason.is_empty();
        let Some(id) = self.by_instance.get(&end.instance).copied() else {
            // The news comes after the instance has gone.
            if is_explained && let Some(lost) = self.lost.remove(&end.instance) {
                self.learn_from_end(&lost, &end);
            }
            return;
        };
        let lost = Lost::of(&self.workers[&id], now);
        if !is_explained {
            let words = death_in_words(&end, &lost.instance_type.name);
            for container in &lost.containers {
                self.deaths.insert(container.clone(), words.clone());
            }
            self.vanished(id);
            return;
        }
        for container in &lost.containers {
            self.deaths.insert(container.clone(), String::new());
        }
        self.learn_from_end(&lost, &end);
        self.vanished(id);
        self.lost.remove(&end.instance);
    }

    /// Tells it, keeps the words for the owners of those containers that have not been dealt with, and holds what it
    /// says is to be held.
    fn learn_from_end(&mut self, lost: &Lost, end: &InstanceEnd) {
        let now = self.desk.time();
        let instance_type = &lost.instance_type;
        self.desk.effects.facts.push(Fact::Worker {
            about: lost.about.clone(),
            news: WorkerNews::Died {
                cause: end.cause,
                reason: end.reason.clone(),
            },
        });
        let words = death_in_words(end, &instance_type.name);
        for container in &lost.containers {
            if let Some(known) = self.deaths.get_mut(container) {
                known.clone_from(&words);
            }
        }
        if let Some(class) = &end.class
            && lost.created
        {
            let class = &wide::of_one_image(class.clone(), instance_type);
            let known = self.by_instance.contains_key(&end.instance);
            let others = self.by_instance.len() - usize::from(known);
            let asked_at = lost.appeared_at;
            (self.holds).create_failed(instance_type, class, &end.reason, others, asked_at, now);
        }
        if end.cause == EndCause::TakenBack {
            self.holds.taken_back(&instance_type.name, now);
        }
    }
}

/// For the owner of a container that was on it.
fn death_in_words(end: &InstanceEnd, instance_type: &InstanceTypeName) -> String {
    let what = match end.cause {
        EndCause::TakenBack => "was a spot instance and the cloud took it back",
        EndCause::NeverBegan => "died while it was launched",
        EndCause::Other => "has ended",
    };
    let mut words = format!(
        "the container's instance {} ({instance_type}) {what}",
        end.instance
    );
    if end.reason.is_empty() {
        words.push_str(", and the cloud does not say why");
    } else {
        words.push_str(": ");
        words.push_str(&end.reason);
    }
    words
}

/// The same, if the cloud has said nothing and merely lists it no more.
pub(crate) fn departure_in_words(worker: &Worker) -> String {
    let instance = worker.instance.as_ref().map_or("", |id| id.as_str());
    let named = format!(
        "the container's instance {instance} ({})",
        worker.instance_type.name
    );
    match &worker.shut_down_for {
        Some(reason) => format!("{named} was shut down: {reason}"),
        None => {
            format!("{named} is gone from the cloud's list, and the dispatcher has not ended it")
        }
    }
}
