//! A poll: our containers, the head of the queue, and the known ones that neither brings (facts §2.1.1, calls 2 to 4).

use std::{collections::BTreeSet, time::Duration};

use dispatch_model::ContainerId;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::time::Instant;

use crate::{
    ApiError, Client,
    calls::{get, texts},
    encode::Params,
};

/// What is asked of each container. `locked_by_uuid` is what the Go dispatcher leaves out (facts K13).
const SELECT: [&str; 8] = [
    "uuid",
    "state",
    "priority",
    "runtime_constraints",
    "container_image",
    "scheduling_parameters",
    "created_at",
    "locked_by_uuid",
];

/// Rows per page that we ask for; the API may give fewer.
const PAGE_ROWS: usize = 1000;

/// Rows of one list beyond which we stop, so that nothing grows without a bound.
const LIST_ROWS_MAX: usize = 200_000;

/// Known containers looked up with one call.
const LOOKED_UP_PER_CALL: usize = 20;

/// Known containers looked up in one poll.
const LOOKED_UP_MAX: usize = 2000;

/// Calls that look up known containers side by side; the limiter may allow fewer.
const LOOK_UPS_AT_A_TIME: usize = 16;

/// What a poll brought.
#[derive(Clone, Debug, Default)]
pub struct PollAnswer {
    /// The rows of the three kinds of call, in their order: later ones replace earlier ones.
    pub rows: Vec<Box<RawValue>>,
    /// Known containers that do not exist any more: asked for, and the answer was empty (facts Q8).
    pub gone: Vec<ContainerId>,
    /// Known containers that were not looked up: too many, or of another cluster.
    pub unasked: Vec<ContainerId>,
    /// There may be more queued rows than were fetched.
    pub truncated: bool,
}

/// How long a poll may take. Many pages take long; one page that hangs must not keep the next poll waiting as long.
#[derive(Clone, Copy, Debug)]
pub struct PollDeadline {
    /// When all pages must have come.
    pub whole: Instant,
    /// How long each may take, waiting for the limiter included; `None`: until then.
    pub page_within: Option<Duration>,
}

impl PollDeadline {
    /// For a page that is asked for now.
    fn page(self) -> Instant {
        let page = self.page_within.map(|within| Instant::now() + within);
        page.map_or(self.whole, |page| page.min(self.whole))
    }
}

impl From<Instant> for PollDeadline {
    fn from(whole: Instant) -> PollDeadline {
        PollDeadline {
            whole,
            page_within: None,
        }
    }
}

impl Client {
    /// Lists the containers that `token_uuid` has locked, then at least `queued_wanted` queued rows that are not
    /// supervisors' (facts Q16), then those of `known` that are missing. `known` is in the order of importance.
    pub async fn poll(
        &self,
        token_uuid: &str,
        known: &[ContainerId],
        queued_wanted: usize,
        deadline: impl Into<PollDeadline>,
    ) -> Result<PollAnswer, ApiError> {
        let deadline = deadline.into();
        let mut rows = self.mine(token_uuid, deadline).await?;
        let (queued, truncated) = self.queued(queued_wanted, deadline).await?;
        rows.extend(queued);

        let seen: BTreeSet<String> = rows.iter().filter_map(|row| uuid(row)).collect();
        let prefix = format!("{}-", self.cluster_id);
        let (missing, mut unasked): (Vec<_>, Vec<_>) = known
            .iter()
            .filter(|id| !seen.contains(id.as_str()))
            .cloned()
            // One foreign id would spoil its whole batch (facts §2.1.2a).
            .partition(|id| id.as_str().starts_with(&prefix));
        let asked = missing.len().min(LOOKED_UP_MAX);
        unasked.extend_from_slice(&missing[asked..]);

        // Owned batches: with borrowed ones the compiler cannot see that this future may move between threads.
        let batches = missing[..asked]
            .chunks(LOOKED_UP_PER_CALL)
            .map(<[ContainerId]>::to_vec)
            .collect::<Vec<_>>();
        let looked_up: Vec<LookedUp> = stream::iter(batches)
            .map(|batch| async move { self.look_up(&batch, deadline).await })
            .buffered(LOOK_UPS_AT_A_TIME)
            .try_collect()
            .await?;
        let mut gone = Vec::new();
        for batch in looked_up {
            rows.extend(batch.rows);
            gone.extend(batch.gone);
            unasked.extend(batch.unclear);
        }
        Ok(PollAnswer {
            rows,
            gone,
            unasked,
            truncated,
        })
    }

    /// Call 2, page after page until an empty one, by growing UUID: rows may change meanwhile (facts Q10).
    async fn mine(
        &self,
        token_uuid: &str,
        deadline: PollDeadline,
    ) -> Result<Vec<Box<RawValue>>, ApiError> {
        let mut rows = Vec::new();
        let mut last: Option<String> = None;
        loop {
            let mut filters = vec![json!(["locked_by_uuid", "=", token_uuid])];
            if let Some(last) = &last {
                filters.push(json!(["uuid", ">", last]));
            }
            let params = select()
                .with("order", "uuid")
                .with("limit", PAGE_ROWS)
                .with("filters", Value::Array(filters));
            let page = self
                .list(get("containers", params), deadline.page())
                .await?;
            if page.is_empty() {
                return Ok(rows);
            }
            let next = page.iter().filter_map(|row| uuid(row)).max();
            rows.extend(page);
            if next <= last || rows.len() > LIST_ROWS_MAX {
                return Err(contradiction("our containers, by UUID, does not end"));
            }
            last = next;
        }
    }

    /// Call 3, by priority, until enough rows have come or an empty page; whether there may be more.
    async fn queued(
        &self,
        wanted: usize,
        deadline: PollDeadline,
    ) -> Result<(Vec<Box<RawValue>>, bool), ApiError> {
        let mut rows = Vec::new();
        let mut workers = 0;
        loop {
            let mut params = select()
                .with("order", "priority desc")
                .with("limit", PAGE_ROWS)
                .with(
                    "filters",
                    json!([["state", "=", "Queued"], ["priority", ">", "0"]]),
                );
            if !rows.is_empty() {
                params = params.with("offset", rows.len());
            }
            let page = self
                .list(get("containers", params), deadline.page())
                .await?;
            if page.is_empty() {
                return Ok((rows, false));
            }
            workers += page.iter().filter(|row| !is_supervisor(row)).count();
            rows.extend(page);
            if workers >= wanted || rows.len() > LIST_ROWS_MAX {
                return Ok((rows, true));
            }
        }
    }

    /// Call 4, again and again for those not answered: an empty page proves that the rest is gone, a short one proves
    /// nothing (facts Q8).
    async fn look_up(
        &self,
        batch: &[ContainerId],
        deadline: PollDeadline,
    ) -> Result<LookedUp, ApiError> {
        let mut answer = LookedUp::default();
        let mut asked: Vec<ContainerId> = batch.to_vec();
        while !asked.is_empty() {
            let params = select()
                .with("order", "uuid")
                .with("filters", json!([["uuid", "in", texts(&asked)]]));
            let page = self
                .list(get("containers", params), deadline.page())
                .await?;
            if page.is_empty() {
                answer.gone = asked;
                return Ok(answer);
            }
            let found: BTreeSet<String> = page.iter().filter_map(|row| uuid(row)).collect();
            if let Some(stranger) = found
                .iter()
                .find(|uuid| !batch.iter().any(|id| id.as_str() == *uuid))
            {
                return Err(contradiction(&format!(
                    "containers by UUID has {stranger}, which was not asked for"
                )));
            }
            answer.rows.extend(page);
            let before = asked.len();
            asked.retain(|id| !found.contains(id.as_str()));
            if asked.len() == before {
                // Rows that do not say whose they are: the view reports them.
                answer.unclear = asked;
                return Ok(answer);
            }
        }
        Ok(answer)
    }
}

#[derive(Default)]
struct LookedUp {
    rows: Vec<Box<RawValue>>,
    gone: Vec<ContainerId>,
    unclear: Vec<ContainerId>,
}

fn select() -> Params {
    Params::new()
        .with("select", json!(SELECT))
        .with("count", "none")
}

fn contradiction(cause: &str) -> ApiError {
    ApiError::Unusable {
        call: "a list of containers".to_owned(),
        cause: format!("the list of {cause}"),
    }
}

/// What paging needs of a row. Rows are decoded properly, one by one, by those who use them.
fn uuid(row: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        uuid: String,
    }
    let named: Named = serde_json::from_str(row.get()).ok()?;
    Some(named.uuid)
}

fn is_supervisor(row: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Row {
        scheduling_parameters: Parameters,
    }
    #[derive(Deserialize)]
    struct Parameters {
        supervisor: bool,
    }
    serde_json::from_str::<Row>(row.get()).is_ok_and(|row| row.scheduling_parameters.supervisor)
}
