//! Requests about VMs, disks, quotas and sizes: put together by azure_mgmt_compute (API version 2024-07-01), sent by us.
//!
//! The crate has no HTTP client of its own here: each of its requests goes out through [`Calls`], at our pace, with our
//! token and our deadline, and the whole answer comes back beside the crate, whose errors hide headers and details. Its
//! waiting is never used: it PUTs a VM again as its poll, and takes one that fails for made (docs/dependencies.md).

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use azure_core::{
    Body, HttpClient, Request, Response, RetryOptions, TransportOptions,
    auth::{AccessToken, TokenCredential},
    error::{Error, ErrorKind},
};
use azure_mgmt_compute::package_2024_07_01::{Client, models::VirtualMachine};
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::Value;
use tracing::{instrument::WithSubscriber as _, subscriber::NoSubscriber};

use crate::{
    account::Account,
    action::Action,
    calls::{Calls, Good, Outgoing, Rows},
    failure::Failure,
};

/// The crate's requests about our places.
impl Account {
    /// Puts a VM that is not there yet: a PUT updates what exists, and that is never what we want.
    pub(crate) async fn put_vm(&self, name: &str, vm: VirtualMachine) -> Result<Good, Failure> {
        let (group, subscription) = self.group();
        ask(&self.calls, Action::PutVm, |client| {
            let vms = client.virtual_machines_client();
            let request = vms.create_or_update(group, name, vm, subscription);
            #[cfg(all(test, feature = "cloud-tests"))]
            if self.errs(crate::mutants::Mutant::PutsUnconditionally) {
                return request.send();
            }
            request.if_none_match("*").send()
        })
        .await
    }

    pub(crate) async fn get_vm(&self, name: &str) -> Result<Good, Failure> {
        let (group, subscription) = self.group();
        ask(&self.calls, Action::GetVm, |client| {
            let vms = client.virtual_machines_client();
            vms.get(group, name, subscription).send()
        })
        .await
    }

    pub(crate) async fn view_vm(&self, name: &str) -> Result<Good, Failure> {
        let (group, subscription) = self.group();
        ask(&self.calls, Action::InstanceView, |client| {
            let vms = client.virtual_machines_client();
            vms.instance_view(group, name, subscription).send()
        })
        .await
    }

    pub(crate) async fn delete_vm(&self, name: &str) -> Result<Good, Failure> {
        let (group, subscription) = self.group();
        ask(&self.calls, Action::DeleteVm, |client| {
            let vms = client.virtual_machines_client();
            vms.delete(group, name, subscription).send()
        })
        .await
    }

    pub(crate) async fn delete_disk(&self, name: &str) -> Result<Good, Failure> {
        let (group, subscription) = self.group();
        ask(&self.calls, Action::DeleteDisk, |client| {
            let disks = client.disks_client();
            disks.delete(subscription, group, name).send()
        })
        .await
    }

    pub(crate) async fn list_vms(&self) -> Result<Rows, Failure> {
        let (group, subscription) = self.group();
        let first = ask(&self.calls, Action::ListVms, |client| async move {
            let vms = client.virtual_machines_client();
            first_page(vms.list(group, subscription).into_stream()).await
        });
        self.calls.rest(Action::ListVms, first.await?).await
    }

    pub(crate) async fn list_disks(&self) -> Result<Rows, Failure> {
        let (group, subscription) = self.group();
        let first = ask(&self.calls, Action::ListDisks, |client| async move {
            let disks = client.disks_client();
            first_page(
                disks
                    .list_by_resource_group(subscription, group)
                    .into_stream(),
            )
            .await
        });
        self.calls.rest(Action::ListDisks, first.await?).await
    }

    /// The quotas of our region.
    pub(crate) async fn list_usages(&self) -> Result<Rows, Failure> {
        let (_, subscription) = self.group();
        let location = self.parameters.location.as_str();
        let first = ask(&self.calls, Action::Usages, |client| async move {
            let usages = client.usage_client();
            first_page(usages.list(location, subscription).into_stream()).await
        });
        self.calls.rest(Action::Usages, first.await?).await
    }

    /// The sizes of our region.
    pub(crate) async fn list_sizes(&self) -> Result<Rows, Failure> {
        let (_, subscription) = self.group();
        let filter = format!("location eq '{}'", self.parameters.location);
        let first = ask(&self.calls, Action::Sizes, |client| async move {
            let sizes = client.resource_skus_client();
            first_page(sizes.list(subscription).filter(filter).into_stream()).await
        });
        self.calls.rest(Action::Sizes, first.await?).await
    }

    /// Our resource group, and our subscription.
    fn group(&self) -> (&str, &str) {
        let places = &self.parameters.places;
        (&places.resource_group, &places.subscription_id)
    }
}

/// Lets the crate ask for the first page alone: further pages are followed by us, as a page may name itself as the next
/// (facts K27).
async fn first_page<T, E>(pages: azure_core::Pageable<T, E>) -> azure_core::Result<()>
where
    T: azure_core::Continuable,
    E: std::error::Error,
{
    match pin!(pages).next().await {
        Some(_) | None => Ok(()),
    }
}

/// Has the crate put a request together, sends it, and brings back its answer.
async fn ask<F, R>(
    calls: &Arc<Calls>,
    action: Action,
    request: impl FnOnce(Client) -> F,
) -> Result<Good, Failure>
where
    F: Future<Output = azure_core::Result<R>>,
{
    let line = Arc::new(Line {
        calls: Arc::clone(calls),
        action,
        answer: Mutex::default(),
    });
    let not_sent = |error: &Error| Failure::NotSent(format!("no request was made: {error}"));
    let transport: Arc<dyn HttpClient> = line.clone();
    let client = Client::builder(Arc::new(NoToken))
        .retry(RetryOptions::none())
        .transport(TransportOptions::new(transport))
        .build()
        .map_err(|error| not_sent(&error))?;
    // azure_core writes whole requests into the log at level debug, with the secrets that VMs are made with.
    let made = request(client)
        .with_subscriber(NoSubscriber::default())
        .await;
    let answer = line
        .answer
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    match (answer, made) {
        (Some(answer), _) => answer,
        (None, Err(error)) => Err(not_sent(&error)),
        (None, Ok(_)) => Err(Failure::NotSent("no request was made".to_owned())),
    }
}

/// What the crate takes for its HTTP client: one call of ours.
#[derive(Debug)]
struct Line {
    calls: Arc<Calls>,
    action: Action,
    answer: Mutex<Option<Result<Good, Failure>>>,
}

#[async_trait]
impl HttpClient for Line {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<Response> {
        let answer = match outgoing(request) {
            Ok(outgoing) => {
                let url = self.calls.endpoints.arm_of(request.url());
                self.calls.send(self.action, url, &outgoing).await
            }
            Err(words) => Err(Failure::NotSent(words)),
        };
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        // The crate need not read it as well: one odd row would cost the page.
        Err(Error::message(
            ErrorKind::Other,
            "answered beside the crate",
        ))
    }
}

fn outgoing(request: &Request) -> Result<Outgoing, String> {
    let header = |name: &'static str| {
        let name = azure_core::headers::HeaderName::from_static(name);
        request.headers().get_optional_string(&name)
    };
    let body = match request.body() {
        Body::Bytes(bytes) if bytes.is_empty() => None,
        Body::Bytes(bytes) => Some(without_nulls(
            serde_json::from_slice(bytes).map_err(|_| "its body is no JSON".to_owned())?,
        )),
        Body::SeekableStream(_) => return Err("its body is a stream".to_owned()),
    };
    let method = Method::from_bytes(request.method().as_ref().as_bytes());
    Ok(Outgoing {
        method: method.map_err(|_| "its method is none of HTTP's".to_owned())?,
        if_none_match: header("if-none-match"),
        body,
    })
}

/// The crate's models write null for dates that are not set.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_nulls(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// What goes on the wire for one of the crate's models.
#[cfg(test)]
pub(crate) fn wire(model: &VirtualMachine) -> Value {
    without_nulls(serde_json::to_value(model).expect("JSON"))
}

/// The crate never learns the token, which it would write into the log.
#[derive(Debug)]
struct NoToken;

#[async_trait]
impl TokenCredential for NoToken {
    async fn get_token(&self, _: &[&str]) -> azure_core::Result<AccessToken> {
        let never = azure_core::date::parse_rfc3339("9999-12-31T00:00:00Z")?;
        Ok(AccessToken::new("none", never))
    }

    async fn clear_cache(&self) -> azure_core::Result<()> {
        Ok(())
    }
}
