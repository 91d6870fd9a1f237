//! What is sent, read from the forms that arrived.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dispatch_cloud::Instance;
use dispatch_lab_net::{Bad, Injection};
use dispatch_model::{CapacityScope, CloudErrorClass};
use serde_json::json;

use super::stage::{SECRET_KEY, Setup, Stage, order, wall_clock};
use crate::tags::is_reserved;

async fn stage() -> Stage {
    Setup::default().start().await
}

#[track_caller]
fn has(form: &BTreeMap<String, String>, pairs: &[(&str, &str)]) {
    for (key, value) in pairs {
        assert_eq!(
            form.get(*key).map(String::as_str),
            Some(*value),
            "{key} in {form:#?}"
        );
    }
}

/// Facts E1.
pub(super) async fn a_key_pair_that_cannot_be_imported_is_told() {
    let setup = Setup::default().ec2(|settings| {
        settings.forbidden.insert("ImportKeyPair".to_owned());
    });
    let stage = setup.start().await;
    let error = stage.create("m5.small", "s").await.expect_err("a refusal");
    assert!(
        error
            .message
            .starts_with("ImportKeyPair: UnauthorizedOperation"),
        "{error}"
    );
    assert!(
        error.message.contains("Remedy: grant the IAM policy"),
        "{error}"
    );
    assert_eq!(stage.calls("RunInstances"), 0);
}

/// Facts E3 (and E2: the fingerprints themselves are checked against openssl and ssh-keygen).
pub(super) async fn both_spellings_of_the_fingerprint_are_looked_for() {
    let stage = stage().await;
    stage.create("m5.small", "s").await.expect("an instance");
    let forms = stage.forms("DescribeKeyPairs");
    let (padded, bare) = (&forms[0]["Filter.1.Value.1"], &forms[0]["Filter.1.Value.2"]);
    assert_eq!(forms[0]["Filter.1.Name"], "fingerprint");
    assert!(
        padded.starts_with("SHA256:") && *padded == format!("{bare}="),
        "{padded} {bare}"
    );
}

/// Facts E4.
pub(super) async fn after_a_failed_look_for_the_key_pair_the_next_create_looks_again() {
    let setup = Setup::default().ec2(|settings| {
        settings.forbidden.insert("DescribeKeyPairs".to_owned());
    });
    let stage = setup.start().await;
    stage.create("m5.small", "s").await.expect_err("a refusal");
    stage.ec2.set(|settings| settings.forbidden.clear());
    stage.create("m5.small", "s").await.expect("an instance");
}

/// One call without an answer is one for all who wait for it; who comes later looks again (facts E4).
pub(super) async fn creates_that_wait_for_the_key_pair_in_vain_wait_together() {
    let silent = Injection::next("DescribeKeyPairs", Bad::Silent).times(2);
    let mut setup = Setup::default().ec2(|s| s.injections = vec![silent]);
    setup.answer_within = Some(Duration::from_secs(1));
    let stage = setup.start().await;
    for n_looks in 1..3 {
        let secrets = ["a", "b", "c", "d", "e"];
        let creates = secrets.map(|secret| Box::pin(stage.create("m5.small", secret)));
        for refused in futures_util::future::join_all(creates).await {
            let error = refused.expect_err("no key pair");
            assert_eq!(error.class, CloudErrorClass::Transient, "{error}");
            assert!(error.message.contains("DescribeKeyPairs"), "{error}");
        }
        assert_eq!(stage.calls("DescribeKeyPairs"), n_looks);
    }
    stage.create("m5.small", "a").await.expect("an instance");
}

/// Facts K28: looked for once, found by the next dispatcher, tagged without anything of one instance.
pub(super) async fn the_key_pair_is_looked_for_once_and_tagged() {
    let stage = stage().await;
    for n in 0..3 {
        stage
            .create("m5.small", &format!("s{n}"))
            .await
            .expect("an instance");
    }
    assert_eq!(
        (
            stage.calls("DescribeKeyPairs"),
            stage.calls("ImportKeyPair")
        ),
        (1, 1)
    );
    let names = stage.ec2.key_pairs();
    assert!(
        names[0].starts_with("arvados-dispatch-keypair-SHA256:"),
        "{names:?}"
    );
    let expected = [("ArvadosInstanceSetID", "conformance"), ("Project", "demo")];
    assert_eq!(
        stage.ec2.key_pair_tags(&names[0]),
        expected
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    );
}

/// Facts K28: no call of its own for the zone of spot instances.
pub(super) async fn the_price_of_a_spot_instance_is_that_of_the_zone_that_the_list_shows() {
    let stage = stage().await;
    let in_a = stage.create("m5.spot", "s1").await.expect("an instance");
    stage.ec2.set(|s| {
        let sold_out = ("m5.spot".to_owned(), "lab-1a".to_owned());
        s.sold_out = [sold_out].into();
    });
    let in_b = stage.create("m5.spot", "s2").await.expect("an instance");
    stage.list().await.expect("a list");
    let prices = stage.prices(&[(&in_a, 0), (&in_b, 0)]).await;
    let latest = |made: &Instance| prices[&made.id][0].price;
    // The lab asks two cents more in its second zone.
    let dearer = latest(&in_b) - latest(&in_a);
    assert!((dearer - 0.02).abs() < 1e-9, "{prices:?}");
    let actions = stage.ec2.calls().into_keys();
    let asked: Vec<String> = actions
        .filter(|action| action.starts_with("DescribeInst"))
        .collect();
    assert_eq!(asked, ["DescribeInstances"]);
}

/// Facts E16, E22, §2.8.1; K28: tags on volumes and network interfaces, the secret on neither.
pub(super) async fn the_whole_create_is_as_specified() {
    let setup = Setup::default()
        .parameter("IAMInstanceProfile", json!("profile1"))
        .parameter("EBSVolumeType", json!("gp3"));
    let stage = setup.start().await;
    let mut order = order("m5.spot", "the secret");
    order.instance_type.added_scratch_bytes = 50_000_000_000;
    order.tags.insert("aws:reserved".to_owned(), "x".to_owned());
    stage.account.create(&order).await.expect("an instance");
    let form = &stage.forms("RunInstances")[0];
    has(
        form,
        &[
            ("ImageId", "ami-lab"),
            ("InstanceType", "m5.spot"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("DisableApiTermination", "false"),
            ("InstanceInitiatedShutdownBehavior", "terminate"),
            ("MetadataOptions.HttpEndpoint", "enabled"),
            ("MetadataOptions.HttpTokens", "required"),
            ("NetworkInterface.1.AssociatePublicIpAddress", "false"),
            ("NetworkInterface.1.DeleteOnTermination", "true"),
            ("NetworkInterface.1.DeviceIndex", "0"),
            ("NetworkInterface.1.SecurityGroupId.1", "sg-1"),
            ("NetworkInterface.1.SubnetId", "subnet-a1"),
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvdt"),
            ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"),
            ("BlockDeviceMapping.1.Ebs.VolumeSize", "47"),
            ("BlockDeviceMapping.1.Ebs.VolumeType", "gp3"),
            ("IamInstanceProfile.Name", "profile1"),
            ("InstanceMarketOptions.MarketType", "spot"),
            (
                "InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior",
                "terminate",
            ),
            ("InstanceMarketOptions.SpotOptions.MaxPrice", "0.1"),
            ("TagSpecification.1.ResourceType", "instance"),
            ("TagSpecification.2.ResourceType", "volume"),
            ("TagSpecification.3.ResourceType", "network-interface"),
            ("TagSpecification.4.ResourceType", "spot-instances-request"),
        ],
    );
    for (key, value) in form {
        assert!(
            !key.ends_with(".Key") || !is_reserved(value),
            "{key} is {value}"
        );
        assert!(
            key.starts_with("TagSpecification.1.") || value != "the secret",
            "{key} tells the secret"
        );
    }
}

/// Facts E17–E19 (the arithmetic is checked where it is).
pub(super) async fn prices_are_asked_for_as_specified() {
    let setup = Setup::default().ec2(|settings| settings.empty_tokens = true);
    let stage = setup.start().await;
    let spot = stage.create("m5.spot", "s1").await.expect("an instance");
    let other = stage.create("m5.spot", "s2").await.expect("an instance");
    let lasting = stage.create("m5.small", "s3").await.expect("an instance");
    stage.list().await.expect("a list");
    let wanted = [(&spot, 0), (&other, 640 << 30), (&lasting, 0)];
    let prices = stage.prices(&wanted).await;
    assert_eq!(
        stage.prices(&wanted).await,
        prices,
        "the second time from memory"
    );
    let forms = stage.forms("DescribeSpotPriceHistory");
    assert_eq!(
        forms.len(),
        1,
        "once within the interval, and an empty token ends it"
    );
    has(
        &forms[0],
        &[
            ("Filter.1.Name", "instance-type"),
            ("Filter.1.Value.1", "m5.spot"),
            ("Filter.2.Name", "product-description"),
            ("Filter.2.Value.1", "Linux/UNIX"),
        ],
    );
    assert!(!forms[0].contains_key("Filter.1.Value.2"));
    // Three times the interval of a day.
    let start: jiff::Timestamp = forms[0]["StartTime"].parse().expect("a time");
    let back = wall_clock().duration_since(start).as_secs();
    assert!((0..120).contains(&(back - 3 * 24 * 3600)), "{back} s");
    let (plain, with_scratch) = (&prices[&spot.id], &prices[&other.id]);
    assert_eq!(plain.len(), 2);
    let added = with_scratch[0].price - plain[0].price;
    assert!(
        (added - 640.0 * 0.10 / 30.0 / 24.0).abs() < 1e-9,
        "added scratch has its price: {prices:?}"
    );
    assert!(plain[0].start > plain[1].start);
    assert!(
        !prices.contains_key(&lasting.id),
        "its price does not change"
    );
}

pub(super) async fn an_interval_of_zero_looks_up_no_prices() {
    let setup = Setup::default().parameter("SpotPriceUpdateInterval", json!("0"));
    let stage = setup.start().await;
    let spot = stage.create("m5.spot", "s").await.expect("an instance");
    stage.list().await.expect("a list");
    assert!(stage.prices(&[(&spot, 0)]).await.is_empty());
    assert_eq!(stage.calls("DescribeSpotPriceHistory"), 0);
}

/// Facts E15.
pub(super) async fn credentials_do_not_reach_the_environment() {
    let stage = stage().await;
    stage.create("m5.small", "s").await.expect("an instance");
    assert!(std::env::vars().all(|(_, value)| value != SECRET_KEY));
}

/// Facts E21: no subnet named.
pub(super) async fn without_a_subnet_none_is_named() {
    let stage = Setup::default()
        .parameter("SubnetID", json!(""))
        .start()
        .await;
    stage.create("m5.small", "s").await.expect("an instance");
    assert!(!stage.forms("RunInstances")[0].contains_key("NetworkInterface.1.SubnetId"));
    assert_eq!(stage.calls("DescribeSubnets"), 0);
}

/// EC2 chooses the subnet: there is no other to try, and EC2 knows the token as well.
pub(super) async fn without_a_subnet_a_lack_and_a_lost_answer_are_met_as_with_one() {
    let setup = Setup::default()
        .parameter("SubnetID", json!(""))
        .ec2(|settings| settings.injections = vec![Injection::next("RunInstances", Bad::Lost)]);
    let stage = setup.start().await;
    stage.create("m5.small", "s1").await.expect("an instance");
    assert_eq!((stage.alive().len(), stage.calls("RunInstances")), (1, 2));
    stage.ec2.set(|settings| {
        let sold_out = ("c5.large".to_owned(), "lab-1a".to_owned());
        settings.sold_out = [sold_out].into();
    });
    let error = stage.create("c5.large", "s2").await.expect_err("a lack");
    assert_eq!(
        error.class,
        CloudErrorClass::Capacity(CapacityScope::Type),
        "{error}"
    );
    assert_eq!(stage.calls("RunInstances"), 3);
    stage.create("m5.small", "s3").await.expect("another type");
    let named = |form: &BTreeMap<String, String>| form.contains_key("NetworkInterface.1.SubnetId");
    assert!(!stage.forms("RunInstances").iter().any(named));
}

/// Facts K28: `aws:` tags are left alone, and only what changes is sent.
pub(super) async fn only_the_changed_tags_are_set_and_reserved_ones_never() {
    let setup = Setup::default().ec2(|settings| settings.reserved_tags = true);
    let stage = setup.start().await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    let tags = [("aws:lab", "x"), ("ArvadosIdleBehavior", "hold")];
    let tags = tags
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    stage.account.set_tags(&made.id, &tags).await.expect("tags");
    let form = &stage.forms("CreateTags")[0];
    has(
        form,
        &[
            ("ResourceId.1", made.id.as_str()),
            ("Tag.1.Key", "ArvadosIdleBehavior"),
            ("Tag.1.Value", "hold"),
        ],
    );
    assert!(!form.contains_key("Tag.2.Key"));
    let listed = stage.list().await.expect("a list");
    assert_eq!(listed[0].tags["aws:lab"], "reserved");
}

/// Facts X11: no key is deployed.
pub(super) async fn without_a_public_key_none_is_looked_for() {
    let setup = Setup {
        deploy_key: false,
        ..Setup::default()
    };
    let stage = setup.start().await;
    stage.create("m5.small", "s").await.expect("an instance");
    assert!(!stage.forms("RunInstances")[0].contains_key("KeyName"));
    assert_eq!(
        (
            stage.calls("DescribeKeyPairs"),
            stage.calls("ImportKeyPair")
        ),
        (0, 0)
    );
}

pub(super) async fn user_data_arrive_whole() {
    let stage = stage().await;
    let order = order("m5.small", "s");
    stage.account.create(&order).await.expect("an instance");
    let sent = &stage.forms("RunInstances")[0]["UserData"];
    let arrived = STANDARD.decode(sent).expect("base64");
    assert_eq!(arrived, order.init_script.as_bytes());
}

pub(super) async fn a_failed_look_for_prices_hurts_no_list() {
    let setup = Setup::default().ec2(|settings| {
        settings
            .forbidden
            .insert("DescribeSpotPriceHistory".to_owned());
    });
    let stage = setup.start().await;
    let spot = stage.create("m5.spot", "s").await.expect("an instance");
    assert_eq!(stage.list().await.expect("a list").len(), 1);
    let error = stage.ask_prices(&[(&spot, 0)]).await.expect_err("no right");
    assert!(error.message.contains("UnauthorizedOperation"), "{error}");
    stage.ask_prices(&[(&spot, 0)]).await.expect("nothing yet");
    assert_eq!(stage.calls("DescribeSpotPriceHistory"), 1, "not at once");
    stage.ec2.set(|settings| settings.forbidden.clear());
    stage.pass(Duration::from_secs(301));
    assert_eq!(stage.prices(&[(&spot, 0)]).await.len(), 1);
}

/// Facts E21.
pub(super) async fn subnets_and_groups_may_be_text_list_or_map() {
    for (subnets, groups) in [
        (json!("subnet-b1"), json!("sg-1")),
        (json!(["subnet-b1"]), json!(["sg-1"])),
        (json!(["", "subnet-b1"]), json!({"sg-1": {}})),
    ] {
        let setup = Setup::default()
            .parameter("SubnetID", subnets)
            .parameter("SecurityGroupIDs", groups);
        let stage = setup.start().await;
        stage.create("m5.small", "s").await.expect("an instance");
        let form = &stage.forms("RunInstances")[0];
        has(
            form,
            &[
                ("NetworkInterface.1.SecurityGroupId.1", "sg-1"),
                ("NetworkInterface.1.SubnetId", "subnet-b1"),
            ],
        );
        assert!(!form.contains_key("NetworkInterface.1.SecurityGroupId.2"));
    }
}

/// EC2 takes `*` and `?` in filters for wildcards: a list must not show what belongs to somebody else.
pub(super) async fn tags_mean_what_they_say() {
    let stage = stage().await;
    for (value, secret) in [(ODD, "s1"), ("aXb<&>\"'c", "s2")] {
        let mut order = order("m5.small", secret);
        order.tags.insert("odd".to_owned(), value.to_owned());
        stage.account.create(&order).await.expect("an instance");
    }
    let wanted = [("odd".to_owned(), ODD.to_owned())].into();
    let listed = stage.account.list(&wanted).await.expect("a list");
    let found: Vec<&str> = listed.iter().map(|row| row.tags["odd"].as_str()).collect();
    assert_eq!(found, [ODD]);
}

/// A tag's value with characters that mean something to filters and to XML.
pub(super) const ODD: &str = "a*b<&>\"'c";
