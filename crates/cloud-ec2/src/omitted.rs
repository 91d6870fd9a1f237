//! Instances that were alive and that a list omits. EC2's lists may lag behind, and EC2 goes on showing what has ended
//! for about an hour: that an instance is merely missing does not mean that it is gone. It is asked about by its id.

use aws_sdk_ec2::types::Instance as Described;
use dispatch_cloud::{Instance, Tags};
use dispatch_model::Time;
use tokio::time::Instant;

use crate::{
    account::Account,
    describe::{ASKED_AT_MOST, Answer, instance, is_gone},
    memory::{UNKNOWN_AT_MOST, has},
};

/// What became of those that a list omits.
#[derive(Default)]
pub(crate) struct AskedAbout {
    /// EC2 knows them, alive or not.
    pub(crate) found: Vec<Described>,
    /// They are taken for alive, as they were last shown.
    pub(crate) shown_on: Vec<Instance>,
}

impl Account {
    /// Asks about what a list of these tags omits, and since when lists have done so. What is not asked about, since
    /// there are too many or the time is over, is shown on.
    pub(crate) async fn ask_about(
        &self,
        tags: &Tags,
        omitted: Vec<(Instance, Time)>,
        until: Instant,
    ) -> AskedAbout {
        let mut asked_about = AskedAbout::default();
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(crate::mutants::Mutant::OmittedIsGone) {
            return asked_about;
        }
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
                Answer::Shown(found) if is_gone(&found) || has(&instance(&found), tags) => {
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
}
