//! Requests to the management API: with the token, with a deadline, and with answers of bounded size.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use dispatch_management_api::wire::Health;
use reqwest::{Certificate, Response, StatusCode, header, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::access::Access;

/// The longest answer read: ten times what a hundred thousand containers need.
const MAX_ANSWER_BYTES: usize = 2 << 30;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Talks to every dispatcher of the cluster.
pub(crate) struct Client {
    http: reqwest::Client,
    access: Access,
}

/// What a dispatcher said to a request that it understood.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(access: Access) -> Result<Self> {
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(access.timeout))
            .timeout(access.timeout)
            // A token is not carried to wherever an answer points.
            .redirect(redirect::Policy::none())
            // Nor to a proxy: dispatchers are inside the cluster.
            .no_proxy()
            .user_agent(concat!("arvados-dispatch-ctl/", env!("CARGO_PKG_VERSION")));
        if access.endpoints.iter().all(|url| url.scheme() == "http") {
            // There is no certificate to check, so no roots need to be found.
            http = http.tls_certs_only([]);
        } else if access.insecure {
            http = http.tls_danger_accept_invalid_certs(true);
        } else if let Some(pem) = &access.ca {
            let certificates =
                Certificate::from_pem_bundle(pem).context("the CA file holds no certificates")?;
            http = http.tls_certs_merge(certificates);
        }
        let http = http.build().context("cannot prepare for HTTP")?;
        Ok(Client { http, access })
    }

    /// The dispatchers to ask.
    pub(crate) fn endpoints(&self) -> &[Url] {
        &self.access.endpoints
    }

    /// Asks one of them.
    pub(crate) async fn get(
        &self,
        endpoint: &Url,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Answer> {
        let mut url = address(endpoint, path);
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        self.send(self.http.get(url)).await
    }

    /// Tells one of them.
    pub(crate) async fn post(
        &self,
        endpoint: &Url,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Answer> {
        self.send(self.http.post(address(endpoint, path)).form(parameters))
            .await
    }

    /// What this dispatcher waits for, if it says that it is not in command: it knows no containers and no instances.
    pub(crate) async fn waits_for(&self, endpoint: &Url) -> Option<String> {
        let health = self.http.get(below(endpoint, "_health/ping"));
        // Nothing depends on it: without an answer what is known already must do.
        let answer = self.send(health).await.ok()?;
        let health: Health = serde_json::from_slice(&answer.body).ok()?;
        Some(crate::table::printable(&health.standby?))
    }

    /// What a dispatcher said that does not know what it was asked for, and what it waits for if it stands by.
    pub(crate) async fn unknown(&self, endpoint: &Url, said: String) -> String {
        match self.waits_for(endpoint).await {
            Some(why) => format!("{said}: it is not in command: {why}"),
            None => said,
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer> {
        let authorization = format!("Bearer {}", self.access.token.reveal());
        let mut authorization = header::HeaderValue::try_from(authorization)
            .map_err(|_| anyhow!("the token has characters that no token has"))?;
        authorization.set_sensitive(true);
        let response = request
            .header(header::AUTHORIZATION, authorization)
            .send()
            .await
            .map_err(readable)?;
        let status = response.status();
        Ok(Answer {
            status,
            body: read(response).await?,
        })
    }
}

impl Answer {
    /// "404 Not Found", as the Go tool writes it.
    pub(crate) fn status_line(&self) -> String {
        let reason = self.status.canonical_reason().unwrap_or_default();
        format!("{} {reason}", self.status.as_str())
            .trim_end()
            .into()
    }

    /// The JSON in it, if all went well, otherwise why not.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        if self.status != StatusCode::OK {
            bail!("{}", self.refusal());
        }
        serde_json::from_slice(&self.body).context("the answer is not what a dispatcher answers")
    }

    /// The status, what the dispatcher says about it, and for common mistakes what to do.
    pub(crate) fn refusal(&self) -> String {
        let mut text = self.status_line();
        let said = serde_json::from_slice::<Value>(&self.body).ok();
        let errors = said.as_ref().and_then(|said| said["errors"].as_array());
        for error in errors.into_iter().flatten().filter_map(Value::as_str) {
            text.push_str(": ");
            text.push_str(&crate::table::printable(error));
        }
        match self.status {
            StatusCode::UNAUTHORIZED => text.push_str(" (no token reached the dispatcher)"),
            StatusCode::FORBIDDEN => {
                text.push_str(
                    " (the token is not the ManagementToken of the dispatcher, or it has none)",
                );
            }
            _ => {}
        }
        text
    }
}

/// The address of a path below an endpoint, with exactly one slash between.
fn address(endpoint: &Url, path: &str) -> Url {
    below(endpoint, &format!("arvados/v1/dispatch/{path}"))
}

fn below(endpoint: &Url, path: &str) -> Url {
    let mut url = endpoint.clone();
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}/{path}"));
    url.set_query(None);
    url.set_fragment(None);
    url
}

async fn read(mut response: Response) -> Result<Vec<u8>> {
    let mut body = vec![];
    while let Some(chunk) = response.chunk().await.map_err(readable)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            bail!("the answer is longer than {MAX_ANSWER_BYTES} bytes");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The cause at the bottom says most; the URL is named by the caller.
fn readable(error: reqwest::Error) -> anyhow::Error {
    if error.is_timeout() {
        return anyhow!("no answer in time (see --timeout)");
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text = next.to_string();
        cause = next.source();
    }
    if text.contains("CaUsedAsEndEntity") {
        // What `openssl req -x509` makes when nothing else is said.
        text = "the server's certificate is that of a CA (basicConstraints CA:TRUE), which may sign others but not \
                serve: make one with `-addext basicConstraints=critical,CA:FALSE`, or one that the CA signs, or \
                accept any with --insecure"
            .into();
    }
    anyhow!(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_slash_between_endpoint_and_path() {
        for endpoint in [
            "http://host:9006",
            "http://host:9006/",
            "http://host:9006//?x=1#y",
        ] {
            let address = address(&Url::parse(endpoint).unwrap(), "instances/hold");
            assert_eq!(
                address.as_str(),
                "http://host:9006/arvados/v1/dispatch/instances/hold"
            );
        }
    }
}
