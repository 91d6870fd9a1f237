//! Calls to the Arvados API, request for request as the client of the shell makes them (facts §2.1.1).

use std::{collections::BTreeSet, rc::Rc};

use dispatch_brain::Input;
use dispatch_container_queue::{ApiFailure, Event, FailureKind, Json, PollRows, Request};
use dispatch_lab::{When, api::ApiRequest};
use dispatch_model::ContainerId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{gate::ApiGate, wires::Wires};

/// Longer queries travel in the body (facts Q24).
const QUERY_LENGTH_MAX: usize = 1000;
const PAGE_ROWS: usize = 1000;
const LOOKED_UP_PER_CALL: usize = 20;
const SELECT: &str = r#"["uuid","state","priority","runtime_constraints","container_image","scheduling_parameters","created_at","locked_by_uuid"]"#;

/// The client.
pub(super) struct Api {
    pub(super) wires: Wires,
    pub(super) gate: ApiGate,
    pub(super) token: String,
}

type Params<'a> = Vec<(&'a str, String)>;

impl Api {
    /// Makes the call, and answers with one input, whatever happens.
    pub(super) async fn call(self: Rc<Self>, request: Request) {
        let within = self.wires.wire(|wire| wire.api_timeout);
        let answer = match request {
            Request::WhoAmI => {
                let call = self.row("GET", "api_client_authorizations/current", vec![]);
                Event::WhoAmI(self.timed(within, call).await)
            }
            Request::Poll {
                token_uuid,
                known,
                queued_wanted,
            } => {
                let poll = self.poll(&token_uuid, &known, queued_wanted);
                Event::Polled(self.timed(within, poll).await)
            }
            Request::ReadMounts { ids } => {
                let result = self.timed(within, self.mounts(&ids)).await;
                Event::MountsRead { ids, result }
            }
            Request::Lock { id } => {
                let path = format!("containers/{id}/lock");
                let result = self.timed(within, self.row("POST", &path, vec![])).await;
                Event::Locked { id, result }
            }
            Request::Unlock { id } => {
                let path = format!("containers/{id}/unlock");
                let result = self.timed(within, self.row("POST", &path, vec![])).await;
                Event::Unlocked { id, result }
            }
            Request::Cancel { id, runtime_status } => {
                let container = match runtime_status {
                    Some(status) => json!({"state": "Cancelled", "runtime_status": status}),
                    None => json!({"state": "Cancelled"}),
                };
                let params = vec![
                    ("container", container.to_string()),
                    (
                        "select",
                        r#"["uuid","state","priority","locked_by_uuid"]"#.to_owned(),
                    ),
                ];
                let path = format!("containers/{id}");
                let result = self.timed(within, self.row("PUT", &path, params)).await;
                Event::Cancelled { id, result }
            }
            Request::Read { id } => {
                let select = r#"["uuid","state","priority","locked_by_uuid","runtime_status"]"#;
                let params = vec![("select", select.to_owned())];
                let path = format!("containers/{id}");
                let result = self.timed(within, self.row("GET", &path, params)).await;
                Event::Read { id, result }
            }
        };
        self.wires.answer(Input::Queue(answer));
    }

    async fn timed<T>(
        &self,
        within: std::time::Duration,
        call: impl Future<Output = Result<T, ApiFailure>>,
    ) -> Result<T, ApiFailure> {
        let failure = || failure(FailureKind::TimedOut, "no answer in time");
        let result = self.wires.within(within, call).await;
        result.unwrap_or_else(|| Err(failure()))
    }

    /// Our containers, the queue, and those known that neither brings (calls 2 to 4).
    async fn poll(
        &self,
        token_uuid: &str,
        known: &[ContainerId],
        queued_wanted: usize,
    ) -> Result<PollRows, ApiFailure> {
        let mut answer = PollRows {
            rows: self.mine(token_uuid).await?,
            ..PollRows::default()
        };
        let mut n_workers = 0;
        let mut offset = 0;
        loop {
            let filters = r#"[["state","=","Queued"],["priority",">","0"]]"#.to_owned();
            let mut params = listing("priority desc", filters);
            params.push(("limit", PAGE_ROWS.to_string()));
            if offset > 0 {
                params.push(("offset", offset.to_string()));
            }
            let page = self.list(params).await?;
            if page.is_empty() {
                break;
            }
            n_workers += page.iter().filter(|row| !is_supervisor(row)).count();
            offset += page.len();
            answer.rows.extend(page);
            if n_workers >= queued_wanted {
                answer.truncated = true;
                break;
            }
        }
        let seen: BTreeSet<String> = answer.rows.iter().filter_map(uuid).collect();
        let missing: Vec<&ContainerId> = known
            .iter()
            .filter(|id| !seen.contains(id.as_str()))
            .collect();
        for batch in missing.chunks(LOOKED_UP_PER_CALL) {
            self.look_up(batch, &mut answer).await?;
        }
        Ok(answer)
    }

    async fn mine(&self, token_uuid: &str) -> Result<Vec<Json>, ApiFailure> {
        let mut rows = Vec::new();
        let mut last = String::new();
        loop {
            let mut filters = vec![json!(["locked_by_uuid", "=", token_uuid])];
            if !last.is_empty() {
                filters.push(json!(["uuid", ">", last]));
            }
            let mut params = listing("uuid", Value::Array(filters).to_string());
            params.push(("limit", PAGE_ROWS.to_string()));
            let page = self.list(params).await?;
            let Some(max) = page.iter().filter_map(uuid).max() else {
                return Ok(rows);
            };
            rows.extend(page);
            last = max;
        }
    }

    async fn look_up(
        &self,
        batch: &[&ContainerId],
        answer: &mut PollRows,
    ) -> Result<(), ApiFailure> {
        let mut asked: Vec<&ContainerId> = batch.to_vec();
        while !asked.is_empty() {
            let names: Vec<&str> = asked.iter().map(|id| id.as_str()).collect();
            let params = listing("uuid", json!([["uuid", "in", names]]).to_string());
            let page = self.list(params).await?;
            if page.is_empty() {
                answer.gone.extend(asked.into_iter().cloned());
                return Ok(());
            }
            let found: BTreeSet<String> = page.iter().filter_map(uuid).collect();
            answer.rows.extend(page);
            asked.retain(|id| !found.contains(id.as_str()));
        }
        Ok(())
    }

    async fn mounts(&self, ids: &[ContainerId]) -> Result<Vec<Json>, ApiFailure> {
        let names: Vec<&str> = ids.iter().map(ContainerId::as_str).collect();
        self.list(vec![
            ("select", r#"["uuid","mounts"]"#.to_owned()),
            ("filters", json!([["uuid", "in", names]]).to_string()),
            ("order", "uuid".to_owned()),
            ("limit", ids.len().to_string()),
            ("count", "none".to_owned()),
        ])
        .await
    }

    async fn list(&self, params: Params<'_>) -> Result<Vec<Json>, ApiFailure> {
        #[derive(Deserialize)]
        struct List {
            items: Vec<Json>,
        }
        let body = self.send("GET", "containers", params).await?;
        let list: List = serde_json::from_slice(&body)
            .map_err(|error| failure(FailureKind::Undecodable, &error.to_string()))?;
        Ok(list.items)
    }

    async fn row(&self, method: &str, path: &str, params: Params<'_>) -> Result<Json, ApiFailure> {
        let body = self.send(method, path, params).await?;
        serde_json::from_slice(&body)
            .map_err(|error| failure(FailureKind::Undecodable, &error.to_string()))
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        params: Params<'_>,
    ) -> Result<Vec<u8>, ApiFailure> {
        let request = self.request(method, path, &params);
        let _pass = self.gate.enter().await;
        let reply = self
            .wires
            .reach_world(kind_of(method, path), |world, now| world.api(&request, now))
            .await;
        match reply.when {
            When::Never => std::future::pending().await,
            When::Cut(ms) => {
                self.wires.sleep(ms).await;
                Err(failure(FailureKind::Unreachable, "the connection broke"))
            }
            When::After(ms) => {
                self.wires.sleep(ms).await;
                let status = reply.answer.status;
                self.gate.answered(status);
                if status == 503 {
                    self.wires.answer(Input::ApiOverloaded);
                }
                if status == 200 {
                    return Ok(reply.answer.body);
                }
                let words = String::from_utf8_lossy(&reply.answer.body).into_owned();
                Err(failure(FailureKind::Status(status), &words))
            }
        }
    }

    fn request(&self, method: &str, path: &str, params: &Params<'_>) -> ApiRequest {
        let mut texts: Vec<(&str, &str)> = params
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        texts.sort_unstable();
        let path = format!("/arvados/v1/{path}");
        let request = ApiRequest::new(method, &path, &self.token, &texts);
        if request.query.len() < QUERY_LENGTH_MAX {
            return request;
        }
        let mut request = ApiRequest::new("POST", &path, &self.token, &texts);
        let header = ("x-http-method-override".to_owned(), method.to_owned());
        request.headers.extend([header]);
        request
    }
}

fn listing(order: &str, filters: String) -> Params<'static> {
    vec![
        ("select", SELECT.to_owned()),
        ("count", "none".to_owned()),
        ("order", order.to_owned()),
        ("filters", filters),
    ]
}

fn kind_of(method: &str, path: &str) -> &'static str {
    match method {
        "PUT" => "api cancel",
        "POST" if path.ends_with("/unlock") => "api unlock",
        "POST" => "api lock",
        _ if path == "containers" => "api list",
        _ => "api read",
    }
}

fn failure(kind: FailureKind, message: &str) -> ApiFailure {
    ApiFailure {
        kind,
        message: message.to_owned(),
    }
}

fn uuid(row: &Json) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        uuid: String,
    }
    let named: Named = serde_json::from_str(row.get()).ok()?;
    Some(named.uuid)
}

fn is_supervisor(row: &Json) -> bool {
    let row: Value = serde_json::from_str(row.get()).unwrap_or_default();
    row["scheduling_parameters"]["supervisor"] == true
}
