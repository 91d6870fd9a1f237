//! What Azure answers to lists, creates, changes and deletions, to questions after operations, and its tokens, through the
//! driver.
//!
//! The first line of an input is the HTTP status and words that the line of a request must have to be answered so;
//! lines that begin with ">" are headers ("@": where all this is); the rest is the body. Other requests get good answers.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use dispatch_cloud::{Clock, CreateOrder, Driver, DriverContext, InstanceSet, Tags};
use dispatch_cloud_azure::AzureDriver;
use dispatch_model::{Gpu, InstanceSecret, InstanceType};
use tokio::{runtime::Runtime, task::LocalSet};

use super::{Target, WITHIN, runtime};
use crate::answers::{Told, serve};

/// Whoever calls gives up then.
const CALL: Duration = Duration::from_secs(1);
/// Waits are so many times shorter than in life.
const SCALE: u32 = 500;
/// What is followed in the background has so long.
const AFTERWARDS: Duration = Duration::from_millis(50);

pub(super) struct Azure {
    runtime: Runtime,
    local: LocalSet,
    url: String,
    understood: u64,
    bad: Rc<RefCell<Bad>>,
}

/// What is answered badly, and how.
#[derive(Default)]
struct Bad {
    /// What the request's line must have; nothing is like that if there are none.
    words: Vec<String>,
    told: Told,
}

impl Bad {
    fn read(input: &[u8]) -> Bad {
        let text = String::from_utf8_lossy(input);
        let (head, mut rest) = text.split_once('\n').unwrap_or((&text, ""));
        let (status, words) = head.split_once(' ').unwrap_or(("200", head));
        let mut headers = vec![];
        while let Some((line, after)) = rest
            .strip_prefix('>')
            .map(|rest| rest.split_once('\n').unwrap_or((rest, "")))
        {
            // A header with other characters is no HTTP, which is hyper's to refuse.
            let is_header =
                line.contains(':') && line.chars().all(|c| c == ' ' || c.is_ascii_graphic());
            headers.extend(is_header.then(|| line.trim().to_owned()));
            rest = after;
        }
        let status = status.parse().ok();
        Bad {
            words: words.split_whitespace().map(str::to_owned).collect(),
            told: Told {
                status: status
                    .filter(|status| (200..600).contains(status))
                    .unwrap_or(200),
                headers,
                body: rest.as_bytes().to_vec(),
            },
        }
    }

    fn is_about(&self, line: &str) -> bool {
        !self.words.is_empty() && self.words.iter().all(|word| line.contains(word.as_str()))
    }
}

impl Azure {
    pub(super) fn new() -> Azure {
        let (runtime, local) = runtime();
        let bad: Rc<RefCell<Bad>> = Rc::default();
        let served = Rc::clone(&bad);
        let address = local.block_on(&runtime, async {
            serve(move |head, _| {
                let line = head.lines().next().unwrap_or_default();
                let host = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    let is_host = name.eq_ignore_ascii_case("host");
                    is_host.then(|| format!("http://{}", value.trim()))
                });
                let bad = served.borrow();
                let mut told = if bad.is_about(line) {
                    bad.told.clone()
                } else {
                    good(line)
                };
                for header in &mut told.headers {
                    *header = header.replace('@', host.as_deref().unwrap_or_default());
                }
                told
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

/// What Azure says on a good day, to the first line of a request.
fn good(line: &str) -> Told {
    let body = if line.contains("token") {
        r#"{"access_token":"t","expires_in":"3600","token_type":"Bearer"}"#
    } else if line.contains("operations/") {
        r#"{"status":"Succeeded"}"#
    } else if line.starts_with("PUT ") {
        r#"{"id":"/subscriptions/s/x","name":"x","properties":{"provisioningState":"Succeeded"}}"#
    } else {
        r#"{"value":[]}"#
    };
    let mut told = Told::from((200, body.as_bytes().to_vec()));
    if line.starts_with("PUT ") && line.contains("virtualMachines") {
        told.status = 201;
        told.headers
            .push("Azure-AsyncOperation: @/operations/1".to_owned());
    }
    told
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
            "\"status\":",
            "virtualMachines",
            "networkInterfaces",
            "operations/",
            "usages",
            "PUT",
            "PATCH",
            "token",
            "\n> Retry-After: ",
            "\n> Azure-AsyncOperation: @/operations/2",
            "\n> Location: @/operations/3",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<(), String> {
        let bad = Bad::read(input);
        let all_is_well = bad.words.is_empty();
        *self.bad.borrow_mut() = bad;
        let url = self.url.clone();
        self.understood += self.local.block_on(&self.runtime, async {
            let done = tokio::time::timeout(WITHIN, one(&url, all_is_well)).await;
            done.map_err(|_| "it takes too long".to_owned())?
        })?;
        Ok(())
    }

    fn understood(&self) -> u64 {
        self.understood
    }
}

/// How many instances were listed or made. If all is well, one must be made: or creates are not tried at all.
async fn one(url: &str, all_is_well: bool) -> Result<u64, String> {
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
    let mut understood = listed.len() as u64;
    // An error, or no end, is an answer as good as any.
    let created = tokio::time::timeout(CALL, set.create(order())).await;
    let id = match created {
        Ok(Ok(created)) if created.id.as_str().is_empty() => {
            return Err("created an instance without an id".into());
        }
        Ok(Ok(created)) => {
            understood += 1;
            created.id
        }
        Ok(Err(error)) if all_is_well => return Err(format!("nothing is made: {error}")),
        Ok(Err(_)) | Err(_) => "compute-set-aaaaaaaaaaaaaaa".into(),
    };
    tokio::time::sleep(AFTERWARDS).await;
    let _ = tokio::time::timeout(CALL, set.list(&tags)).await;
    let _ = tokio::time::timeout(CALL, set.set_tags(&id, &tags)).await;
    let _ = tokio::time::timeout(CALL, set.destroy(&id)).await;
    tokio::time::sleep(AFTERWARDS).await;
    let _ = set.ended();
    Ok(understood)
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
    let set = AzureDriver::at(url, SCALE).open(&parameters, context).await;
    set.map_err(|error| error.to_string())
}

fn order() -> CreateOrder {
    CreateOrder {
        instance_type: InstanceType {
            name: "spot".into(),
            provider_type: "Standard_D2s_v3".into(),
            image: None,
            vcpus: 2,
            ram_bytes: 8 << 30,
            included_scratch_bytes: 1 << 30,
            added_scratch_bytes: 0,
            price: 0.1,
            preemptible: true,
            gpu: Gpu::default(),
        },
        image_id: "image".into(),
        tags: Tags::new(),
        init_script: "true".into(),
        secret: InstanceSecret::new("secret"),
    }
}
