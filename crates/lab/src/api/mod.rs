//! The Arvados API by the rules of facts §5: requests in, status and body out. Knows no latency and no faults.

mod list;
mod lock;
mod params;
mod record;
mod rules;
mod update;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub use record::{Container, ContainerState};

use crate::{
    luck::Luck,
    settings::{ApiKnobs, Token},
    time::Now,
};
use params::Call;

/// One HTTP request.
#[derive(Clone, Debug, Default)]
pub struct ApiRequest {
    /// GET, POST, …
    pub method: String,
    /// From the first slash to the question mark, still percent-encoded.
    pub path: String,
    /// What follows the question mark, or "".
    pub query: String,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl ApiRequest {
    /// A request with a token and form or query parameters, as a well-behaved client encodes it.
    pub fn new(method: &str, path: &str, token: &str, params: &[(&str, &str)]) -> ApiRequest {
        let encoded = params::encode(params);
        let mut request = ApiRequest {
            method: method.into(),
            path: path.into(),
            ..ApiRequest::default()
        };
        request
            .headers
            .insert("authorization".into(), format!("Bearer {token}"));
        request.headers.insert(
            "content-type".into(),
            "application/x-www-form-urlencoded".into(),
        );
        if method == "GET" {
            request.query = encoded;
        } else {
            request.body = encoded.into_bytes();
        }
        request
    }
}

/// What the API says.
#[derive(Clone, PartialEq, Debug)]
pub struct ApiAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body's type; "" if there is no body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl ApiAnswer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A 503 of the request limiter: no body (facts §2.1.2).
    pub(crate) fn too_busy() -> ApiAnswer {
        ApiAnswer {
            status: 503,
            content_type: "",
            body: Vec::new(),
        }
    }
}

/// A change of state that the API has accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Which container.
    pub uuid: String,
    /// What it was; `None` for a new one.
    pub from: Option<ContainerState>,
    /// What it is. Equal to `from` where a request set the state that already was.
    pub to: ContainerState,
    /// The token that did it.
    pub by: String,
    /// What the lab's runners say of themselves (header `X-Lab-Runner`).
    pub runner: Option<String>,
}

/// A refusal, before it is put into words.
pub(crate) struct Refusal {
    status: u16,
    message: String,
}

pub(crate) fn refuse<T>(status: u16, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        status,
        message: message.into(),
    })
}

/// The caller, as far as a token tells.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    uuid: String,
    admin: bool,
}

/// The API's database.
pub struct Api {
    cluster_id: String,
    root_token: String,
    tokens: Vec<Token>,
    containers: BTreeMap<String, Container>,
    luck: Luck,
    changes: Vec<Change>,
    made: u64,
}

impl Api {
    /// An empty database.
    pub fn new(cluster_id: &str, root_token: &str, tokens: Vec<Token>, luck: Luck) -> Api {
        Api {
            cluster_id: cluster_id.into(),
            root_token: root_token.into(),
            tokens,
            containers: BTreeMap::new(),
            luck,
            changes: Vec::new(),
            made: 0,
        }
    }

    /// All containers by UUID.
    pub fn containers(&self) -> &BTreeMap<String, Container> {
        &self.containers
    }

    pub(crate) fn replace_root_token(&mut self, token: &str) {
        self.root_token = token.to_owned();
    }

    /// What containers that the dispatcher has locked are locked by.
    pub fn root_token_uuid(&self) -> String {
        format!("{}-gj3su-000000000000000", self.cluster_id)
    }

    /// One container, to be changed behind the API's back.
    pub(crate) fn container_mut(&mut self, uuid: &str) -> Option<&mut Container> {
        self.containers.get_mut(uuid)
    }

    /// The changes of state since the last time this was asked.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// A new Queued container with these attributes; the UUID if they will do.
    pub(crate) fn create(&mut self, attributes: &Value, now: Now) -> Result<String, String> {
        let uuid = self.next_uuid();
        let container = Container::create(uuid.clone(), attributes, now)?;
        self.containers.insert(uuid.clone(), container);
        self.note(&uuid, None, ContainerState::Queued, "", None);
        Ok(uuid)
    }

    /// Answers one request. Its effect has taken place when this returns.
    pub fn handle(&mut self, request: &ApiRequest, knobs: &ApiKnobs, now: Now) -> ApiAnswer {
        match self.route(request, knobs, now) {
            Ok(text) => ApiAnswer {
                status: 200,
                content_type: "application/json; charset=utf-8",
                body: text.into_bytes(),
            },
            Err(refusal) => self.explain(refusal, request),
        }
    }

    fn route(
        &mut self,
        request: &ApiRequest,
        knobs: &ApiKnobs,
        now: Now,
    ) -> Result<String, Refusal> {
        /// Longer request lines do not get through the proxies in front of Rails (facts Q24).
        const REQUEST_LINE_MAX_BYTES: usize = 8000;
        if request.path.len() + request.query.len() > REQUEST_LINE_MAX_BYTES {
            return refuse(414, "request line too long");
        }
        let call = Call::of(request)?;
        let segments: Vec<&str> = request.path.split('/').collect();
        let ["", "arvados", "v1", resource, rest @ ..] = segments.as_slice() else {
            return refuse(404, "Path not found");
        };
        let shown = match (*resource, rest, call.verb.as_str()) {
            ("api_client_authorizations", ["current"], "GET") => self.current_token(request),
            ("api_client_authorizations", ["current"], _) => refuse(405, "Method not allowed"),
            ("containers", [] | [""], "GET") => {
                list::check_federation(&call)?;
                self.require_admin(request)?;
                return list::list(&self.containers, &call, knobs);
            }
            ("containers", [] | [""], "POST") => {
                self.require_admin(request)?;
                let attributes = call.container_attributes()?;
                match self.create(&Value::Object(attributes), now) {
                    Ok(uuid) => self.show(&uuid, &call),
                    Err(message) => refuse(422, message),
                }
            }
            ("containers", [uuid], verb) => self.one(uuid, verb, request, &call, knobs, now),
            ("containers", [uuid, action @ ("lock" | "unlock")], "POST") => {
                self.check_cluster(uuid)?;
                let caller = self.require_admin(request)?;
                self.require(uuid)?;
                match *action {
                    "lock" => self.lock(uuid, &caller, now),
                    _ => self.unlock(uuid, &caller, knobs, now),
                }
            }
            ("containers", [_, "lock" | "unlock"] | [], _) => refuse(405, "Method not allowed"),
            _ => refuse(404, "Path not found"),
        };
        shown.map(|value| value.to_string())
    }

    fn one(
        &mut self,
        uuid: &str,
        verb: &str,
        request: &ApiRequest,
        call: &Call,
        knobs: &ApiKnobs,
        now: Now,
    ) -> Result<Value, Refusal> {
        self.check_cluster(uuid)?;
        match verb {
            "GET" => {
                self.authenticate(request)?;
                self.require(uuid)?;
                self.show(uuid, call)
            }
            "PUT" | "PATCH" => {
                let caller = self.authenticate(request)?;
                self.require(uuid)?;
                let attributes = call.container_attributes()?;
                let runner = request.headers.get("x-lab-runner").cloned();
                self.update(uuid, &attributes, &caller, runner, knobs, now)?;
                self.show(uuid, call)
            }
            "DELETE" => {
                self.require_admin(request)?;
                self.require(uuid)?;
                let shown = self.show(uuid, call)?;
                self.containers.remove(uuid);
                Ok(shown)
            }
            _ => refuse(405, "Method not allowed"),
        }
    }

    fn current_token(&self, request: &ApiRequest) -> Result<Value, Refusal> {
        let caller = self.authenticate(request)?;
        Ok(json!({
            "kind": "arvados#apiClientAuthorization",
            "etag": "",
            "uuid": caller.uuid,
            "owner_uuid": format!("{}-tpzed-000000000000000", self.cluster_id),
            "expires_at": null,
            "scopes": ["all"],
        }))
    }

    /// A UUID of another cluster goes to that cluster, and there is none (facts §2.1.2a).
    fn check_cluster(&self, uuid: &str) -> Result<(), Refusal> {
        let looks_like_one = uuid.len() == 27 && uuid.as_bytes()[5] == b'-';
        if looks_like_one && !uuid.starts_with(&self.cluster_id) {
            return refuse(
                404,
                format!("no proxy available for cluster {}", &uuid[..5]),
            );
        }
        Ok(())
    }

    fn require(&self, uuid: &str) -> Result<(), Refusal> {
        if self.containers.contains_key(uuid) {
            Ok(())
        } else {
            refuse(404, "Path not found")
        }
    }

    fn authenticate(&self, request: &ApiRequest) -> Result<Caller, Refusal> {
        let header = request
            .headers
            .get("authorization")
            .map(String::as_str)
            .unwrap_or_default();
        let token = header
            .strip_prefix("Bearer ")
            .or_else(|| header.strip_prefix("OAuth2 "));
        let caller = match token.map(str::trim).filter(|token| !token.is_empty()) {
            None => None,
            Some(token) if token == self.root_token => Some(Caller {
                uuid: self.root_token_uuid(),
                admin: true,
            }),
            Some(token) => self
                .tokens
                .iter()
                .find(|known| known.token == token)
                .map(|known| Caller {
                    uuid: known.uuid.clone(),
                    admin: known.admin,
                })
                .or_else(|| self.container_token(token)),
        };
        match caller {
            Some(caller) => Ok(caller),
            None => refuse(401, "Not logged in"),
        }
    }

    /// A token that `lock` made for a container: `v2/<uuid>/<secret>`.
    fn container_token(&self, token: &str) -> Option<Caller> {
        let uuid = token.strip_prefix("v2/")?.split('/').next()?;
        self.containers
            .values()
            .any(|container| container.auth_uuid.as_deref() == Some(uuid))
            .then(|| Caller {
                uuid: uuid.into(),
                admin: false,
            })
    }

    fn require_admin(&self, request: &ApiRequest) -> Result<Caller, Refusal> {
        let caller = self.authenticate(request)?;
        if caller.admin {
            Ok(caller)
        } else {
            refuse(403, "Forbidden")
        }
    }

    fn show(&self, uuid: &str, call: &Call) -> Result<Value, Refusal> {
        let select = list::selection(call)?;
        match self.containers.get(uuid) {
            Some(container) => {
                let mut shown = container.show(select.as_deref());
                shown.insert("kind".into(), "arvados#container".into());
                Ok(Value::Object(shown))
            }
            None => refuse(404, "Path not found"),
        }
    }

    fn next_uuid(&mut self) -> String {
        self.made += 1;
        // The number comes last, so that UUIDs tell the order of submission apart without being guessable as such.
        format!(
            "{}-dz642-{}{:08}",
            self.cluster_id,
            self.luck.base36(7),
            self.made
        )
    }

    fn note(
        &mut self,
        uuid: &str,
        from: Option<ContainerState>,
        to: ContainerState,
        by: &str,
        runner: Option<String>,
    ) {
        self.changes.push(Change {
            uuid: uuid.into(),
            from,
            to,
            by: by.into(),
            runner,
        });
    }

    /// Errors as Rails words them: the request id at the end, and a token to search its logs for (facts §2.1.2).
    fn explain(&mut self, refusal: Refusal, request: &ApiRequest) -> ApiAnswer {
        if refusal.status == 414 {
            return ApiAnswer {
                status: 414,
                content_type: "text/html",
                body: b"<html><head><title>414 Request-URI Too Large</title></head></html>\n"
                    .to_vec(),
            };
        }
        let id = request
            .headers
            .get("x-request-id")
            .map(String::as_str)
            .unwrap_or("req-none");
        let body = json!({
            "errors": [format!("{} ({id})", refusal.message)],
            "error_token": format!("1767225600+{}", self.luck.hex(8)),
        });
        ApiAnswer {
            status: refusal.status,
            content_type: "application/json; charset=utf-8",
            body: body.to_string().into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests;
