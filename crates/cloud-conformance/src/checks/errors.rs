//! The classes of refusals.

use super::{Bench, Fault, Outcome, Shortfall, ensure, fail};

pub(super) async fn a_full_quota_is_told_as_such(bench: &Bench<'_>) -> Outcome {
    meets(bench, Fault::Quota).await
}

pub(super) async fn a_lack_of_one_type_is_told_as_such(bench: &Bench<'_>) -> Outcome {
    meets(bench, Fault::CapacityOfType).await
}

pub(super) async fn a_lack_of_a_group_is_told_as_such(bench: &Bench<'_>) -> Outcome {
    meets(bench, Fault::CapacityOfGroup).await
}

pub(super) async fn a_rate_limit_is_told_as_such(bench: &Bench<'_>) -> Outcome {
    meets(bench, Fault::RateLimit).await
}

pub(super) async fn a_refusal_is_told_as_such(bench: &Bench<'_>) -> Outcome {
    meets(bench, Fault::Refusal).await
}

pub(super) async fn a_passing_fault_is_told_as_such(bench: &Bench<'_>) -> Outcome {
    meets(bench, Fault::Passing).await
}

pub(super) async fn a_lost_answer_leaves_the_outcome_unknown(bench: &Bench<'_>) -> Outcome {
    meets(bench, Fault::LostAnswer).await
}

/// A create that meets the fault is refused in the right class, in words without the secret, and makes nothing, save
/// for the lost answer, whose instance a list finds. The next create is answered well again.
async fn meets(bench: &Bench<'_>, fault: Fault) -> Outcome {
    bench
        .hooks
        .arrange(fault)
        .await
        .map_err(Shortfall::CannotShow)?;
    let secret = bench.fresh_secret();
    let answer = bench.create_from(bench.order(&secret)).await;
    bench.hooks.settle().await;
    let error = match answer {
        Ok(made) => return fail(format!("{} was created in spite of {fault:?}", made.id)),
        Err(error) => error,
    };
    ensure(bench.hooks.is_right_class(fault, &error.class), || {
        format!("{fault:?} has the class {:?}: {error}", error.class)
    })?;
    ensure(!error.message.contains(secret.reveal()), || {
        "the secret is in the words of the refusal".to_owned()
    })?;
    ensure(!error.message.trim().is_empty(), || {
        "the refusal has no words".to_owned()
    })?;
    if fault == Fault::LostAnswer {
        let key = bench.key("InstanceSecret");
        bench
            .until(
                "the instance of the lost answer is listed with its secret",
                |rows| {
                    rows.iter()
                        .any(|row| row.tags.get(&key).is_some_and(|tag| tag == secret.reveal()))
                },
            )
            .await?;
    } else {
        let rows = bench.list(&bench.ours()).await?;
        ensure(rows.is_empty(), || {
            "a refused create made an instance".to_owned()
        })?;
    }
    if fault != Fault::LostAnswer || bench.hooks.instances_max() != Some(1) {
        bench.create().await?;
    }
    Ok(())
}
