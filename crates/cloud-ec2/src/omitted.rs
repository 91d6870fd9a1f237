//! Instances that were alive and that a list omits. EC2's lists may lag behind, and EC2 goes on showing what has ended
//! for about an hour: that an instance is merely missing does not mean that it is gone. It is asked about by its id.

use std::time::Duration;

use aws_sdk_ec2::types::Instance as Described;
use dispatch_cloud::{Instance, Tags};
use dispatch_model::{InstanceId, Time};
use tokio::time::Instant;

use crate::{
    account::{Account, Action},
    describe::instance,
    memory::{UNKNOWN_AT_MOST, has},
    other_calls::is_not_found,
};

/// After one list, so many are asked about, for so long in all, since the list waits for it; the others are shown on.
const ASKED_AT_MOST: usize = 10;
const ASKED_WITHIN: Duration = Duration::from_secs(3);

/// What became of those that a list omits.
#[derive(Default)]
pub(crate) struct AskedAbout {
    /// EC2 knows them, alive or not.
    pub(crate) found: Vec<Described>,
    /// They are taken for alive, as they were last shown.
    pub(crate) shown_on: Vec<Instance>,
}

/// What EC2 says when it is asked for one.
enum Answer {
    Shown(Box<Described>),
    NotKnown,
    None,
}

impl Account {
    /// Asks about what a list of these tags omits, and since when lists have done so.
    pub(crate) async fn ask_about(
        &self,
        tags: &Tags,
        omitted: Vec<(Instance, Time)>,
    ) -> AskedAbout {
        let mut asked_about = AskedAbout::default();
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(crate::mutants::Mutant::OmittedIsGone) {
            return asked_about;
        }
        let until = Instant::now() + ASKED_WITHIN;
        let mut more = ASKED_AT_MOST;
        for (known, since) in omitted {
            let answer = match more {
                0 => Answer::None,
                _ => self.by_id(&known.id, until).await,
            };
            more = match answer {
                // The next will not fare better.
                Answer::None => 0,
                _ => more - 1,
            };
            let id = &known.id;
            match answer {
                Answer::Shown(found) if has(&instance(&found), tags) => {
                    asked_about.found.push(*found);
                }
                Answer::Shown(_) => {
                    tracing::info!(instance = %id, "an instance has lost the tags that make it ours");
                    self.memory().shown_gone(id);
                }
                Answer::NotKnown if self.now().since(since) >= UNKNOWN_AT_MOST => {
                    tracing::info!(instance = %id, "EC2 does not know an instance any more");
                    self.memory().shown_gone(id);
                }
                Answer::NotKnown | Answer::None => asked_about.shown_on.push(known),
            }
        }
        asked_about
    }

    async fn by_id(&self, id: &InstanceId, until: Instant) -> Answer {
        let ask = self.client.describe_instances().instance_ids(id.as_str());
        let call = self.call(Action::DescribeInstances, ask.send());
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
}
