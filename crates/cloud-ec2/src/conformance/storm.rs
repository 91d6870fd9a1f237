//! Many creates whose answers are lost, that are carried out late, that fail although they were carried out, and whose
//! repetitions are refused or meet lacks that pass; over three subnets in two zones, with lists that lag behind. A pool
//! orders them as the dispatcher's does: with another secret after each failure that is told for certain, and after an
//! unknown outcome once a list has had time to show what came of it. No order makes two instances, and none is alive
//! that nobody looks after.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dispatch_cloud::Instance;
use dispatch_lab_net::world::Span;
use dispatch_model::CloudErrorClass;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::stage::{MUTANT, PATIENCE, Setup, Stage};
use crate::mutants::Mutant;

const SEEDS: u64 = 200;
const CREATES: usize = 50;
/// A wrong driver must fail in one of so many.
const STORMS_MAX: u64 = 40;
/// So many labs at a time.
const AT_A_TIME: u64 = 10;
/// How long a fresh instance may be missing from lists, ms.
const LAG_MS: u64 = 50;
/// How much later a create may be carried out: later than the last of its repetitions, ms.
const LATE_MS: u64 = 120;
/// An order of unknown outcome is given up when a list that was asked for so much later does not show it.
const GRACE: Duration = Duration::from_millis(LATE_MS + 2 * LAG_MS);
/// The first subnet has addresses for so many, or for none, by turns.
const FREE: usize = 10;
const EBB: Duration = Duration::from_millis(15);
/// Orders for one instance; more means that the driver never gets there.
const ORDERS_MAX: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_creates_no_order_makes_two_instances_and_none_is_unmonitored() {
    let (mut n_lost, mut n_orders, mut n_given_up) = (0, 0, 0);
    for first in (0..SEEDS).step_by(AT_A_TIME as usize) {
        let seeds = (first..first + AT_A_TIME).map(|seed| tokio::spawn(one_seed(seed)));
        for seed in seeds.collect::<Vec<_>>() {
            let weathered = seed.await.expect("a seed");
            assert_eq!(weathered.breaches, Vec::<String>::new());
            n_lost += weathered.n_lost;
            n_orders += weathered.n_orders;
            n_given_up += weathered.n_given_up;
        }
    }
    // It was a storm: nearly a third of the calls lost their answers.
    let wanted = SEEDS * CREATES as u64;
    assert!(n_lost > wanted / 4, "{n_lost} lost of {wanted}");
    assert!(
        n_orders > wanted,
        "{n_orders} orders for {wanted} instances"
    );
    // Repetitions settle nearly all of them; otherwise it would be no use.
    assert!(n_given_up < wanted / 5, "{n_given_up} given up of {wanted}");
}

/// The storm would see it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drivers_that_forget_what_may_have_been_made_are_found_out_by_the_storm() {
    for (mutant, breach) in [
        (Mutant::NoToken, "has made"),
        (Mutant::NextSubnetAfterTimeout, "has made"),
        (Mutant::AnyRefusalSettles, "was told as not made"),
        (Mutant::LackSettlesAtOnce, "was told as not made"),
        (Mutant::FaultIsRefusal, "was told as not made"),
    ] {
        let mut found = false;
        for seed in 0..STORMS_MAX {
            let weathered = MUTANT.scope(mutant, one_seed(seed)).await;
            found |= weathered
                .breaches
                .iter()
                .any(|words| words.contains(breach));
            if found {
                break;
            }
        }
        assert!(found, "{mutant:?} weathers {STORMS_MAX} storms");
    }
}

/// What one storm left behind.
struct Weathered {
    n_lost: u64,
    n_orders: u64,
    n_given_up: u64,
    breaches: Vec<String>,
}

/// The orders by what is known of them.
#[derive(Default)]
struct Orders {
    sent: BTreeSet<String>,
    /// By the instance that they were answered with, or that a list has shown.
    made: BTreeMap<String, String>,
    told_as_not_made: BTreeSet<String>,
    given_up: BTreeSet<String>,
}

async fn one_seed(seed: u64) -> Weathered {
    let setup = Setup {
        seed,
        haste: 20.0,
        world: |settings| settings.cloud.fresh_missing_ms = Span::between(0, LAG_MS),
        ..Setup::default()
    };
    let setup = setup.ec2(|s| {
        s.lost_rate = 0.3;
        s.late_rate = 0.05;
        s.failed_rate = 0.1;
        s.denied_rate = 0.1;
        s.late_ms = LATE_MS;
        s.limited_rate = 0.1;
        s.subnets[0].free = FREE;
    });
    let stage = setup.start().await;
    let orders = Mutex::<Orders>::default();
    let lists = Lists::default();
    let all = (0..CREATES).map(|n| one_instance(&stage, &lists, &orders, n));
    tokio::select! {
        _ = join_all(all) => {}
        () = lists.keep_asking(&stage) => {}
        () = ebb_and_flow(&stage) => {}
    }
    stage.ec2.set(|s| s.limited_rate = 0.0);
    // Whatever is still under way arrives with the next calls, and every list is complete in the end.
    stage.carried_out().await;
    let alive = stage.alive();
    stage.until_listed(&alive, seed).await;
    let orders = orders.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut by_secret: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, secret) in &alive {
        by_secret.entry(secret).or_default().push(id.as_str());
    }
    let mut breaches = Vec::new();
    for (secret, ids) in by_secret {
        if ids.len() > 1 {
            breaches.push(format!("seed {seed}: {secret} has made {ids:?}"));
        }
        if orders.told_as_not_made.contains(secret) {
            breaches.push(format!(
                "seed {seed}: {secret} was told as not made, and {ids:?} is alive"
            ));
        }
        let made = orders.made.get(secret).map(String::as_str);
        let is_monitored =
            made.is_some_and(|id| ids.contains(&id)) || orders.given_up.contains(secret);
        if !is_monitored && !orders.told_as_not_made.contains(secret) {
            breaches.push(format!(
                "seed {seed}: nobody looks after {ids:?} of {secret}"
            ));
        }
    }
    if orders.made.len() != CREATES {
        let n = orders.made.len();
        breaches.push(format!("seed {seed}: {n} came to be of {CREATES}"));
    }
    Weathered {
        n_lost: stage.ec2.struck()["lost"],
        n_orders: orders.sent.len() as u64,
        n_given_up: orders.given_up.len() as u64,
        breaches,
    }
}

/// What is lacking now is there again a moment later.
async fn ebb_and_flow(stage: &Stage) {
    loop {
        tokio::time::sleep(EBB).await;
        stage.ec2.set(|s| match &mut s.subnets[0].free {
            0 => s.subnets[0].free = FREE,
            free => *free = 0,
        });
    }
}

/// Orders until one is there.
async fn one_instance(stage: &Stage, lists: &Lists, orders: &Mutex<Orders>, n: usize) {
    let orders = || orders.lock().unwrap_or_else(PoisonError::into_inner);
    for turn in 0..ORDERS_MAX {
        let secret = format!("secret-{n}-{turn}");
        orders().sent.insert(secret.clone());
        let made = match stage.create("m5.small", &secret).await {
            Ok(made) => Some(made.id.as_str().to_owned()),
            Err(error) if error.class == CloudErrorClass::OutcomeUnknown => {
                let found = lists.shown_within_grace(&secret).await;
                if found.is_none() {
                    // If it appears later still, it is adopted.
                    orders().given_up.insert(secret.clone());
                }
                found
            }
            Err(_) => {
                orders().told_as_not_made.insert(secret.clone());
                None
            }
        };
        if let Some(id) = made {
            orders().made.insert(secret, id);
            return;
        }
    }
    panic!("{ORDERS_MAX} orders for one instance");
}

/// What the lists show, for all orders together, as the pool asks for them.
#[derive(Default)]
struct Lists {
    n_waiting: AtomicUsize,
    /// When the latest was asked for, and the instances on it by their secrets.
    latest: Mutex<Option<(Instant, BTreeMap<String, String>)>>,
}

impl Lists {
    /// Goes on for ever, while anybody waits.
    async fn keep_asking(&self, stage: &Stage) {
        loop {
            let asked_at = Instant::now();
            let is_wanted = self.n_waiting.load(Ordering::SeqCst) > 0;
            // One that fails shows nothing.
            if is_wanted && let Ok(listed) = stage.list().await {
                let secret = |row: &Instance| row.tags.get("ArvadosInstanceSecret").cloned();
                let rows = listed.iter();
                let shown = rows.filter_map(|row| Some((secret(row)?, row.id.as_str().to_owned())));
                let latest = Some((asked_at, shown.collect()));
                *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = latest;
            }
            tokio::time::sleep(Duration::from_millis(LAG_MS / 2)).await;
        }
    }

    /// When the latest list was asked for, and what it shows of this order.
    fn shown(&self, secret: &str) -> Option<(Instant, Option<String>)> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked_at, shown) = latest.as_ref()?;
        Some((*asked_at, shown.get(secret).cloned()))
    }

    /// What a list shows of this order, if one does that was asked for not later than so long after its create.
    async fn shown_within_grace(&self, secret: &str) -> Option<String> {
        let began = Instant::now();
        self.n_waiting.fetch_add(1, Ordering::SeqCst);
        let found = loop {
            match self.shown(secret) {
                Some((_, Some(id))) => break Some(id),
                Some((at, None)) if at >= began + GRACE => break None,
                _ => {}
            }
            assert!(began.elapsed() < PATIENCE, "lists take too long");
            tokio::time::sleep(Duration::from_millis(LAG_MS / 2)).await;
        };
        self.n_waiting.fetch_sub(1, Ordering::SeqCst);
        found
    }
}
