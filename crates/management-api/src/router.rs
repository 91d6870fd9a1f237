//! Which request is which question or wish, and who may ask it.

use std::{sync::Arc, time::Instant};

use dispatch_model::{ContainerId, IdleBehavior, InstanceId};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::{
    answer::{self, Answer},
    auth::{self, Standing, Token},
    backend::{Backend, NotFound},
    limiter::Limiter,
    parameters, wire,
};

const PREFIX: &str = "/arvados/v1/dispatch/";

/// A request as far as routing cares.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(String, String)],
    pub(crate) headers: &'a HeaderMap,
}

/// Whether a request may be answered even while all turns are taken (facts M5).
pub(crate) fn is_exempt(path: &str) -> bool {
    matches!(path, "/metrics" | "/metrics.json" | "/_inspect/requests")
        || path.starts_with("/_health/")
}

/// Answers what needs no body: a question, or a refusal. `None`: a wish whose form must be read first.
pub(crate) fn without_body(
    ask: &Ask<'_>,
    token: &Token,
    backend: &dyn Backend,
    limiter: &Limiter,
) -> Option<Answer> {
    if let Some(check) = ask.path.strip_prefix("/_health/") {
        return Some(health(check, ask, token, backend));
    }
    match ask.path {
        "/metrics" | "/metrics.json" | "/_inspect/requests" => {
            if let Some(refusal) = refuse(ask, token) {
                return Some(refusal);
            }
            if let Some(refusal) = refuse_verb(ask.method, &Method::GET) {
                return Some(refusal);
            }
            Some(match ask.path {
                "/metrics" => answer::body(
                    "text/plain; version=0.0.4; charset=utf-8",
                    backend.metrics_text(),
                ),
                "/metrics.json" => answer::json(&backend.metrics_json()),
                _ => inspect(ask, token, limiter),
            })
        }
        _ => {
            let Some(name) = ask.path.strip_prefix(PREFIX) else {
                return Some(not_a_page());
            };
            dispatch(name, ask, token, backend)
        }
    }
}

fn dispatch(name: &str, ask: &Ask<'_>, token: &Token, backend: &dyn Backend) -> Option<Answer> {
    let verb = match name {
        "containers" | "container" | "instances" => Method::GET,
        "containers/kill" | "instances/hold" | "instances/drain" | "instances/run"
        | "instances/kill" => Method::POST,
        _ if !token.is_set() => {
            return Some(answer::text(
                StatusCode::FORBIDDEN,
                "Management API is disabled: set ManagementToken to open it",
            ));
        }
        _ => return Some(not_a_page()),
    };
    if let Some(refusal) = refuse(ask, token) {
        return Some(refusal);
    }
    if let Some(refusal) = refuse_verb(ask.method, &verb) {
        return Some(refusal);
    }
    match name {
        "containers" => Some(answer::json(&wire::Items {
            items: backend.containers(),
        })),
        "instances" => Some(answer::json(&wire::Items {
            items: backend.instances(),
        })),
        "container" => Some(match parameters::first(ask.query, "container_uuid") {
            None => answer::error(
                StatusCode::BAD_REQUEST,
                "container_uuid parameter not provided",
            ),
            Some(uuid) => match backend.container(&ContainerId::from(uuid)) {
                Some(container) => answer::json(&container),
                None => answer::error(
                    StatusCode::NOT_FOUND,
                    format!("container {uuid:?} is not in the dispatcher's queue"),
                ),
            },
        }),
        _ => None,
    }
}

/// Carries out a wish that `without_body` let through. `form` has the body's parameters and then the query's.
pub(crate) async fn with_form(
    path: &str,
    form: &[(String, String)],
    backend: &Arc<dyn Backend>,
) -> Answer {
    let reason = || {
        parameters::first(form, "reason")
            .unwrap_or("via management API")
            .to_owned()
    };
    let behavior = |text: &str| IdleBehavior::parse(text.rsplit('/').next().unwrap_or(text));
    let name = path.strip_prefix(PREFIX).unwrap_or(path);
    if name == "containers/kill" {
        let Some(uuid) = parameters::first(form, "container_uuid") else {
            return answer::error(
                StatusCode::BAD_REQUEST,
                "container_uuid parameter not provided",
            );
        };
        let result = backend
            .kill_container(ContainerId::from(uuid), reason())
            .await;
        return outcome(result, || {
            format!("container {uuid:?} is not running on any instance")
        });
    }
    let Some(id) = parameters::first(form, "instance_id") else {
        return answer::error(
            StatusCode::BAD_REQUEST,
            "instance_id parameter not provided",
        );
    };
    let result = match behavior(name) {
        Some(behavior) => {
            backend
                .set_idle_behavior(InstanceId::from(id), behavior)
                .await
        }
        None => backend.kill_instance(InstanceId::from(id), reason()).await,
    };
    outcome(result, || format!("instance {id:?} is not known"))
}

fn outcome(result: Result<(), NotFound>, not_found: impl FnOnce() -> String) -> Answer {
    match result {
        Ok(()) => answer::done(),
        Err(NotFound) => answer::error(StatusCode::NOT_FOUND, not_found()),
    }
}

fn refuse(ask: &Ask<'_>, token: &Token) -> Option<Answer> {
    if !token.is_set() {
        return Some(answer::text(
            StatusCode::FORBIDDEN,
            "Management API is disabled: set ManagementToken to open it",
        ));
    }
    match auth::standing(token, ask.headers, ask.query) {
        Standing::Right => None,
        Standing::Anonymous => Some(answer::text(StatusCode::UNAUTHORIZED, "Unauthorized")),
        Standing::Wrong => Some(answer::text(StatusCode::FORBIDDEN, "Forbidden")),
    }
}

fn refuse_verb(method: &Method, allowed: &Method) -> Option<Answer> {
    if method == allowed {
        return None;
    }
    let allow = if allowed == Method::GET {
        "GET, OPTIONS"
    } else {
        "OPTIONS, POST"
    };
    let mut refusal = if method == Method::OPTIONS {
        answer::done()
    } else {
        answer::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
    };
    refusal
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allow));
    Some(refusal)
}

fn health(check: &str, ask: &Ask<'_>, token: &Token, backend: &dyn Backend) -> Answer {
    if !token.is_set() {
        return answer::text(StatusCode::NOT_FOUND, "disabled");
    }
    match auth::bearer_standing(token, ask.headers) {
        Standing::Anonymous => answer::text(StatusCode::UNAUTHORIZED, "authorization required"),
        Standing::Wrong => answer::text(StatusCode::FORBIDDEN, "authorization error"),
        Standing::Right if check != "ping" => not_a_page(),
        Standing::Right => {
            let error = backend.health().err();
            let health = if error.is_none() { "OK" } else { "ERROR" };
            answer::json(&wire::Health {
                health: health.to_owned(),
                error,
                standby: backend.waits_for(),
            })
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the age of requests is for people, nothing is decided by it"
)]
fn inspect(ask: &Ask<'_>, token: &Token, limiter: &Limiter) -> Answer {
    match auth::bearer_standing(token, ask.headers) {
        Standing::Right => answer::json(&limiter.under_way(Instant::now())),
        Standing::Anonymous | Standing::Wrong => {
            answer::text(StatusCode::UNAUTHORIZED, "Unauthorized")
        }
    }
}

fn not_a_page() -> Answer {
    answer::text(StatusCode::NOT_FOUND, "404 page not found")
}
