//! Against EC2's documented buckets of calls, with time scaled: how fast a fleet grows, and how many calls are
//! throttled. By itself, since it measures.

use std::{collections::BTreeMap, io::Write as _, sync::Arc, time::Duration};

use dispatch_cloud::{Clock, CloudError, CreateOrder, Driver as _, DriverContext, InstanceSet};
use dispatch_cloud_ec2::Ec2Driver;
use dispatch_lab_net::{
    Ec2Api, Ec2Settings, Lab, Subnet,
    world::{Settings, Span, settings::InstanceType as LabType},
};
use dispatch_model::{CloudErrorClass, Gpu, InstanceId, InstanceSecret, InstanceType, Time};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

/// Time runs so many times faster. It is measured until it is within the limits, at the latest with the slowest of these:
/// a machine that is busy with other things stalls calls, which can only make it slower, and less so if there is more
/// time.
const FASTER: [f64; 3] = [10.0, 5.0, 2.5];
const INSTANCES: usize = 500;
/// Creates under way or waiting at a time, as the pool has them.
const AT_A_TIME: usize = 20;

/// What came of it: seconds by the scaled clock, calls, and throttled calls.
struct Growth {
    secs: f64,
    calls: u64,
    throttled: u64,
    /// Calls, and throttled calls, to end them again.
    ends: (u64, u64),
}

impl Growth {
    fn check(&self, secs_max: f64) -> Result<(), String> {
        let Growth {
            secs,
            calls,
            throttled,
            ends: (ends, ends_throttled),
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
        if ends_throttled * 20 > *ends {
            return Err(format!("{ends_throttled} of {ends} ends throttled"));
        }
        Ok(())
    }
}

/// Grows a fleet from nothing while another client takes this share of the account's rate.
async fn growth(taken_by_others: f64, faster: f64) -> Growth {
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
        bucket_speed: Some(faster),
        taken_by_others,
        ..Ec2Settings::default()
    };
    let ec2: Ec2Api = lab.serve_ec2(settings).await.expect("an EC2 API");
    let began = Instant::now();
    let clock = Clock::new(move || Time::ZERO + began.elapsed().mul_f64(faster));
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
        .in_haste(faster)
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
        let pool = Pool::new(&set, &clock, faster);
        creates.spawn(async move { pool.create(n).await });
    }
    while let Some(created) = creates.join_next().await {
        created.expect("an instance");
    }
    let (calls, throttled) = ec2.calls()["RunInstances"];
    let secs = clock.now().since(start).as_secs_f64();
    Growth {
        secs,
        calls,
        throttled,
        ends: shrink(&Pool::new(&set, &clock, faster), &ec2).await,
    }
}

/// Calls the driver as the pool does.
#[derive(Clone)]
struct Pool {
    set: Arc<dyn InstanceSet>,
    clock: Clock,
    faster: f64,
}

impl Pool {
    fn new(set: &Arc<dyn InstanceSet>, clock: &Clock, faster: f64) -> Pool {
        Pool {
            set: Arc::clone(set),
            clock: clock.clone(),
            faster,
        }
    }

    async fn create(&self, n: usize) {
        while let Err(error) = self.set.create(order(n)).await {
            self.wait_for(error).await;
        }
    }

    async fn destroy(&self, id: &InstanceId) {
        while let Err(error) = self.set.destroy(id).await {
            self.wait_for(error).await;
        }
    }

    /// Waits until the rate lets a call through again; a busy machine may also cut one off.
    async fn wait_for(&self, error: CloudError) {
        let until = match error.class {
            CloudErrorClass::RateLimited(until) => until,
            CloudErrorClass::Transient | CloudErrorClass::OutcomeUnknown => {
                self.clock.now() + Duration::from_secs(1)
            }
            _ => panic!("{error}"),
        };
        let wait = until.since(self.clock.now()).max(Duration::from_millis(1));
        tokio::time::sleep(wait.div_f64(self.faster)).await;
    }
}

/// Ends everything; how many calls that took, and how many of them were throttled.
async fn shrink(pool: &Pool, ec2: &Ec2Api) -> (u64, u64) {
    let ours = [("ArvadosInstanceSetID".to_owned(), "buckets".to_owned())].into();
    let all = pool.set.list(&ours).await.expect("a list");
    assert!(all.len() > INSTANCES, "{}", all.len());
    let mut ends = JoinSet::new();
    for instance in all {
        let pool = pool.clone();
        ends.spawn(async move { pool.destroy(&instance.id).await });
    }
    while let Some(ended) = ends.join_next().await {
        ended.expect("an end");
    }
    assert_eq!(pool.set.list(&ours).await.expect("a list"), []);
    ec2.calls()["TerminateInstances"]
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
            image: None,
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
    for faster in FASTER {
        let (alone, shared) = tokio::join!(growth(0.0, faster), growth(0.5, faster));
        last = alone.check(260.0).and(shared.check(550.0));
        if last.is_ok() {
            return;
        }
    }
    last.expect("a measurement within the limits");
}
