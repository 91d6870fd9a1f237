//! The calls a dispatcher makes (facts §2.1.1).

use std::fmt;

use dispatch_model::ContainerId;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::time::Instant;

use crate::{
    ApiError, ClientSettings, SetupError,
    encode::Params,
    transport::{Call, Transport, Verb},
};

/// The Arvados API as seen by one token. Share it: all calls share its limiter and its connections.
pub struct Client {
    pub(crate) transport: Transport,
    pub(crate) cluster_id: String,
}

impl Client {
    /// A client that has not connected to anything yet.
    pub fn new(settings: &ClientSettings) -> Result<Client, SetupError> {
        Ok(Client {
            transport: Transport::new(settings)?,
            cluster_id: settings.cluster_id.clone(),
        })
    }

    /// The row of our own token; its `uuid` is what our locks are signed with (call 1).
    pub async fn current_token(&self, deadline: Instant) -> Result<Box<RawValue>, ApiError> {
        let call = get("api_client_authorizations/current", Params::new());
        self.row(call, deadline).await
    }

    /// Rows of `uuid` and `mounts` for up to a few dozen containers (call 5, batched). Those that no longer exist, and
    /// those that did not fit into the API's answer, are missing; only an empty list proves that none exists.
    pub async fn mounts(
        &self,
        ids: &[ContainerId],
        deadline: Instant,
    ) -> Result<Vec<Box<RawValue>>, ApiError> {
        let params = Params::new()
            .with("select", json!(["uuid", "mounts"]))
            .with("filters", json!([["uuid", "in", texts(ids)]]))
            .with("order", "uuid")
            .with("limit", ids.len())
            .with("count", "none");
        self.list(get("containers", params), deadline).await
    }

    /// Locks a Queued container (call 6). The answer has `state`, `priority` and `locked_by_uuid`.
    pub async fn lock(
        &self,
        id: &ContainerId,
        deadline: Instant,
    ) -> Result<Box<RawValue>, ApiError> {
        self.row(deed(Verb::Post, id, "/lock", Params::new()), deadline)
            .await
    }

    /// Unlocks a container that we have locked (call 7). It may be Cancelled afterwards (facts Q23).
    pub async fn unlock(
        &self,
        id: &ContainerId,
        deadline: Instant,
    ) -> Result<Box<RawValue>, ApiError> {
        self.row(deed(Verb::Post, id, "/unlock", Params::new()), deadline)
            .await
    }

    /// Cancels a container and, if a status is given, says why in the same call (calls 8 and 9 in one, facts §5.4).
    pub async fn cancel(
        &self,
        id: &ContainerId,
        runtime_status: Option<&Value>,
        deadline: Instant,
    ) -> Result<Box<RawValue>, ApiError> {
        let container = match runtime_status {
            Some(status) => json!({"state": "Cancelled", "runtime_status": status}),
            None => json!({"state": "Cancelled"}),
        };
        let params = Params::new().with("container", container).with(
            "select",
            json!(["uuid", "state", "priority", "locked_by_uuid"]),
        );
        self.row(deed(Verb::Put, id, "", params), deadline).await
    }

    /// Reads what can change of a container (call 10 and a little more).
    pub async fn read(
        &self,
        id: &ContainerId,
        deadline: Instant,
    ) -> Result<Box<RawValue>, ApiError> {
        let params = Params::new().with(
            "select",
            json!([
                "uuid",
                "state",
                "priority",
                "locked_by_uuid",
                "runtime_status"
            ]),
        );
        self.row(deed(Verb::Get, id, "", params), deadline).await
    }

    /// When the API last said that it has too much to do; `None`: never.
    pub fn last_503(&self) -> Option<Instant> {
        self.transport.last_503()
    }

    /// Whether it has said so since this was asked last. Each time counts once, however many calls were under way.
    pub fn take_news_of_503(&self) -> bool {
        self.transport.take_news_of_503()
    }

    pub(crate) async fn list(
        &self,
        call: Call,
        deadline: Instant,
    ) -> Result<Vec<Box<RawValue>>, ApiError> {
        #[derive(Deserialize)]
        struct List {
            items: Vec<Box<RawValue>>,
        }
        let name = format!("the list of {}", call.path);
        let body = self.transport.send(call, deadline).await?;
        let list: List = decode(&body, &name)?;
        Ok(list.items)
    }

    async fn row(&self, call: Call, deadline: Instant) -> Result<Box<RawValue>, ApiError> {
        let name = call.path.clone();
        let body = self.transport.send(call, deadline).await?;
        decode(&body, &name)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("cluster_id", &self.cluster_id)
            .finish_non_exhaustive()
    }
}

pub(crate) fn get(path: &str, params: Params) -> Call {
    Call {
        verb: Verb::Get,
        path: path.to_owned(),
        params,
    }
}

pub(crate) fn texts(ids: &[ContainerId]) -> Vec<&str> {
    ids.iter().map(ContainerId::as_str).collect()
}

fn deed(verb: Verb, id: &ContainerId, rest: &str, params: Params) -> Call {
    // An id is whatever the API called it; nothing in it may become another path.
    let id: String = url::form_urlencoded::byte_serialize(id.as_str().as_bytes()).collect();
    Call {
        verb,
        path: format!("containers/{id}{rest}"),
        params,
    }
}

fn decode<'a, T: Deserialize<'a>>(body: &'a [u8], name: &str) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::Unusable {
        call: name.to_owned(),
        cause: error.to_string(),
    })
}
