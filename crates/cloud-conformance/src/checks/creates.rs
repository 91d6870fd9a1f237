//! Several creates: at the same time, repeated, and more than there may be.

use std::collections::BTreeSet;

use dispatch_model::{CloudErrorClass, InstanceId};
use futures_util::future::join_all;

use super::{Bench, Outcome, Shortfall, ensure, fail};

/// How many instances a check wants at most.
const SEVERAL: usize = 4;

pub(super) async fn creates_at_the_same_time_make_different_instances(
    bench: &Bench<'_>,
) -> Outcome {
    let count = bench.hooks.instances_max().unwrap_or(SEVERAL).min(SEVERAL);
    if count < 2 {
        return Err(Shortfall::CannotShow(
            "there can be only one instance".to_owned(),
        ));
    }
    let mut ids: BTreeSet<InstanceId> = BTreeSet::new();
    for result in join_all((0..count).map(|_| bench.create())).await {
        ids.insert(result?.id);
    }
    ensure(ids.len() == count, || {
        format!("{count} creates were answered with {} instances", ids.len())
    })?;
    bench
        .until("all of them are listed", |rows| {
            ids.iter().all(|id| rows.iter().any(|row| row.id == *id))
        })
        .await
        .map(|_| ())
}

pub(super) async fn a_repeated_create_makes_no_second_instance(bench: &Bench<'_>) -> Outcome {
    bench
        .hooks
        .knows_repeated_creates()
        .map_err(Shortfall::CannotShow)?;
    let secret = bench.fresh_secret();
    let mut ids: BTreeSet<InstanceId> = BTreeSet::new();
    for _ in 0..2 {
        let made = bench.create_from(bench.order(&secret)).await;
        let made = made.map_err(|error| Shortfall::Failed(format!("create: {error}")))?;
        ids.insert(made.id);
    }
    ensure(ids.len() == 1, || format!("one order made {ids:?}"))
}

pub(super) async fn beyond_the_limit_a_create_meets_the_quota(bench: &Bench<'_>) -> Outcome {
    let limit = match bench.hooks.instances_max() {
        Some(limit) if limit <= SEVERAL => limit,
        _ => {
            return Err(Shortfall::CannotShow(
                "the limit is out of reach".to_owned(),
            ));
        }
    };
    let mut last = None;
    for _ in 0..limit {
        last = Some(bench.create().await?.id);
    }
    let refused = bench.create_from(bench.order(&bench.fresh_secret())).await;
    match refused {
        Ok(made) => {
            return fail(format!(
                "{} was created beyond the limit of {limit}",
                made.id
            ));
        }
        Err(error) => ensure(error.class == CloudErrorClass::Quota, || {
            format!("the refusal has the class {:?}: {error}", error.class)
        })?,
    }
    if let Some(id) = last {
        bench.destroy(&id).await?;
        bench.until_gone(&id).await?;
        bench.create().await?;
    }
    Ok(())
}
