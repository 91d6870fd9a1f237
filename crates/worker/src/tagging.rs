//! What is written on an instance: only what differs, one call at a time, repeated until it is there (facts W16, W17).

use std::{collections::BTreeMap, time::Duration};

use dispatch_model::{CloudErrorClass, Time, WorkerState};

use crate::{
    Action, CallId, Failure, WorkerNews,
    desk::{Desk, OpenCall, growing_pause},
    gpus,
    tags::Tag,
    worker::Worker,
};

/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Tags on their way to an instance.
#[derive(Debug, Default)]
pub(crate) struct Tagging {
    /// To be written; what was wanted last wins.
    wanted: BTreeMap<String, String>,
    open: Option<(OpenCall, BTreeMap<String, String>)>,
    next_at: Time,
    failures: u32,
    /// When the last call was answered: what a list that was asked for earlier says is outdated.
    answered_at: Option<Time>,
}

impl Tagging {
    /// Whether this tag is written, or about to be.
    fn is_under_way(&self, key: &str) -> bool {
        self.wanted.contains_key(key)
            || self
                .open
                .as_ref()
                .is_some_and(|(_, sent)| sent.contains_key(key))
    }
}

impl Worker {
    /// This tag is to have this value. An order without an instance gets its tags when it has arrived.
    pub(crate) fn want_tag(&mut self, tag: Tag, value: String, desk: &Desk) {
        if self.instance.is_some() {
            self.tagging.wanted.insert(tag.key(&desk.settings), value);
        }
    }

    /// Compares what a list shows with what should be there, and learns GPU devices from it that nobody knew.
    pub(crate) fn compare_tags(
        &mut self,
        listed: &BTreeMap<String, String>,
        asked_at: Time,
        desk: &Desk,
    ) {
        if let Some(text) = Tag::Gpus.read(listed, &desk.settings) {
            let devices = gpus::from_tag(text, self.instance_type.gpu.device_count);
            self.runners.learn_gpus(devices);
        }
        if self.tagging.answered_at.is_some_and(|at| asked_at < at) {
            return;
        }
        let wanted = [
            // The tags of an unconfigured type stay as they are, so that it can be configured again (facts W15).
            self.type_known.then(|| {
                let name = self.instance_type.configured_name();
                (Tag::InstanceType, name.to_string())
            }),
            (self.instance_type.image_name().filter(|_| self.type_known))
                .map(|name| (Tag::Image, name.to_owned())),
            (self.runner_user.as_ref()).map(|user| (Tag::RunnerUser, user.to_string())),
            (self.type_known || self.behavior_since > self.appeared_at)
                .then(|| (Tag::IdleBehavior, self.idle_behavior.to_string())),
        ];
        for (tag, value) in wanted.into_iter().flatten() {
            let key = tag.key(&desk.settings);
            if listed.get(&key) != Some(&value) && !self.tagging.is_under_way(&key) {
                self.tagging.wanted.insert(key, value);
            }
        }
    }

    /// Sends what is to be written, if it is time.
    pub(crate) fn advance_tags(&mut self, desk: &mut Desk) {
        let now = desk.time();
        if let Some((open, _)) = &self.tagging.open
            && open.overdue_at <= now
        {
            let failure = Failure {
                class: CloudErrorClass::OutcomeUnknown,
                message: "no answer".to_owned(),
            };
            self.tagged(open.call, Err(failure), desk);
        }
        let tagging = &mut self.tagging;
        let Some(instance) = &self.instance else {
            return;
        };
        if self.state == WorkerState::Shutdown {
            tagging.wanted.clear();
        }
        if tagging.wanted.is_empty() || tagging.open.is_some() || tagging.next_at > now {
            return;
        }
        let within = desk.settings.timing.repeatable_call();
        let open = desk.open(within);
        let tags = std::mem::take(&mut tagging.wanted);
        tagging.open = Some((open, tags.clone()));
        desk.order(Action::SetTags {
            call: open.call,
            worker: self.id,
            instance: instance.clone(),
            tags,
            within,
        });
        self.runners.tag_sent(open.call);
    }

    pub(crate) fn tags_due(&self) -> Option<Time> {
        match &self.tagging.open {
            Some((open, _)) => Some(open.overdue_at),
            None => (!self.tagging.wanted.is_empty()).then_some(self.tagging.next_at),
        }
    }

    /// The cloud has answered. Starts that waited for their GPU devices to be written down go ahead.
    pub(crate) fn tagged(&mut self, call: CallId, result: Result<(), Failure>, desk: &mut Desk) {
        let now = desk.time();
        let tagging = &mut self.tagging;
        let Some((_, sent)) = tagging.open.take_if(|(open, _)| open.call == call) else {
            return;
        };
        tagging.answered_at = Some(now);
        let Err(failure) = result else {
            tagging.failures = 0;
            tagging.next_at = now;
            self.tag_written(call, desk);
            return;
        };
        tagging.failures += 1;
        tagging.next_at = now + growing_pause(FIRST_PAUSE, tagging.failures, LONGEST_PAUSE);
        if let CloudErrorClass::RateLimited(until) = failure.class {
            tagging.next_at = tagging.next_at.max(until.min(now + LONGEST_PAUSE));
        }
        for (key, value) in sent {
            tagging.wanted.entry(key).or_insert(value);
        }
        self.tell(WorkerNews::TagsFailed(failure), desk);
        self.tag_not_written(call, desk);
    }
}
