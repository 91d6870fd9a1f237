//! Many calls at once: pool, wrapper and rate limit together, under virtual time.

use std::sync::Mutex;

use async_trait::async_trait;
use dispatch_cloud::WrapSettings;
use dispatch_worker::{Action, Effects, Event};
use tokio::{sync::mpsc, time::Instant};

use super::*;
use crate::test_pool::{self, SYNC_INTERVAL};

/// How long the cloud takes to answer, and for how long it lists what it has agreed to destroy.
const ANSWERS_IN: Duration = Duration::from_millis(300);
const LINGERS: Duration = Duration::from_secs(30);

/// A cloud with some instances, and until when it will list each.
struct Fake {
    until: Mutex<BTreeMap<InstanceId, Option<Instant>>>,
    n_destroys: Mutex<usize>,
}

#[async_trait]
impl InstanceSet for Fake {
    async fn create(&self, _: CreateOrder) -> Result<Instance, CloudError> {
        unreachable!("nothing is created")
    }

    async fn list(&self, _: &Tags) -> Result<Vec<Instance>, CloudError> {
        tokio::time::sleep(ANSWERS_IN).await;
        let mut instances = self.until.lock().expect("no panic");
        instances.retain(|_, until| until.is_none_or(|at| at > Instant::now()));
        let row = |id: &InstanceId| Instance {
            id: id.clone(),
            address: format!("{id}.example"),
            provider_type: "m.small".to_owned(),
            tags: test_pool::tags(None),
        };
        Ok(instances.keys().map(row).collect())
    }

    async fn set_tags(&self, _: &InstanceId, _: &Tags) -> Result<(), CloudError> {
        Ok(())
    }

    async fn destroy(&self, id: &InstanceId) -> Result<(), CloudError> {
        tokio::time::sleep(ANSWERS_IN).await;
        *self.n_destroys.lock().expect("no panic") += 1;
        if let Some(until) = self.until.lock().expect("no panic").get_mut(id) {
            until.get_or_insert_with(|| Instant::now() + LINGERS);
        }
        Ok(())
    }

    fn remote_user(&self) -> String {
        "crunch".to_owned()
    }
}

/// Obeys the pool's orders to the cloud; of all others there is nothing to be said here.
fn obey(effects: Effects, set: &Arc<Wrapped>, answers: &mpsc::Sender<Event>) {
    for action in effects.actions {
        let (set, answers) = (Arc::clone(set), answers.clone());
        let call = async move {
            let event = match action {
                Action::List { call, within } => {
                    let rows = set.list_within(&Tags::new(), within).await;
                    let rows = rows.map(|rows| rows.into_iter().map(listed).collect());
                    let result = rows.map_err(failure);
                    Event::Listed { call, result }
                }
                Action::Destroy {
                    call,
                    worker,
                    instance,
                    within,
                } => {
                    let result = set.destroy_within(&instance, within).await;
                    let result = result.map_err(failure);
                    Event::Destroyed {
                        call,
                        worker,
                        result,
                    }
                }
                _ => return,
            };
            let _ = answers.send(event).await;
        };
        tokio::spawn(call);
    }
}

/// So many instances are told to go at once, at this rate of calls. All are gone in time, each list comes within
/// SyncInterval of the last, and hardly any destroy is sent twice.
async fn check(n: usize, ops_per_second: Option<u32>, gone_within: Duration) {
    let ids = (0..n).map(|i| (InstanceId::from(format!("i-{i:04}")), None));
    let fake = Arc::new(Fake {
        until: Mutex::new(ids.collect()),
        n_destroys: Mutex::default(),
    });
    let set = Arc::new(Wrapped::new(
        Arc::clone(&fake) as _,
        WrapSettings {
            ops_per_second,
            resource_tags: Tags::new(),
            observer: Arc::new(|_, _: Option<&CloudError>, _| {}),
        },
    ));
    let (answers, mut answered) = mpsc::channel(10_000);
    let mut pool = test_pool::pool(ops_per_second);
    let began = Instant::now();
    let mut last_list = began;
    let mut event = Event::Tick;
    loop {
        let is_list = matches!(&event, Event::Listed { result: Ok(_), .. });
        let is_first = is_list && !pool.snapshot().surveyed;
        obey(pool.handle(event, test_pool::since(began)), &set, &answers);
        if is_list {
            let apart = last_list.elapsed();
            assert!(
                apart <= SYNC_INTERVAL + 5 * ANSWERS_IN,
                "no list for {apart:?}"
            );
            last_list = Instant::now();
        }
        if is_first {
            let workers: Vec<_> = pool.snapshot().workers.keys().copied().collect();
            assert_eq!(workers.len(), n);
            for worker in workers {
                let reason = "test".to_owned();
                let kill = Event::KillInstance { worker, reason };
                obey(pool.handle(kill, test_pool::since(began)), &set, &answers);
            }
        } else if pool.snapshot().surveyed && pool.snapshot().workers.is_empty() {
            break;
        }
        let left = pool.snapshot().workers.len();
        assert!(began.elapsed() <= gone_within, "{left} of {n} are left");
        let due = began + Duration::from_millis(pool.deadline().expect("lists go on").millis());
        event = tokio::select! {
            biased;
            Some(event) = answered.recv() => event,
            () = tokio::time::sleep_until(due) => Event::Tick,
        };
    }
    // While the cloud goes on listing an instance, it is told again (facts W1).
    let n_destroys = *fake.n_destroys.lock().expect("no panic");
    assert!(n_destroys <= 2 * n, "{n_destroys} calls");
}

#[tokio::test(start_paused = true)]
async fn fifteen_hundred_instances_that_go_at_once_are_gone_in_time_and_lists_go_on_meanwhile() {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    // While they go, a list comes every second or two, which is half of the calls at a rate of one a second.
    check(1500, Some(10), minutes(6)).await;
    check(300, Some(1), minutes(15)).await;
    check(1500, None, minutes(2)).await;
}
