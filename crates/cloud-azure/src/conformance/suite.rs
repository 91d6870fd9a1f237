//! The suite on the lab: the checks that every driver passes, and this driver's own.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dispatch_cloud::{CreateOrder, InstanceSet, Tags};
use dispatch_cloud_conformance::{Fault, Hooks};
use dispatch_lab_net::{AzureBad, AzureInjection, world::Span};
use dispatch_model::{CapacityScope, CloudErrorClass, InstanceId, InstanceSecret, RefusalScope};

use super::{
    checks::{self, CANNOT},
    creates::until_nothing_is_left,
    role::allowed,
    stage::{FAMILY, PATIENCE, SMALL, Setup, Stage, actions, order, refused},
};
use crate::action::Action;

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
            ..order(SMALL, secret.reveal())
        }
    }

    fn unknown_id(&self) -> InstanceId {
        let places = &self.0.account.parameters.places;
        places.vm("compute-conformance-0000000000000zz").into()
    }

    fn instances_max(&self) -> Option<usize> {
        None
    }

    fn knows_repeated_creates(&self) -> Result<(), String> {
        Ok(())
    }

    async fn arrange(&self, fault: Fault) -> Result<(), String> {
        let exceeding = |what: &str| {
            format!(
                "Operation could not be completed as it results in exceeding approved {what} Cores quota."
            )
        };
        let (bad, times) = match fault {
            Fault::Quota => (
                refused(409, "OperationNotAllowed", &exceeding("Total Regional")),
                1,
            ),
            Fault::CapacityOfType => (refused(409, "SkuNotAvailable", "none left"), 1),
            Fault::CapacityOfGroup => (refused(409, "OperationNotAllowed", &exceeding(FAMILY)), 1),
            Fault::RateLimit => (AzureBad::Throttled(Some("1".to_owned())), 1),
            Fault::Refusal => (refused(404, "ImageNotFound", "there is no such image"), 1),
            Fault::Passing => (refused(500, "InternalExecutionError", "try again"), 1),
            // Every look at it stays without an answer as well.
            Fault::LostAnswer => (AzureBad::Lost, 1),
        };
        self.0.azure.set(|settings| {
            settings.injections =
                vec![AzureInjection::next("PUT", "virtualMachines", bad).times(times)];
            if fault == Fault::LostAnswer {
                let look = AzureInjection::next("GET", "virtualMachines/", AzureBad::Lost);
                settings.injections.push(look.times(2));
            }
        });
        Ok(())
    }

    async fn settle(&self) {
        self.0.azure.set(|settings| settings.injections.clear());
        // The time that was named, by the driver's own clock.
        let not_before = self.0.account.calls.not_before(Action::PutVm);
        self.0.until_time(not_before);
    }

    fn is_right_class(&self, fault: Fault, class: &CloudErrorClass) -> bool {
        match fault {
            Fault::Quota => *class == CloudErrorClass::Quota,
            Fault::CapacityOfType => *class == CloudErrorClass::Capacity(CapacityScope::Type),
            Fault::CapacityOfGroup => {
                *class == CloudErrorClass::Capacity(CapacityScope::QuotaGroup(FAMILY.to_owned()))
            }
            Fault::RateLimit => matches!(class, CloudErrorClass::RateLimited(_)),
            // The image, which every instance needs.
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

/// Everything inconvenient at once: small pages, lists that are late, others' VMs, odd rows, capitals.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_keeps_to_the_contract_on_the_lab() {
    let setup = Setup {
        world: |settings| {
            settings.cloud.fresh_missing_ms = Span::between(0, 30);
            settings.cloud.gone_listed_ms = Span::between(0, 30);
            settings.cloud.tags_stale_ms = 10;
            settings.cloud.bystanders = 2;
        },
        ..Setup::default()
    };
    let setup = setup.azure(|settings| {
        settings.page = 1;
        settings.odd_rows = true;
        settings.capitals = true;
        settings.unknown_ms = 10;
        settings.nic_ms = 5;
    });
    let hooks = InLab(setup.start().await);
    let set: Arc<dyn InstanceSet> = hooks.0.account.clone();
    let mut report = dispatch_cloud_conformance::run(set, &hooks).await;
    // What is listed no more may take a moment to go.
    assert_eq!(until_nothing_is_left(&hooks.0).await, Ok(()));
    drop(hooks);
    checks::run_all(&mut report).await;
    report.tell("azure", "the lab");
    assert_eq!(report.failed, [], "{report}");
    let names: Vec<&str> = report.cannot_show.iter().map(|(name, _)| *name).collect();
    let ours = CANNOT.iter().map(|(name, _)| *name);
    let all = ["beyond_the_limit_a_create_meets_the_quota"].into_iter();
    assert_eq!(names, all.chain(ours).collect::<Vec<_>>());
    assert!(report.passed.len() >= 60, "{}", report.passed.len());
    // Whatever was called needs these permissions, and the role has no others.
    assert_eq!(actions(), allowed());
}
