//! What EC2 answers, prices of spot instances among it, through the driver and AWS's SDK.
//!
//! The first line of an input is the HTTP status and the action that is answered so; the rest is the body. Other actions
//! get good answers.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use dispatch_cloud::{Clock, CreateOrder, Driver, DriverContext, InstanceSet, Tags};
use dispatch_cloud_ec2::Ec2Driver;
use dispatch_model::{Gpu, InstanceSecret, InstanceType};
use tokio::{runtime::Runtime, task::LocalSet};

use super::{Target, WITHIN, runtime};
use crate::answers::{Answer, serve};

/// One answer, and one call with its repeats, may take so long; whoever calls gives up then.
const ANSWER: Duration = Duration::from_secs(2);
const CALL: Duration = Duration::from_secs(8);

pub(super) struct Ec2 {
    runtime: Runtime,
    local: LocalSet,
    url: String,
    understood: u64,
    /// The action that is answered badly, and how.
    bad: Rc<RefCell<(String, Answer)>>,
}

impl Ec2 {
    pub(super) fn new() -> Ec2 {
        let (runtime, local) = runtime();
        let bad: Rc<RefCell<(String, Answer)>> = Rc::default();
        let told = Rc::clone(&bad);
        let address = local.block_on(&runtime, async {
            serve(move |_, form| {
                let action = form
                    .split('&')
                    .find_map(|pair| pair.strip_prefix("Action="));
                let action = action.unwrap_or_default();
                let (bad, answer) = &*told.borrow();
                if bad == action {
                    answer.clone()
                } else {
                    (200, good(action))
                }
            })
            .await
        });
        Ec2 {
            runtime,
            local,
            url: format!("http://{address}"),
            understood: 0,
            bad,
        }
    }
}

impl Target for Ec2 {
    fn name(&self) -> &'static str {
        "ec2"
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "<item>",
            "</item>",
            "<instanceId>",
            "<spotPrice>",
            "<timestamp>",
            "<tagSet>",
            "<nextToken>",
            "running",
            "spot",
            "<Errors><Error><Code>",
            "InsufficientInstanceCapacity",
            "RequestLimitExceeded",
            "<!DOCTYPE x [",
            "<![CDATA[",
            "-0.0",
            "inf",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(input);
        let (head, body) = text.split_once('\n').unwrap_or((&text, ""));
        let (status, action) = head.split_once(' ').unwrap_or(("200", head));
        let status = status
            .parse()
            .ok()
            .filter(|status| (200..600).contains(status));
        let action = action.trim();
        *self.bad.borrow_mut() = (
            action.to_owned(),
            (status.unwrap_or(200), body.as_bytes().to_vec()),
        );
        let url = self.url.clone();
        self.understood += self.local.block_on(&self.runtime, async {
            let done = tokio::time::timeout(WITHIN, one(&url, action)).await;
            done.map_err(|_| "it takes too long".to_owned())?
        })?;
        Ok(())
    }

    fn understood(&self) -> u64 {
        self.understood
    }
}

/// How many instances were listed, made or had a price.
async fn one(url: &str, action: &str) -> Result<u64, String> {
    let mut understood = 0;
    let set = open(url).await?;
    let tags = Tags::from([("ArvadosInstanceSetID".to_owned(), "set".to_owned())]);
    // An error is an answer as good as any; a call without an end is cut off by whoever calls.
    let listed = tokio::time::timeout(CALL, set.list(&tags)).await;
    let Ok(listed) = listed else {
        return Err("a list has no end".into());
    };
    let listed = listed.unwrap_or_default();
    if listed
        .iter()
        .any(|instance| instance.id.as_str().is_empty())
    {
        return Err("an instance without an id".into());
    }
    if action == "DescribeInstances" {
        understood += listed.len() as u64;
    }
    match action {
        "DescribeSpotPriceHistory" => {
            let spot = Arc::new(instance_type());
            let spots: Vec<_> = listed
                .iter()
                .map(|one| (one.id.clone(), Arc::clone(&spot)))
                .collect();
            if let Ok(Ok(prices)) = tokio::time::timeout(CALL, set.prices(&spots)).await {
                understood += prices.len() as u64;
                for point in prices.values().flatten() {
                    if !point.price.is_finite() || point.price < 0.0 {
                        return Err(format!("a price of {}", point.price));
                    }
                }
            }
        }
        "RunInstances" => {
            let created = tokio::time::timeout(CALL, set.create(order())).await;
            if let Ok(Ok(created)) = created {
                if created.id.as_str().is_empty() {
                    return Err("created an instance without an id".into());
                }
                understood += 1;
            }
        }
        "TerminateInstances" => {
            let _ = tokio::time::timeout(CALL, set.destroy(&"i-1".into())).await;
        }
        "CreateTags" => {
            let _ = tokio::time::timeout(CALL, set.set_tags(&"i-1".into(), &tags)).await;
        }
        _ => {}
    }
    let _ = set.ended();
    Ok(understood)
}

async fn open(url: &str) -> Result<Arc<dyn InstanceSet>, String> {
    let driver = Ec2Driver::at(url).in_haste(1000.0).answered_within(ANSWER);
    let parameters = serde_json::json!({
        "Region": "us-east-1", "AccessKeyID": "AKIAFUZZ", "SecretAccessKey": "fuzz", "SubnetID": "subnet-1",
        "SecurityGroupIDs": ["sg-1"],
    });
    let context = DriverContext {
        instance_set_id: "set".into(),
        tag_key_prefix: "Arvados".into(),
        image_id: "ami-1".into(),
        public_key: None,
        clock: Clock::start(),
        gate: dispatch_cloud::Gate::open(),
    };
    let set = driver.open(&parameters, context).await;
    set.map_err(|error| format!("the driver does not open: {error}"))
}

fn order() -> CreateOrder {
    CreateOrder {
        instance_type: instance_type(),
        image_id: "ami-1".into(),
        tags: Tags::new(),
        init_script: "true".into(),
        secret: InstanceSecret::new("secret"),
    }
}

fn instance_type() -> InstanceType {
    InstanceType {
        name: "spot".into(),
        provider_type: "m5.large".into(),
        image: None,
        vcpus: 2,
        ram_bytes: 8 << 30,
        included_scratch_bytes: 0,
        added_scratch_bytes: 1 << 30,
        price: 0.1,
        preemptible: true,
        gpu: Gpu::default(),
    }
}

/// What EC2 says on a good day.
fn good(action: &str) -> Vec<u8> {
    let inner = match action {
        "DescribeInstances" => INSTANCES,
        "DescribeSubnets" => {
            "<subnetSet><item><subnetId>subnet-1</subnetId><availabilityZone>us-east-1a</availabilityZone></item></subnetSet>"
        }
        _ => "<return>true</return>",
    };
    format!("<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId>{inner}</{action}Response>")
        .into_bytes()
}

const INSTANCES: &str = "<reservationSet><item><reservationId>r-1</reservationId><instancesSet><item>\
    <instanceId>i-1</instanceId><instanceType>m5.large</instanceType><instanceState><code>16</code><name>running</name>\
    </instanceState><instanceLifecycle>spot</instanceLifecycle><launchTime>2026-11-23T00:00:00Z</launchTime>\
    <placement><availabilityZone>us-east-1a</availabilityZone></placement><privateIpAddress>10.0.0.1</privateIpAddress>\
    <tagSet><item><key>ArvadosInstanceSetID</key><value>set</value></item></tagSet></item></instancesSet></item>\
    </reservationSet>";
