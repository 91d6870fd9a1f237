//! The calls around instances: tags, ends, key pairs, zones, prices.

use std::time::Duration;

use aws_sdk_ec2::{
    primitives::{Blob, DateTime},
    types::{InstanceType, ResourceType},
};
use dispatch_cloud::{CloudError, Tags};
use dispatch_model::{CloudErrorClass, InstanceId};
use jiff::Timestamp;

use crate::{
    account::{Account, Action},
    describe::filter,
    failure::Failure,
    fingerprint::fingerprints,
    prices::{Point, PriceKey},
    request::{sdk_tags, specification},
    tags,
};

/// EC2's name for the prices of ordinary Linux (facts E17).
const PRODUCT: &str = "Linux/UNIX";
/// A fresh instance may not be known everywhere yet: so often is a call about it repeated, with growing pauses.
const FRESH_TRIES: u32 = 4;
const FRESH_PAUSE: Duration = Duration::from_millis(250);
/// More pages of prices are not read.
const PRICE_PAGES_MAX: usize = 200;

impl Account {
    /// Sets these tags, the reserved ones excepted (facts K28).
    pub(crate) async fn set_tags(&self, id: &InstanceId, tags: &Tags) -> Result<(), CloudError> {
        let tags = tags::settable(tags);
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
                tokio::time::sleep(pause).await;
                pause *= 2;
                continue;
            }
            return Err(self.error(Action::CreateTags, &failure, "", CloudErrorClass::Transient));
        }
        Ok(())
    }

    /// Ends an instance. That it is not known counts as done, unless it is so young that EC2 may not know it yet.
    pub(crate) async fn destroy(&self, id: &InstanceId) -> Result<(), CloudError> {
        let mut pause = FRESH_PAUSE;
        for attempt in 1.. {
            let send = self
                .client
                .terminate_instances()
                .instance_ids(id.as_str())
                .send();
            let failure = match self.call(Action::TerminateInstances, send).await {
                Ok(_) => return Ok(()),
                Err(failure) => failure,
            };
            if is_not_found(&failure) {
                let young = self.memory().is_young(id, self.now());
                #[cfg(test)]
                let young = young && !self.errs(crate::mutants::Mutant::FreshNotFoundIsGone);
                if !young {
                    return Ok(());
                }
                if attempt < FRESH_TRIES {
                    tokio::time::sleep(pause).await;
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
    /// (facts E1–E4, K28). `None` if no key is to be deployed.
    pub(crate) async fn key_name(&self, tags: &Tags) -> Result<Option<String>, CloudError> {
        let Some(public_key) = &self.context.public_key else {
            return Ok(None);
        };
        let mut known = self.key_name.lock().await;
        if known.is_none() {
            *known = Some(self.find_or_import_key(public_key, tags).await?);
        }
        Ok(known.clone())
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
        if subnets.is_empty() || !self.memory().asks_for_zones(self.now()) {
            return;
        }
        let send = self
            .client
            .describe_subnets()
            .set_subnet_ids(Some(subnets.clone()))
            .send();
        match self.call(Action::DescribeSubnets, send).await {
            Ok(answer) => {
                let zones = answer.subnets.unwrap_or_default().into_iter();
                let zones =
                    zones.filter_map(|subnet| Some((subnet.subnet_id?, subnet.availability_zone?)));
                self.places().set_zones(zones.collect());
            }
            Err(failure) => {
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

    /// Asks what these types have cost. That it fails hurts nobody: it is asked again after the interval.
    pub(crate) async fn ask_for_prices(&self, types: Vec<String>, used: &[PriceKey]) {
        let look_back = self.prices().look_back();
        let types: Vec<InstanceType> = types
            .iter()
            .map(|name| InstanceType::from(name.as_str()))
            .collect();
        let since = start_time(look_back);
        let mut points: Vec<(PriceKey, Point)> = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PRICE_PAGES_MAX {
            let names: Vec<String> = types.iter().map(|name| name.as_str().to_owned()).collect();
            let send = self
                .client
                .describe_spot_price_history()
                .filters(filter("instance-type", &names))
                .filters(filter("product-description", [&PRODUCT.to_owned()]))
                .start_time(since)
                .set_next_token(token.take())
                .send();
            let page = match self.call(Action::DescribeSpotPriceHistory, send).await {
                Ok(page) => page,
                Err(failure) => {
                    let action = Action::DescribeSpotPriceHistory;
                    let error = self.error(action, &failure, "", CloudErrorClass::Transient);
                    tracing::warn!(%error, "the prices of spot instances are not known");
                    break;
                }
            };
            let rows = page.spot_price_history.unwrap_or_default();
            points.extend(rows.into_iter().filter_map(|row| {
                let key = (
                    row.instance_type?.as_str().to_owned(),
                    row.availability_zone?,
                );
                let at = Timestamp::from_second(row.timestamp?.secs()).ok()?;
                Some((key, (at, row.spot_price?.parse().ok()?)))
            }));
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        let now = self.now();
        self.prices().told(used, points, now);
    }
}

fn is_not_found(failure: &Failure) -> bool {
    matches!(failure.code(), "InvalidInstanceID.NotFound" | "InvalidID")
}

#[expect(
    clippy::disallowed_methods,
    reason = "EC2 dates prices by the wall clock"
)]
fn start_time(look_back: Duration) -> DateTime {
    let now = std::time::SystemTime::now();
    DateTime::from(now.checked_sub(look_back).unwrap_or(std::time::UNIX_EPOCH))
}
