//! Many creates whose answers are lost and that are carried out late, and a process that is killed in between: no order
//! makes two VMs, none escapes the list, and in the end nothing is left.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dispatch_lab_net::world::Span;

use super::stage::{Look, OTHER, SMALL, Setup, Stage};

const SEEDS: u64 = 12;
const CREATES: usize = 12;

pub(super) async fn lost_answers_and_late_successes_leave_nothing_behind() {
    // Most of the time they wait for their garbage to be old enough.
    let seeds = (0..SEEDS).map(|seed| tokio::spawn(one_seed(seed)));
    let mut struck = BTreeSet::new();
    for seed in seeds.collect::<Vec<_>>() {
        struck.extend(seed.await.expect("a seed").into_keys());
    }
    for fault in ["late", "lost", "mistaken"] {
        assert!(struck.contains(fault), "no {fault} answer in {SEEDS} seeds");
    }
}

/// How often each fault has struck.
async fn one_seed(seed: u64) -> BTreeMap<&'static str, u64> {
    let setup = Setup {
        seed,
        world: |settings| settings.cloud.fresh_missing_ms = Span::between(0, 20),
        ..Setup::default()
    };
    let setup = setup.azure(|settings| {
        settings.lost_rate = 0.2;
        settings.late_rate = 0.05;
        settings.mistaken_rate = 0.1;
        settings.unknown_ms = 10;
        settings.reserved_ms = 900;
        settings.failing.insert(
            OTHER.to_owned(),
            ("AllocationFailed".to_owned(), "none left".to_owned()),
        );
    });
    let mut stage = setup.start().await;
    for n in 0..CREATES {
        let size = if n % 4 == 3 { OTHER } else { SMALL };
        // A third of them are cut off in the middle by the death of the process.
        let secret = format!("secret-{seed}-{n}");
        let create = stage.create(size, &secret);
        if n % 3 == 2 {
            let moment = Duration::from_millis((seed * 7 + n as u64 * 3) % 12);
            let _ = tokio::time::timeout(moment, create).await;
            stage.restart();
        } else {
            let _ = create.await;
        }
    }
    stage.azure.set(|settings| {
        settings.lost_rate = 0.0;
        settings.late_rate = 0.0;
        settings.mistaken_rate = 0.0;
    });
    until_empty(&stage, seed).await;
    assert_eq!(stage.nothing_was_made_twice(), Ok(()), "seed {seed}");
    let n_made = stage.azure.creations().len();
    assert!(
        n_made <= CREATES,
        "seed {seed}: {n_made} of {CREATES} orders"
    );
    stage.azure.struck()
}

/// Ends what is listed, and collects garbage, as the dispatcher does, until what is late has come and gone as well.
async fn until_empty(stage: &Stage, seed: u64) {
    let mut look = Look::begin("nothing is left");
    loop {
        for row in stage.list().await.expect("a list") {
            let _ = stage.account.destroy(&row.id).await;
        }
        stage.account.collect().await.expect("a round");
        if stage.left().is_empty() && stage.azure.n_late() == 0 {
            return;
        }
        let again = look.again_after(Duration::from_millis(150)).await;
        assert_eq!(again, Ok(()), "seed {seed}: left {:?}", stage.left());
    }
}
