//! The lab's control API: submit, look, turn knobs. HTTP and JSON, for demos, benches and tests.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `GET /status` | | the world at a glance |
//! | `GET /report` | | the judgement so far |
//! | `GET /settings`, `PATCH /settings` | a part of the settings | all settings |
//! | `GET /config.yml` | | the cluster configuration for a dispatcher |
//! | `POST /containers` | `{"mixed": N}` or `{"containers": [{attributes, run_ms, exit_code}]}` | `{"uuids": […]}` |
//! | `GET /containers/UUID` | | its record and who ran it |
//! | `POST /containers/UUID/priority` | `{"priority": N}` | `{}` |
//! | `POST /instances/ID/silence` | `{"for_ms": N or null}` | `{}` |
//! | `POST /instances/ID/broken`, `…/reclaim`, `…/announce-kill` | | `{}` |
//! | `POST /runners` | `{"event": "began", "passed", "ended" or "crashed", instance, uuid, pid}` | what becomes of it |
//! | `POST /dispatcher-restarted` | | `{}` |

use std::sync::Arc;

use bytes::Bytes;
use dispatch_lab::{World, world::Submission};
use http::{Method, Request};
use serde_json::{Value, json};

use crate::{faces::decoded, fleet::Shared, http::Reply};

/// One request.
pub(crate) fn control(shared: &Arc<Shared>, config_yaml: &str, request: Request<Bytes>) -> Reply {
    let path: Vec<String> = request
        .uri()
        .path()
        .trim_matches('/')
        .split('/')
        .map(decoded)
        .collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let body = if request.body().is_empty() {
        Value::Null
    } else {
        match serde_json::from_slice(request.body()) {
            Ok(body) => body,
            Err(error) => return failure(400, &format!("malformed body: {error}")),
        }
    };
    if request.method() == Method::GET && path == ["config.yml"] {
        let body = config_yaml.as_bytes().to_vec();
        return Reply {
            content_type: "text/yaml",
            body,
            ..Reply::json(200, &Value::Null)
        };
    }
    match route(shared, request.method(), &path, &body) {
        Ok(answer) => Reply::json(200, &answer),
        Err((status, message)) => failure(status, &message),
    }
}

fn failure(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "error": message }))
}

fn route(
    shared: &Arc<Shared>,
    method: &Method,
    path: &[&str],
    body: &Value,
) -> Result<Value, (u16, String)> {
    match (method, path) {
        (&Method::GET, ["status"]) => Ok(shared.with(|world, _| json!(world.status()))),
        (&Method::GET, ["report"]) => Ok(shared.with(|world, now| json!(world.report(now)))),
        (&Method::GET, ["settings"]) => Ok(shared.with(|world, _| json!(world.settings()))),
        (&Method::PATCH, ["settings"]) => shared.with(|world, _| {
            world
                .set(body)
                .map(|settings| json!(settings))
                .map_err(|message| (422, message))
        }),
        (&Method::POST, ["containers"]) => submit(shared, body),
        (&Method::GET, ["containers", uuid]) => shared
            .with(|world, _| show(world, uuid))
            .ok_or_else(not_found),
        (&Method::POST, ["containers", uuid, "priority"]) => {
            let priority = body["priority"]
                .as_i64()
                .ok_or((422, "priority must be an integer".to_owned()))?;
            let done = shared.with(|world, now| world.set_priority(uuid, priority, now));
            if done {
                Ok(json!({}))
            } else {
                Err((
                    404,
                    "there is no such container that is not final".to_owned(),
                ))
            }
        }
        (&Method::POST, ["instances", id, act]) => shared.with(|world, now| {
            if world.vm(id).is_none() {
                return Err(not_found());
            }
            match *act {
                "silence" => world.silence(id, body["for_ms"].as_u64(), now),
                "broken" => world.report_broken(id),
                "reclaim" => world.reclaim(id, now),
                "announce-kill" => world.announce_kill(id),
                _ => return Err(not_found()),
            }
            Ok(json!({}))
        }),
        (&Method::POST, ["runners"]) => runner(shared, body),
        (&Method::POST, ["dispatcher-restarted"]) => {
            shared.with(|world, _| world.dispatcher_restarted());
            Ok(json!({}))
        }
        _ => Err(not_found()),
    }
}

/// What a runner on a machine that is a real process tells of itself.
fn runner(shared: &Arc<Shared>, body: &Value) -> Result<Value, (u16, String)> {
    let text = |name: &str| {
        body[name]
            .as_str()
            .map(str::to_owned)
            .ok_or((422, format!("{name} is missing")))
    };
    let (event, instance, uuid) = (text("event")?, text("instance")?, text("uuid")?);
    let pid = body["pid"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok())
        .ok_or((422, "pid is missing".to_owned()))?;
    shared.with(|world, now| {
        match event.as_str() {
            "began" => {
                return Ok(json!(
                    world.outside_runner_began(&instance, &uuid, pid, now)
                ));
            }
            "passed" => world.outside_runner_passed(&instance, &uuid, pid),
            "ended" => world.outside_runner_ended(&instance, &uuid, pid, false),
            "crashed" => world.outside_runner_ended(&instance, &uuid, pid, true),
            _ => return Err((422, format!("there is no event {event:?}"))),
        }
        Ok(json!({}))
    })
}

fn not_found() -> (u16, String) {
    (404, "there is no such thing here".into())
}

fn submit(shared: &Arc<Shared>, body: &Value) -> Result<Value, (u16, String)> {
    let submissions: Vec<Submission> = match (body["mixed"].as_u64(), body.get("containers")) {
        (Some(n), _) => (0..n).map(|_| Submission::default()).collect(),
        (None, Some(all)) => {
            serde_json::from_value(all.clone()).map_err(|error| (422, error.to_string()))?
        }
        (None, None) => return Err((422, "either mixed or containers is needed".into())),
    };
    let uuids: Result<Vec<String>, String> = shared.with(|world, now| {
        submissions
            .iter()
            .map(|submission| world.submit(submission, now))
            .collect()
    });
    uuids
        .map(|uuids| json!({ "uuids": uuids }))
        .map_err(|message| (422, message))
}

fn show(world: &World, uuid: &str) -> Option<Value> {
    let container = world.containers().containers().get(uuid)?;
    let story = world.judge().story(uuid)?;
    Some(json!({
        "uuid": uuid,
        "state": container.state.name(),
        "priority": container.priority,
        "lock_count": container.lock_count,
        "locked_by_uuid": container.locked_by_uuid,
        "runtime_status": container.attribute("runtime_status"),
        "exit_code": container.attribute("exit_code"),
        "submitted_ms": story.submitted_ms,
        "running_ms": story.running_ms,
        "ran_by": story.ran_by,
        "run_twice": story.twice,
        "doomed": story.doomed,
        "runners": story.runners.keys().map(|(instance, pid)| format!("{instance}/{pid}")).collect::<Vec<_>>(),
    }))
}
