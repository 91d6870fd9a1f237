//! One EC2 account in one region: the client, what is remembered between calls, and how every call is made.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use aws_sdk_ec2::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use dispatch_cloud::{CloudError, DriverContext};
use dispatch_model::{CloudErrorClass, Time};

use crate::{
    atlas::{self, Kind, Verdict},
    driver::Manner,
    failure::{self, Failure},
    memory::Memory,
    pace::{self, Pace},
    parameters::Parameters,
    places::Places,
    prices::Prices,
};

/// How long a call waits for its turn; if it would be longer, the caller is told until when.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a create waits while others go before it: at EC2's rate, 240 do. Nothing has gone wrong then, and to be told
/// so again and again would look as if it had. While EC2 throttles, `PATIENCE` counts.
const PATIENCE_IN_LINE: Duration = Duration::from_secs(120);

/// EC2's operations that we use, by their names. EC2 limits the rate of each apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Action {
    RunInstances,
    DescribeInstances,
    TerminateInstances,
    CreateTags,
    DescribeKeyPairs,
    ImportKeyPair,
    DescribeSubnets,
    DescribeSpotPriceHistory,
}

impl Action {
    /// All of them; what the documented IAM policy must allow.
    pub(crate) const ALL: [Action; 8] = [
        Action::RunInstances,
        Action::DescribeInstances,
        Action::TerminateInstances,
        Action::CreateTags,
        Action::DescribeKeyPairs,
        Action::ImportKeyPair,
        Action::DescribeSubnets,
        Action::DescribeSpotPriceHistory,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Action::RunInstances => "RunInstances",
            Action::DescribeInstances => "DescribeInstances",
            Action::TerminateInstances => "TerminateInstances",
            Action::CreateTags => "CreateTags",
            Action::DescribeKeyPairs => "DescribeKeyPairs",
            Action::ImportKeyPair => "ImportKeyPair",
            Action::DescribeSubnets => "DescribeSubnets",
            Action::DescribeSpotPriceHistory => "DescribeSpotPriceHistory",
        }
    }
}

/// The key pair, as far as it is known.
#[derive(Default)]
pub(crate) struct Key {
    pub(crate) name: Option<String>,
    /// Why the last look for it failed.
    pub(crate) failure: Option<CloudError>,
}

/// The account.
pub(crate) struct Account {
    pub(crate) client: Client,
    pub(crate) parameters: Parameters,
    pub(crate) context: DriverContext,
    manner: Manner,
    pub(crate) opened_at: Time,
    paces: BTreeMap<Action, Mutex<Pace>>,
    places: Mutex<Places>,
    prices: Mutex<Prices>,
    memory: Mutex<Memory>,
    /// Our key pair. Held while it is looked for, so that it is looked for once; the guard ends with its scope whatever
    /// happens (facts E4).
    pub(crate) key: tokio::sync::Mutex<Key>,
    /// How many looks for the key pair have failed.
    pub(crate) key_failures: AtomicU64,
    /// Held by the create whose turn is next, in the order in which they came: whoever is behind it has no promise, so
    /// that a rate that goes down counts at once.
    line: tokio::sync::Mutex<()>,
    /// Held while the zones are asked for, so that the creates beside the first wait for them too.
    pub(crate) zones_asked: tokio::sync::Mutex<()>,
    #[cfg(all(test, feature = "cloud-tests"))]
    pub(crate) mutant: Option<crate::mutants::Mutant>,
}

impl Account {
    pub(crate) fn new(
        client: Client,
        parameters: Parameters,
        context: DriverContext,
        manner: Manner,
    ) -> Account {
        let paces = Action::ALL.map(|action| {
            let pace = match action {
                _ if !manner.paced => Pace::reactive(),
                Action::RunInstances => Pace::of(pace::CREATES),
                Action::TerminateInstances => Pace::of(pace::ENDS),
                Action::CreateTags => Pace::of(pace::TAGS),
                _ => Pace::reactive(),
            };
            (action, Mutex::new(pace))
        });
        Account {
            client,
            paces: paces.into(),
            places: Mutex::new(Places::new(parameters.subnets.clone())),
            prices: Mutex::new(Prices::new(parameters.spot_price_interval)),
            memory: Mutex::default(),
            opened_at: context.clock.now(),
            line: tokio::sync::Mutex::default(),
            zones_asked: tokio::sync::Mutex::default(),
            key: tokio::sync::Mutex::default(),
            key_failures: AtomicU64::new(0),
            parameters,
            context,
            manner,
            #[cfg(all(test, feature = "cloud-tests"))]
            mutant: None,
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.context.clock.now()
    }

    pub(crate) fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn prices(&self) -> MutexGuard<'_, Prices> {
        self.prices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one call: waits for its turn, sends it, and keeps the pace by what comes back.
    pub(crate) async fn call<T, E>(
        &self,
        action: Action,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure>
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        self.in_turn(action).await.map_err(Failure::Held)?;
        // The SDK's own limit strikes first, and tells whether the request was sent.
        let answer = tokio::time::timeout(self.manner.answer_within * 2, failure::sent(send)).await;
        let result = match answer {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Unknown("no answer in time".to_owned())),
        };
        match &result {
            Ok(_) => self.pace(action).answered(),
            Err(failure) => match verdict(failure) {
                Some(verdict) if verdict.kind == Kind::Rate => {
                    let wait = match failure {
                        Failure::Said { wait, .. } => *wait,
                        _ => None,
                    };
                    self.pace(action).throttled(wait, self.now());
                }
                Some(_) => self.pace(action).answered(),
                None => {}
            },
        }
        result
    }

    /// Waits for the turn of a call, up to `PATIENCE`, or, while nothing is throttled, in line. `Err`: it will not come
    /// before then.
    async fn in_turn(&self, action: Action) -> Result<(), Time> {
        let stands_in_line = action == Action::RunInstances;
        let patience = match stands_in_line {
            true => PATIENCE_IN_LINE,
            false => PATIENCE,
        };
        let until = self.now() + patience;
        let _first_in_line = match stands_in_line {
            true => {
                let wait = patience.div_f64(self.manner.haste);
                let line = tokio::time::timeout(wait, self.line.lock()).await;
                Some(line.map_err(|_| until)?)
            }
            false => None,
        };
        loop {
            let now = self.now();
            let throttled_until = self.pace(action).not_before();
            if throttled_until > now + PATIENCE {
                return Err(throttled_until);
            }
            let turn = self.pace(action).turn(until.since(now), now)?;
            while self.now() < turn {
                self.wait(turn.since(self.now())).await;
            }
            // Meanwhile another call may have been throttled: then the promise is void.
            if self.pace(action).not_before() <= turn {
                return Ok(());
            }
        }
    }

    /// A failure as the pool understands it. `group`: the quota group of the type asked for.
    pub(crate) fn error(
        &self,
        action: Action,
        failure: &Failure,
        group: &str,
        if_unknown: CloudErrorClass,
    ) -> CloudError {
        let name = action.name();
        match failure {
            Failure::Held(until) => CloudError::new(
                CloudErrorClass::RateLimited(*until),
                format!("{name}: not called: too many calls"),
            ),
            Failure::NotSent(words) => CloudError::new(
                CloudErrorClass::Transient,
                format!(
                    "{name}: not sent: {words}. Remedy: check the network, Region and the endpoint; without \
                     AccessKeyID, the host's role."
                ),
            ),
            Failure::Unknown(words) => {
                CloudError::new(if_unknown, format!("{name}: outcome unknown: {words}"))
            }
            Failure::Said {
                message, status, ..
            } => {
                let Some(verdict) = verdict(failure) else {
                    return CloudError::new(if_unknown, format!("{name}: {message}"));
                };
                let until = self.pace(action).not_before();
                let class = atlas::class(verdict, group, until);
                let code = match failure.code() {
                    "" => format!("HTTP status {status}"),
                    code => code.to_owned(),
                };
                CloudError::new(class, atlas::words(name, &code, verdict, message))
            }
        }
    }

    /// Waits so long by the context's clock.
    pub(crate) async fn wait(&self, pause: Duration) {
        tokio::time::sleep(pause.div_f64(self.manner.haste)).await;
    }

    fn pace(&self, action: Action) -> MutexGuard<'_, Pace> {
        #[cfg(all(test, feature = "cloud-tests"))]
        let action = if self.errs(crate::mutants::Mutant::OnePaceForAll) {
            Action::RunInstances
        } else {
            action
        };
        self.paces[&action]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What EC2's refusal means; `None` if it refused nothing.
pub(crate) fn verdict(failure: &Failure) -> Option<Verdict> {
    match failure {
        Failure::Said {
            code,
            status,
            message,
            ..
        } => Some(atlas::judge(code.as_deref(), *status, message)),
        Failure::Held(_) | Failure::NotSent(_) | Failure::Unknown(_) => None,
    }
}
