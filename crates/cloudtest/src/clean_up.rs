//! Before and after: what is left of an earlier test, and what this one has made, is destroyed. It lists again each
//! round (facts T1), and ends in time whether lists come or not (facts K30).

use std::{collections::BTreeSet, time::Duration};

use dispatch_model::InstanceId;
use tokio::time::{Instant, sleep};

use crate::trial::{Found, Trial};

/// Pauses grow up to this while calls fail.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Trial<'_> {
    /// Sees to it that no instance of an earlier test is there; whether the test may go on.
    pub(crate) async fn make_room(&mut self) -> bool {
        let began = Instant::now();
        let what = "no instance of an earlier test is left";
        let found = match self.list_within(self.settings.timing.call).await {
            Err(words) => Err(words),
            Ok(rows) if rows.is_empty() => Ok(String::new()),
            Ok(rows) if self.settings.destroy_existing => {
                let ids = rows.into_iter().map(|row| row.id).collect();
                self.destroy_all(ids, Duration::ZERO).await
            }
            Ok(rows) => {
                let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
                Err(format!(
                    "there are {} with the set id {:?}: {}. Remedy: --destroy-existing, or another --instance-set-id.",
                    ids.len(),
                    self.settings.instance_set_id,
                    ids.join(", ")
                ))
            }
        };
        self.tell(what, found, began)
    }

    /// Destroys what the test has made, also what it never heard of (facts T6).
    pub(crate) async fn clean_up(&mut self) {
        let began = Instant::now();
        let ids: BTreeSet<InstanceId> = self.made.iter().cloned().collect();
        let timing = &self.settings.timing;
        let late = if self.in_doubt {
            // Afterwards there must be time for the look that tells.
            timing.late.min(timing.clean_up * 3 / 4)
        } else {
            Duration::ZERO
        };
        if self.in_doubt {
            let secs = late.as_secs();
            self.begins(&format!(
                "no instance appears within {secs} s although its create was not answered with one"
            ));
        }
        let found = self.destroy_all(ids, late).await;
        self.tell("what was made is destroyed and gone", found, began);
    }

    /// Destroys these and whatever is listed until nothing is, for at least `late` unless something turns up before: one
    /// create makes one instance.
    async fn destroy_all(&self, mut ids: BTreeSet<InstanceId>, late: Duration) -> Found {
        let timing = &self.settings.timing;
        let began = Instant::now();
        let enough = timing.clean_up;
        let mut destroyed = BTreeSet::new();
        let mut pause = timing.sync_interval;
        let mut leftovers = None;
        // No call may reach beyond the end.
        let limit = || timing.call.min(enough.saturating_sub(began.elapsed()));
        loop {
            let mut trouble = None;
            for id in &ids {
                if limit().is_zero() {
                    trouble = Some("there was not time for all".to_owned());
                    break;
                }
                let call = self.settings.set.destroy_within(id, limit());
                match call.await {
                    Ok(()) => {
                        destroyed.insert(id.clone());
                    }
                    Err(error) => trouble = Some(format!("destroy {id}: {}", error.message)),
                }
            }
            let listed = if limit().is_zero() {
                Err("there was not time for it".to_owned())
            } else {
                self.list_within(limit()).await
            };
            match listed {
                Ok(rows) => {
                    let rows: BTreeSet<InstanceId> = rows.into_iter().map(|row| row.id).collect();
                    let is_empty = rows.is_empty();
                    ids = rows;
                    if is_empty
                        && trouble.is_none()
                        && (began.elapsed() >= late || !destroyed.is_empty())
                    {
                        match self.leftovers(limit()).await {
                            Ok(()) => return Ok(names(&destroyed)),
                            Err(words) => {
                                leftovers = Some(words.clone());
                                trouble = Some(words);
                            }
                        }
                    }
                }
                // What is known is destroyed once more, and nothing else can be done.
                Err(words) => {
                    let list = format!("the list fails: {words}");
                    trouble = Some(match trouble {
                        Some(first) => format!("{first}; {list}"),
                        None => list,
                    });
                }
            }
            // When it is late enough, it looks at once.
            let still = late.saturating_sub(began.elapsed());
            let pause_now = match still {
                Duration::ZERO => pause,
                still => pause.min(still),
            };
            if began.elapsed() + pause_now > enough {
                return Err(match leftovers {
                    Some(words) if ids.is_empty() => {
                        format!("left behind: {words}. Remedy: delete it by hand.")
                    }
                    _ => left(&ids, &destroyed, trouble.as_deref()),
                });
            }
            sleep(pause_now).await;
            pause = if trouble.is_some() {
                (pause * 2).min(LONGEST_PAUSE.max(timing.sync_interval))
            } else {
                timing.sync_interval
            };
        }
    }

    /// What a create has left beside instances: some clouds keep it for minutes.
    async fn leftovers(&self, within: Duration) -> Result<(), String> {
        if within.is_zero() {
            return Err("there was not time to look for what is left beside instances".to_owned());
        }
        match self.settings.set.leftovers_within(within).await {
            Ok(left) if left.is_empty() => Ok(()),
            Ok(left) => Err(format!("{} cannot be deleted yet", left.join(", "))),
            Err(error) => Err(error.message),
        }
    }
}

/// What the operator must look after.
fn left(
    ids: &BTreeSet<InstanceId>,
    destroyed: &BTreeSet<InstanceId>,
    trouble: Option<&str>,
) -> String {
    let trouble = trouble.unwrap_or("the list still has them");
    if ids.is_empty() {
        return format!(
            "nobody knows whether anything is left ({trouble}). Remedy: look for it by hand."
        );
    }
    let accepted = if ids.is_subset(destroyed) {
        "the cloud has accepted to destroy them"
    } else {
        "not all could be destroyed"
    };
    format!(
        "perhaps left behind: {} ({accepted}; {trouble}). Remedy: look for them by hand.",
        names(ids)
    )
}

fn names(ids: &BTreeSet<InstanceId>) -> String {
    let ids: Vec<&str> = ids.iter().map(InstanceId::as_str).collect();
    ids.join(", ")
}
