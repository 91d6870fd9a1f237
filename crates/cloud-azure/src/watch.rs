//! VMs that have ended without our doing (facts K34). With the eviction policy Delete an evicted VM simply disappears,
//! and lists carry no power state, so a spot VM that is gone without our delete counts as presumably evicted. Pure.

use std::collections::{BTreeMap, BTreeSet};

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
}

/// What was seen.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Watch {
    /// In the last list.
    seen: BTreeMap<String, (String, bool)>,
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
        let (size, spot) = self.seen.get(vm)?.clone();
        let is_news = !self.asked.contains(vm) && self.told.insert(vm.to_owned());
        is_news.then(|| Lost {
            name: vm.to_owned(),
            size,
            spot,
        })
    }

    /// Whether the last list had it.
    pub(crate) fn is_seen(&self, vm: &str) -> bool {
        self.seen.contains_key(vm)
    }

    /// A whole list. Returns those that are lost since the last one, each once.
    pub(crate) fn listed(&mut self, rows: &[Seen]) -> Vec<Lost> {
        let here: BTreeMap<&str, &Seen> = rows
            .iter()
            .filter(|row| !row.going)
            .map(|row| (row.name.as_str(), row))
            .collect();
        let gone = self
            .seen
            .iter()
            .filter(|(name, _)| !here.contains_key(name.as_str()));
        let gone = gone.map(|(name, (size, spot))| Lost {
            name: name.clone(),
            size: size.clone(),
            spot: *spot,
        });
        // One that was never seen well, after a restart for example.
        let going = rows.iter().filter(|row| row.going).map(|row| Lost {
            name: row.name.clone(),
            size: row.size.clone(),
            spot: row.spot,
        });
        let mut lost = Vec::new();
        for candidate in gone.chain(going) {
            if !self.asked.contains(&candidate.name) && self.told.insert(candidate.name.clone()) {
                lost.push(candidate);
            }
        }
        let listed: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        // What is gone for good needs no memory; names never come back but in a create.
        self.told.retain(|name| listed.contains(name.as_str()));
        self.seen = here
            .iter()
            .take(MOST)
            .map(|(&name, row)| (name.to_owned(), (row.size.clone(), row.spot)))
            .collect();
        lost
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

    #[test]
    fn a_spot_vm_that_is_gone_without_our_delete_is_told_once() {
        let mut watch = Watch::default();
        assert!(
            watch
                .listed(&[row("a", true), row("b", true), row("c", false)])
                .is_empty()
        );
        watch.destroying("b");
        assert_eq!(names(&watch.listed(&[row("c", false)])), [("a", true)]);
        assert!(watch.listed(&[row("c", false)]).is_empty());
        assert_eq!(names(&watch.listed(&[])), [("c", false)]);
        assert!(watch.listed(&[]).is_empty());
    }

    #[test]
    fn one_that_azure_is_deleting_is_told_while_it_is_still_listed() {
        let mut watch = Watch::default();
        watch.listed(&[row("a", true), row("b", true)]);
        watch.destroying("b");
        let rows = [going("a", true), going("b", true)];
        assert_eq!(names(&watch.listed(&rows)), [("a", true)]);
        assert!(watch.listed(&rows).is_empty());
        assert!(watch.listed(&[]).is_empty());
    }

    #[test]
    fn one_that_is_found_missing_before_a_list_tells_is_told_once() {
        let mut watch = Watch::default();
        watch.listed(&[row("a", true), row("b", true)]);
        watch.destroying("b");
        assert_eq!(watch.missing("a").map(|lost| lost.spot), Some(true));
        assert_eq!(watch.missing("a"), None);
        assert_eq!(watch.missing("b"), None);
        assert_eq!(watch.missing("c"), None);
        assert!(watch.listed(&[]).is_empty());
    }

    #[test]
    fn what_was_never_listed_is_not_missed() {
        let mut watch = Watch::default();
        assert!(watch.listed(&[]).is_empty());
        assert!(watch.listed(&[row("a", true)]).is_empty());
        assert!(watch.is_destroyed("a").eq(&false));
        watch.destroying("a");
        assert!(watch.is_destroyed("a"));
    }
}
