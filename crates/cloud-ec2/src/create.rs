//! Creating one instance: which subnets in which order, and what is repeated until the outcome is known.

use std::time::Duration;

use aws_sdk_ec2::types::Instance as Described;
use dispatch_cloud::{CloudError, CreateOrder, Instance};
use dispatch_model::CloudErrorClass;

use crate::{
    account::{Account, Action, verdict},
    atlas::{self, Kind, Reach, Verdict},
    describe,
    failure::Failure,
    launch::Launch,
    places::{Known, Route, Wish},
    request,
};

/// So often is a create of unknown outcome sent, unchanged, before its outcome is called unknown.
const TRIES: u32 = 3;
/// The pause before it is repeated; twice as long before the next.
const REPEAT_AFTER: Duration = Duration::from_millis(200);

/// Shorter texts are no secrets, and would be found in any words.
const SECRET_CHARS_MIN: usize = 8;

/// Why one subnet brought no instance.
struct Refusal {
    failure: Failure,
    verdict: Option<Verdict>,
    /// What EC2 said, for people.
    words: String,
    error: CloudError,
    /// Whether it is certain that there is no instance of this order.
    is_certain: bool,
}

impl Refusal {
    /// Whether something is lacking there, whatever became of this order.
    fn is_lack(&self) -> bool {
        (self.verdict).is_some_and(|verdict| matches!(verdict.kind, Kind::Capacity | Kind::Quota))
    }
}

impl Account {
    pub(crate) async fn create(&self, order: &CreateOrder) -> Result<Instance, CloudError> {
        let mut result = self.create_somewhere(order).await;
        if let Err(error) = &mut result {
            conceal(&mut error.message, order);
        }
        result
    }

    async fn create_somewhere(&self, order: &CreateOrder) -> Result<Instance, CloudError> {
        let wish = Wish {
            provider_type: order.instance_type.provider_type.clone(),
            preemptible: order.instance_type.preemptible,
        };
        self.memory().met(&wish.provider_type);
        let sent_to = self.memory().sent_to(&order.secret);
        let key_name = self.key_name(&order.tags).await;
        let key_name = key_name.map_err(|error| match sent_to {
            // Nobody knows yet what became of the call before this one.
            Some(_) => still_unknown(&error),
            None => error,
        })?;
        self.learn_zones().await;
        #[cfg(all(test, feature = "cloud-tests"))]
        let sent_to =
            sent_to.filter(|_| !self.errs(crate::mutants::Mutant::NextSubnetAfterTimeout));
        let is_repeated = sent_to.is_some();
        let route = match sent_to {
            Some(subnet) => Route {
                subnets: vec![subnet],
                lack: None,
            },
            None => self
                .places()
                .route(&wish, self.now())
                .map_err(|known| not_called("met before everywhere: ", known))?,
        };
        let mut lack = route.lack.map(|known| not_called("met before: ", known));
        let mut last = None;
        for subnet in route.subnets {
            let subnet = subnet.as_deref();
            // This create, or one beside it, may have learned of a lack there since the route was drawn up.
            let lacking = self.places().lacking(&wish, subnet, self.now());
            if let Some(known) = lacking.filter(|_| !is_repeated) {
                lack.get_or_insert_with(|| not_called("", known));
                continue;
            }
            let launch = Launch::new(
                order,
                subnet,
                key_name.clone(),
                &self.context.tag_key_prefix,
                &self.parameters,
            );
            let refusal = match self.launch(&launch, order, subnet).await {
                Ok(instance) => {
                    self.places().worked(&wish, subnet);
                    return Ok(instance);
                }
                Err(refusal) => refusal,
            };
            #[cfg(all(test, feature = "cloud-tests"))]
            if matches!(refusal.failure, Failure::Unknown(_))
                && self.errs(crate::mutants::Mutant::NextSubnetAfterTimeout)
            {
                last = Some(refusal.error);
                continue;
            }
            let lacks = refusal.is_lack();
            let Some(verdict) = refusal.verdict.filter(|_| refusal.is_certain || lacks) else {
                return Err(refusal.error);
            };
            let (words, now) = (&refusal.words, self.now());
            self.places()
                .refused(&wish, subnet, verdict.reach, lacks, words, now);
            if !refusal.is_certain {
                return Err(refusal.error);
            }
            self.memory().refused(&order.secret);
            if refusal.failure.code() == "InvalidKeyPair.NotFound" {
                self.key.lock().await.name = None;
            }
            if !verdict.reach.is_local() {
                return Err(refusal.error);
            }
            self.tell_once(&wish, subnet, verdict.reach, &refusal);
            if lacks {
                lack = Some(refusal.error);
            } else {
                last = Some(refusal.error);
            }
        }
        self.places().all_refused();
        // A lack is told rather than another error of another subnet (facts E12).
        Err(lack.or(last).unwrap_or_else(|| {
            CloudError::new(CloudErrorClass::Transient, "there was no subnet to try")
        }))
    }

    /// If another subnet does what this one refuses, nobody else hears of it.
    fn tell_once(&self, wish: &Wish, subnet: Option<&str>, reach: Reach, refusal: &Refusal) {
        let Some(subnet) = subnet.filter(|_| self.parameters.subnets.len() > 1) else {
            return;
        };
        let code = refusal.failure.code();
        if self.places().is_news(wish, subnet, reach, code) {
            tracing::warn!(
                subnet,
                provider_type = %wish.provider_type,
                spot = wish.preemptible,
                "a subnet refuses instances; others are tried: {}",
                refusal.words
            );
        }
    }

    /// Sends one create, and the same again while nobody knows what became of it.
    async fn launch(
        &self,
        launch: &Launch,
        order: &CreateOrder,
        subnet: Option<&str>,
    ) -> Result<Instance, Refusal> {
        let token = self.token(launch, order);
        let mut pause = REPEAT_AFTER;
        let mut failure = Failure::Unknown(String::new());
        let mut sent_at = self.now();
        // Since when an earlier call of this order may have made an instance, or may still make one.
        let mut in_doubt_since = self.memory().in_doubt_since(&order.secret);
        for attempt in 1..=TRIES {
            sent_at = self.now();
            self.memory().sending(&order.secret, subnet, sent_at);
            let send = request::run_instances(&self.client, launch, token.as_deref()).send();
            failure = match self.call(Action::RunInstances, send).await {
                Ok(answer) => match answer.instances.unwrap_or_default().first() {
                    Some(made) if made.instance_id.is_some() => {
                        return Ok(self.arrived(made, order));
                    }
                    // Facts E13.
                    _ => Failure::Unknown("the answer has no instance in it".to_owned()),
                },
                Err(mut failure) => {
                    if let Failure::Said { message, .. } = &mut failure {
                        // It is logged, remembered, and shortened, which would leave a part.
                        conceal(message, order);
                    }
                    self.perhaps_made(failure)
                }
            };
            let unknown = matches!(failure, Failure::Unknown(_));
            if unknown {
                let now = self.now();
                self.memory().doubted(&order.secret, now);
                in_doubt_since = Some(now);
            }
            let again = unknown && attempt < TRIES;
            #[cfg(all(test, feature = "cloud-tests"))]
            let again = again && !self.errs(crate::mutants::Mutant::NextSubnetAfterTimeout);
            if !again {
                break;
            }
            self.wait(pause).await;
            pause *= 2;
        }
        if let Some(since) = in_doubt_since
            && !self.settles(&failure, sent_at.since(since))
        {
            let last = self.error(
                Action::RunInstances,
                &failure,
                "",
                CloudErrorClass::OutcomeUnknown,
            );
            let words = last.message.clone();
            let error = match failure {
                Failure::Unknown(_) => last,
                _ => still_unknown(&last),
            };
            return Err(Refusal {
                verdict: verdict(&failure),
                failure,
                words,
                error,
                is_certain: false,
            });
        }
        if matches!(failure, Failure::Held(_) | Failure::NotSent(_)) {
            // Nothing was sent, so it is bound to no subnet.
            self.memory().refused(&order.secret);
        }
        let provider_type = &order.instance_type.provider_type;
        let group = self.parameters.quota_groups.of(provider_type);
        let error = self.error(
            Action::RunInstances,
            &failure,
            &group,
            CloudErrorClass::OutcomeUnknown,
        );
        #[cfg(all(test, feature = "cloud-tests"))]
        let error = self.as_quota(error);
        Err(Refusal {
            verdict: verdict(&failure),
            failure,
            words: error.message.clone(),
            error,
            is_certain: true,
        })
    }

    /// What EC2 calls a failure of its own may have been carried out all the same.
    fn perhaps_made(&self, failure: Failure) -> Failure {
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(crate::mutants::Mutant::FaultIsRefusal) {
            return failure;
        }
        let Failure::Said {
            code,
            status,
            message,
            ..
        } = &failure
        else {
            return failure;
        };
        if !atlas::may_have_made(code.as_deref(), *status, message) {
            return failure;
        }
        let verdict = atlas::judge(code.as_deref(), *status, message);
        let named = code.as_deref().unwrap_or("no code");
        Failure::Unknown(atlas::words("the answer", named, verdict, message))
    }

    /// Whether what came of a repeated create, sent so long after the first was given up, tells what became of that.
    fn settles(&self, failure: &Failure, since: Duration) -> bool {
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(crate::mutants::Mutant::AnyRefusalSettles) {
            return verdict(failure)
                .is_some_and(|verdict| !matches!(verdict.kind, Kind::Rate | Kind::Transient));
        }
        #[cfg(all(test, feature = "cloud-tests"))]
        let since = match self.errs(crate::mutants::Mutant::LackSettlesAtOnce) {
            true => Duration::MAX,
            false => since,
        };
        matches!(failure, Failure::Said { code, .. } if atlas::settles(code.as_deref(), since))
    }

    fn token(&self, launch: &Launch, order: &CreateOrder) -> Option<String> {
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(crate::mutants::Mutant::NoToken) {
            return None;
        }
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(crate::mutants::Mutant::OneTokenForAllSubnets) {
            let anywhere = Launch {
                subnet: None,
                ..launch.clone()
            };
            return Some(anywhere.token(order.secret.reveal()));
        }
        Some(launch.token(order.secret.reveal()))
    }

    fn arrived(&self, made: &Described, order: &CreateOrder) -> Instance {
        let mut instance = describe::instance(made);
        if instance.tags.is_empty() {
            // EC2 may show them a moment later.
            instance.tags = order.tags.clone();
        }
        let now = self.now();
        self.memory().aged(&instance.id, Duration::ZERO, now);
        instance
    }
}

/// EC2 may repeat what it was sent.
fn conceal(words: &mut String, order: &CreateOrder) {
    let secret = order.secret.reveal();
    if secret.len() >= SECRET_CHARS_MIN {
        *words = words.replace(secret, "(secret)");
    }
}

/// What is known to be lacking is not asked for.
fn not_called(where_met: &str, known: Known) -> CloudError {
    let message = format!("not called: {where_met}{}", known.message);
    CloudError::new(known.class, message)
}

/// An answer was lost, and what came then tells nothing about it.
fn still_unknown(then: &CloudError) -> CloudError {
    CloudError::new(
        CloudErrorClass::OutcomeUnknown,
        format!(
            "outcome unknown: an answer was lost, and then: {}",
            then.message
        ),
    )
}
