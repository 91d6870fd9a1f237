//! Instances that carry a former set id of this cluster (facts K21): listed, used and destroyed like our own. What is
//! written on them stays as it is, so that nothing can be missing from two lists while it is moved.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use dispatch_cloud::{CloudError, CreateOrder, Ended, Instance, InstanceSet, Tags, exec::Executor};
use dispatch_model::{InstanceId, InstanceType, PricePoint};

/// Our own set, and those that were ours.
pub(crate) struct WithFormer {
    own: Arc<dyn InstanceSet>,
    former: Vec<(String, Arc<dyn InstanceSet>)>,
    /// The tag that tells sets apart.
    set_tag: String,
    /// Which former set each instance that is not our own belongs to, as the last lists have shown.
    homes: Mutex<BTreeMap<InstanceId, usize>>,
}

impl WithFormer {
    /// `former`: each id with a set that was opened for it.
    pub(crate) fn new(
        own: Arc<dyn InstanceSet>,
        former: Vec<(String, Arc<dyn InstanceSet>)>,
        set_tag: String,
    ) -> WithFormer {
        WithFormer {
            own,
            former,
            set_tag,
            homes: Mutex::default(),
        }
    }

    fn homes(&self) -> MutexGuard<'_, BTreeMap<InstanceId, usize>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The set that knows this instance.
    fn home(&self, id: &InstanceId) -> &Arc<dyn InstanceSet> {
        let n = self.homes().get(id).copied();
        n.and_then(|n| self.former.get(n))
            .map_or(&self.own, |(_, set)| set)
    }
}

#[async_trait]
impl InstanceSet for WithFormer {
    async fn create(&self, order: CreateOrder) -> Result<Instance, CloudError> {
        self.own.create(order).await
    }

    /// All of them or none: a set that cannot be listed must not look empty.
    async fn list(&self, tags: &Tags) -> Result<Vec<Instance>, CloudError> {
        let mut all = self.own.list(tags).await?;
        let Some(own_id) = tags.get(&self.set_tag) else {
            return Ok(all);
        };
        let mut homes = BTreeMap::new();
        for (n, (id, set)) in self.former.iter().enumerate() {
            let mut theirs = tags.clone();
            theirs.insert(self.set_tag.clone(), id.clone());
            for mut row in set.list(&theirs).await? {
                // Some drivers list more than they are asked for (facts A11).
                if row.tags.get(&self.set_tag) != Some(id) {
                    continue;
                }
                row.tags.insert(self.set_tag.clone(), own_id.clone());
                homes.insert(row.id.clone(), n);
                all.push(row);
            }
        }
        *self.homes() = homes;
        Ok(all)
    }

    async fn set_tags(&self, id: &InstanceId, tags: &Tags) -> Result<(), CloudError> {
        self.home(id).set_tags(id, tags).await
    }

    async fn destroy(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.home(id).destroy(id).await
    }

    fn remote_user(&self) -> String {
        self.own.remote_user()
    }

    fn executor(&self) -> Option<Arc<dyn Executor>> {
        self.own.executor()
    }

    async fn prices(
        &self,
        instances: &[(InstanceId, Arc<InstanceType>)],
    ) -> Result<BTreeMap<InstanceId, Vec<PricePoint>>, CloudError> {
        let homes = self.homes().clone();
        let of = |n: Option<usize>| -> Vec<_> {
            let belongs = |row: &&(InstanceId, _)| homes.get(&row.0).copied() == n;
            instances.iter().filter(belongs).cloned().collect()
        };
        let mut prices = self.own.prices(&of(None)).await?;
        for (n, (_, set)) in self.former.iter().enumerate() {
            prices.extend(set.prices(&of(Some(n))).await?);
        }
        Ok(prices)
    }

    fn ended(&self) -> Vec<Ended> {
        let former = self.former.iter().flat_map(|(_, set)| set.ended());
        self.own.ended().into_iter().chain(former).collect()
    }

    fn quota_groups(&self) -> BTreeMap<String, String> {
        // Nothing is made in former sets.
        self.own.quota_groups()
    }

    async fn leftovers(&self) -> Result<Vec<String>, CloudError> {
        self.own.leftovers().await
    }

    fn doubt(&self, id: &InstanceId) {
        // Whoever has not listed it knows nothing of it.
        self.own.doubt(id);
        for (_, set) in &self.former {
            set.doubt(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use dispatch_model::CloudErrorClass;

    use super::*;

    const TAG: &str = "ArvadosInstanceSetID";

    /// An account of which everybody sees everything, as Azure's; it notes what was destroyed through it.
    struct Account {
        rows: Vec<(&'static str, &'static str)>,
        fails: bool,
        destroyed: Mutex<Vec<InstanceId>>,
    }

    fn account(rows: &[(&'static str, &'static str)], fails: bool) -> Arc<Account> {
        Arc::new(Account {
            rows: rows.to_vec(),
            fails,
            destroyed: Mutex::default(),
        })
    }

    #[async_trait]
    impl InstanceSet for Account {
        async fn create(&self, _: CreateOrder) -> Result<Instance, CloudError> {
            unreachable!("nothing is created here")
        }

        async fn list(&self, _: &Tags) -> Result<Vec<Instance>, CloudError> {
            if self.fails {
                return Err(CloudError::new(CloudErrorClass::Transient, "not now"));
            }
            let row = |(id, set): &(&str, &str)| Instance {
                id: InstanceId::from(*id),
                address: String::new(),
                provider_type: String::new(),
                tags: [(TAG.to_owned(), (*set).to_owned())].into(),
            };
            Ok(self.rows.iter().map(row).collect())
        }

        async fn set_tags(&self, _: &InstanceId, _: &Tags) -> Result<(), CloudError> {
            Ok(())
        }

        async fn destroy(&self, id: &InstanceId) -> Result<(), CloudError> {
            self.destroyed.lock().expect("no panic").push(id.clone());
            Ok(())
        }

        fn remote_user(&self) -> String {
            "root".to_owned()
        }
    }

    fn ours() -> Tags {
        [(TAG.to_owned(), "now".to_owned())].into()
    }

    #[tokio::test]
    async fn a_rotated_token_orphans_nothing_whose_former_set_id_is_named() {
        let everything = [("i-1", "now"), ("i-2", "before"), ("i-3", "somebody")];
        let own = account(&everything[..1], false);
        let former = account(&everything, false);
        let both = WithFormer::new(
            Arc::clone(&own) as _,
            vec![("before".to_owned(), Arc::clone(&former) as _)],
            TAG.to_owned(),
        );
        let listed = both.list(&ours()).await.expect("a list");
        let listed: Vec<(&str, &str)> = listed
            .iter()
            .map(|row| (row.id.as_str(), row.tags[TAG].as_str()))
            .collect();
        assert_eq!(listed, [("i-1", "now"), ("i-2", "now")]);
        for id in ["i-1", "i-2"] {
            both.destroy(&id.into()).await.expect("destroyed");
        }
        assert_eq!(*own.destroyed.lock().expect("no panic"), ["i-1".into()]);
        assert_eq!(*former.destroyed.lock().expect("no panic"), ["i-2".into()]);
    }

    #[tokio::test]
    async fn a_former_set_that_cannot_be_listed_does_not_look_empty() {
        let both = WithFormer::new(
            account(&[("i-1", "now")], false),
            vec![("before".to_owned(), account(&[], true) as _)],
            TAG.to_owned(),
        );
        assert!(both.list(&ours()).await.is_err());
    }
}
