//! Tokens: the application's (learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow) and the
//! host's (learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token).

use dispatch_lab::Now;
use serde_json::{Value, json};

use super::{
    account::{Account, AzureRequest},
    refusal::Refusal,
};
use crate::http::Reply;

const METADATA: &str = "/metadata/identity/oauth2/token";

impl Account {
    /// Answers requests for tokens; `None`: it is none.
    pub(super) fn token(&mut self, request: &AzureRequest, now: Now) -> Option<Reply> {
        if request.path == METADATA {
            self.calls.entry("token of the host".into()).or_default().0 += 1;
            return Some(self.of_host(request, now));
        }
        let tenant = request
            .path
            .strip_prefix('/')?
            .strip_suffix("/oauth2/v2.0/token")?;
        self.calls
            .entry("token of the application".into())
            .or_default()
            .0 += 1;
        Some(self.of_application(tenant, request, now))
    }

    fn of_application(&mut self, tenant: &str, request: &AzureRequest, now: Now) -> Reply {
        let refused = |status: u16, code: &str, words: &str| {
            Reply::json(status, &json!({"error": code, "error_description": words}))
        };
        let given = |name: &str| {
            request
                .form
                .get(name)
                .map(String::as_str)
                .unwrap_or_default()
        };
        if request.method != "POST" || given("grant_type") != "client_credentials" {
            return refused(
                400,
                "unsupported_grant_type",
                "AADSTS70003: The app requested an unsupported grant type.",
            );
        }
        if tenant != self.settings.tenant {
            return refused(
                400,
                "invalid_request",
                "AADSTS90002: Tenant was not found. Check to make sure you have the correct tenant ID.",
            );
        }
        if given("client_id") != self.settings.client_id {
            return refused(
                400,
                "unauthorized_client",
                "AADSTS700016: Application was not found in the directory.",
            );
        }
        if given("client_secret") != self.settings.client_secret {
            return refused(
                401,
                "invalid_client",
                "AADSTS7000215: Invalid client secret provided.",
            );
        }
        if !given("scope").ends_with("/.default") {
            return refused(
                400,
                "invalid_scope",
                "AADSTS1002012: The provided value for scope is not valid.",
            );
        }
        let token = self.make_token(now);
        let secs = self.settings.token_secs;
        Reply::json(
            200,
            &json!({"token_type": "Bearer", "expires_in": secs, "ext_expires_in": secs, "access_token": token}),
        )
    }

    fn of_host(&mut self, request: &AzureRequest, now: Now) -> Reply {
        let refused = |status: u16, words: &str| {
            Reply::json(
                status,
                &json!({"error": "invalid_request", "error_description": words}),
            )
        };
        if request.header("metadata") != "true" || !request.header("x-forwarded-for").is_empty() {
            return refused(400, "Required metadata header not specified");
        }
        if request.query("api-version") != "2018-02-01" || request.query("resource").is_empty() {
            return refused(400, "Required parameter is missing");
        }
        let client_id = request.query("client_id");
        if !client_id.is_empty() && !self.settings.identities.contains(client_id) {
            return refused(400, "Identity not found");
        }
        let token = self.make_token(now);
        // Numbers are texts here.
        let secs = self.settings.token_secs.to_string();
        Reply::json(
            200,
            &json!({
                "access_token": token, "client_id": client_id, "expires_in": secs, "ext_expires_in": secs,
                "expires_on": "0", "not_before": "0", "resource": request.query("resource"), "token_type": "Bearer",
            }),
        )
    }

    fn make_token(&mut self, now: Now) -> String {
        self.n_tokens += 1;
        let token = format!("lab-token-{}", self.n_tokens);
        let until = now.ms + self.settings.token_secs * 1000;
        self.tokens.retain(|_, until| *until > now.ms);
        self.tokens.insert(token.clone(), until);
        token
    }

    pub(super) fn check_token(&self, request: &AzureRequest, now: Now) -> Result<(), Refusal> {
        let Some(token) = request.header("authorization").strip_prefix("Bearer ") else {
            return Err(Refusal::new(
                401,
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
            ));
        };
        match self.tokens.get(token) {
            Some(until) if now.ms < *until => Ok(()),
            _ => Err(Refusal::new(
                401,
                "ExpiredAuthenticationToken",
                "The access token expiry is earlier than the current time.",
            )),
        }
    }
}

/// The tags of a body: texts alone.
pub(super) fn tags_of(value: &Value) -> std::collections::BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
