//! Tags: all that survives a restart of the dispatcher.

use dispatch_cloud::Tags;

use super::{Bench, Outcome, Shortfall, ensure};

pub(super) async fn the_tags_of_the_order_are_listed(bench: &Bench<'_>) -> Outcome {
    let secret = bench.fresh_secret();
    let order = bench.order(&secret);
    let wanted = order.tags.clone();
    let made = bench
        .create_from(order)
        .await
        .map_err(|error| Shortfall::Failed(format!("create: {error}")))?;
    bench
        .until_listed(
            &made.id,
            "with the tags of its order, the secret among them",
            |row| carries(&row.tags, &wanted),
        )
        .await
        .map(|_| ())
}

pub(super) async fn setting_tags_leaves_the_others_alone(bench: &Bench<'_>) -> Outcome {
    let made = bench.create().await?;
    let before = bench.until_listed(&made.id, "at all", |_| true).await?.tags;
    let changes: Tags = [
        (bench.key("IdleBehavior"), "hold".to_owned()),
        ("conformance-new".to_owned(), "1".to_owned()),
    ]
    .into();
    // Twice, since every call may be repeated.
    for _ in 0..2 {
        bench
            .set_tags(&made.id, &changes)
            .await
            .map_err(|error| Shortfall::Failed(format!("set tags: {error}")))?;
    }
    let mut wanted = before;
    wanted.extend(changes.clone());
    let row = bench
        .until_listed(&made.id, "with the changed tags", |row| {
            carries(&row.tags, &changes)
        })
        .await?;
    ensure(carries(&row.tags, &wanted), || {
        let lost: Vec<&String> = wanted
            .keys()
            .filter(|key| !row.tags.contains_key(*key))
            .collect();
        format!("these tags are lost or changed: {lost:?}")
    })
}

pub(super) async fn a_list_holds_only_what_carries_the_tags(bench: &Bench<'_>) -> Outcome {
    let made = bench.create().await?;
    bench.until_listed(&made.id, "at all", |_| true).await?;
    let mut narrower = bench.ours();
    narrower.insert("conformance".to_owned(), "something else".to_owned());
    let others: Tags = [(bench.key("InstanceSetID"), "another-set".to_owned())].into();
    for (tags, whose) in [
        (narrower, "with another value of a tag"),
        (others, "of another set"),
    ] {
        let rows = bench.list(&tags).await?;
        ensure(rows.iter().all(|row| row.id != made.id), || {
            format!("a list of the instances {whose} has {}", made.id)
        })?;
    }
    Ok(())
}

pub(super) async fn tagging_what_is_gone_does_not_bring_it_back(bench: &Bench<'_>) -> Outcome {
    let made = bench.create().await?;
    bench.destroy(&made.id).await?;
    bench.until_gone(&made.id).await?;
    // Refused or ignored, both are fine.
    let _ = bench.set_tags(&made.id, &bench.ours()).await;
    // A stale list may show it once more.
    let gone = bench.until_gone(&made.id).await.is_ok();
    ensure(gone, || format!("{} is back", made.id))
}

fn carries(tags: &Tags, wanted: &Tags) -> bool {
    wanted
        .iter()
        .all(|(key, value)| tags.get(key) == Some(value))
}
