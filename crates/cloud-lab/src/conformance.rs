//! The driver's conformance, against the lab's real service.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dispatch_cloud::{Clock, CreateOrder, Driver as _, DriverContext, Tags};
use dispatch_cloud_conformance::{Fault, Hooks};
use dispatch_lab_net::{
    Lab, LabHandle,
    world::{Settings, Span},
};
use dispatch_model::{Gpu, InstanceId, InstanceSecret, InstanceType};
use serde_json::{Value, json};

use crate::LabDriver;

/// The lab, quick and as inconvenient as real clouds: lists are late, tags in them are old.
struct InLab(LabHandle);

impl InLab {
    async fn start() -> InLab {
        let mut settings = Settings::default();
        settings.vm.port = 0;
        let quick = Span::between(1, 5);
        let cloud = &mut settings.cloud;
        for latency in [
            &mut cloud.create_latency_ms,
            &mut cloud.list_latency_ms,
            &mut cloud.tags_latency_ms,
            &mut cloud.destroy_latency_ms,
        ] {
            *latency = quick;
        }
        cloud.fresh_missing_ms = Span::between(0, 30);
        cloud.gone_listed_ms = Span::between(0, 30);
        cloud.tags_stale_ms = 20;
        cloud.bystanders = 2;
        InLab(Lab::new(7, settings).start().await.expect("a lab"))
    }

    fn set(&self, patch: &Value) {
        let result = self.0.world(|world, _| world.set(patch).map(|_| ()));
        result.expect("a setting of the lab");
    }

    fn context(&self) -> DriverContext {
        DriverContext {
            instance_set_id: "conformance".to_owned(),
            tag_key_prefix: self.tag_key_prefix(),
            image_id: "lab-image".to_owned(),
            public_key: Some(self.0.public_key().to_owned()),
            clock: Clock::start(),
            gate: dispatch_cloud::Gate::open(),
        }
    }
}

#[async_trait]
impl Hooks for InLab {
    fn run_id(&self) -> String {
        "lab".to_owned()
    }

    fn order(&self, tags: Tags, secret: InstanceSecret) -> CreateOrder {
        CreateOrder {
            instance_type: InstanceType {
                name: "type1".into(),
                provider_type: "lab.1".to_owned(),
                image: None,
                vcpus: 1,
                ram_bytes: 1 << 30,
                included_scratch_bytes: 1 << 30,
                added_scratch_bytes: 0,
                price: 0.123,
                preemptible: false,
                gpu: Gpu::default(),
            },
            image_id: "lab-image".to_owned(),
            tags,
            init_script: "#!/bin/sh\n".to_owned(),
            secret,
        }
    }

    fn unknown_id(&self) -> InstanceId {
        "i-00000000deadbeef/..".into()
    }

    fn instances_max(&self) -> Option<usize> {
        None
    }

    fn knows_repeated_creates(&self) -> Result<(), String> {
        Ok(())
    }

    async fn arrange(&self, fault: Fault) -> Result<(), String> {
        self.set(&match fault {
            Fault::Quota => json!({"cloud": {"quota_max_instances": 0}}),
            Fault::CapacityOfType => json!({"cloud": {"capacity": {"lab.1": 0}}}),
            Fault::CapacityOfGroup => json!({"cloud": {"group_capacity": {"lab": 0}}}),
            Fault::RateLimit => json!({"cloud": {"min_ms_between_creates": 3_600_000}}),
            Fault::Refusal => json!({"cloud": {"refuse_creates": "the image is wrong"}}),
            Fault::Passing => json!({"cloud": {"error_rate_create": 1.0}}),
            Fault::LostAnswer => json!({"cloud": {"lost_create_rate": 1.0}}),
        });
        Ok(())
    }

    async fn settle(&self) {
        self.set(&json!({"cloud": {
            "quota_max_instances": null,
            "capacity": {"lab.1": 1000},
            "group_capacity": {"lab": 1000},
            "min_ms_between_creates": 0,
            "refuse_creates": null,
            "error_rate_create": 0.0,
            "lost_create_rate": 0.0,
        }}));
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn look_every(&self) -> Duration {
        Duration::from_millis(10)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_keeps_to_the_contract() {
    let lab = InLab::start().await;
    let parameters = json!({ "Endpoint": lab.0.cloud_url() });
    let set = LabDriver
        .open(&parameters, lab.context())
        .await
        .expect("a set");
    let report = dispatch_cloud_conformance::run(Arc::clone(&set), &lab).await;
    assert_eq!(report.failed, [], "{report}");
    let names: Vec<&str> = report.cannot_show.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["beyond_the_limit_a_create_meets_the_quota"]);
    let left = set.list(&Tags::new()).await.expect("a list");
    assert_eq!(left.len(), 2, "the bystanders alone are left: {left:?}");
}
