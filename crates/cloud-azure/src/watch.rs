//! VMs that have ended without our doing (facts K34). With the eviction policy Delete an evicted VM simply disappears,
//! and lists carry no power state, so a spot VM that is gone without our delete counts as presumably evicted. That a list
//! omits a VM does not mean that it is gone, however long it has been there: Azure is asked for it first. Pure.

use std::collections::{BTreeMap, BTreeSet};

use dispatch_model::Time;

/// More than this is not remembered.
const MOST: usize = 20_000;

/// A VM, as a list shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) size: String,
    pub(crate) spot: bool,
    /// Azure is deleting it.
    pub(crate) going: bool,
}

/// A VM that is gone, or going, though nobody here asked for that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lost {
    pub(crate) name: String,
    pub(crate) size: String,
    pub(crate) spot: bool,
    /// It was seen well, or made, by this process: so its end is none that this process asked for.
    pub(crate) was_well: bool,
}

/// What a list tells of those that have ended, or may have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct News {
    /// They are going.
    pub(crate) lost: Vec<Lost>,
    /// An earlier list has shown them and this one omits them: Azure may merely be inconsistent (facts K15). Those that
    /// have not been looked for the longest first.
    pub(crate) omitted: Vec<String>,
}

/// A VM of the last lists.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Known {
    size: String,
    spot: bool,
    /// Since when lists omit it, or when it was last found in spite of that.
    omitted: Option<Time>,
}

impl Known {
    fn lost(&self, name: &str) -> Lost {
        Lost {
            name: name.to_owned(),
            size: self.size.clone(),
            spot: self.spot,
            was_well: true,
        }
    }
}

/// What was seen.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Watch {
    /// In the last list, or in an earlier one and not known to be gone.
    seen: BTreeMap<String, Known>,
    /// We have asked for their end.
    asked: BTreeSet<String>,
    /// Their end was told.
    told: BTreeSet<String>,
}

impl Watch {
    /// We ask for the end of this one, from now on.
    pub(crate) fn destroying(&mut self, vm: &str) {
        if self.asked.len() >= MOST {
            let seen = &self.seen;
            self.asked.retain(|name| seen.contains_key(name));
        }
        self.asked.insert(vm.to_owned());
    }

    /// Whether we have asked for its end.
    pub(crate) fn is_destroyed(&self, vm: &str) -> bool {
        self.asked.contains(vm)
    }

    /// It has a new life: a create with the same secret.
    pub(crate) fn creating(&mut self, vm: &str) {
        self.told.remove(vm);
    }

    /// One that was listed is not there any more. What is to be told of it, unless that is no news.
    pub(crate) fn missing(&mut self, vm: &str) -> Option<Lost> {
        let lost = self.seen.get(vm)?.lost(vm);
        if self.asked.contains(vm) {
            self.seen.remove(vm);
            return None;
        }
        self.told.insert(vm.to_owned()).then_some(lost)
    }

    /// One that a list omits is there all the same.
    pub(crate) fn found(&mut self, vm: &str, now: Time) {
        let omitted = self.seen.get_mut(vm);
        if let Some(since) = omitted.and_then(|known| known.omitted.as_mut()) {
            *since = now;
        }
    }

    /// Whether lists have shown it, and nobody has found it missing who was to tell.
    pub(crate) fn is_seen(&self, vm: &str) -> bool {
        self.seen.contains_key(vm)
    }

    /// Whether its end was told, and lists may still show it.
    pub(crate) fn is_told(&self, vm: &str) -> bool {
        self.told.contains(vm)
    }

    /// A whole list. `is_ours`: a create of ours made it. `is_ending`: our delete was accepted, so that nobody need look
    /// for it.
    pub(crate) fn listed(
        &mut self,
        rows: &[Seen],
        is_ours: impl Fn(&str) -> bool,
        is_ending: impl Fn(&str) -> bool,
        now: Time,
    ) -> News {
        let before = std::mem::take(&mut self.seen);
        let listed: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let mut news = News::default();
        let mut omitted = Vec::new();
        for (name, known) in &before {
            if listed.contains(name.as_str()) || self.told.contains(name) || is_ending(name) {
                continue;
            }
            let since = known.omitted.unwrap_or(now);
            omitted.push((since, name.clone()));
            let known = Known {
                omitted: Some(since),
                ..known.clone()
            };
            self.seen.insert(name.clone(), known);
        }
        omitted.sort();
        news.omitted = omitted.into_iter().map(|(_, name)| name).collect();
        for row in rows {
            let known = before.get(&row.name);
            if !row.going {
                if self.seen.len() < MOST {
                    let seen = Known {
                        size: row.size.clone(),
                        spot: row.spot,
                        omitted: None,
                    };
                    self.seen.insert(row.name.clone(), seen);
                }
            } else if !self.asked.contains(&row.name) && self.told.insert(row.name.clone()) {
                news.lost.push(Lost {
                    name: row.name.clone(),
                    size: row.size.clone(),
                    spot: row.spot,
                    // After a restart it may be we who asked.
                    was_well: known.is_some() || is_ours(&row.name),
                });
            }
        }
        // What is gone for good needs no memory; names never come back but in a create.
        self.told.retain(|name| listed.contains(name.as_str()));
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, spot: bool) -> Seen {
        Seen {
            name: name.to_owned(),
            size: "D4".to_owned(),
            spot,
            going: false,
        }
    }

    fn going(name: &str, spot: bool) -> Seen {
        Seen {
            going: true,
            ..row(name, spot)
        }
    }

    fn names(lost: &[Lost]) -> Vec<(&str, bool)> {
        lost.iter()
            .map(|lost| (lost.name.as_str(), lost.spot))
            .collect()
    }

    /// A list of so many seconds after the first; `ending`: our delete of these was accepted.
    fn news(watch: &mut Watch, secs: u64, rows: &[Seen], ending: &[&str]) -> News {
        let at = Time::from_secs(secs);
        watch.listed(rows, |_| false, |vm| ending.contains(&vm), at)
    }

    /// The same of a list that omits nothing.
    fn list(watch: &mut Watch, secs: u64, rows: &[Seen]) -> Vec<Lost> {
        let news = news(watch, secs, rows, &[]);
        assert_eq!(news.omitted, [] as [&str; 0]);
        news.lost
    }

    /// Facts K15: shown, missing, shown; also of a VM that has been there for an hour.
    #[test]
    fn what_a_list_omits_is_looked_for_and_not_told_however_old_it_is() {
        let mut watch = Watch::default();
        let both = [row("a", true), row("b", false)];
        for secs in [0, 1, 59, 61, 119, 121, 3600] {
            assert!(list(&mut watch, secs, &both).is_empty());
            for later in 0..2 {
                let news = news(&mut watch, secs + later, &both[1..], &[]);
                assert_eq!((news.lost.len(), news.omitted), (0, vec!["a".to_owned()]));
                assert!(watch.is_seen("a"));
            }
        }
        assert!(list(&mut watch, 3602, &both).is_empty());
    }

    #[test]
    fn one_that_is_looked_for_in_vain_is_told_once() {
        let mut watch = Watch::default();
        let both = [row("a", true), row("b", false)];
        assert!(list(&mut watch, 0, &both).is_empty());
        assert_eq!(news(&mut watch, 1, &[], &[]).omitted, ["a", "b"]);
        let lost: Vec<Lost> = ["a", "b", "a", "b"]
            .iter()
            .filter_map(|vm| watch.missing(vm))
            .collect();
        assert_eq!(names(&lost), [("a", true), ("b", false)]);
        assert!(lost.iter().all(|lost| lost.was_well));
        assert_eq!(news(&mut watch, 2, &[], &[]), News::default());
        assert!(!watch.is_seen("a"));
    }

    #[test]
    fn one_that_we_end_is_looked_for_until_its_delete_was_accepted_and_never_told() {
        let mut watch = Watch::default();
        let both = [row("a", true), row("b", true)];
        assert!(list(&mut watch, 0, &both).is_empty());
        watch.destroying("a");
        watch.destroying("b");
        assert_eq!(news(&mut watch, 1, &[], &["b"]).omitted, ["a"]);
        assert_eq!(watch.missing("a"), None);
        assert!(!watch.is_seen("a"));
        assert_eq!(news(&mut watch, 2, &[], &["b"]), News::default());
    }

    /// A few are looked for after each list: none must wait for ever behind others that are there.
    #[test]
    fn those_that_have_not_been_looked_for_the_longest_come_first() {
        let mut watch = Watch::default();
        let all = ["a", "b", "c", "d"].map(|name| row(name, false));
        assert!(list(&mut watch, 0, &all).is_empty());
        assert_eq!(news(&mut watch, 1, &all[3..], &[]).omitted, ["a", "b", "c"]);
        watch.found("a", Time::from_secs(2));
        watch.found("b", Time::from_secs(1));
        watch.found("d", Time::from_secs(1));
        let omitted = news(&mut watch, 3, &[], &[]).omitted;
        assert_eq!(omitted, ["b", "c", "a", "d"]);
        // One that is shown again begins anew.
        assert_eq!(
            news(&mut watch, 4, &all[1..2], &[]).omitted,
            ["c", "a", "d"]
        );
        assert_eq!(news(&mut watch, 5, &[], &[]).omitted, ["c", "a", "d", "b"]);
    }

    #[test]
    fn one_that_azure_is_deleting_is_told_while_it_is_still_listed() {
        let mut watch = Watch::default();
        list(&mut watch, 0, &[row("a", true), row("b", true)]);
        watch.destroying("b");
        let rows = [going("a", true), going("b", true)];
        assert_eq!(names(&list(&mut watch, 1, &rows)), [("a", true)]);
        assert!(list(&mut watch, 2, &rows).is_empty());
        assert!(list(&mut watch, 3, &[]).is_empty());
    }

    #[test]
    fn whose_end_it_is_of_one_that_was_never_seen_well_is_not_known_unless_we_made_it() {
        let mut watch = Watch::default();
        let rows = [going("found", true), going("made", true)];
        let news = watch.listed(&rows, |name| name == "made", |_| false, Time::ZERO);
        let told: Vec<_> = news.lost.iter().map(|lost| lost.was_well).collect();
        assert_eq!(told, [false, true]);
    }

    #[test]
    fn what_was_never_listed_is_not_missed() {
        let mut watch = Watch::default();
        assert!(list(&mut watch, 0, &[]).is_empty());
        assert_eq!(watch.missing("a"), None);
        assert!(list(&mut watch, 1, &[row("a", true)]).is_empty());
        assert!(!watch.is_destroyed("a"));
        watch.destroying("a");
        assert!(watch.is_destroyed("a"));
    }
}
