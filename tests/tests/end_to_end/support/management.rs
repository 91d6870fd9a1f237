//! The management API as a client sees it.

use std::time::Duration;

use dispatch_management_api::wire;
use reqwest::{Method, header::HeaderMap};
use serde_json::Value;

/// An answer, as it arrived.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// One daemon's management API.
pub(crate) struct Management {
    pub(crate) address: String,
    token: String,
    http: reqwest::Client,
}

impl Management {
    pub(crate) fn new(address: &str, token: &str) -> Management {
        Management {
            address: address.to_owned(),
            token: token.to_owned(),
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(20))
                .no_proxy()
                .build()
                .expect("a client"),
        }
    }

    /// A request with any token, or none. `None` if there was no answer.
    #[expect(
        clippy::print_stdout,
        reason = "a test that fails for want of an answer says why"
    )]
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        form: Option<&str>,
    ) -> Option<Answer> {
        let url = format!("http://{}{path}", self.address);
        let mut request = self.http.request(method, url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(form) = form {
            request = request
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(form.to_owned());
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                println!("{path} was not answered: {error:?}");
                return None;
            }
        };
        Some(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.ok()?,
        })
    }

    /// With the right token.
    pub(crate) async fn get(&self, path: &str) -> Option<Answer> {
        self.ask(Method::GET, path, Some(&self.token), None).await
    }

    /// With the right token.
    pub(crate) async fn post(&self, path: &str, form: &str) -> Option<Answer> {
        self.ask(Method::POST, path, Some(&self.token), Some(form))
            .await
    }

    pub(crate) async fn instances(&self) -> Vec<wire::Instance> {
        self.items("/arvados/v1/dispatch/instances").await
    }

    async fn items<T: serde::de::DeserializeOwned>(&self, path: &str) -> Vec<T> {
        let Some(answer) = self.get(path).await else {
            return Vec::new();
        };
        let list: wire::Items<T> = serde_json::from_str(&answer.text)
            .unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.text));
        list.items
    }

    pub(crate) async fn health(&self) -> Option<wire::Health> {
        let answer = self.get("/_health/ping").await?;
        assert_eq!(answer.status, 200, "health is always told with 200");
        serde_json::from_str(&answer.text).ok()
    }

    pub(crate) async fn metrics(&self) -> String {
        self.get("/metrics")
            .await
            .map_or_else(String::new, |answer| answer.text)
    }
}
