//! Listing instances (facts E5, E14, K28, K34).

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use aws_sdk_ec2::{
    primitives::DateTime,
    types::{Filter, Instance as Described, InstanceLifecycleType, InstanceStateName},
};
use dispatch_cloud::{CloudError, Instance, Tags};
use dispatch_model::{CloudErrorClass, InstanceId, Time};
use tokio::time::Instant;

use crate::{
    account::{Account, Action},
    other_calls::is_not_found,
    places::Wish,
    prices::PriceKey,
};

/// EC2 shows at most so many at once.
const PAGE: i32 = 1000;
/// A list that has more pages does not end.
const PAGES_MAX: usize = 1000;
/// After one list, so many instances are asked about by their ids, for so long in all, since the list waits for it.
pub(crate) const ASKED_AT_MOST: usize = 10;
const ASKED_WITHIN: Duration = Duration::from_secs(3);

/// What EC2 says when it is asked for one.
pub(crate) enum Answer {
    Shown(Box<Described>),
    NotKnown,
    None,
}

impl Account {
    /// All our instances that are not going or gone.
    pub(crate) async fn list(&self, tags: &Tags) -> Result<Vec<Instance>, CloudError> {
        let mut described = self.describe(tags).await?;
        let now = self.now();
        let mut ids: BTreeSet<_> = described.iter().map(|found| instance(found).id).collect();
        let omitted = self.memory().omitted(tags, &ids, now);
        let until = Instant::now() + ASKED_WITHIN;
        let asked_about = Box::pin(self.ask_about(tags, omitted, until)).await;
        let shown_on = asked_about.shown_on;
        ids.extend(shown_on.iter().map(|known| known.id.clone()));
        ids.extend(asked_about.found.iter().map(|found| instance(found).id));
        self.memory().shown(&ids, now);
        for found in &described {
            self.memory().met(&provider_type(found));
            self.remember(found, None);
        }
        for found in &asked_about.found {
            // It may be omitted again.
            self.remember(found, Some(now));
        }
        described.extend(asked_about.found);
        let (mut gone, alive): (Vec<_>, Vec<_>) = described.into_iter().partition(|found| {
            #[cfg(all(test, feature = "cloud-tests"))]
            if self.errs(crate::mutants::Mutant::GoingIsListed) {
                return false;
            }
            is_gone(found)
        });
        Box::pin(self.ask_why(&mut gone, until)).await;
        self.learn_from_the_dead(&gone);
        let runs = |found: &&Described| state(found) == Some(&InstanceStateName::Running);
        let running: Vec<&Described> = alive.iter().filter(runs).collect();
        for found in running {
            self.places().runs(&wish(found), launched(found));
            self.memory().runs(instance(found).id, now);
        }
        self.tell_of_volumes_left_behind(&alive);
        for found in &alive {
            // One that was made by another process, or by a create whose answer was lost, is as young as it is.
            self.memory().aged(&instance(found).id, age(found), now);
        }
        let spot = alive.iter().filter(|instance| is_spot(instance));
        let spot = spot.filter_map(|spot| Some((instance(spot).id, price_key(spot)?)));
        self.memory().spot_shown(spot.collect());
        let mut listed: Vec<Instance> = alive.iter().map(instance).collect();
        listed.extend(shown_on);
        Ok(listed)
    }

    fn remember(&self, found: &Described, omitted_since: Option<Time>) {
        let known = instance(found);
        if is_gone(found) {
            self.memory().shown_gone(&known.id);
        } else {
            self.memory().shown_alive(&known, omitted_since);
        }
    }

    /// One instance, which EC2 is asked for by its id.
    pub(crate) async fn by_id(&self, id: &InstanceId, until: Instant) -> Answer {
        let ask = self.client.describe_instances().instance_ids(id.as_str());
        // The futures of the SDK are large.
        let call = Box::pin(self.call(Action::DescribeInstances, ask.send()));
        match tokio::time::timeout_at(until, call).await {
            Ok(Ok(page)) => {
                let reservations = page.reservations.unwrap_or_default().into_iter();
                let mut found = reservations.flat_map(|r| r.instances.unwrap_or_default());
                let found = found.find(|found| instance(found).id == *id);
                found.map_or(Answer::NotKnown, |found| Answer::Shown(Box::new(found)))
            }
            Ok(Err(failure)) if is_not_found(&failure) => Answer::NotKnown,
            _ => Answer::None,
        }
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
            #[cfg(all(test, feature = "cloud-tests"))]
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

pub(crate) fn wish(described: &Described) -> Wish {
    Wish {
        provider_type: provider_type(described),
        preemptible: is_spot(described),
    }
}

fn is_spot(described: &Described) -> bool {
    described.instance_lifecycle == Some(InstanceLifecycleType::Spot)
}

pub(crate) fn zone(described: &Described) -> Option<String> {
    described.placement.as_ref()?.availability_zone.clone()
}

/// When it was launched, in EC2's time: only to be compared with other launches. Unknown: before all others.
pub(crate) fn launched(described: &Described) -> i128 {
    let at = described.launch_time.as_ref();
    at.map_or(i128::MIN, DateTime::as_nanos)
}

/// How long ago it was launched.
#[expect(
    clippy::disallowed_methods,
    reason = "EC2 dates launches by the wall clock"
)]
pub(crate) fn age(described: &Described) -> Duration {
    let launched = described.launch_time.map(SystemTime::try_from);
    let age = launched.and_then(|at| SystemTime::now().duration_since(at.ok()?).ok());
    age.unwrap_or_default()
}

fn price_key(described: &Described) -> Option<PriceKey> {
    Some((provider_type(described), zone(described)?))
}

fn state(described: &Described) -> Option<&InstanceStateName> {
    described.state.as_ref()?.name.as_ref()
}

/// Going is as good as gone: an early signal (facts E5, K34).
pub(crate) fn is_gone(described: &Described) -> bool {
    matches!(
        state(described),
        Some(InstanceStateName::ShuttingDown | InstanceStateName::Terminated)
    )
}
