//! Listing instances, and what their ends tell (facts E5, E14, K28, K34).

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, Instance as Described, InstanceLifecycleType, InstanceStateName};
use dispatch_cloud::{CloudError, Instance, Tags};
use dispatch_model::{CloudErrorClass, InstanceId};

use crate::{
    account::{Account, Action},
    atlas::{self, Kind, Reach},
    places::Wish,
};

/// EC2 shows at most so many at once.
const PAGE: i32 = 1000;
/// A list that has more pages does not end.
const PAGES_MAX: usize = 1000;

impl Account {
    /// All our instances that are not going or gone.
    pub(crate) async fn list(&self, tags: &Tags) -> Result<Vec<Instance>, CloudError> {
        let described = self.describe(tags).await?;
        let (gone, alive): (Vec<_>, Vec<_>) = described.into_iter().partition(is_gone);
        self.learn_from_the_dead(&gone);
        for instance in &alive {
            if state(instance) == Some(&InstanceStateName::Running) {
                self.places().runs(&wish(instance));
            }
        }
        Ok(alive.iter().map(instance).collect())
    }

    async fn describe(&self, tags: &Tags) -> Result<Vec<Described>, CloudError> {
        let filters: Vec<Filter> = tags
            .iter()
            .map(|(key, value)| filter(&format!("tag:{key}"), [value]))
            .collect();
        let filters = Some(filters).filter(|filters| !filters.is_empty());
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let send = self
                .client
                .describe_instances()
                .set_filters(filters.clone())
                .max_results(PAGE)
                .set_next_token(token.take())
                .send();
            let page = self
                .call(Action::DescribeInstances, send)
                .await
                .map_err(|failure| {
                    self.error(
                        Action::DescribeInstances,
                        &failure,
                        "",
                        CloudErrorClass::Transient,
                    )
                })?;
            let reservations = page.reservations.unwrap_or_default();
            found.extend(
                reservations
                    .into_iter()
                    .flat_map(|r| r.instances.unwrap_or_default()),
            );
            token = page.next_token;
            #[cfg(test)]
            if self.errs(crate::mutants::Mutant::EmptyTokenFollowed) && token.is_some() {
                continue;
            }
            // Facts E14.
            token = token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(found);
            }
        }
        Err(CloudError::new(
            CloudErrorClass::Transient,
            format!("DescribeInstances: the list has more than {PAGES_MAX} pages"),
        ))
    }

    /// Why instances ended that we did not end: for the log, and for where not to create the next ones.
    fn learn_from_the_dead(&self, gone: &[Described]) {
        let shown: BTreeSet<InstanceId> = gone.iter().map(|dead| instance(dead).id).collect();
        self.memory().dead_shown(&shown);
        for dead in gone {
            let reason = dead.state_reason.as_ref();
            let code = reason
                .and_then(|reason| reason.code.as_deref())
                .unwrap_or_default();
            let words = reason
                .and_then(|reason| reason.message.as_deref())
                .unwrap_or_default();
            if code.is_empty()
                || matches!(
                    atlas::bare(code),
                    "UserInitiatedShutdown" | "InstanceInitiatedShutdown"
                )
            {
                continue;
            }
            let id = instance(dead).id;
            if !self.memory().is_news(&id) {
                continue;
            }
            let wish = wish(dead);
            tracing::warn!(
                instance = %id,
                provider_type = %wish.provider_type,
                spot = wish.preemptible,
                reason = code,
                "an instance has ended by itself: {words}"
            );
            // Spot instances that are taken back have run well; what matters is what never began.
            let verdict = atlas::judge(Some(code), 0, words);
            let local = verdict.reach.is_local() && verdict.kind == Kind::Capacity;
            let reach: Option<Reach> = local.then_some(verdict.reach);
            let why = atlas::words("instance", atlas::bare(code), verdict, words);
            let zone = zone(dead).unwrap_or_default();
            self.places().died(&wish, &zone, reach, &why, self.now());
        }
    }
}

/// One instance in the words of the contract. Its address is the private one (facts §2.8.2).
pub(crate) fn instance(described: &Described) -> Instance {
    let tags = described.tags.iter().flatten();
    Instance {
        id: described.instance_id.clone().unwrap_or_default().into(),
        address: described.private_ip_address.clone().unwrap_or_default(),
        provider_type: provider_type(described),
        tags: tags
            .filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default())))
            .collect(),
    }
}

/// A filter whose values mean themselves: `*`, `?` and `\` would be wildcards.
pub(crate) fn filter<'a>(name: &str, values: impl IntoIterator<Item = &'a String>) -> Filter {
    let escaped = |value: &String| {
        let mut text = String::new();
        for c in value.chars() {
            if matches!(c, '*' | '?' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        text
    };
    Filter::builder()
        .name(name)
        .set_values(Some(values.into_iter().map(escaped).collect()))
        .build()
}

fn provider_type(described: &Described) -> String {
    let name = described.instance_type.as_ref();
    name.map(|name| name.as_str().to_owned())
        .unwrap_or_default()
}

fn wish(described: &Described) -> Wish {
    Wish {
        provider_type: provider_type(described),
        preemptible: is_spot(described),
    }
}

fn is_spot(described: &Described) -> bool {
    described.instance_lifecycle == Some(InstanceLifecycleType::Spot)
}

fn zone(described: &Described) -> Option<String> {
    described.placement.as_ref()?.availability_zone.clone()
}

fn state(described: &Described) -> Option<&InstanceStateName> {
    described.state.as_ref()?.name.as_ref()
}

/// Going is as good as gone: an early signal (facts E5, K34).
fn is_gone(described: &Described) -> bool {
    matches!(
        state(described),
        Some(InstanceStateName::ShuttingDown | InstanceStateName::Terminated)
    )
}
