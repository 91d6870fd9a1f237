//! The calls around instances: tags, ends, key pairs, zones.

use std::{sync::atomic::Ordering, time::Duration};

use aws_sdk_ec2::{primitives::Blob, types::ResourceType};
use dispatch_cloud::{CloudError, Tags};
use dispatch_model::{CloudErrorClass, InstanceId};

use crate::{
    account::{Account, Action},
    describe::filter,
    failure::Failure,
    fingerprint::fingerprints,
    request::{sdk_tags, specification},
    tags,
};

/// A fresh instance may not be known everywhere yet: so often is a call about it repeated, with growing pauses.
const FRESH_TRIES: u32 = 4;
const FRESH_PAUSE: Duration = Duration::from_millis(250);

/// Creates wait so long for the zones, and no longer: they can do without.
const ZONES_WITHIN: Duration = Duration::from_secs(3);

impl Account {
    /// Sets these tags, the reserved ones excepted (facts K28).
    pub(crate) async fn set_tags(&self, id: &InstanceId, tags: &Tags) -> Result<(), CloudError> {
        #[cfg(all(test, feature = "cloud-tests"))]
        let all = tags;
        let tags = tags::settable(tags);
        #[cfg(all(test, feature = "cloud-tests"))]
        let tags = if self.errs(crate::mutants::Mutant::ReservedTagsAreSet) {
            all.clone()
        } else {
            tags
        };
        if tags.is_empty() {
            return Ok(());
        }
        let mut pause = FRESH_PAUSE;
        for attempt in 1.. {
            let send = self
                .client
                .create_tags()
                .resources(id.as_str())
                .set_tags(Some(sdk_tags(&tags)))
                .send();
            let failure = match self.call(Action::CreateTags, send).await {
                Ok(_) => return Ok(()),
                Err(failure) => failure,
            };
            if attempt < FRESH_TRIES
                && is_not_found(&failure)
                && self.memory().is_young(id, self.now())
            {
                self.wait(pause).await;
                pause *= 2;
                continue;
            }
            return Err(self.error(Action::CreateTags, &failure, "", CloudErrorClass::Transient));
        }
        Ok(())
    }

    /// Ends an instance. That it is not known counts as done, unless it is so young that EC2 may not know it yet.
    pub(crate) async fn destroy(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.memory().destroyed(id, self.now());
        let mut pause = FRESH_PAUSE;
        for attempt in 1.. {
            let send = self
                .client
                .terminate_instances()
                .instance_ids(id.as_str())
                .send();
            let failure = match self.call(Action::TerminateInstances, send).await {
                Ok(_) => {
                    self.memory().ends(id);
                    return Ok(());
                }
                Err(failure) => failure,
            };
            if is_not_found(&failure) {
                let young = self.memory().is_young(id, self.now());
                #[cfg(all(test, feature = "cloud-tests"))]
                let young = young && !self.errs(crate::mutants::Mutant::FreshNotFoundIsGone);
                if !young {
                    self.memory().ends(id);
                    return Ok(());
                }
                if attempt < FRESH_TRIES {
                    self.wait(pause).await;
                    pause *= 2;
                    continue;
                }
            }
            return Err(self.error(
                Action::TerminateInstances,
                &failure,
                "",
                CloudErrorClass::Transient,
            ));
        }
        Ok(())
    }

    /// The name of the key pair with our public key, which is looked for once and imported if it is not there
    /// (facts E1–E4, K28). `None` if no key is to be deployed. Whoever waits while it is looked for in vain hears of that,
    /// rather than to look again, one after the other; who comes later looks again.
    pub(crate) async fn key_name(&self, tags: &Tags) -> Result<Option<String>, CloudError> {
        let Some(public_key) = &self.context.public_key else {
            return Ok(None);
        };
        let n_failed = self.key_failures.load(Ordering::SeqCst);
        let mut key = self.key.lock().await;
        if key.name.is_none() {
            let has_failed_meanwhile = self.key_failures.load(Ordering::SeqCst) > n_failed;
            if has_failed_meanwhile && let Some(failure) = &key.failure {
                return Err(failure.clone());
            }
            match Box::pin(self.find_or_import_key(public_key, tags)).await {
                Ok(name) => key.name = Some(name),
                Err(failure) => {
                    self.key_failures.fetch_add(1, Ordering::SeqCst);
                    key.failure = Some(failure.clone());
                    return Err(failure);
                }
            }
        }
        Ok(key.name.clone())
    }

    async fn find_or_import_key(
        &self,
        public_key: &str,
        tags: &Tags,
    ) -> Result<String, CloudError> {
        let fingerprints = fingerprints(public_key)
            .map_err(|problem| CloudError::new(CloudErrorClass::Refused, problem))?;
        let send = self
            .client
            .describe_key_pairs()
            .filters(filter("fingerprint", &fingerprints))
            .send();
        let found = self
            .call(Action::DescribeKeyPairs, send)
            .await
            .map_err(|failure| {
                self.error(
                    Action::DescribeKeyPairs,
                    &failure,
                    "",
                    CloudErrorClass::Transient,
                )
            })?;
        let names = found.key_pairs.unwrap_or_default().into_iter();
        if let Some(name) = names.filter_map(|pair| pair.key_name).next() {
            return Ok(name);
        }
        let name = format!("arvados-dispatch-keypair-{}", fingerprints[0]);
        let tags = tags::of_key_pair(tags, &self.context.tag_key_prefix);
        let mut import = self
            .client
            .import_key_pair()
            .key_name(&name)
            .public_key_material(Blob::new(public_key.as_bytes()));
        if !tags.is_empty() {
            import = import.tag_specifications(specification(ResourceType::KeyPair, &tags));
        }
        match self.call(Action::ImportKeyPair, import.send()).await {
            Ok(_) => Ok(name),
            // Another dispatcher with the same key was quicker.
            Err(failure) if failure.code() == "InvalidKeyPair.Duplicate" => Ok(name),
            Err(failure) => Err(self.error(
                Action::ImportKeyPair,
                &failure,
                "",
                CloudErrorClass::Transient,
            )),
        }
    }

    /// Asks for the zones of the subnets, if it has not been done. Without the permission, each subnet counts as a zone
    /// of its own.
    pub(crate) async fn learn_zones(&self) {
        let subnets = &self.parameters.subnets;
        if subnets.is_empty() {
            return;
        }
        let _asked = self.zones_asked.lock().await;
        if !self.memory().asks_for_zones(self.now()) {
            return;
        }
        let send = self
            .client
            .describe_subnets()
            // By a filter, a wrong id hides no other.
            .filters(filter("subnet-id", subnets))
            .send();
        // The futures of the SDK are large.
        let call = Box::pin(self.call(Action::DescribeSubnets, send));
        let answer = tokio::time::timeout(ZONES_WITHIN, call).await;
        let late = || Err(Failure::Unknown("no answer in time".to_owned()));
        match answer.unwrap_or_else(|_| late()) {
            Ok(answer) => {
                let zones = answer.subnets.unwrap_or_default().into_iter();
                let zones =
                    zones.filter_map(|subnet| Some((subnet.subnet_id?, subnet.availability_zone?)));
                self.places().set_zones(zones.collect());
            }
            Err(failure) => {
                if !is_forbidden(&failure) {
                    self.memory().asks_for_zones_soon(self.now());
                }
                let error = self.error(
                    Action::DescribeSubnets,
                    &failure,
                    "",
                    CloudErrorClass::Transient,
                );
                tracing::warn!(%error, "the zones of the subnets are not known: each subnet counts as a zone");
            }
        }
    }
}

fn is_forbidden(failure: &Failure) -> bool {
    matches!(failure.code(), "UnauthorizedOperation" | "AuthFailure")
}

pub(crate) fn is_not_found(failure: &Failure) -> bool {
    matches!(failure.code(), "InvalidInstanceID.NotFound" | "InvalidID")
}
