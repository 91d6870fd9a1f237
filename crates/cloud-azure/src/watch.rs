//! VMs that have ended without our doing (facts K34). With the eviction policy Delete an evicted VM simply disappears,
//! and lists carry no power state, so a spot VM that is gone without our delete counts as presumably evicted. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dispatch_model::Time;

/// For so long after it was made, or first seen, a list may omit a VM that is there, and a GET may not know it.
pub(crate) const FRESH: Duration = Duration::from_secs(120);
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

/// What a list tells of those that are not on it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct News {
    /// They are gone or going.
    pub(crate) lost: Vec<Lost>,
    /// Fresh ones that an earlier list has shown and this one omits: Azure may merely be inconsistent (facts K15).
    pub(crate) omitted: Vec<String>,
}

/// A VM of the last lists.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Known {
    size: String,
    spot: bool,
    /// When the first list showed it.
    since: Time,
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
    /// In the last list, or fresh and in an earlier one.
    seen: BTreeMap<String, Known>,
    /// We have asked for their end.
    asked: BTreeSet<String>,
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

    /// One that was listed is not there any more; the same as if a list had told, unless it is no news.
    pub(crate) fn missing(&mut self, vm: &str) -> Option<Lost> {
        let lost = self.seen.get(vm)?.lost(vm);
        let is_news = !self.asked.contains(vm) && self.told.insert(vm.to_owned());
        is_news.then_some(lost)
    }

    /// Whether the last list had it.
    pub(crate) fn is_seen(&self, vm: &str) -> bool {
        self.seen.contains_key(vm)
    }

    /// For tests: it was first seen long ago.
    #[cfg(all(test, feature = "cloud-tests"))]
    pub(crate) fn is_old(&mut self, vm: &str) {
        if let Some(known) = self.seen.get_mut(vm) {
            known.since = Time::ZERO;
        }
    }

    /// A whole list. Returns those that are lost since the last one, each once. `is_ours`: a create of ours made it.
    pub(crate) fn listed(
        &mut self,
        rows: &[Seen],
        is_ours: impl Fn(&str) -> bool,
        now: Time,
    ) -> News {
        let before = std::mem::take(&mut self.seen);
        let listed: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let mut news = News::default();
        for (name, known) in &before {
            let is_known = self.asked.contains(name) || self.told.contains(name);
            if is_known || listed.contains(name.as_str()) {
                continue;
            }
            if now.since(known.since) < FRESH {
                news.omitted.push(name.clone());
                self.seen.insert(name.clone(), known.clone());
            } else {
                news.lost.push(known.lost(name));
            }
        }
        for row in rows {
            let known = before.get(&row.name);
            if !row.going {
                if self.seen.len() < MOST {
                    let seen = Known {
                        size: row.size.clone(),
                        spot: row.spot,
                        since: known.map_or(now, |known| known.since),
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

    /// A list of so many seconds after the first.
    fn list(watch: &mut Watch, secs: u64, rows: &[Seen]) -> Vec<Lost> {
        let news = watch.listed(rows, |_| false, Time::from_secs(secs));
        assert_eq!(news.omitted, [] as [&str; 0]);
        news.lost
    }

    #[test]
    fn a_spot_vm_that_is_gone_without_our_delete_is_told_once() {
        let mut watch = Watch::default();
        let three = [row("a", true), row("b", true), row("c", false)];
        assert!(list(&mut watch, 0, &three).is_empty());
        watch.destroying("b");
        let lost = list(&mut watch, 120, &[row("c", false)]);
        assert_eq!(names(&lost), [("a", true)]);
        assert!(list(&mut watch, 121, &[row("c", false)]).is_empty());
        assert_eq!(names(&list(&mut watch, 122, &[])), [("c", false)]);
        assert!(list(&mut watch, 123, &[]).is_empty());
    }

    /// Facts K15: shown, missing, shown.
    #[test]
    fn a_fresh_vm_that_a_list_omits_is_looked_for_and_not_told() {
        let mut watch = Watch::default();
        let at = Time::from_secs;
        let both = [row("a", true), row("b", false)];
        watch.listed(&both, |_| true, at(0));
        for secs in [1, 119] {
            let news = watch.listed(&both[1..], |_| true, at(secs));
            assert_eq!((news.lost.len(), news.omitted), (0, vec!["a".to_owned()]));
            assert!(watch.is_seen("a"));
        }
        assert_eq!(watch.listed(&both, |_| true, at(119)), News::default());
        // It is no fresh one any more: what was shown and then omitted counts from when it was first shown.
        let news = watch.listed(&both[1..], |_| true, at(120));
        assert_eq!(names(&news.lost), [("a", true)]);
        assert!(news.omitted.is_empty() && news.lost[0].was_well);
        // One that is looked for and found missing is told once, and one that we end is neither.
        let mut watch = Watch::default();
        watch.listed(&both, |_| true, at(0));
        watch.destroying("b");
        assert_eq!(watch.listed(&[], |_| true, at(1)).omitted, ["a"]);
        assert!(watch.missing("a").is_some());
        assert_eq!(watch.listed(&[], |_| true, at(2)), News::default());
        assert_eq!(watch.listed(&[], |_| true, at(200)), News::default());
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
        let news = watch.listed(&rows, |name| name == "made", Time::ZERO);
        let told: Vec<_> = news.lost.iter().map(|lost| lost.was_well).collect();
        assert_eq!(told, [false, true]);
    }

    #[test]
    fn one_that_is_found_missing_before_a_list_tells_is_told_once() {
        let mut watch = Watch::default();
        list(&mut watch, 0, &[row("a", true), row("b", true)]);
        watch.destroying("b");
        assert_eq!(watch.missing("a").map(|lost| lost.spot), Some(true));
        assert_eq!(watch.missing("a"), None);
        assert_eq!(watch.missing("b"), None);
        assert_eq!(watch.missing("c"), None);
        assert!(list(&mut watch, 1, &[]).is_empty());
    }

    #[test]
    fn what_was_never_listed_is_not_missed() {
        let mut watch = Watch::default();
        assert!(list(&mut watch, 0, &[]).is_empty());
        assert!(list(&mut watch, 1, &[row("a", true)]).is_empty());
        assert!(!watch.is_destroyed("a"));
        watch.destroying("a");
        assert!(watch.is_destroyed("a"));
    }
}
