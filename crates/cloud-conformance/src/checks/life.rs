//! From create to gone.

use super::{Bench, Outcome, ensure};

pub(super) async fn a_created_instance_is_listed(bench: &Bench<'_>) -> Outcome {
    let made = bench.create().await?;
    let listed = bench.until_listed(&made.id, "at all", |_| true).await?;
    ensure(listed.provider_type == made.provider_type, || {
        format!(
            "it was created as {:?} and is listed as {:?}",
            made.provider_type, listed.provider_type
        )
    })
}

pub(super) async fn an_instance_can_be_reached_in_the_end(bench: &Bench<'_>) -> Outcome {
    let user = bench.remote_user();
    ensure(!user.is_empty(), || {
        "there is no user to log in as".to_owned()
    })?;
    let made = bench.create().await?;
    if !bench.has_executor() {
        bench
            .until_listed(&made.id, "with an address", |row| !row.address.is_empty())
            .await?;
    }
    Ok(())
}

pub(super) async fn a_destroyed_instance_disappears(bench: &Bench<'_>) -> Outcome {
    let made = bench.create().await?;
    bench.until_listed(&made.id, "at all", |_| true).await?;
    bench.destroy(&made.id).await?;
    bench.until_gone(&made.id).await
}

pub(super) async fn destroying_again_succeeds(bench: &Bench<'_>) -> Outcome {
    let made = bench.create().await?;
    bench.destroy(&made.id).await?;
    bench.destroy(&made.id).await?;
    bench.until_gone(&made.id).await?;
    bench.destroy(&made.id).await
}

pub(super) async fn destroying_what_never_was_succeeds(bench: &Bench<'_>) -> Outcome {
    bench.destroy(&bench.hooks.unknown_id()).await
}
