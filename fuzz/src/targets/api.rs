//! What the Arvados API answers: rows and errors, through the client, and then through the view of the queue.
//!
//! The first line of an input is the HTTP status, the rest the body.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use dispatch_arvados_client::{ApiError, CaRoots, Client, ClientSettings, Token};
use dispatch_container_queue::{
    ApiFailure, Effects, Event, FailureKind, PollRows, Request, Settings, SizingSettings, View,
};
use dispatch_model::{Gpu, InstanceType, Now, Time};
use tokio::{runtime::Runtime, task::LocalSet, time::Instant};

use super::{Target, WITHIN, runtime};
use crate::answers::{Answer, serve};

/// How often the view's requests are answered for one input.
const ROUNDS: u64 = 4;
/// How long one call may take.
const CALL: Duration = Duration::from_millis(200);

pub(super) struct Api {
    runtime: Runtime,
    local: LocalSet,
    settings: ClientSettings,
    understood: u64,
    /// What the next request is answered with; those after it get an empty list.
    next: Rc<RefCell<Option<Answer>>>,
}

impl Api {
    pub(super) fn new() -> Api {
        let (runtime, local) = runtime();
        let next: Rc<RefCell<Option<Answer>>> = Rc::default();
        let served = Rc::clone(&next);
        let address = local.block_on(&runtime, async {
            serve(move |_, _| {
                let answer = served.borrow_mut().take();
                answer.unwrap_or_else(|| (200, b"{\"items\":[]}".to_vec()))
            })
            .await
        });
        let settings = ClientSettings {
            cluster_id: "zzzzz".into(),
            controller: format!("http://{address}").parse().expect("a URL"),
            token: Token::new("t".repeat(40)),
            insecure: false,
            roots: CaRoots::System,
            dial_instead: None,
            environment_proxies: false,
            server_max_concurrent_requests: 0,
        };
        Api {
            runtime,
            local,
            settings,
            understood: 0,
            next,
        }
    }
}

impl Target for Api {
    fn name(&self) -> &'static str {
        "api"
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "503\n",
            "422\n",
            "zzzzz-dz642-aaaaaaaaaaaaaaa",
            "Queued",
            "Locked",
            "Running",
            "\"items\":",
            "\"uuid\":",
            "\"runtime_constraints\":",
            "\"mounts\":",
            "\"capacity\":",
            "\"errors\":",
            "\"priority\":",
            "\"gpu\":",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(input);
        let (status, body) = text.split_once('\n').unwrap_or(("200", &text));
        let status = status
            .trim()
            .parse()
            .ok()
            .filter(|status| (200..600).contains(status));
        let answer = (status.unwrap_or(200), body.as_bytes().to_vec());
        let entries = self.local.block_on(&self.runtime, async {
            // A new one for each input: a client that was told 503 is slow from then on.
            let client = Client::new(&self.settings).map_err(|error| error.to_string())?;
            let work = one(&client, &self.next, &answer);
            let done = tokio::time::timeout(WITHIN, work).await;
            done.map_err(|_| "it takes too long".to_owned())?
        })?;
        self.understood += entries;
        Ok(())
    }

    fn understood(&self) -> u64 {
        self.understood
    }
}

/// A view asks, and everything that it asks for is answered so: how many containers it knows then.
async fn one(
    client: &Client,
    next: &Rc<RefCell<Option<Answer>>>,
    answer: &Answer,
) -> Result<u64, String> {
    let mut view = View::new(settings());
    let mut effects = view.handle(Event::Tick, at(0));
    for round in 1..=ROUNDS {
        let mut answered = Effects::default();
        for request in std::mem::take(&mut effects.requests) {
            *next.borrow_mut() = Some(answer.clone());
            let event = ask(client, request, round).await;
            let more = view.handle(event, at(round * 20_000));
            answered.requests.extend(more.requests);
        }
        let more = view.handle(Event::Tick, at(round * 20_000 + 15_000));
        answered.requests.extend(more.requests);
        effects = answered;
    }
    for (id, entry) in &view.snapshot().entries {
        if entry.id != *id {
            return Err(format!("{id} is kept as {}", entry.id));
        }
    }
    Ok(view.snapshot().entries.len() as u64)
}

async fn ask(client: &Client, request: Request, round: u64) -> Event {
    let deadline = Instant::now() + CALL;
    match request {
        // Without a name of our own nothing else is asked for.
        Request::WhoAmI if round == 1 => Event::WhoAmI(Ok(dispatch_container_queue::json(
            serde_json::json!({"uuid": "zzzzz-gj3su-000000000000000"}),
        ))),
        Request::WhoAmI => Event::WhoAmI(client.current_token(deadline).await.map_err(failure)),
        Request::Poll {
            token_uuid,
            known,
            queued_wanted,
        } => {
            let polled = client
                .poll(&token_uuid, &known, queued_wanted, deadline)
                .await;
            Event::Polled(
                polled
                    .map(|polled| PollRows {
                        rows: polled.rows,
                        gone: polled.gone,
                        unasked: polled.unasked,
                        truncated: polled.truncated,
                    })
                    .map_err(failure),
            )
        }
        Request::ReadMounts { ids } => {
            let result = client.mounts(&ids, deadline).await.map_err(failure);
            Event::MountsRead { ids, result }
        }
        Request::Lock { id } => {
            let result = client.lock(&id, deadline).await.map_err(failure);
            Event::Locked { id, result }
        }
        Request::Unlock { id } => {
            let result = client.unlock(&id, deadline).await.map_err(failure);
            Event::Unlocked { id, result }
        }
        Request::Cancel { id, runtime_status } => {
            let cancelled = client.cancel(&id, runtime_status.as_ref(), deadline).await;
            let result = cancelled.map_err(failure);
            Event::Cancelled { id, result }
        }
        Request::Read { id } => {
            let result = client.read(&id, deadline).await.map_err(failure);
            Event::Read { id, result }
        }
    }
}

fn failure(error: ApiError) -> ApiFailure {
    ApiFailure {
        kind: FailureKind::Undecodable,
        message: error.to_string(),
    }
}

fn at(millis: u64) -> Now {
    Now {
        time: Time::from_millis(millis),
        wall: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn settings() -> Settings {
    let small = InstanceType {
        name: "small".into(),
        provider_type: "small".into(),
        image: None,
        vcpus: 2,
        ram_bytes: 8 << 30,
        included_scratch_bytes: 100 << 30,
        added_scratch_bytes: 0,
        price: 0.1,
        preemptible: false,
        gpu: Gpu::default(),
    };
    Settings {
        poll_interval: Duration::from_secs(10),
        types: BTreeMap::from([(small.name.clone(), Arc::new(small))]),
        sizing: SizingSettings {
            reserve_extra_ram_bytes: 550 << 20,
            keep_blob_buffers_per_vcpu: 1,
        },
        maximum_price_factor: 1.5,
    }
}
