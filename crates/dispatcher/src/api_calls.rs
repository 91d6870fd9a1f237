//! Calls to the Arvados API: each request of the queue becomes one call, each answer one input.

use std::{sync::Arc, time::Duration};

use dispatch_arvados_client::{ApiError, Client, PollDeadline};
use dispatch_brain::Input;
use dispatch_container_queue::{ApiFailure, Event, FailureKind, PollRows, Request};
use tokio::{sync::mpsc, time::Instant};

use crate::health::Health;

/// How long calls to the API may take, waiting for the limiter included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApiDeadlines {
    /// A whole poll with all its pages, or a batch of mounts.
    pub(crate) list: Duration,
    /// One page of a poll: one that hangs must not keep the next poll waiting for as long as all pages may take.
    pub(crate) page: Duration,
    /// One call about one container.
    pub(crate) deed: Duration,
}

/// What the calls share.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) client: Arc<Client>,
    pub(crate) deadlines: ApiDeadlines,
    pub(crate) health: Arc<Health>,
    /// Where a 503 is told beside the answer.
    pub(crate) inputs: mpsc::Sender<Input>,
}

impl ApiDeadlines {
    /// Under these settings. A page that has not come within two poll intervals is asked for anew; an API that is only
    /// slow gets ten seconds.
    pub(crate) fn new(timeout_api: Duration, poll_interval: Duration) -> ApiDeadlines {
        const SLOW_PAGE: Duration = Duration::from_secs(10);
        ApiDeadlines {
            list: timeout_api,
            page: timeout_api.min((poll_interval * 2).max(SLOW_PAGE)),
            deed: timeout_api,
        }
    }
}

impl Api {
    /// Makes the call, and answers with one input, whatever happens.
    pub(crate) async fn call(self, request: Request) -> Input {
        let by = |within: Duration| Instant::now() + within;
        let client = &*self.client;
        let deed = by(self.deadlines.deed);
        let list = by(self.deadlines.list);
        let answer = Input::Queue(match request {
            Request::WhoAmI => {
                let result = client.current_token(deed).await;
                if result.is_err() {
                    // The queue cannot be read before this is known.
                    self.health.polled(&result);
                }
                Event::WhoAmI(result.map_err(failure))
            }
            Request::Poll {
                token_uuid,
                known,
                queued_wanted,
            } => {
                let deadline = PollDeadline {
                    whole: list,
                    page_within: Some(self.deadlines.page),
                };
                let poll = client.poll(&token_uuid, &known, queued_wanted, deadline);
                let result = poll.await;
                self.health.polled(&result);
                Event::Polled(result.map_err(failure).map(|answer| PollRows {
                    rows: answer.rows,
                    gone: answer.gone,
                    unasked: answer.unasked,
                    truncated: answer.truncated,
                }))
            }
            Request::ReadMounts { ids } => {
                let result = client.mounts(&ids, list).await.map_err(failure);
                Event::MountsRead { ids, result }
            }
            Request::Lock { id } => {
                let result = client.lock(&id, deed).await.map_err(failure);
                Event::Locked { id, result }
            }
            Request::Unlock { id } => {
                let result = client.unlock(&id, deed).await.map_err(failure);
                Event::Unlocked { id, result }
            }
            Request::Cancel { id, runtime_status } => {
                let result = client
                    .cancel(&id, runtime_status.as_ref(), deed)
                    .await
                    .map_err(failure);
                Event::Cancelled { id, result }
            }
            Request::Read { id } => {
                let result = client.read(&id, deed).await.map_err(failure);
                Event::Read { id, result }
            }
        });
        // Not "a 503 while this call was under way": one that hung would tell of it again when it is given up, when little
        // runs any more, and what runs at that moment is all that may run for a minute.
        if client.take_news_of_503() {
            // Nobody listens any more only when the daemon has stopped.
            let _ = self.inputs.send(Input::ApiOverloaded).await;
        }
        answer
    }
}

/// What the brain is told if a call's task dies.
pub(crate) fn lost(request: &Request) -> Input {
    let failure = || ApiFailure {
        kind: FailureKind::Unreachable,
        message: "the call's task died".to_owned(),
    };
    Input::Queue(match request {
        Request::WhoAmI => Event::WhoAmI(Err(failure())),
        Request::Poll { .. } => Event::Polled(Err(failure())),
        Request::ReadMounts { ids } => Event::MountsRead {
            ids: ids.clone(),
            result: Err(failure()),
        },
        Request::Lock { id } => Event::Locked {
            id: id.clone(),
            result: Err(failure()),
        },
        Request::Unlock { id } => Event::Unlocked {
            id: id.clone(),
            result: Err(failure()),
        },
        Request::Cancel { id, .. } => Event::Cancelled {
            id: id.clone(),
            result: Err(failure()),
        },
        Request::Read { id } => Event::Read {
            id: id.clone(),
            result: Err(failure()),
        },
    })
}

fn failure(error: ApiError) -> ApiFailure {
    let kind = match &error {
        ApiError::Status { status, .. } => FailureKind::Status(*status),
        ApiError::NotSent { .. } => FailureKind::NotSent,
        ApiError::TimedOut { .. } => FailureKind::TimedOut,
        ApiError::Unusable { .. } => FailureKind::Undecodable,
        // Whatever else there may be one day: nobody knows whether the call had an effect.
        _ => FailureKind::Unreachable,
    };
    ApiFailure {
        kind,
        message: error.to_string(),
    }
}
