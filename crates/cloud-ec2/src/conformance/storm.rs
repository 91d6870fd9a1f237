//! Many creates whose answers are lost and that are carried out late, over three subnets in two zones: no order makes
//! two instances, and none escapes the list.

use std::collections::BTreeMap;

use dispatch_lab_net::world::Span;
use dispatch_model::CloudErrorClass;

use super::stage::Setup;

const SEEDS: u64 = 200;
const CREATES: usize = 50;
/// So many labs at a time.
const AT_A_TIME: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_and_late_successes_make_no_duplicates() {
    for first in (0..SEEDS).step_by(AT_A_TIME as usize) {
        let seeds = (first..first + AT_A_TIME).map(|seed| tokio::spawn(one_seed(seed)));
        for seed in seeds.collect::<Vec<_>>() {
            seed.await.expect("a seed");
        }
    }
}

async fn one_seed(seed: u64) {
    let setup = Setup {
        seed,
        haste: 20.0,
        world: |settings| settings.cloud.fresh_missing_ms = Span::between(0, 50),
        ..Setup::default()
    };
    let setup = setup.ec2(|s| {
        s.lost_rate = 0.3;
        s.late_rate = 0.05;
        s.subnets[0].free = 10;
    });
    let stage = std::sync::Arc::new(setup.start().await);
    let creates = (0..CREATES).map(|n| {
        let stage = stage.clone();
        tokio::spawn(async move {
            // The pool repeats an order of unknown outcome only by another order; this is harder.
            for _ in 0..6 {
                match stage.create("m5.small", &format!("secret-{n}")).await {
                    Ok(_) => return,
                    Err(error)
                        if matches!(
                            error.class,
                            // An order that is bound to its subnet may find that full meanwhile.
                            CloudErrorClass::OutcomeUnknown | CloudErrorClass::Capacity(_)
                        ) => {}
                    Err(error) => panic!("seed {seed}: {error}"),
                }
            }
        })
    });
    for create in creates.collect::<Vec<_>>() {
        create.await.expect("a create");
    }
    // Whatever is still under way arrives with the next calls, and every list is complete in the end.
    stage.carried_out().await;
    let mut by_secret: BTreeMap<String, usize> = BTreeMap::new();
    let alive = stage.alive();
    stage.until_listed(&alive, seed).await;
    for (_, secret) in alive {
        *by_secret.entry(secret).or_default() += 1;
    }
    assert!(
        by_secret.values().all(|n| *n == 1),
        "seed {seed}: {by_secret:?}"
    );
    assert!(
        by_secret.len() >= CREATES - 2,
        "seed {seed}: only {} came to be",
        by_secret.len()
    );
}
