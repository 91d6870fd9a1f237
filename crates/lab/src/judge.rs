//! The judge: looks at what happened in the world, and at nothing that the dispatcher believes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    api::{Change, ContainerState},
    faults::{Faults, Level},
};

/// Breaches of rules that are kept word for word.
const BREACHES_MAX: usize = 200;

/// One container's history.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// When it was submitted, ms.
    pub submitted_ms: u64,
    /// When it first became Running, ms.
    pub running_ms: Option<u64>,
    /// Who made it Running, in order.
    pub ran_by: Vec<String>,
    /// Whether it ran twice.
    pub twice: bool,
    /// Why it cannot be expected to complete.
    pub doomed: Option<&'static str>,
    /// The runner processes that live, by instance and pid.
    pub runners: BTreeMap<(String, u32), Seen>,
    /// Until when a start may arrive that was on its way when the dispatcher which had sent it was killed, ms.
    from_the_dead_until_ms: u64,
}

/// A runner process that lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// Whether it got past its look at the state.
    pub passed: bool,
    /// Whether its start was on its way for long, so that it may meet another (invariant 1).
    pub late: bool,
}

impl Story {
    /// Whether the start of this runner process was on its way for long: nobody reckoned with it.
    pub fn is_late(&self, instance: &str, pid: u32) -> bool {
        let key = (instance.to_owned(), pid);
        self.runners.get(&key).is_some_and(|seen| seen.late)
    }
}

/// All that the judge has seen.
#[derive(Debug, Default)]
pub struct Judge {
    stories: BTreeMap<String, Story>,
    breaches: Vec<String>,
    instances_created: u64,
    instances_destroyed: u64,
    cost: f64,
    kills_announced: BTreeSet<String>,
    restarts: u64,
}

/// The judgement, in the words that `--json` prints.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// Containers submitted.
    pub submitted: usize,
    /// Of these, Complete.
    pub complete: usize,
    /// Of these, Cancelled.
    pub cancelled: usize,
    /// Of these, those that could not be expected to complete.
    pub doomed: usize,
    /// Of these, not final, or Running without a runner.
    pub lost: usize,
    /// Of these, those that ran twice.
    pub run_twice: usize,
    /// Instances made.
    pub instances_created: u64,
    /// Instances gone, by whatever hand.
    pub instances_destroyed: u64,
    /// Instances that still cost money.
    pub instances_left: usize,
    /// How often each kind of fault struck.
    pub kinds_of_faults: BTreeMap<&'static str, u64>,
    /// Time from submission to Running, median, ms.
    pub queue_to_start_p50_ms: u64,
    /// The same, 99th percentile, ms.
    pub queue_to_start_p99_ms: u64,
    /// What the instances cost, $.
    pub cost: f64,
    /// Containers that were cancelled though nothing stood in their way.
    pub cancelled_without_cause: Vec<String>,
    /// Doomed containers that completed all the same.
    pub doomed_but_complete: usize,
    /// Breaches of the invariants, as far as the world shows them.
    pub breaches: Vec<String>,
    /// Kinds of faults that should have struck and have not.
    pub kinds_missing: Vec<&'static str>,
}

impl Judge {
    /// One container's history.
    pub fn story(&self, uuid: &str) -> Option<&Story> {
        self.stories.get(uuid)
    }

    /// The breaches so far.
    pub fn breaches(&self) -> &[String] {
        &self.breaches
    }

    /// A rule was broken.
    pub(crate) fn breach(&mut self, text: String) {
        if self.breaches.len() < BREACHES_MAX {
            self.breaches.push(text);
        }
    }

    pub(crate) fn submitted(&mut self, uuid: &str, ms: u64) {
        self.stories.insert(
            uuid.into(),
            Story {
                submitted_ms: ms,
                ..Story::default()
            },
        );
    }

    /// This container cannot be expected to complete.
    pub(crate) fn doom(&mut self, uuid: &str, why: &'static str) {
        self.stories
            .entry(uuid.into())
            .or_default()
            .doomed
            .get_or_insert(why);
    }

    /// The operator has asked for this instance's end: the kill call.
    pub(crate) fn kill_announced(&mut self, instance: &str) {
        self.kills_announced.insert(instance.into());
    }

    /// The dispatcher was killed and started again. A start of a container that it had `locked` and that no runner has
    /// taken up may be on its way, and arrive until then; it has sent none of others.
    pub(crate) fn restarted<'a>(&mut self, locked: impl Iterator<Item = &'a str>, until_ms: u64) {
        self.restarts += 1;
        for uuid in locked {
            let story = self.stories.entry(uuid.into()).or_default();
            if story.runners.is_empty() {
                story.from_the_dead_until_ms = until_ms;
            }
        }
    }

    /// A start of this container arrives: whether a dispatcher that is dead may have sent it.
    pub(crate) fn may_be_from_the_dead(&self, uuid: &str, ms: u64) -> bool {
        (self.story(uuid)).is_some_and(|story| ms < story.from_the_dead_until_ms)
    }

    /// Whether a dispatcher has ever been killed in the midst of its work.
    pub(crate) fn was_restarted(&self) -> bool {
        self.restarts > 0
    }

    pub(crate) fn changed(&mut self, change: &Change, ms: u64) {
        if change.to != ContainerState::Running {
            return;
        }
        let by = change.runner.clone().unwrap_or_else(|| change.by.clone());
        let story = self.stories.entry(change.uuid.clone()).or_default();
        story.running_ms.get_or_insert(ms);
        // The same runner may say it again after a lost answer.
        if story.ran_by.last() != Some(&by) {
            story.ran_by.push(by);
        }
        if story.ran_by.len() > 1 {
            story.twice = true;
        }
    }

    /// A runner process began. One whose start was `late` may meet another, and each may meet those on machines that
    /// were `given_up`.
    pub(crate) fn runner_began(
        &mut self,
        uuid: &str,
        instance: &str,
        pid: u32,
        late: bool,
        given_up: impl Fn(&str) -> bool,
    ) {
        let story = self.stories.entry(uuid.into()).or_default();
        let mut others = story.runners.iter();
        let counts = |other: &str, seen: &Seen| other != instance && !seen.late && !given_up(other);
        if !late && others.any(|((other, _), seen)| counts(other, seen)) {
            story.twice = true;
        }
        let seen = Seen {
            passed: false,
            late,
        };
        story.runners.insert((instance.into(), pid), seen);
    }

    /// A runner process found its container startable.
    pub(crate) fn runner_passed(&mut self, uuid: &str, instance: &str, pid: u32) {
        let story = self.stories.entry(uuid.into()).or_default();
        let mut others = story.runners.iter();
        if others.any(|((other, _), seen)| other != instance && seen.passed) {
            story.twice = true;
        }
        let key = (instance.to_owned(), pid);
        story.runners.entry(key).or_default().passed = true;
    }

    /// A runner process is gone.
    pub(crate) fn runner_ended(&mut self, uuid: &str, instance: &str, pid: u32) {
        if let Some(story) = self.stories.get_mut(uuid) {
            story.runners.remove(&(instance.into(), pid));
        }
    }

    pub(crate) fn instance_created(&mut self) {
        self.instances_created += 1;
    }

    pub(crate) fn instance_gone(&mut self, cost: f64) {
        self.instances_destroyed += 1;
        self.cost += cost;
    }

    /// Somebody destroys an instance by a call: is that allowed (invariant 5)?
    pub(crate) fn destroy_called(
        &mut self,
        instance: &str,
        held: bool,
        ours: bool,
        live: &[String],
    ) {
        if !ours {
            self.breach(format!(
                "{instance}, which is somebody else's, was destroyed"
            ));
        }
        if self.kills_announced.contains(instance) {
            return;
        }
        if held {
            self.breach(format!("{instance} was destroyed while on hold"));
        }
        for uuid in live {
            self.breach(format!("{instance} was destroyed while it ran {uuid}"));
        }
    }

    /// The judgement. `states` are the containers as they are, `instances_left` what still costs money.
    pub fn report(
        &self,
        states: &BTreeMap<String, ContainerState>,
        faults: &Faults,
        instances_left: usize,
        cost_of_living: f64,
    ) -> Report {
        let of = |wanted: ContainerState| states.values().filter(|state| **state == wanted).count();
        let story = |uuid: &String| self.stories.get(uuid);
        let doomed = |uuid: &String| story(uuid).is_some_and(|story| story.doomed.is_some());
        let lost = states.iter().filter(|(uuid, state)| {
            let runs = story(uuid).is_some_and(|story| !story.runners.is_empty());
            !state.is_final() || **state == ContainerState::Running && !runs
        });
        let mut waits: Vec<u64> = self
            .stories
            .values()
            .filter_map(|story| Some(story.running_ms?.saturating_sub(story.submitted_ms)))
            .collect();
        waits.sort_unstable();
        Report {
            submitted: states.len(),
            complete: of(ContainerState::Complete),
            cancelled: of(ContainerState::Cancelled),
            doomed: self
                .stories
                .values()
                .filter(|story| story.doomed.is_some())
                .count(),
            lost: lost.count(),
            run_twice: self.stories.values().filter(|story| story.twice).count(),
            instances_created: self.instances_created,
            instances_destroyed: self.instances_destroyed,
            instances_left,
            kinds_of_faults: faults.counts(),
            queue_to_start_p50_ms: percentile(&waits, 50),
            queue_to_start_p99_ms: percentile(&waits, 99),
            cost: self.cost + cost_of_living,
            cancelled_without_cause: states
                .iter()
                .filter(|(uuid, state)| **state == ContainerState::Cancelled && !doomed(uuid))
                .map(|(uuid, _)| uuid.clone())
                .collect(),
            doomed_but_complete: states
                .iter()
                .filter(|(uuid, state)| **state == ContainerState::Complete && doomed(uuid))
                .count(),
            breaches: self.breaches.clone(),
            kinds_missing: match faults.level() {
                Level::Many => faults.missing(),
                Level::None | Level::Some => Vec::new(),
            },
        }
    }
}

impl Report {
    /// What is wrong with this outcome; nothing if the dispatcher did all that could be asked of it.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = self.breaches.clone();
        let mut check = |failed: bool, text: String| {
            if failed {
                failures.push(text);
            }
        };
        check(self.lost > 0, format!("{} containers are lost", self.lost));
        check(
            self.run_twice > 0,
            format!("{} containers ran twice", self.run_twice),
        );
        check(
            self.instances_left > 0,
            format!("{} instances are left", self.instances_left),
        );
        check(
            !self.cancelled_without_cause.is_empty(),
            format!(
                "cancelled without a cause: {}",
                self.cancelled_without_cause.join(", ")
            ),
        );
        failures
    }
}

/// The value below which this share of the sorted values lies; 0 if there are none.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(uuid: &str, runner: &str) -> Change {
        Change {
            uuid: uuid.into(),
            from: Some(ContainerState::Locked),
            to: ContainerState::Running,
            by: "t".into(),
            runner: Some(runner.into()),
        }
    }

    #[track_caller]
    fn check_twice(expected: bool, act: impl FnOnce(&mut Judge)) {
        let mut judge = Judge::default();
        judge.submitted("c", 0);
        act(&mut judge);
        assert_eq!(judge.stories["c"].twice, expected);
    }

    #[test]
    fn two_changes_to_running_by_two_runners_are_twice() {
        check_twice(true, |judge| {
            judge.changed(&running("c", "i-1/1"), 1);
            judge.changed(&running("c", "i-2/1"), 2);
        });
    }

    #[test]
    fn a_repeated_change_by_the_same_runner_is_once() {
        check_twice(false, |judge| {
            judge.changed(&running("c", "i-1/1"), 1);
            judge.changed(&running("c", "i-1/1"), 2);
        });
    }

    #[test]
    fn runners_alive_on_two_instances_are_twice() {
        check_twice(true, |judge| {
            judge.runner_began("c", "i-1", 1, false, |_| false);
            judge.runner_began("c", "i-2", 1, false, |_| false);
        });
    }

    #[test]
    fn a_late_start_may_meet_another_as_long_as_one_of_them_stops_at_the_door() {
        check_twice(false, |judge| {
            judge.runner_began("c", "i-1", 1, false, |_| false);
            judge.runner_passed("c", "i-1", 1);
            judge.runner_began("c", "i-2", 1, true, |_| false);
            judge.runner_ended("c", "i-2", 1);
        });
        check_twice(true, |judge| {
            judge.runner_began("c", "i-1", 1, false, |_| false);
            judge.runner_passed("c", "i-1", 1);
            judge.runner_began("c", "i-2", 1, true, |_| false);
            judge.runner_passed("c", "i-2", 1);
        });
    }

    #[test]
    fn a_late_start_excuses_itself_alone() {
        check_twice(true, |judge| {
            judge.runner_began("c", "i-1", 1, true, |_| false);
            judge.runner_began("c", "i-2", 1, false, |_| false);
            judge.runner_began("c", "i-3", 1, false, |_| false);
        });
        check_twice(true, |judge| {
            judge.runner_began("c", "i-1", 1, true, |_| false);
            judge.runner_ended("c", "i-1", 1);
            judge.runner_began("c", "i-2", 1, false, |_| false);
            judge.runner_began("c", "i-3", 1, false, |_| false);
        });
    }

    #[test]
    fn only_what_was_locked_and_had_no_runner_may_be_started_by_the_dead_and_not_for_ever() {
        let mut judge = Judge::default();
        for uuid in ["queued", "locked", "running"] {
            judge.submitted(uuid, 0);
        }
        judge.runner_began("running", "i-1", 1, false, |_| false);
        judge.restarted(["locked", "running"].into_iter(), 10_000);
        for (uuid, ms, may_be) in [
            ("queued", 1, false),
            ("running", 1, false),
            ("locked", 9_999, true),
            ("locked", 10_000, false),
        ] {
            assert_eq!(judge.may_be_from_the_dead(uuid, ms), may_be, "{uuid} {ms}");
        }
    }

    #[test]
    fn percentiles_are_taken_from_the_values_there_are() {
        assert_eq!(percentile(&[], 50), 0);
        assert_eq!(percentile(&[7], 99), 7);
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(
            (percentile(&hundred, 50), percentile(&hundred, 99)),
            (50, 99)
        );
    }
}
