//! Collecting garbage, in the background and never inside a list (facts A4, K27): carries out what `garbage` decides.

use std::{collections::BTreeSet, sync::Weak};

use dispatch_cloud::CloudError;
use dispatch_model::CloudErrorClass;

use crate::{
    account::{Account, wall},
    action::Action,
    failure::Failure,
    garbage::{self, Garbage, Kind},
    rows,
};

/// So much is deleted in one round at most: what is left waits for the next.
const ROUND_MAX: usize = 100;

/// What a round came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Collected {
    pub(crate) deleted: usize,
    pub(crate) failed: usize,
}

/// Collects for as long as the account is there.
pub(crate) async fn for_ever(account: Weak<Account>) {
    loop {
        let every = match account.upgrade() {
            Some(account) => account.rule.ages.every,
            None => return,
        };
        tokio::time::sleep(every).await;
        let Some(account) = account.upgrade() else {
            return;
        };
        if let Err(failure) = account.collect().await {
            let error = account
                .calls
                .error(Action::ListNics, &failure, CloudErrorClass::Transient);
            tracing::warn!(%error, "what was left behind cannot be looked for");
        }
    }
}

impl Account {
    /// One round.
    pub(crate) async fn collect(&self) -> Result<Collected, Failure> {
        let garbage = self.find_garbage().await?;
        let mut collected = Collected::default();
        let round = {
            let mut memory = self.memory();
            let round = garbage::round(&garbage, ROUND_MAX, &memory.collected);
            memory.collected.go_on(&round);
            round
        };
        for (kind, name) in &round {
            let (action, deleted) = match kind {
                Kind::Nic => {
                    let path = self.parameters.places.nic(name);
                    let delete = self.calls.call(Action::DeleteNic, &path, None);
                    (Action::DeleteNic, delete.await)
                }
                Kind::Disk => (Action::DeleteDisk, self.delete_disk(name).await),
            };
            match deleted {
                Ok(_) => {
                    tracing::info!(%name, "{}: it was left behind", action.name());
                    collected.deleted += 1;
                }
                Err(failure) if failure.is_absent() => {}
                Err(failure) => {
                    if failure.has("NicReservedForAnotherVm") {
                        let (ages, now) = (self.rule.ages, self.now());
                        self.memory().spared.is_reserved(name, ages, now);
                    }
                    let error = self
                        .calls
                        .error(action, &failure, CloudErrorClass::Transient);
                    tracing::warn!(%name, %error, "what was left behind cannot be deleted yet");
                    collected.failed += 1;
                }
            }
        }
        Ok(collected)
    }

    /// Deletes what creates of this process have left behind, however young; names what stays.
    pub(crate) async fn leftovers(&self) -> Result<Vec<String>, CloudError> {
        let left = self.memory().all_left_behind();
        let mut stay = Vec::new();
        for nic in left {
            let path = self.parameters.places.nic(&nic);
            match self.calls.call(Action::DeleteNic, &path, None).await {
                Ok(_) => self.memory().not_left_behind(&nic),
                Err(failure) if failure.is_absent() || failure.has("NicInUse") => {
                    // What belongs to a VM goes with it.
                    self.memory().not_left_behind(&nic);
                }
                Err(failure) => {
                    let error =
                        self.calls
                            .error(Action::DeleteNic, &failure, CloudErrorClass::Transient);
                    stay.push(format!("network interface {nic} ({error})"));
                }
            }
        }
        Ok(stay)
    }

    /// The lists are read in this order, so that whatever belongs to a VM that is being made is seen before its VM.
    async fn find_garbage(&self) -> Result<Garbage, Failure> {
        let places = &self.parameters.places;
        let nics = self.calls.list(Action::ListNics, &places.nics()).await?;
        let disks = self.list_disks().await?;
        let vms = self.list_vms().await?;
        // What belongs to a VM that is not shown is not garbage.
        if !vms.whole {
            return Err(Failure::Unknown(
                "a page of the list of VMs names itself as the next".to_owned(),
            ));
        }
        let date = nics.date;
        let nics: Vec<_> = nics
            .rows
            .iter()
            .filter_map(rows::nic)
            .map(|(nic, _)| nic)
            .collect();
        let disks: Vec<_> = disks.rows.iter().filter_map(rows::disk).collect();
        let vms: BTreeSet<String> = vms
            .rows
            .iter()
            .filter_map(|row| row["name"].as_str().map(str::to_owned))
            .collect();
        // The dates on network interfaces are of dispatchers' hosts, those on disks of Azure: whichever clock is behind
        // spares more.
        let now = date.map_or_else(wall, |date| date.min(wall()));
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(crate::mutants::Mutant::CollectsFresh) {
            let rule = crate::garbage::Rule {
                ages: crate::garbage::Ages {
                    create_deadline: std::time::Duration::ZERO,
                    ..self.rule.ages
                },
                dangling_after: std::time::Duration::ZERO,
                ..self.rule.clone()
            };
            let none = crate::garbage::Spared::default();
            return Ok(rule.garbage(&nics, &disks, &vms, &none, wall(), self.now()));
        }
        let time = self.now();
        let memory = self.memory();
        Ok(self
            .rule
            .garbage(&nics, &disks, &vms, &memory.spared, now, time))
    }
}
