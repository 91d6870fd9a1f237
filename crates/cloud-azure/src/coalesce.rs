//! Changes of tags that come while another change of the same VM is under way go together in one call: Azure takes only
//! a few updates of a VM a minute. Pure.

use std::collections::BTreeMap;

use dispatch_cloud::Tags;

/// What waits to be changed, by VM.
#[derive(Clone, Debug)]
pub(crate) struct Coalescer<R> {
    vms: BTreeMap<String, Waiting<R>>,
}

impl<R> Default for Coalescer<R> {
    fn default() -> Coalescer<R> {
        Coalescer {
            vms: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug)]
struct Waiting<R> {
    /// Not sent yet.
    tags: Tags,
    /// The number of the batch that collects now; those before were sent.
    batch: u64,
    /// How many callers have not taken their result.
    n_callers: usize,
    results: BTreeMap<u64, R>,
}

impl<R> Default for Waiting<R> {
    fn default() -> Waiting<R> {
        Waiting {
            tags: Tags::new(),
            batch: 0,
            n_callers: 0,
            results: BTreeMap::new(),
        }
    }
}

/// What the caller whose turn it is must do.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Turn<R> {
    /// Send these: its own and those of others who wait, up to this batch.
    Send(Tags, u64),
    /// Nothing: another's call carried its change, with this result.
    Told(R),
}

impl<R: Clone> Coalescer<R> {
    /// Somebody wants these tags. The number is for [`Coalescer::turn`] and [`Coalescer::leave`].
    pub(crate) fn join(&mut self, vm: &str, tags: &Tags) -> u64 {
        let waiting = self.vms.entry(vm.to_owned()).or_default();
        waiting.tags.extend(tags.clone());
        waiting.n_callers += 1;
        waiting.batch
    }

    /// No other call about this VM is under way: what is left to do for the one who joined this batch?
    pub(crate) fn turn(&mut self, vm: &str, batch: u64) -> Turn<R> {
        let waiting = self.vms.entry(vm.to_owned()).or_default();
        // The first call that carried it counts.
        if let Some((_, result)) = waiting.results.range(batch..).next() {
            return Turn::Told(result.clone());
        }
        let collected = waiting.batch;
        waiting.batch += 1;
        // A batch whose sender gave up has lost nothing: its tags went back to those that wait.
        Turn::Send(std::mem::take(&mut waiting.tags), collected)
    }

    /// Everything up to this batch was sent.
    pub(crate) fn sent(&mut self, vm: &str, collected: u64, result: R) {
        if let Some(waiting) = self.vms.get_mut(vm) {
            waiting.results.insert(collected, result);
        }
    }

    /// The one who sends gave up before there was an answer: somebody else must send it again. What came later counts.
    pub(crate) fn take_back(&mut self, vm: &str, tags: Tags) {
        if let Some(waiting) = self.vms.get_mut(vm) {
            let later = std::mem::replace(&mut waiting.tags, tags);
            waiting.tags.extend(later);
        }
    }

    /// The one who joined goes, with or without a result.
    pub(crate) fn leave(&mut self, vm: &str) {
        if let Some(waiting) = self.vms.get_mut(vm) {
            waiting.n_callers = waiting.n_callers.saturating_sub(1);
            if waiting.n_callers == 0 {
                self.vms.remove(vm);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    fn sends(turn: Turn<u8>) -> (Tags, u64) {
        match turn {
            Turn::Send(tags, collected) => (tags, collected),
            Turn::Told(result) => panic!("told {result}"),
        }
    }

    #[test]
    fn changes_that_come_during_a_call_go_together_in_the_next() {
        let mut coalescer: Coalescer<u8> = Coalescer::default();
        let first = coalescer.join("vm", &tags(&[("a", "1")]));
        let (sent, collected) = sends(coalescer.turn("vm", first));
        assert_eq!(sent, tags(&[("a", "1")]));
        // While it is under way:
        let second = coalescer.join("vm", &tags(&[("a", "2"), ("b", "1")]));
        let third = coalescer.join("vm", &tags(&[("a", "3")]));
        coalescer.sent("vm", collected, 7);
        coalescer.leave("vm");
        let (sent, collected) = sends(coalescer.turn("vm", second));
        assert_eq!(sent, tags(&[("a", "3"), ("b", "1")]));
        coalescer.sent("vm", collected, 8);
        coalescer.leave("vm");
        assert_eq!(coalescer.turn("vm", third), Turn::Told(8));
        coalescer.leave("vm");
        assert!(coalescer.vms.is_empty(), "nothing is remembered");
    }

    #[test]
    fn vms_do_not_wait_for_each_other() {
        let mut coalescer: Coalescer<u8> = Coalescer::default();
        let a = coalescer.join("a", &tags(&[("x", "1")]));
        let b = coalescer.join("b", &tags(&[("x", "2")]));
        assert_eq!(sends(coalescer.turn("a", a)).0, tags(&[("x", "1")]));
        assert_eq!(sends(coalescer.turn("b", b)).0, tags(&[("x", "2")]));
    }

    #[test]
    fn a_change_whose_sender_gave_up_is_sent_by_the_next_and_each_is_told_what_came_of_its_own() {
        let mut coalescer: Coalescer<u8> = Coalescer::default();
        let first = coalescer.join("vm", &tags(&[("a", "1")]));
        let also_first = coalescer.join("vm", &tags(&[("b", "1")]));
        let (taken, _) = sends(coalescer.turn("vm", first));
        let second = coalescer.join("vm", &tags(&[("a", "2")]));
        coalescer.take_back("vm", taken);
        coalescer.leave("vm");
        let (sent, collected) = sends(coalescer.turn("vm", also_first));
        assert_eq!(sent, tags(&[("a", "2"), ("b", "1")]));
        coalescer.sent("vm", collected, 1);
        coalescer.leave("vm");
        // Its own change went along.
        assert_eq!(coalescer.turn("vm", second), Turn::Told(1));
        coalescer.leave("vm");
        assert!(coalescer.vms.is_empty());
    }
}
