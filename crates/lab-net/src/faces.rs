//! The Arvados API and the cloud's API: HTTP requests into calls of the world.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use dispatch_lab::{
    api::ApiRequest,
    cloud::{CloudCall, Order},
    world::Moment,
};
use http::{Method, Request};
use serde_json::json;

use crate::{fleet::Shared, http::Reply};

/// One request to the Arvados API.
pub(crate) fn arvados(shared: &Arc<Shared>, request: Request<Bytes>) -> Reply {
    let headers = request
        .headers()
        .iter()
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect();
    let request = ApiRequest {
        method: request.method().as_str().to_owned(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers,
        body: request.into_body().to_vec(),
    };
    let asked = Moment::Asked {
        method: request.method.clone(),
        path: request.path.clone(),
    };
    let reply = shared.with(|world, now| {
        if !request.headers.contains_key("x-lab-runner") {
            world.arrived(asked, now);
        }
        world.api(&request, now)
    });
    Reply {
        status: reply.answer.status,
        content_type: reply.answer.content_type,
        body: reply.answer.body,
        when: reply.when,
    }
}

/// One request to the cloud (`docs/reference/lab-cloud-api.md`).
pub(crate) fn cloud(shared: &Arc<Shared>, request: Request<Bytes>) -> Reply {
    match call_of(&request) {
        Ok(call) => {
            let arrived = match &call {
                CloudCall::Create(_) => Some(Moment::CreateAsked),
                CloudCall::Destroy(instance) => Some(Moment::DestroyAsked {
                    instance: instance.clone(),
                }),
                CloudCall::List(_) | CloudCall::SetTags(..) => None,
            };
            let reply = shared.with(|world, now| {
                if let Some(moment) = arrived {
                    world.arrived(moment, now);
                }
                world.cloud(&call, now)
            });
            let (status, body) = reply.answer.to_http();
            Reply {
                when: reply.when,
                ..Reply::json(status, &body)
            }
        }
        Err((status, class, message)) => Reply::json(
            status,
            &json!({"error": {"class": class, "message": message}}),
        ),
    }
}

type Malformed = (u16, &'static str, String);

fn call_of(request: &Request<Bytes>) -> Result<CloudCall, Malformed> {
    let path: Vec<String> = request
        .uri()
        .path()
        .trim_matches('/')
        .split('/')
        .map(decoded)
        .collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match (request.method(), path.as_slice()) {
        (&Method::POST, ["instances"]) => body::<Order>(request).map(CloudCall::Create),
        (&Method::GET, ["instances"]) => Ok(CloudCall::List(tags_of(
            request.uri().query().unwrap_or_default(),
        ))),
        (&Method::POST, ["instances", id, "tags"]) => {
            #[derive(serde::Deserialize)]
            struct Tags {
                tags: BTreeMap<String, String>,
            }
            Ok(CloudCall::SetTags(
                (*id).to_owned(),
                body::<Tags>(request)?.tags,
            ))
        }
        (&Method::DELETE, ["instances", id]) => Ok(CloudCall::Destroy((*id).to_owned())),
        (method, _) => Err((
            400,
            "refused",
            format!("there is no {method} {}", request.uri().path()),
        )),
    }
}

fn body<T: serde::de::DeserializeOwned>(request: &Request<Bytes>) -> Result<T, Malformed> {
    serde_json::from_slice(request.body())
        .map_err(|error| (400, "refused", format!("malformed body: {error}")))
}

fn tags_of(query: &str) -> BTreeMap<String, String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter_map(|(key, value)| {
            Some((
                decoded(key).strip_prefix("tag.")?.to_owned(),
                decoded(value),
            ))
        })
        .collect()
}

/// Undoes percent-encoding, and `+` for a space.
pub(crate) fn decoded(text: impl AsRef<str>) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_ref().as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let hex = after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (byte, hex) {
            (b'%', Some(decoded)) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
