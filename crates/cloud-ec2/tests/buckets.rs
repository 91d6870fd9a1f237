//! Against EC2's documented buckets of calls, with time scaled: how fast a fleet grows, and how many calls are
//! throttled. By itself, since it measures.

use std::{collections::BTreeMap, io::Write as _, sync::Arc, time::Duration};

use dispatch_cloud::{Clock, CloudError, CreateOrder, Driver as _, DriverContext, InstanceSet};
use dispatch_cloud_ec2::Ec2Driver;
use dispatch_lab_net::{
    Ec2Api, Ec2Settings, Lab, Subnet,
    world::{Settings, Span, settings::InstanceType as LabType},
};
use dispatch_model::{CloudErrorClass, Gpu, InstanceSecret, InstanceType, Time};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

/// Time runs so many times faster.
const FASTER: f64 = 10.0;
const INSTANCES: usize = 500;
/// Creates under way or waiting at a time, as the pool has them.
const AT_A_TIME: usize = 20;

/// It is measured so often, until it is within the limits: a machine that is busy with other things stalls calls, which
/// can only make it slower.
const MEASUREMENTS: usize = 3;

/// What came of it: seconds by the scaled clock, calls, and throttled calls.
struct Growth {
    secs: f64,
    calls: u64,
    throttled: u64,
}

impl Growth {
    fn check(&self, secs_max: f64) -> Result<(), String> {
        let Growth {
            secs,
            calls,
            throttled,
        } = self;
        let words = format!(
            "{INSTANCES} instances in {secs:.0} s, {throttled} of {calls} calls throttled\n"
        );
        // For whoever runs the test; nobody can be told if standard error is closed.
        let _ = std::io::stderr().write_all(words.as_bytes());
        if *secs > secs_max {
            return Err(format!("{secs} s instead of {secs_max}"));
        }
        if throttled * 20 > *calls {
            return Err(format!("{throttled} of {calls} throttled"));
        }
        Ok(())
    }
}

/// Grows a fleet from nothing while another client takes this share of the account's rate.
async fn growth(taken_by_others: f64) -> Growth {
    let mut world = Settings::default();
    world.vm.port = 0;
    let cloud = &mut world.cloud;
    for latency in [
        &mut cloud.create_latency_ms,
        &mut cloud.list_latency_ms,
        &mut cloud.address_ms,
    ] {
        *latency = Span::between(0, 2);
    }
    world.instance_types = vec![LabType {
        name: "small".into(),
        provider_type: "m5.small".into(),
        vcpus: 1,
        ram: 1 << 30,
        scratch: 1 << 30,
        price: 0.1,
        preemptible: false,
        gpus: 0,
    }];
    let lab = Lab::new(5, world).start().await.expect("a lab");
    let settings = Ec2Settings {
        subnets: vec![Subnet::new("subnet-a1", "lab-1a")],
        bucket_speed: Some(FASTER),
        taken_by_others,
        ..Ec2Settings::default()
    };
    let ec2: Ec2Api = lab.serve_ec2(settings).await.expect("an EC2 API");
    let began = Instant::now();
    let clock = Clock::new(move || Time::ZERO + began.elapsed().mul_f64(FASTER));
    let context = DriverContext {
        instance_set_id: "buckets".to_owned(),
        tag_key_prefix: "Arvados".to_owned(),
        image_id: "ami-lab".to_owned(),
        public_key: Some(lab.public_key().to_owned()),
        clock: clock.clone(),
    };
    let parameters = json!({
        "Region": "us-east-1", "AccessKeyID": "AKIAFORTESTS", "SecretAccessKey": "not-a-secret",
        "SubnetID": "subnet-a1",
    });
    let set = Ec2Driver::at(ec2.url())
        .in_haste(FASTER)
        .open(&parameters, context)
        .await
        .expect("an account");
    // Keys and zones are looked up once, before the clock counts.
    set.create(order(INSTANCES)).await.expect("an instance");
    let start = clock.now();
    let mut creates = JoinSet::new();
    for n in 0..INSTANCES {
        if creates.len() >= AT_A_TIME {
            creates
                .join_next()
                .await
                .expect("one")
                .expect("an instance");
        }
        creates.spawn(create(Arc::clone(&set), clock.clone(), n));
    }
    while let Some(created) = creates.join_next().await {
        created.expect("an instance");
    }
    let (calls, throttled) = ec2.calls()["RunInstances"];
    let growth = Growth {
        secs: clock.now().since(start).as_secs_f64(),
        calls,
        throttled,
    };
    shrink(&set, &clock, &ec2).await;
    growth
}

/// Ends everything as the pool does, and checks that this keeps to the buckets as well.
async fn shrink(set: &Arc<dyn InstanceSet>, clock: &Clock, ec2: &Ec2Api) {
    let ours = [("ArvadosInstanceSetID".to_owned(), "buckets".to_owned())].into();
    let all = set.list(&ours).await.expect("a list");
    assert!(all.len() > INSTANCES, "{}", all.len());
    let mut ends = JoinSet::new();
    for instance in all {
        let (set, clock) = (Arc::clone(set), clock.clone());
        ends.spawn(async move {
            while let Err(error) = set.destroy(&instance.id).await {
                wait_for(error, &clock).await;
            }
        });
    }
    while let Some(ended) = ends.join_next().await {
        ended.expect("an end");
    }
    let (calls, throttled) = ec2.calls()["TerminateInstances"];
    assert!(
        throttled * 20 <= calls,
        "{throttled} of {calls} ends throttled"
    );
    assert_eq!(set.list(&ours).await.expect("a list"), []);
}

/// Orders one instance as the pool does: told until when the rate forbids it, it waits so long.
async fn create(set: Arc<dyn InstanceSet>, clock: Clock, n: usize) {
    loop {
        let error = match set.create(order(n)).await {
            Ok(_) => return,
            Err(error) => error,
        };
        wait_for(error, &clock).await;
    }
}

/// Waits until the rate lets a call through again.
async fn wait_for(error: CloudError, clock: &Clock) {
    let CloudErrorClass::RateLimited(until) = error.class else {
        panic!("{error}");
    };
    let wait = until.since(clock.now()).max(Duration::from_millis(1));
    tokio::time::sleep(wait.div_f64(FASTER)).await;
}

fn order(n: usize) -> CreateOrder {
    let secret = format!("secret {n}");
    let tags: BTreeMap<String, String> = [
        ("ArvadosInstanceSetID", "buckets"),
        ("ArvadosInstanceSecret", &secret),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    CreateOrder {
        instance_type: InstanceType {
            name: "small".into(),
            provider_type: "m5.small".to_owned(),
            vcpus: 1,
            ram_bytes: 1 << 30,
            included_scratch_bytes: 1 << 30,
            added_scratch_bytes: 0,
            price: 0.1,
            preemptible: false,
            gpu: Gpu::default(),
        },
        image_id: "ami-lab".to_owned(),
        tags,
        init_script: String::new(),
        secret: InstanceSecret::new(secret),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_grows_as_fast_as_the_documented_buckets_allow() {
    let mut last = Ok(());
    for _ in 0..MEASUREMENTS {
        let (alone, shared) = tokio::join!(growth(0.0), growth(0.5));
        last = alone.check(260.0).and(shared.check(550.0));
        if last.is_ok() {
            return;
        }
    }
    last.expect("a measurement within the limits");
}
