//! The wrappers, around a driver that records what reaches it, under virtual time.

use std::sync::Mutex;

use dispatch_model::{Gpu, InstanceSecret, InstanceType};
use expect_test::expect;

use super::*;

/// Answers everything at once with what it was given, except for calls on "i-slow", slow types and slow tags.
#[derive(Default)]
struct Recording {
    rows: Vec<Instance>,
    orders: Mutex<Vec<CreateOrder>>,
    refusal: Option<CloudError>,
    silent: bool,
}

impl Recording {
    async fn answer<T>(&self, value: T) -> Result<T, CloudError> {
        if self.silent {
            std::future::pending::<()>().await;
        }
        self.refusal.clone().map_or(Ok(value), Err)
    }
}

#[async_trait]
impl InstanceSet for Recording {
    async fn create(&self, order: CreateOrder) -> Result<Instance, CloudError> {
        let made = instance("i-new", &[]);
        self.orders.lock().expect("no panic").push(order);
        self.answer(made).await
    }

    async fn list(&self, _: &Tags) -> Result<Vec<Instance>, CloudError> {
        self.answer(self.rows.clone()).await
    }

    async fn set_tags(&self, _: &InstanceId, _: &Tags) -> Result<(), CloudError> {
        self.answer(()).await
    }

    async fn destroy(&self, _: &InstanceId) -> Result<(), CloudError> {
        self.answer(()).await
    }

    fn remote_user(&self) -> String {
        "crunch".to_owned()
    }
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn instance(id: &str, pairs: &[(&str, &str)]) -> Instance {
    Instance {
        id: id.into(),
        address: String::new(),
        provider_type: "m5".to_owned(),
        tags: tags(pairs),
    }
}

fn order(pairs: &[(&str, &str)]) -> CreateOrder {
    CreateOrder {
        instance_type: InstanceType {
            name: "small".into(),
            provider_type: "m5".to_owned(),
            image: None,
            vcpus: 1,
            ram_bytes: 1 << 30,
            included_scratch_bytes: 0,
            added_scratch_bytes: 0,
            price: 0.1,
            preemptible: false,
            gpu: Gpu::default(),
        },
        image_id: String::new(),
        tags: tags(pairs),
        init_script: String::new(),
        secret: InstanceSecret::new("s"),
    }
}

/// The set, wrapped, and what its observer was told.
fn wrapped(
    set: &Arc<Recording>,
    ops_per_second: Option<u32>,
) -> (Wrapped, Arc<Mutex<Vec<String>>>) {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let teller = Arc::clone(&told);
    let observer = move |operation: Operation, error: Option<&CloudError>, took: Duration| {
        let line = format!(
            "{} {:?} {} ms",
            operation.name(),
            error.map(|error| error.class.clone()),
            took.as_millis()
        );
        teller.lock().expect("no panic").push(line);
    };
    let settings = WrapSettings {
        ops_per_second,
        resource_tags: tags(&[("owner", "us"), ("ArvadosIdleBehavior", "nonsense")]),
        observer: Arc::new(observer),
    };
    (Wrapped::new(Arc::clone(set) as _, settings), told)
}

const WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn resource_tags_go_beneath_the_orders_own() {
    let set = Arc::new(Recording::default());
    let (wrapped, _) = wrapped(&set, None);
    let created = wrapped
        .create(order(&[("ArvadosIdleBehavior", "run")]))
        .await;
    assert_eq!(created.expect("an instance").id.as_str(), "i-new");
    let orders = set.orders.lock().expect("no panic");
    assert_eq!(
        orders[0].tags,
        tags(&[("ArvadosIdleBehavior", "run"), ("owner", "us")])
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_holds_only_what_was_asked_for_and_each_instance_once() {
    let set = Arc::new(Recording {
        rows: vec![
            instance("i-2", &[("Set", "ours"), ("x", "y")]),
            instance("i-3", &[("Set", "theirs")]),
            instance("i-1", &[("Set", "ours")]),
            instance("i-4", &[]),
            instance("i-2", &[("Set", "ours"), ("x", "z")]),
        ],
        ..Recording::default()
    });
    let (wrapped, _) = wrapped(&set, None);
    let rows = wrapped
        .list(&tags(&[("Set", "ours")]))
        .await
        .expect("a list");
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["i-1", "i-2"]);
}

#[tokio::test(start_paused = true)]
async fn every_call_that_was_sent_is_told_with_its_error() {
    let set = Arc::new(Recording {
        refusal: Some(CloudError::new(CloudErrorClass::Quota, "no more")),
        ..Recording::default()
    });
    let (wrapped, told) = wrapped(&set, None);
    let id = InstanceId::from("i-1");
    assert!(wrapped.create(order(&[])).await.is_err());
    assert!(wrapped.list(&Tags::new()).await.is_err());
    assert!(wrapped.set_tags(&id, &tags(&[("a", "b")])).await.is_err());
    assert!(wrapped.destroy(&id).await.is_err());
    assert!(
        wrapped.set_tags(&id, &Tags::new()).await.is_ok(),
        "nothing to send"
    );
    expect![[r#"
        Create Some(Quota) 0 ms
        List Some(Quota) 0 ms
        SetTags Some(Quota) 0 ms
        Destroy Some(Quota) 0 ms"#]]
    .assert_eq(&told.lock().expect("no panic").join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_cloud_leaves_a_create_in_doubt_and_the_rest_to_be_repeated() {
    let set = Arc::new(Recording {
        silent: true,
        ..Recording::default()
    });
    let (wrapped, told) = wrapped(&set, None);
    let id = InstanceId::from("i-1");
    let classes = [
        wrapped
            .create_within(order(&[]), WITHIN)
            .await
            .expect_err("silence")
            .class,
        wrapped
            .list_within(&Tags::new(), WITHIN)
            .await
            .expect_err("silence")
            .class,
        wrapped
            .set_tags_within(&id, &tags(&[("a", "b")]), WITHIN)
            .await
            .expect_err("silence")
            .class,
        wrapped
            .destroy_within(&id, WITHIN)
            .await
            .expect_err("silence")
            .class,
    ];
    expect!["[OutcomeUnknown, Transient, Transient, Transient]"].assert_eq(&format!("{classes:?}"));
    expect![[r#"
        Create Some(OutcomeUnknown) 5000 ms
        List Some(Transient) 5000 ms
        SetTags Some(Transient) 5000 ms
        Destroy Some(Transient) 5000 ms"#]]
    .assert_eq(&told.lock().expect("no panic").join("\n"));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_rate_limit_is_part_of_the_deadline() {
    let set = Arc::new(Recording {
        silent: true,
        ..Recording::default()
    });
    let (wrapped, told) = wrapped(&set, Some(1));
    let began = Instant::now();
    let id = InstanceId::from("i-1");
    let (first, second) = tokio::join!(
        wrapped.destroy_within(&id, WITHIN),
        wrapped.destroy_within(&id, WITHIN),
    );
    assert!(first.is_err() && second.is_err());
    assert_eq!(began.elapsed(), WITHIN);
    expect![[r#"
        Destroy Some(Transient) 5000 ms
        Destroy Some(Transient) 4000 ms"#]]
    .assert_eq(&told.lock().expect("no panic").join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_turn_in_half_its_time_leaves_the_queue_and_was_not_sent() {
    let set = Arc::new(Recording::default());
    let (wrapped, told) = wrapped(&set, Some(1));
    let began = Instant::now();
    let id = InstanceId::from("i-1");
    let destroys =
        futures_util::future::join_all((0..700).map(|_| wrapped.destroy_within(&id, WITHIN)));
    let late_create = async {
        tokio::task::yield_now().await;
        wrapped.create_within(order(&[]), WITHIN).await
    };
    let (destroyed, created) = tokio::join!(destroys, late_create);
    let error = created.expect_err("no turn");
    assert_eq!(error.class, CloudErrorClass::Transient);
    assert!(error.message.contains("MaxCloudOpsPerSecond"), "{error}");
    assert!(set.orders.lock().expect("no panic").is_empty());
    let n_destroyed = destroyed.iter().filter(|result| result.is_ok()).count();
    assert_eq!((n_destroyed, told.lock().expect("no panic").len()), (3, 3));
    assert_eq!(began.elapsed(), WITHIN / 2);
    // Nobody is left in the queue: the next goes at once when its second has come.
    assert!(wrapped.destroy_within(&id, WITHIN).await.is_ok());
    assert_eq!(began.elapsed(), Duration::from_secs(3));
}
