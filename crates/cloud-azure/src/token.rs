//! Access tokens: of an application with a secret, or of the host's managed identity. One request at a time; a token is
//! renewed before it ends, and dropped when Azure refuses it.

use std::time::Duration;

use dispatch_model::Time;
use reqwest::Client;
use serde_json::Value;

use crate::{
    atlas::Fault,
    endpoints::Endpoints,
    failure::Failure,
    masks::Masks,
    parameters::{Identity, Secret},
    retry_after,
};

/// A token that ends sooner than this is renewed first.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// After a failure none is asked for again for so long, unless the authority says how long.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The token, and how to get another.
#[derive(Debug)]
pub(crate) struct Tokens {
    identity: Identity,
    /// Held while one is asked for, so that it is asked for once.
    held: tokio::sync::Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<(Secret, Time)>,
    /// What the last request failed with, and until when that counts.
    failed: Option<(Failure, Time)>,
}

impl Tokens {
    pub(crate) fn new(identity: Identity) -> Tokens {
        Tokens {
            identity,
            held: tokio::sync::Mutex::default(),
        }
    }

    /// The secret that tokens are had for, if there is one.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        match &self.identity {
            Identity::Application { client_secret, .. } => Some(client_secret),
            Identity::Managed { .. } => None,
        }
    }

    /// A token that is good now.
    pub(crate) async fn token(
        &self,
        client: &Client,
        direct: &Client,
        endpoints: &Endpoints,
        masks: &Masks,
        scale: u32,
        now: impl Fn() -> Time,
    ) -> Result<Secret, Failure> {
        let mut held = self.held.lock().await;
        match (&held.token, &held.failed) {
            (Some((token, until)), _) if now() < *until => return Ok(token.clone()),
            (_, Some((failure, until))) if now() < *until => return Err(failure.clone()),
            _ => {}
        }
        let asked_at = now();
        match self.ask(client, direct, endpoints, masks).await {
            Ok((token, lasts)) => {
                masks.hide_credential(token.reveal());
                // Half of a short one is better than none.
                let good = lasts.saturating_sub(RENEW_BEFORE).max(lasts / 2);
                held.token = Some((token.clone(), asked_at + good));
                held.failed = None;
                Ok(token)
            }
            Err(failure) => {
                let wait = match &failure {
                    Failure::NoToken { fault, .. } => fault.retry_after,
                    _ => None,
                };
                let until = now() + wait.unwrap_or(AFTER_FAILURE) / scale.max(1);
                held.token = None;
                held.failed = Some((failure.clone(), until));
                Err(failure)
            }
        }
    }

    /// Azure does not take this one any more.
    pub(crate) async fn drop_token(&self, token: &Secret) {
        let mut held = self.held.lock().await;
        if held.token.as_ref().is_some_and(|(known, _)| known == token) {
            held.token = None;
        }
    }

    async fn ask(
        &self,
        client: &Client,
        direct: &Client,
        endpoints: &Endpoints,
        masks: &Masks,
    ) -> Result<(Secret, Duration), Failure> {
        let audience = endpoints.audience;
        let request = match &self.identity {
            Identity::Application {
                tenant_id,
                client_id,
                client_secret,
            } => {
                let mut url = endpoints.authority.clone();
                let base = url.path().trim_end_matches('/').to_owned();
                url.set_path(&format!("{base}/{tenant_id}/oauth2/v2.0/token"));
                let scope = format!("{audience}/.default");
                client.post(url).form(&[
                    ("grant_type", "client_credentials"),
                    ("client_id", client_id),
                    ("client_secret", client_secret.reveal()),
                    ("scope", &scope),
                ])
            }
            Identity::Managed { client_id } => {
                let mut url = endpoints.metadata.clone();
                url.set_path("/metadata/identity/oauth2/token");
                let resource = format!("{audience}/");
                url.query_pairs_mut()
                    .append_pair("api-version", "2018-02-01")
                    .append_pair("resource", &resource);
                if let Some(client_id) = client_id {
                    url.query_pairs_mut().append_pair("client_id", client_id);
                }
                // The metadata service is on this host: no proxy leads there.
                direct.get(url).header("Metadata", "true")
            }
        };
        let unreachable = |error: reqwest::Error| {
            let whose = match self.identity {
                Identity::Application { .. } => "the authority",
                Identity::Managed { .. } => "the metadata service, which only VMs of Azure have,",
            };
            let words = crate::calls::words_of(&error);
            Failure::NotSent(format!("{whose} gives no token: {words}"))
        };
        let answer = request
            .timeout(ANSWER_WITHIN)
            .send()
            .await
            .map_err(unreachable)?;
        let status = answer.status().as_u16();
        let wait = retry_after::wait(
            crate::calls::header(&answer, "retry-after"),
            crate::calls::header(&answer, "date"),
        );
        let body = answer.bytes().await.map_err(unreachable)?;
        if status != 200 {
            let mut fault = Fault::of_bytes(&masks.mask(&body));
            fault.retry_after = wait;
            return Err(Failure::NoToken { status, fault });
        }
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let token = body["access_token"].as_str().unwrap_or_default();
        let lasts = seconds(&body["expires_in"]).unwrap_or(Duration::from_secs(600));
        if token.is_empty() {
            return Err(Failure::NotSent(
                "the answer to a request for a token has none".to_owned(),
            ));
        }
        Ok((Secret::new(token), lasts))
    }
}

/// A number, which the metadata service writes as a text.
fn seconds(value: &Value) -> Option<Duration> {
    let secs = value
        .as_u64()
        .or_else(|| value.as_str()?.trim().parse().ok())?;
    Some(Duration::from_secs(secs))
}
