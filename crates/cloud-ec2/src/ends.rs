//! What the ends of instances tell: why containers were lost, and where not to create the next ones (facts K34).

use std::time::Duration;

use aws_sdk_ec2::types::Instance as Described;
use dispatch_cloud::{EndCause, Ended};
use dispatch_model::{CloudErrorClass, InstanceId};
use tokio::time::Instant;

use crate::{
    account::Account,
    atlas::{self, Kind, Reach},
    describe::{ASKED_AT_MOST, Answer, age, instance, is_gone, launched, wish, zone},
    places::Death,
};

/// EC2 may show that an instance is going before it shows why; the pause before it is asked, then twice as long.
const WHY_PAUSE: Duration = Duration::from_millis(250);

impl Account {
    /// Asks why those are going that were alive and of which a list says so for the first time and not why, so that whoever
    /// cancels what was on them can say it.
    pub(crate) async fn ask_why(&self, gone: &mut [Described], until: Instant) {
        let mut pause = WHY_PAUSE;
        loop {
            let silent = gone.iter_mut().filter(|dead| self.may_still_say_why(dead));
            let silent: Vec<&mut Described> = silent.take(ASKED_AT_MOST).collect();
            if silent.is_empty() || Instant::now() + pause >= until {
                return;
            }
            self.wait(pause).await;
            pause *= 2;
            for dead in silent {
                match self.by_id(&instance(dead).id, until).await {
                    Answer::Shown(found) if is_gone(&found) => *dead = *found,
                    Answer::Shown(_) | Answer::NotKnown => {}
                    Answer::None => return,
                }
            }
        }
    }

    fn may_still_say_why(&self, dead: &Described) -> bool {
        let id = instance(dead).id;
        let is_silent = reason(dead).0.is_empty() && !is_over(dead);
        let memory = self.memory();
        is_silent && memory.has_known(&id) && !memory.is_our_doing(&id) && !memory.was_silent(&id)
    }

    /// Learns from each instance that a list shows as going or gone, once. What ended before this process could know of
    /// it says nothing of what can be had now: EC2 goes on listing it for about an hour.
    pub(crate) fn learn_from_the_dead(&self, gone: &[Described]) {
        for dead in gone {
            let id = instance(dead).id;
            let (code, message) = reason(dead);
            if self.memory().is_our_doing(&id) {
                continue;
            }
            if !self.is_of_this_life(&id, dead) {
                if cause(&code, true) == EndCause::TakenBack && self.memory().is_news(&id) {
                    // Nobody here knows what was on it.
                    tracing::info!(instance = %id, reason = code, "an instance was taken back before this process began: {message}");
                }
                continue;
            }
            if code.is_empty() && !is_over(dead) {
                // EC2 does not say yet why. Nothing more must be started there; the reason is told when it comes.
                if self.memory().is_first_silence(&id) {
                    self.tell(dead, id, EndCause::Other, None, (code, message));
                }
                continue;
            }
            if self.memory().is_news(&id) {
                self.learn_from(dead, id, code, message);
            }
        }
    }

    /// Whether this process has known it alive, or it was launched since this process began.
    fn is_of_this_life(&self, id: &InstanceId, dead: &Described) -> bool {
        self.memory().has_known(id) || age(dead) <= self.now().since(self.opened_at)
    }

    fn learn_from(&self, dead: &Described, id: InstanceId, code: String, message: String) {
        let wish = wish(dead);
        let cause = cause(&code, self.memory().ran(&id));
        let verdict = atlas::judge(Some(&code), 0, &message);
        let group = self.parameters.quota_groups.of(&wish.provider_type);
        let class = atlas::class(verdict, &group, self.now());
        match cause {
            // By hand, or by an earlier dispatcher.
            EndCause::Other => {
                tracing::info!(instance = %id, reason = code, "an instance has ended: {message}");
            }
            EndCause::TakenBack | EndCause::NeverBegan => {
                tracing::warn!(
                    instance = %id,
                    provider_type = %wish.provider_type,
                    spot = wish.preemptible,
                    reason = code,
                    "an instance has ended by itself: {message}"
                );
                // An instance that was taken back has run well, but where it was there may be a lack now.
                let local = verdict.reach.is_local() && verdict.kind == Kind::Capacity;
                let reach: Option<Reach> = local.then_some(verdict.reach);
                let why = atlas::words("instance", &code, verdict, &message);
                let death = Death {
                    subnet: dead.subnet_id.as_deref(),
                    zone: &zone(dead).unwrap_or_default(),
                    reach,
                    launched: (cause == EndCause::NeverBegan).then(|| launched(dead)),
                    class: class.clone(),
                    why: &why,
                };
                self.places().died(&wish, &death, self.now());
            }
        }
        let reaches_far = cause == EndCause::NeverBegan && !verdict.reach.is_local();
        let class = reaches_far.then_some(class);
        let message = match (code.is_empty(), message.is_empty()) {
            (true, true) => "EC2 gives no reason".to_owned(),
            _ => message,
        };
        self.tell(dead, id, cause, class, (code, message));
    }

    /// For the pool, when it asks.
    fn tell(
        &self,
        dead: &Described,
        id: InstanceId,
        cause: EndCause,
        class: Option<CloudErrorClass>,
        (code, message): (String, String),
    ) {
        let wish = wish(dead);
        self.memory().ended(Ended {
            id,
            provider_type: wish.provider_type,
            preemptible: wish.preemptible,
            cause,
            code,
            message,
            class,
        });
    }
}

/// EC2's code and words for why.
fn reason(dead: &Described) -> (String, String) {
    let reason = dead.state_reason.as_ref();
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    (
        text(reason.and_then(|reason| reason.code.as_ref())),
        text(reason.and_then(|reason| reason.message.as_ref())),
    )
}

fn is_over(dead: &Described) -> bool {
    let state = dead.state.as_ref().and_then(|state| state.name.as_ref());
    state == Some(&aws_sdk_ec2::types::InstanceStateName::Terminated)
}

/// By the codes of StateReason that EC2 documents; one that nobody knows is no failure to launch if it has run.
fn cause(code: &str, ran: bool) -> EndCause {
    match atlas::bare(code) {
        "SpotInstanceTermination" | "SpotInstanceShutdown" => EndCause::TakenBack,
        ""
        | "UserInitiatedShutdown"
        | "InstanceInitiatedShutdown"
        | "ScheduledStop"
        | "UserInitiatedHibernate"
        | "InstanceTerminated" => EndCause::Other,
        _ if ran => EndCause::Other,
        _ => EndCause::NeverBegan,
    }
}
