//! What Azure answers to lists and deletions, and its tokens, through the driver.
//!
//! The first line of an input is the HTTP status and a part of the path that is answered so; the rest is the body. Other
//! requests get good answers.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use dispatch_cloud::{Clock, Driver, DriverContext, InstanceSet, Tags};
use dispatch_cloud_azure::AzureDriver;
use tokio::{runtime::Runtime, task::LocalSet};

use super::{Target, WITHIN, runtime};
use crate::answers::{Answer, serve};

/// Whoever calls gives up then.
const CALL: Duration = Duration::from_secs(1);

pub(super) struct Azure {
    runtime: Runtime,
    local: LocalSet,
    url: String,
    understood: u64,
    /// The part of the path that is answered badly, and how.
    bad: Rc<RefCell<(String, Answer)>>,
}

impl Azure {
    pub(super) fn new() -> Azure {
        let (runtime, local) = runtime();
        let bad: Rc<RefCell<(String, Answer)>> = Rc::default();
        let told = Rc::clone(&bad);
        let address = local.block_on(&runtime, async {
            serve(move |head, _| {
                let line = head.lines().next().unwrap_or_default();
                let (part, answer) = &*told.borrow();
                if !part.is_empty() && line.contains(part.as_str()) {
                    answer.clone()
                } else if line.contains("token") {
                    let good = r#"{"access_token":"t","expires_in":"3600","token_type":"Bearer"}"#;
                    (200, good.as_bytes().to_vec())
                } else {
                    (200, b"{\"value\":[]}".to_vec())
                }
            })
            .await
        });
        Azure {
            runtime,
            local,
            url: format!("http://{address}"),
            understood: 0,
            bad,
        }
    }
}

impl Target for Azure {
    fn name(&self) -> &'static str {
        "azure"
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "\"value\":",
            "\"nextLink\":",
            "\"tags\":",
            "\"properties\":",
            "\"provisioningState\":",
            "Succeeded",
            "Failed",
            "\"error\":",
            "\"code\":",
            "TooManyRequests",
            "/subscriptions/s/",
            "\"id\":",
            "virtualMachines",
            "token",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(input);
        let (head, body) = text.split_once('\n').unwrap_or((&text, ""));
        let (status, part) = head.split_once(' ').unwrap_or(("200", head));
        let status = status
            .parse()
            .ok()
            .filter(|status| (200..600).contains(status));
        *self.bad.borrow_mut() = (
            part.trim().to_owned(),
            (status.unwrap_or(200), body.as_bytes().to_vec()),
        );
        let url = self.url.clone();
        self.understood += self.local.block_on(&self.runtime, async {
            let done = tokio::time::timeout(WITHIN, one(&url)).await;
            done.map_err(|_| "it takes too long".to_owned())?
        })?;
        Ok(())
    }

    fn understood(&self) -> u64 {
        self.understood
    }
}

/// How many instances were listed.
async fn one(url: &str) -> Result<u64, String> {
    // The driver's own deadlines are longer than anybody wants to wait here.
    let Ok(Ok(set)) = tokio::time::timeout(CALL, open(url)).await else {
        return Ok(0);
    };
    let tags = Tags::from([("ArvadosInstanceSetID".to_owned(), "set".to_owned())]);
    let listed = tokio::time::timeout(CALL, set.list(&tags)).await;
    let listed = listed.map_or_else(|_| vec![], Result::unwrap_or_default);
    if listed.iter().any(|one| one.id.as_str().is_empty()) {
        return Err("an instance without an id".into());
    }
    let id = "compute-set-aaaaaaaaaaaaaaa".into();
    // An error, or no end, is an answer as good as any.
    let _ = tokio::time::timeout(CALL, set.destroy(&id)).await;
    let _ = set.ended();
    Ok(listed.len() as u64)
}

async fn open(url: &str) -> Result<Arc<dyn InstanceSet>, String> {
    let parameters = serde_json::json!({
        "SubscriptionID": "s", "ClientID": "c", "ClientSecret": "x", "TenantID": "t", "ResourceGroup": "g",
        "Network": "n", "Subnet": "s", "Location": "centralus",
    });
    let context = DriverContext {
        instance_set_id: "set".into(),
        tag_key_prefix: "Arvados".into(),
        image_id: "image".into(),
        public_key: None,
        clock: Clock::start(),
        gate: dispatch_cloud::Gate::open(),
    };
    let set = AzureDriver::at_one_place(url)
        .open(&parameters, context)
        .await;
    set.map_err(|error| error.to_string())
}
