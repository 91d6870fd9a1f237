//! Paging and looking up (facts Q8 to Q11, Q16).

use std::{sync::Mutex, time::Duration};

use dispatch_model::ContainerId;
use serde_json::{Value, json};

use super::{
    client, id,
    server::{Answer, Api, Seen},
    soon,
};
use crate::{ApiError, PollAnswer};

/// An API with our containers, a queue in order of priority (workers and supervisors), and others.
struct Cluster {
    mine: Vec<usize>,
    queued: Vec<(usize, bool)>,
    others: Vec<usize>,
    page_rows: usize,
}

impl Cluster {
    fn answer(&self, seen: &Seen) -> Answer {
        let filters: Value = serde_json::from_str(&seen.params["filters"]).expect("filters");
        let row = |n: usize, supervisor: bool| json!({"uuid": id(n), "scheduling_parameters": {"supervisor": supervisor}});
        let mut rows: Vec<Value> = match filters[0][0].as_str() {
            Some("locked_by_uuid") => self.mine.iter().map(|n| row(*n, false)).collect(),
            Some("state") => {
                let offset = seen
                    .params
                    .get("offset")
                    .map_or(0, |n| n.parse().expect("a number"));
                let rest = self.queued.iter().skip(offset);
                rest.map(|(n, supervisor)| row(*n, *supervisor)).collect()
            }
            _ => {
                let asked = filters[0][2].as_array().expect("ids");
                let all = self.mine.iter().chain(&self.others);
                all.filter(|n| asked.contains(&json!(id(**n))))
                    .map(|n| row(*n, false))
                    .collect()
            }
        };
        if let Some(after) = filters[1][2].as_str().filter(|_| filters[1][0] == "uuid") {
            rows.retain(|row| row["uuid"].as_str() > Some(after));
        }
        rows.truncate(self.page_rows);
        Answer::Json(json!({"items": rows}))
    }
}

async fn poll(
    cluster: Cluster,
    known: &[ContainerId],
    wanted: usize,
) -> (Result<PollAnswer, ApiError>, Vec<Seen>) {
    let api = Api::serve(move |seen| cluster.answer(seen)).await;
    let answer = client(&api.url()).poll("t1", known, wanted, soon()).await;
    (answer, api.seen())
}

fn uuids(answer: &PollAnswer) -> Vec<ContainerId> {
    let uuid = |raw: &serde_json::value::RawValue| {
        let row: Value = serde_json::from_str(raw.get()).expect("JSON");
        ContainerId::from(row["uuid"].as_str().expect("a uuid"))
    };
    answer.rows.iter().map(|raw| uuid(raw)).collect()
}

fn ids(range: std::ops::Range<usize>) -> Vec<ContainerId> {
    range.map(id).collect()
}

#[tokio::test]
async fn our_containers_are_paged_by_uuid_until_an_empty_page() {
    let cluster = Cluster {
        mine: (0..7).collect(),
        queued: vec![],
        others: vec![],
        page_rows: 3,
    };
    let (answer, seen) = poll(cluster, &[], 100).await;
    let answer = answer.expect("a poll");
    assert_eq!(uuids(&answer), ids(0..7));
    assert!(!answer.truncated);
    // Three pages, an empty one, and the empty queue.
    assert_eq!(seen.len(), 5);
    assert!(seen[1].params["filters"].contains(id(2).as_str()));
    assert!(seen.iter().all(|one| !one.params.contains_key("offset")));
}

#[tokio::test]
async fn the_queue_is_paged_by_offset_until_enough_workers_have_come() {
    // Every other row is a supervisor's and does not count.
    let queued: Vec<(usize, bool)> = (0..1000).map(|n| (n, n % 2 == 0)).collect();
    for (wanted, page_rows, expected_rows, expected_pages) in
        [(100, 90, 270, 3), (100, 1000, 1000, 1), (300, 90, 630, 7)]
    {
        let cluster = Cluster {
            mine: vec![],
            queued: queued.clone(),
            others: vec![],
            page_rows,
        };
        let (answer, seen) = poll(cluster, &[], wanted).await;
        let answer = answer.expect("a poll");
        assert_eq!(uuids(&answer), ids(0..expected_rows));
        assert!(answer.truncated);
        assert_eq!(seen.len(), 1 + expected_pages);
        assert_eq!(seen[1].params.get("offset"), None);
    }
}

#[tokio::test]
async fn a_queue_that_ends_is_not_cut() {
    let cluster = Cluster {
        mine: vec![],
        queued: (0..99).map(|n| (n, false)).chain([(99, true)]).collect(),
        others: vec![],
        page_rows: 1000,
    };
    let (answer, seen) = poll(cluster, &[], 100).await;
    let answer = answer.expect("a poll");
    assert_eq!(
        (answer.rows.len(), answer.truncated, seen.len()),
        (100, false, 3)
    );
    assert_eq!(seen[2].params["offset"], "100");
}

#[tokio::test]
async fn known_containers_that_are_not_listed_are_looked_up_twenty_at_a_time() {
    let cluster = Cluster {
        mine: vec![1],
        queued: vec![(2, false)],
        others: (10..50).collect(),
        page_rows: 1000,
    };
    let known: Vec<ContainerId> = ids(0..50);
    let (answer, seen) = poll(cluster, &known, 100).await;
    let answer = answer.expect("a poll");
    // 48 to look up: 0 and 3 to 9 are gone, which the second call of their batch shows.
    assert_eq!(answer.gone, [vec![id(0)], ids(3..10)].concat());
    assert_eq!(uuids(&answer), [ids(1..3), ids(10..50)].concat());
    let batches: Vec<usize> = seen
        .iter()
        .filter(|one| one.params["filters"].contains(r#""in""#))
        .map(|one| one.params["filters"].matches("zzzzz-").count())
        .collect();
    let mut sorted = batches;
    sorted.sort_unstable();
    assert_eq!(sorted, [8, 8, 20, 20]);
}

#[tokio::test]
async fn a_short_page_proves_nothing_and_an_empty_one_everything() {
    let cluster = Cluster {
        mine: vec![],
        queued: vec![],
        others: (0..5).collect(),
        page_rows: 2,
    };
    let (answer, seen) = poll(cluster, &ids(0..7), 100).await;
    let answer = answer.expect("a poll");
    assert_eq!(uuids(&answer), ids(0..5));
    assert_eq!(answer.gone, ids(5..7));
    assert_eq!(seen.len(), 2 + 4);
}

#[tokio::test]
async fn foreign_containers_are_never_asked_for() {
    let cluster = Cluster {
        mine: vec![],
        queued: vec![],
        others: vec![1],
        page_rows: 10,
    };
    let foreign = ContainerId::from("yyyyy-dz642-000000000000001");
    let (answer, seen) = poll(cluster, &[foreign.clone(), id(1)], 100).await;
    let answer = answer.expect("a poll");
    assert_eq!(
        (answer.unasked, answer.gone),
        (vec![foreign.clone()], vec![])
    );
    assert!(
        seen.iter()
            .all(|one| !one.params["filters"].contains(foreign.as_str()))
    );
}

#[tokio::test]
async fn of_too_many_known_containers_the_first_are_looked_up() {
    let cluster = Cluster {
        mine: vec![],
        queued: vec![],
        others: (0..2100).collect(),
        page_rows: 1000,
    };
    let (answer, _) = poll(cluster, &ids(0..2100), 100).await;
    let answer = answer.expect("a poll");
    assert_eq!(answer.rows.len(), 2000);
    assert_eq!(answer.unasked, ids(2000..2100));
}

#[tokio::test]
async fn an_answer_about_a_container_nobody_asked_for_fails_the_poll() {
    let api = Api::serve(|seen| {
        Answer::Json(if seen.params["filters"].contains(r#""in""#) {
            json!({"items": [{"uuid": id(9)}]})
        } else {
            json!({"items": []})
        })
    })
    .await;
    let error = client(&api.url())
        .poll("t1", &[id(1)], 100, soon())
        .await
        .expect_err("a failure");
    assert!(error.to_string().contains(id(9).as_str()), "{error}");
}

#[tokio::test]
async fn lists_that_do_not_end_fail_the_poll() {
    let api = Api::serve(|_| Answer::Json(json!({"items": [{"uuid": id(1)}]}))).await;
    let error = client(&api.url())
        .poll("t1", &[], 100, soon())
        .await
        .expect_err("a failure");
    assert!(matches!(error, ApiError::Unusable { .. }), "{error}");
    assert_eq!(api.seen().len(), 2);
}

#[tokio::test]
async fn rows_that_cannot_be_read_are_handed_on() {
    let pages = Mutex::new(vec![
        json!({"items": []}),
        json!({"items": []}),
        json!({"items": [{"uuid": 17}, {"uuid": id(1), "priority": "high"}]}),
        json!({"items": [17]}),
    ]);
    let api = Api::serve(move |_| Answer::Json(pages.lock().expect("no panic").remove(0))).await;
    let known = [id(1), id(2)];
    let answer = client(&api.url())
        .poll("t1", &known, 100, soon())
        .await
        .expect("a poll");
    let rows: Vec<&str> = answer.rows.iter().map(|raw| raw.get()).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!((rows[0], rows[2]), (r#"{"uuid":17}"#, "17"));
    // A page that is not empty proves nothing about the other one.
    assert_eq!((answer.gone, answer.unasked), (vec![], vec![id(2)]));
}

#[tokio::test]
async fn a_poll_costs_a_page_for_each_list_and_one_more_where_its_end_must_be_proved() {
    // Facts P8, Q10: pages may be cut by bytes, so only an empty one proves that a list has ended.
    for (what, mine, queued, known, expected) in [
        ("nothing at all", 0, 0, 0, 2),
        ("our own, all of them known", 90, 0, 90, 3),
        ("a queue with fewer than are wanted", 0, 50, 50, 3),
        ("a queue with all that are wanted", 0, 100, 100, 2),
        ("both, and nobody is looked up twice", 90, 100, 190, 3),
    ] {
        let cluster = Cluster {
            mine: (0..mine).collect(),
            queued: (mine..mine + queued).map(|n| (n, false)).collect(),
            others: vec![],
            page_rows: 1000,
        };
        let (answer, seen) = poll(cluster, &ids(0..known), 100).await;
        assert_eq!(answer.expect("a poll").rows.len(), mine + queued, "{what}");
        assert_eq!(seen.len(), expected, "{what}");
    }
}

#[tokio::test]
async fn a_page_that_hangs_fails_the_poll_long_before_all_pages_would_have_to_be_there() {
    let api = Api::serve(|seen| {
        if seen.params["filters"].contains("Queued") {
            Answer::Silence
        } else {
            Answer::Json(json!({"items": []}))
        }
    })
    .await;
    let began = tokio::time::Instant::now();
    let deadline = crate::PollDeadline {
        whole: began + Duration::from_secs(60),
        page_within: Some(Duration::from_millis(100)),
    };
    let poll = client(&api.url()).poll("t1", &[], 100, deadline).await;
    assert!(matches!(poll, Err(ApiError::TimedOut { .. })), "{poll:?}");
    assert!(tokio::time::Instant::now() < began + Duration::from_secs(30));
}
