//! Against EC2's documented buckets of calls, with time scaled: how fast a fleet grows, is tagged and goes, and how many
//! calls of each operation are throttled; alone, and beside another client that takes half of every bucket unannounced.
//! By itself, since it measures.

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dispatch_cloud::{Clock, CloudError, CreateOrder, Driver as _, DriverContext, InstanceSet};
use dispatch_cloud_ec2::Ec2Driver;
use dispatch_lab_net::{
    Ec2Api, Ec2Settings, Lab, LabHandle, Subnet, actions_of_policy,
    world::{Settings, Span, settings::InstanceType as LabType},
};
use dispatch_model::{CloudErrorClass, Gpu, InstanceId, InstanceSecret, InstanceType, Time};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

/// Time runs so many times faster.
const FASTER: f64 = 20.0;
/// How far the clock may go on between two looks at it, ms of real time: while this process is kept from the processor,
/// it stands still, so that what is measured is the driver and not the machine.
const STEP_MS_MAX: f64 = 4.0;
const INSTANCES: usize = 500;
/// Creates under way or waiting at a time, as the pool has them.
const AT_A_TIME: usize = 20;
/// Seconds between two lists, as the daemon with a quick `SyncInterval` asks for them.
const LIST_EVERY: Duration = Duration::from_secs(5);

/// The time of the measurement.
#[derive(Clone, Default)]
struct Scaled(Arc<AtomicU64>);

impl Scaled {
    /// Goes on until `tasks` ends.
    fn start(tasks: &mut JoinSet<()>) -> Scaled {
        let scaled = Scaled::default();
        let ticking = scaled.clone();
        tasks.spawn(async move {
            let (mut last, mut ms) = (Instant::now(), 0.0);
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let now = Instant::now();
                let passed = now.duration_since(last).as_secs_f64() * 1000.0;
                ms += passed.min(STEP_MS_MAX) * FASTER;
                last = now;
                ticking.0.store(ms as u64, Ordering::SeqCst);
            }
        });
        scaled
    }

    fn ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn clock(&self) -> Clock {
        let scaled = self.clone();
        Clock::new(move || Time::from_millis(scaled.ms()))
    }

    async fn reach(&self, at: Time) {
        while self.ms() < at.millis() {
            let left = Duration::from_millis(at.millis().saturating_sub(self.ms()));
            tokio::time::sleep(left.div_f64(FASTER).max(Duration::from_millis(1))).await;
        }
    }
}

/// What came of it: seconds by the scaled clock until the fleet was there, until all of it was tagged from then on, and
/// until all was gone; calls, and throttled calls, of each operation.
struct Measured {
    grown: f64,
    tagged: f64,
    gone: f64,
    calls: BTreeMap<String, (u64, u64)>,
}

impl Measured {
    fn tell(&self, whose: &str) {
        let mut words = format!(
            "{whose}: {INSTANCES} instances in {:.0} s, tagged in {:.0} s, gone in {:.0} s; calls (throttled):",
            self.grown, self.tagged, self.gone
        );
        for (action, (calls, throttled)) in &self.calls {
            words.push_str(&format!(" {action} {calls} ({throttled})"));
        }
        words.push('\n');
        // For whoever runs the test; nobody can be told if standard error is closed.
        let _ = std::io::stderr().write_all(words.as_bytes());
    }

    #[track_caller]
    fn check(&self, grown: f64, tagged: f64, gone: f64) {
        for (what, secs, secs_max) in [
            ("grown", self.grown, grown),
            ("tagged", self.tagged, tagged),
            ("gone", self.gone, gone),
        ] {
            assert!(secs <= secs_max, "{what} in {secs} s instead of {secs_max}");
        }
        let mut expected = policy();
        // Nothing here is a spot instance.
        expected.retain(|action| action != "DescribeSpotPriceHistory");
        let actions: Vec<&String> = self.calls.keys().collect();
        assert_eq!(actions, expected.iter().collect::<Vec<_>>());
        for (action, (calls, throttled)) in &self.calls {
            assert!(throttled * 20 <= *calls, "{action}: {throttled} of {calls}");
        }
    }
}

/// The actions that the documentation says are needed.
fn policy() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ec2.md");
    let document = std::fs::read_to_string(path).expect("docs/ec2.md");
    actions_of_policy(&document).into_iter().collect()
}

async fn lab() -> LabHandle {
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
    // EC2 goes on listing what has ended.
    cloud.gone_listed_ms = Span::exactly(3_600_000);
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
    Lab::new(5, world).start().await.expect("a lab")
}

/// Grows a fleet from nothing, tags every instance of it, and ends it, listing all the while, beside another client that
/// takes this share of the account's buckets.
async fn measured(taken_by_others: f64) -> Measured {
    let lab = lab().await;
    let settings = Ec2Settings {
        subnets: vec![Subnet::new("subnet-a1", "lab-1a")],
        bucket_speed: Some(FASTER),
        taken_by_others,
        granted: Some(policy().into_iter().collect()),
        ..Ec2Settings::default()
    };
    let ec2: Ec2Api = lab.serve_ec2(settings).await.expect("an EC2 API");
    let mut ticking = JoinSet::new();
    let time = Scaled::start(&mut ticking);
    let of_buckets = time.clone();
    ec2.fill_buckets_by(move || of_buckets.ms());
    let context = DriverContext {
        instance_set_id: "buckets".to_owned(),
        tag_key_prefix: "Arvados".to_owned(),
        image_id: "ami-lab".to_owned(),
        public_key: Some(lab.public_key().to_owned()),
        clock: time.clock(),
        gate: dispatch_cloud::Gate::open(),
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
    let pool = Pool { set, time };
    let secs_since = |start: u64| (pool.time.ms() - start) as f64 / 1000.0;
    let lister = pool.clone();
    ticking.spawn(async move {
        loop {
            lister.list().await;
            let next = Time::from_millis(lister.time.ms()) + LIST_EVERY;
            lister.time.reach(next).await;
        }
    });
    let start = pool.time.ms();
    let mut creates = JoinSet::new();
    let mut made = Vec::new();
    for n in 0..INSTANCES {
        if creates.len() >= AT_A_TIME {
            made.extend(creates.join_next().await);
        }
        creates.spawn(pool.clone().create(n));
    }
    made.extend(creates.join_all().await.into_iter().map(Ok));
    let grown = secs_since(start);
    let start = pool.time.ms();
    let mut tags = JoinSet::new();
    for id in made {
        tags.spawn(pool.clone().tag(id.expect("an instance")));
    }
    tags.join_all().await;
    let tagged = secs_since(start);
    let start = pool.time.ms();
    let all = pool.list().await;
    assert_eq!(all.len(), INSTANCES);
    let mut ends = JoinSet::new();
    for id in all {
        ends.spawn(pool.clone().destroy(id));
    }
    ends.join_all().await;
    let gone = secs_since(start);
    assert_eq!(pool.list().await, []);
    let unfiltered = |form: &BTreeMap<String, String>| {
        form["Action"] == "DescribeInstances" && !form.contains_key("Filter.1.Name")
    };
    assert!(!ec2.forms().iter().any(unfiltered));
    Measured {
        grown,
        tagged,
        gone,
        calls: ec2.calls(),
    }
}

/// Calls the driver as the pool does.
#[derive(Clone)]
struct Pool {
    set: Arc<dyn InstanceSet>,
    time: Scaled,
}

impl Pool {
    async fn create(self, n: usize) -> InstanceId {
        loop {
            match self.set.create(order(n)).await {
                Ok(made) => return made.id,
                Err(error) => self.wait_for(error).await,
            }
        }
    }

    async fn tag(self, id: InstanceId) {
        let tags = [("ArvadosIdleBehavior".to_owned(), "hold".to_owned())].into();
        while let Err(error) = self.set.set_tags(&id, &tags).await {
            self.wait_for(error).await;
        }
    }

    async fn destroy(self, id: InstanceId) {
        while let Err(error) = self.set.destroy(&id).await {
            self.wait_for(error).await;
        }
    }

    async fn list(&self) -> Vec<InstanceId> {
        let ours = [("ArvadosInstanceSetID".to_owned(), "buckets".to_owned())].into();
        loop {
            match self.set.list(&ours).await {
                Ok(listed) => return listed.into_iter().map(|row| row.id).collect(),
                Err(error) => self.wait_for(error).await,
            }
        }
    }

    /// Waits until the rate lets a call through again; a busy machine may also cut one off.
    async fn wait_for(&self, error: CloudError) {
        let now = Time::from_millis(self.time.ms());
        let until = match error.class {
            CloudErrorClass::RateLimited(until) => until,
            CloudErrorClass::Transient | CloudErrorClass::OutcomeUnknown => {
                now + Duration::from_secs(1)
            }
            _ => panic!("{error}"),
        };
        self.time
            .reach(until.max(now + Duration::from_millis(1)))
            .await;
    }
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
async fn a_fleet_grows_is_tagged_and_goes_as_fast_as_the_documented_buckets_allow() {
    let (alone, beside) = tokio::join!(measured(0.0), measured(0.5));
    alone.tell("alone");
    beside.tell("beside another client");
    // 45 tags at once and 45 ends, then what the buckets give, 10 and 5 a second, or half of that: in theory 46 s and
    // 91 s, or twice as long. With a margin, since with scaled time 50 ms of a busy machine are a second.
    alone.check(260.0, 55.0, 110.0);
    beside.check(550.0, 110.0, 215.0);
}
