//! The checks that moto can show: it computes fingerprints, refuses what does not exist, and keeps what it was told.
//! Each works with instances and keys of its own, and ends what it made.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use dispatch_cloud::{CloudError, EndCause, Instance, InstanceSet as _, Tags};
use dispatch_model::{CloudErrorClass, InstanceId, RefusalScope};
use serde_json::{Value, json};

use super::{
    calls::ODD,
    environment,
    moto::{MOTO, Moto, public_key},
    sent::times_sent,
    stage::{TestClock, order},
};
use crate::account::Account;

const TYPE: &str = "m5.large";

/// A driver on moto with what it made.
struct Bench {
    moto: Arc<Moto>,
    account: Account,
    clock: TestClock,
    image: String,
    made: Vec<InstanceId>,
}

impl Bench {
    async fn new() -> Bench {
        Bench::with(json!({}), Some(&public_key("ed25519"))).await
    }

    /// With the subnets and groups that there are, unless these say otherwise.
    async fn with(parameters: Value, public_key: Option<&str>) -> Bench {
        let moto = MOTO.with(Arc::clone);
        let mut all = json!({"SubnetID": moto.subnets(), "SecurityGroupIDs": moto.groups()});
        for (key, value) in parameters.as_object().expect("a map") {
            all[key] = value.clone();
        }
        let clock = TestClock::start();
        Bench {
            account: moto.account_by(&all, public_key, &clock).await,
            clock,
            image: moto.image(),
            made: Vec::new(),
            moto,
        }
    }

    async fn create(&mut self, change: impl FnOnce(&mut dispatch_cloud::CreateOrder)) -> Instance {
        self.try_create(change).await.expect("an instance")
    }

    async fn try_create(
        &mut self,
        change: impl FnOnce(&mut dispatch_cloud::CreateOrder),
    ) -> Result<Instance, CloudError> {
        let secret = format!("secret-{}", self.made.len());
        let mut order = order(TYPE, &secret);
        order.image_id.clone_from(&self.image);
        change(&mut order);
        let made = self.account.create(&order).await?;
        self.made.push(made.id.clone());
        Ok(made)
    }

    /// What moto tells of an instance.
    fn described(&self, made: &Instance) -> String {
        self.moto.call(&format!(
            "Action=DescribeInstances&InstanceId.1={}",
            made.id
        ))
    }

    async fn end(self) {
        for id in &self.made {
            self.account.destroy(id).await.expect("an end");
        }
    }
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    let squeezed: String = text.split_whitespace().collect();
    for part in parts {
        assert!(squeezed.contains(part), "no {part} in {text}");
    }
}

/// Facts E2, E3: the next dispatcher finds the key.
pub(super) async fn the_clouds_own_fingerprints_are_found() {
    for kind in ["ed25519", "rsa"] {
        let key = public_key(kind);
        let names = |moto: &Moto| moto.texts("Action=DescribeKeyPairs", "keyName").len();
        let before = names(&MOTO.with(Arc::clone));
        let host = MOTO.with(Arc::clone).url();
        let imports = || times_sent(&host, "ImportKeyPair");
        let imports_before = imports();
        for _ in 0..2 {
            let mut bench = Bench::with(json!({}), Some(&key)).await;
            bench.create(|_| ()).await;
            assert_eq!(names(&bench.moto), before + 1, "{kind}");
            // moto's fingerprints of ed25519 keys are not EC2's, so the next dispatcher cannot find those (ours are
            // checked against ssh-keygen).
            if kind == "rsa" {
                assert_eq!(imports(), imports_before + 1, "found, not imported again");
            }
            bench.end().await;
        }
    }
}

pub(super) async fn the_key_pair_is_looked_for_once_and_tagged() {
    let mut bench = Bench::new().await;
    let made = bench.create(|_| ()).await;
    let names = texts(&bench.described(&made), "keyName");
    let pair = bench.moto.call(&format!(
        "Action=DescribeKeyPairs&KeyName.1={}",
        names[0].replace('+', "%2B")
    ));
    says(
        &pair,
        &["<key>ArvadosInstanceSetID</key><value>conformance</value>"],
    );
    assert!(!pair.contains("ArvadosInstanceSecret"), "{pair}");
    bench.end().await;
}

pub(super) async fn a_deleted_key_pair_is_looked_for_again() {
    let mut bench = Bench::new().await;
    let made = bench.create(|_| ()).await;
    let name = texts(&bench.described(&made), "keyName").swap_remove(0);
    bench.moto.call(&format!(
        "Action=DeleteKeyPair&KeyName={}",
        name.replace('+', "%2B")
    ));
    let error = bench.try_create(|_| ()).await.expect_err("no key pair");
    assert_eq!(error.class, CloudErrorClass::Transient, "{error}");
    bench.create(|_| ()).await;
    bench.end().await;
}

pub(super) async fn without_a_public_key_none_is_looked_for() {
    let mut bench = Bench::with(json!({}), None).await;
    let made = bench.create(|_| ()).await;
    assert_eq!(texts(&bench.described(&made), "keyName"), [""; 0]);
    bench.end().await;
}

/// Facts E16, E22; K28: the volume of its size and type, tags on everything, the secret on the instance alone.
pub(super) async fn the_whole_create_is_as_specified() {
    let mut bench = Bench::with(
        json!({"EBSVolumeType": "gp3"}),
        Some(&public_key("ed25519")),
    )
    .await;
    let made = bench
        .create(|order| {
            order.instance_type.added_scratch_bytes = 50_000_000_000;
            order.instance_type.preemptible = true;
        })
        .await;
    let text = bench.described(&made);
    says(
        &text,
        &[
            "<instanceLifecycle>spot</instanceLifecycle>",
            "<httpTokens>required</httpTokens>",
            "<deviceName>/dev/xvdt</deviceName>",
            "<deleteOnTermination>true</deleteOnTermination>",
        ],
    );
    // moto keeps no tags of network interfaces.
    let form = format!(
        "Action=DescribeVolumes&Filter.1.Name=attachment.instance-id&Filter.1.Value.1={}",
        made.id
    );
    let volumes = bench.moto.call(&form);
    let wanted = [
        "<key>Project</key><value>demo</value>",
        "<size>47</size>",
        "<volumeType>gp3</volumeType>",
    ];
    says(&volumes, &wanted);
    assert!(!volumes.contains("ArvadosInstanceSecret"), "{volumes}");
    assert!(
        !made.address.is_empty() && text.contains(&made.address),
        "its private address"
    );
    assert_eq!(texts(&text, "ipAddress"), [""; 0], "no public address");
    bench.end().await;
}

pub(super) async fn user_data_arrive_whole() {
    let mut bench = Bench::new().await;
    let script = "#!/bin/sh\necho \"a & b\"\n".repeat(200);
    let made = bench
        .create(|order| order.init_script.clone_from(&script))
        .await;
    let form = format!(
        "Action=DescribeInstanceAttribute&Attribute=userData&InstanceId={}",
        made.id
    );
    let kept = texts(&bench.moto.call(&form), "value").concat();
    let kept = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, kept.trim());
    assert_eq!(kept.expect("base64"), script.as_bytes());
    bench.end().await;
}

/// moto tells no price to whoever asks for those of Linux.
pub(super) async fn what_has_no_known_price_is_left_out() {
    let mut bench = Bench::new().await;
    let mut spot = order(TYPE, "").instance_type;
    spot.preemptible = true;
    let made = bench
        .create(|order| order.instance_type = spot.clone())
        .await;
    alive(&bench).await;
    let wanted = [(made.id.clone(), Arc::new(spot))];
    let prices = bench.account.prices_of(&wanted).await.expect("an answer");
    assert!(prices.is_empty(), "{prices:?}");
    bench.end().await;
}

pub(super) async fn the_default_chain_and_the_endpoint_variables_are_honoured() {
    let bench = Bench::new().await;
    let before = alive(&bench).await;
    let subnet = bench.moto.subnets().swap_remove(0);
    let url = bench.moto.url();
    let what = [subnet.as_str(), &bench.image, TYPE];
    environment::creates_by_environment("AWS_ENDPOINT_URL_EC2", &url, what).await;
    let after = alive(&bench).await;
    let new: Vec<&InstanceId> = after.difference(&before).collect();
    assert_eq!(new.len(), 1, "{before:?} {after:?}");
    bench.account.destroy(new[0]).await.expect("an end");
}

async fn alive(bench: &Bench) -> BTreeSet<InstanceId> {
    let listed = bench.account.list(&Tags::new()).await.expect("a list");
    listed.into_iter().map(|row| row.id).collect()
}

pub(super) async fn without_a_subnet_none_is_named() {
    let mut bench = Bench::with(json!({"SubnetID": ""}), None).await;
    let made = bench.create(|_| ()).await;
    assert!(
        !texts(&bench.described(&made), "subnetId").is_empty(),
        "EC2 chose one"
    );
    bench.end().await;
}

/// Facts E21.
pub(super) async fn subnets_and_groups_may_be_text_list_or_map() {
    let moto = MOTO.with(Arc::clone);
    let (subnet, group) = (moto.subnets().swap_remove(1), moto.groups().swap_remove(0));
    for (subnets, groups) in [
        (json!(subnet), json!(group)),
        (json!([subnet]), json!([group])),
        (json!(["", subnet]), json!({group.clone(): {}})),
    ] {
        let parameters = json!({"SubnetID": subnets, "SecurityGroupIDs": groups});
        let mut bench = Bench::with(parameters, None).await;
        let made = bench.create(|_| ()).await;
        let text = bench.described(&made);
        assert!(texts(&text, "subnetId").contains(&subnet), "{text}");
        assert!(texts(&text, "groupId").contains(&group), "{text}");
        bench.end().await;
    }
}

/// Facts K28: moto refuses reserved tags as EC2 does.
pub(super) async fn only_the_changed_tags_are_set_and_reserved_ones_never() {
    let mut bench = Bench::new().await;
    let made = bench.create(|_| ()).await;
    let tags = [("aws:lab", "x"), ("ArvadosIdleBehavior", "hold")];
    let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned()));
    bench
        .account
        .set_tags(&made.id, &tags.into())
        .await
        .expect("tags");
    let listed = bench.account.list(&Tags::new()).await.expect("a list");
    let row = listed.iter().find(|row| row.id == made.id).expect("a row");
    let wanted = ["ArvadosIdleBehavior", "Project", "aws:lab"]
        .map(|key| row.tags.get(key).map(String::as_str));
    assert_eq!(wanted, [Some("hold"), Some("demo"), None]);
    bench.end().await;
}

pub(super) async fn tags_mean_what_they_say() {
    let mut bench = Bench::new().await;
    for value in [ODD, "aXb<&>\"'c"] {
        let tag = |order: &mut dispatch_cloud::CreateOrder| {
            order.tags.insert("odd".to_owned(), value.to_owned());
        };
        bench.create(tag).await;
    }
    let wanted = [("odd".to_owned(), ODD.to_owned())].into();
    let listed = bench.account.list(&wanted).await.expect("a list");
    let found: Vec<&str> = listed.iter().map(|row| row.tags["odd"].as_str()).collect();
    assert_eq!(found, [ODD]);
    bench.end().await;
}

/// Facts E5, K34: moto shows what has ended for good, with its address.
pub(super) async fn what_is_going_is_not_listed() {
    let mut bench = Bench::new().await;
    let made = bench.create(|_| ()).await;
    assert!(alive(&bench).await.contains(&made.id));
    bench.made.clear();
    bench.account.destroy(&made.id).await.expect("an end");
    assert!(
        bench.described(&made).contains(made.id.as_str()),
        "still shown"
    );
    assert!(!alive(&bench).await.contains(&made.id));
}

/// What is not there is refused by moto in EC2's words (security groups apart), and each has its class and its remedy.
pub(super) async fn the_clouds_own_refusals_have_their_class_and_remedy() {
    let key = public_key("ed25519");
    let nowhere = json!({"SubnetID": "subnet-00000000000000000"});
    let no_profile = json!({"IAMInstanceProfile": "nobody"});
    let everything = CloudErrorClass::RefusedWidely(RefusalScope::Everything);
    for (parameters, image, provider_type, class, code, remedy) in [
        (
            json!({}),
            Some("ami-00000000000000000"),
            TYPE,
            everything.clone(),
            "InvalidAMIID.NotFound",
            "ImageID",
        ),
        (
            json!({}),
            None,
            "m5.nonsense",
            CloudErrorClass::Refused,
            "InvalidInstanceType.NotFound",
            "ProviderType",
        ),
        (
            nowhere,
            None,
            TYPE,
            CloudErrorClass::Refused,
            "InvalidSubnetID.NotFound",
            "SubnetID",
        ),
        (
            no_profile,
            None,
            TYPE,
            everything,
            "NoSuchEntity",
            "IAMInstanceProfile",
        ),
    ] {
        let mut bench = Bench::with(parameters, Some(&key)).await;
        let refused = bench
            .try_create(|order| {
                order.instance_type.provider_type = provider_type.to_owned();
                if let Some(image) = image {
                    order.image_id = image.to_owned();
                }
            })
            .await;
        let error = refused.expect_err("a refusal");
        assert_eq!(error.class, class, "{error}");
        assert!(error.message.contains(code), "{error}");
        let advice = error.message.split("Remedy: ").nth(1).unwrap_or_default();
        assert!(advice.contains(remedy), "{error}");
    }
}

/// Facts E11: a subnet that is not there is passed over.
pub(super) async fn the_subnet_that_worked_is_tried_first_next_time() {
    let subnet = MOTO.with(Arc::clone).subnets().swap_remove(0);
    let parameters = json!({"SubnetID": ["subnet-00000000000000000", subnet]});
    let mut bench = Bench::with(parameters, None).await;
    for _ in 0..2 {
        let made = bench.create(|_| ()).await;
        assert!(texts(&bench.described(&made), "subnetId").contains(&subnet));
    }
    bench.end().await;
}

pub(super) async fn an_old_instance_that_is_not_known_is_gone() {
    let bench = Bench::new().await;
    let unknown = InstanceId::from("i-00000000deadbeef0");
    bench.clock.forward(Duration::from_secs(600));
    bench.account.destroy(&unknown).await.expect("it is gone");
}

/// Facts K34, with moto's own reason for the end.
pub(super) async fn an_end_by_another_hand_is_told() {
    let mut bench = Bench::new().await;
    let made = bench.create(|_| ()).await;
    alive(&bench).await;
    bench.moto.call(&format!(
        "Action=TerminateInstances&InstanceId.1={}",
        made.id
    ));
    bench.made.clear();
    alive(&bench).await;
    let ended = bench.account.ended();
    let end = ended.iter().find(|end| end.id == made.id).expect("told");
    assert_eq!(end.cause, EndCause::Other, "{end:?}");
    assert_eq!(end.code, "Client.UserInitiatedShutdown");
}

/// The texts of all elements of this name.
fn texts(answer: &str, element: &str) -> Vec<String> {
    let opening = format!("<{element}>");
    let parts = answer.split(&opening).skip(1);
    parts
        .filter_map(|part| Some(part.split_once('<')?.0.to_owned()))
        .collect()
}
