//! The suite on the lab: the checks that every driver passes, and this driver's own.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dispatch_cloud::{CreateOrder, InstanceSet, Tags};
use dispatch_cloud_conformance::{Fault, Hooks, Report};
use dispatch_lab_net::{Bad, Injection};
use dispatch_model::{CapacityScope, CloudErrorClass, InstanceId, InstanceSecret, RefusalScope};

use super::{
    checks,
    policy::{allowed_actions, document},
    sent::{CALLED, Called, called},
    stage::{PATIENCE, Setup, Stage, order},
};

struct InLab(Stage);

#[async_trait]
impl Hooks for InLab {
    fn run_id(&self) -> String {
        "lab".to_owned()
    }

    fn order(&self, tags: Tags, secret: InstanceSecret) -> CreateOrder {
        CreateOrder {
            tags,
            secret: secret.clone(),
            ..order("m5.small", secret.reveal())
        }
    }

    fn unknown_id(&self) -> InstanceId {
        "i-00000000deadbeef0".into()
    }

    fn instances_max(&self) -> Option<usize> {
        None
    }

    fn knows_repeated_creates(&self) -> Result<(), String> {
        Ok(())
    }

    async fn arrange(&self, fault: Fault) -> Result<(), String> {
        let refused = |status: u16, code: &str| {
            Bad::Refused(status, code.to_owned(), "the lab says so".to_owned())
        };
        let (bad, times) = match fault {
            Fault::Quota => (refused(400, "InstanceLimitExceeded"), 1),
            // In both zones.
            Fault::CapacityOfType => (refused(500, "InsufficientInstanceCapacity"), 2),
            Fault::CapacityOfGroup => (refused(400, "VcpuLimitExceeded"), 1),
            Fault::RateLimit => (refused(503, "RequestLimitExceeded"), 1),
            Fault::Refusal => (refused(400, "InvalidAMIID.NotFound"), 1),
            // A failure of EC2's own would be asked about again: it may have been carried out.
            Fault::Passing => (refused(400, "InvalidKeyPair.NotFound"), 1),
            // Every repetition as well.
            Fault::LostAnswer => (Bad::Lost, 3),
        };
        self.0.ec2.set(|settings| {
            settings.injections = vec![Injection::next("RunInstances", bad).times(times)];
        });
        Ok(())
    }

    async fn settle(&self) {
        // The pace lets the next call through after a second; lacks are remembered for minutes.
        self.0.pass(Duration::from_secs(1200));
    }

    fn is_right_class(&self, fault: Fault, class: &CloudErrorClass) -> bool {
        match fault {
            Fault::Quota => *class == CloudErrorClass::Quota,
            Fault::CapacityOfType => *class == CloudErrorClass::Capacity(CapacityScope::Type),
            Fault::CapacityOfGroup => {
                *class
                    == CloudErrorClass::Capacity(CapacityScope::QuotaGroup("standard".to_owned()))
            }
            Fault::RateLimit => matches!(class, CloudErrorClass::RateLimited(_)),
            Fault::Refusal => *class == CloudErrorClass::RefusedWidely(RefusalScope::Everything),
            Fault::Passing => *class == CloudErrorClass::Transient,
            Fault::LostAnswer => *class == CloudErrorClass::OutcomeUnknown,
        }
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn look_every(&self) -> Duration {
        Duration::from_millis(20)
    }
}

/// The documentation has these numbers, in the row of this cloud.
pub(super) fn is_documented(cloud: &str, report: &Report) {
    let numbers = format!("| {} | {} |", report.passed.len(), report.cannot_show.len());
    let document = document();
    let mut rows = document.lines();
    let row = rows.find(|row| row.starts_with(&format!("| {cloud}")));
    let row = row.expect("a row for this cloud");
    assert!(row.ends_with(&numbers), "{numbers} in {row}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_keeps_to_the_contract_on_the_lab() {
    let setup = Setup {
        world: |settings| {
            settings.cloud.fresh_missing_ms = dispatch_lab_net::world::Span::between(0, 30);
            settings.cloud.gone_listed_ms = dispatch_lab_net::world::Span::between(0, 30);
            settings.cloud.bystanders = 2;
        },
        ..Setup::default()
    };
    let setup = setup.ec2(|settings| {
        settings.page = 1;
        settings.empty_tokens = true;
        settings.reserved_tags = true;
    });
    let hooks = InLab(setup.start().await);
    let set: Arc<dyn InstanceSet> = hooks.0.account.clone();
    let suite = Called::default();
    let run = dispatch_cloud_conformance::run(set, &hooks);
    let mut report = CALLED.scope(Arc::clone(&suite), run).await;
    assert_eq!(hooks.0.alive(), [], "nothing is left");
    assert_eq!(hooks.0.ec2.key_pairs().len(), 1, "one key pair is kept");
    let scoped = |check| CALLED.scope(Arc::clone(&suite), check);
    checks::run_all(&mut report, |check| check.lab, scoped).await;
    report.tell("ec2", "the lab");
    assert_eq!(report.failed, [], "{report}");
    let names: Vec<&str> = report.cannot_show.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "beyond_the_limit_a_create_meets_the_quota",
            "the_clouds_own_fingerprints_are_found",
            "what_has_no_known_price_is_left_out",
            "the_clouds_own_refusals_have_their_class_and_remedy",
        ]
    );
    assert!(report.passed.len() >= 60, "{}", report.passed.len());
    is_documented("the lab's EC2 API", &report);
    assert_eq!(called(&suite), allowed_actions());
}
