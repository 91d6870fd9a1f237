//! The command `cloudtest` as an operator runs it: on the lab's cloud, and on the lab's APIs of EC2 and Azure.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use dispatch_lab_net::{
    ClusterConfig, Heard, Lab, LabHandle,
    world::{Settings, Span},
};
use tokio::time::Instant;

#[cfg(all(feature = "azure", feature = "cloud-tests"))]
#[path = "azure/role.rs"]
mod role;
#[cfg(all(feature = "azure", feature = "cloud-tests"))]
use role::nothing_was_called_beyond_the_role;

/// A lab whose instances come up soon.
async fn lab() -> LabHandle {
    lab_where(|_| ()).await
}

async fn lab_where(change: impl FnOnce(&mut Settings)) -> LabHandle {
    let mut settings = Settings::default();
    settings.vm.port = 0;
    settings.vm.boot_ms = Span::between(0, 50);
    settings.vm.boot_probe_fails_ms = Span::between(0, 50);
    settings.cloud.create_latency_ms = Span::between(1, 5);
    settings.cloud.address_ms = Span::between(1, 20);
    settings.cloud.bystanders = 2;
    change(&mut settings);
    let mut lab = Lab::new(3, settings);
    lab.config = ClusterConfig {
        cloud_vms: [
            ("BootProbeCommand", "systemctl is-system-running"),
            ("SyncInterval", "100ms"),
            ("ProbeInterval", "100ms"),
            ("TimeoutBooting", "20s"),
            ("ResourceTags", "{Project: demo}"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
        ..lab.config
    };
    lab.start().await.expect("a lab")
}

/// Runs `cloudtest` with this configuration, these arguments and this environment.
async fn cloudtest(config: &str, args: &[&str], environment: &[(&str, &str)]) -> (Output, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.yml");
    std::fs::write(&path, config).expect("written");
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_arvados-dispatch-cloud")));
    command
        .arg("cloudtest")
        .arg("-config")
        .arg(&path)
        .args(args)
        .envs(environment.iter().copied());
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("a thread").expect("the program");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let all = format!("{said}\n{}", String::from_utf8_lossy(&output.stderr));
    (output, all)
}

/// How many instances are alive, other people's not counted.
fn alive(lab: &LabHandle) -> usize {
    lab.world(|world, _| {
        let all = world.instances().instances().values();
        all.filter(|instance| instance.alive() && !instance.bystander)
            .count()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cloud_that_is_configured_is_tried_out_and_left_as_it_was() {
    let lab = lab().await;
    // As the Go tool's options are written.
    let args = [
        "-command",
        "echo hello from there",
        "-instance-type=nonsense",
    ];
    let (output, said) = cloudtest(lab.config_yaml(), &args, &[]).await;
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("no instance type \"nonsense\""), "{said}");
    let (output, said) = cloudtest(lab.config_yaml(), &args[..2], &[]).await;
    assert!(output.status.success(), "{said}");
    assert!(said.contains("hello from there"), "{said}");
    assert!(said.contains("cloudtest: passed: all 10 steps"), "{said}");
    assert_eq!(alive(&lab), 0, "{said}");
}

/// Runs `cloudtest`, and sends it these signals one after the other as soon as an instance of such a set is alive.
async fn interrupted(
    lab: &LabHandle,
    args: &[&str],
    set: &str,
    signals: &[&str],
) -> (Output, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.yml");
    std::fs::write(&path, lab.config_yaml()).expect("written");
    let child = Command::new(env!("CARGO_BIN_EXE_arvados-dispatch-cloud"))
        .arg("cloudtest")
        .arg("-config")
        .arg(&path)
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let pid = child.id().to_string();
    let began = Instant::now();
    let there = || {
        lab.world(|world, _| {
            let mut all = world.instances().instances().values();
            all.any(|one| {
                one.alive()
                    && one
                        .tags
                        .get("ArvadosInstanceSetID")
                        .is_some_and(|id| id.starts_with(set))
            })
        })
    };
    while !there() && began.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for signal in signals {
        let sent = Command::new("kill").args([*signal, &pid]).status();
        assert!(sent.expect("kill").success());
    }
    let end = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = end.await.expect("a thread").expect("its end");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let all = format!("{said}\n{}", String::from_utf8_lossy(&output.stderr));
    (output, all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_ends_the_test_and_what_it_made_is_destroyed() {
    for (signal, name) in [("-INT", "SIGINT"), ("-TERM", "SIGTERM")] {
        // It waits for a login that never comes.
        let lab = lab_where(|settings| settings.vm.boot_ms = Span::between(600_000, 600_000)).await;
        let (output, said) = interrupted(&lab, &[], "cloudtest", &[signal]).await;
        assert_eq!(output.status.code(), Some(1), "{said}");
        let told = format!("the test is not interrupted: {name}");
        assert!(said.contains(&told), "{said}");
        assert!(
            said.contains("what was made is destroyed and gone"),
            "{said}"
        );
        assert_eq!(alive(&lab), 0, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_ends_all_checks_and_what_they_made_is_destroyed() {
    let lab = lab().await;
    let (output, said) = interrupted(&lab, &["--all-checks"], "conformance-", &["-INT"]).await;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cut short: SIGINT"), "{said}");
    assert!(said.contains("not begun: SIGINT"), "{said}");
    assert_eq!(alive(&lab), 0, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once_and_says_that_something_may_be_left() {
    let lab = lab_where(|settings| {
        settings.vm.boot_ms = Span::between(600_000, 600_000);
        settings.cloud.gone_listed_ms = Span::between(600_000, 600_000);
    })
    .await;
    let (output, said) = interrupted(&lab, &[], "cloudtest", &["-INT", "-TERM"]).await;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("for a second time"), "{said}");
}

/// Whether the cloud was given our public key, and for which sets instances were made.
fn key_and_sets(lab: &LabHandle) -> (bool, BTreeSet<String>) {
    let key = lab.public_key().split_whitespace().nth(1).expect("a key");
    let orders = lab.heard().into_iter().filter_map(|heard| match heard {
        Heard::Cloud(request) if request.method == "POST" => Some(request.body),
        _ => None,
    });
    let orders: Vec<String> = orders
        .map(|body| String::from_utf8_lossy(&body).into_owned())
        .collect();
    let sets = lab.world(|world, _| {
        let all = world.instances().instances().values();
        let ours = all.filter(|instance| !instance.bystander);
        ours.map(|instance| instance.tags["ArvadosInstanceSetID"].clone())
            .collect()
    });
    (orders.iter().any(|body| body.contains(key)), sets)
}

/// Facts T2, T5: the dispatcher's own instances are another set, and a key that is not to be deployed is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_deployed_if_it_is_to_be_and_the_set_is_a_neutral_one() {
    for deploy in [true, false] {
        let lab = lab().await;
        lab.overhear();
        let line = format!("    CloudVMs:\n        DeployPublicKey: {deploy}\n");
        let config = lab.config_yaml().replace("    CloudVMs:\n", &line);
        assert!(config.contains("DeployPublicKey"), "{config}");
        let (_, said) = cloudtest(&config, &[], &[]).await;
        let neutral = BTreeSet::from(["cloudtest".to_owned()]);
        assert_eq!(key_and_sets(&lab), (deploy, neutral), "{said}");
        assert_eq!(alive(&lab), 0, "{said}");
    }
}

/// Facts T4: each subnet in turn, over SSH to the instances of the lab.
#[cfg(all(feature = "ec2", feature = "cloud-tests"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_subnet_of_an_ec2_account_is_tried_out() {
    use dispatch_lab_net::{Ec2Settings, Subnet, actions_of_policy};

    let lab = lab().await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ec2.md");
    let document = std::fs::read_to_string(path).expect("docs/ec2.md");
    let mut policy = actions_of_policy(&document);
    // Nothing here is a spot instance.
    policy.remove("DescribeSpotPriceHistory");
    let settings = Ec2Settings {
        subnets: vec![
            Subnet::new("subnet-a1", "lab-1a"),
            Subnet::new("subnet-b1", "lab-1b"),
        ],
        granted: Some(policy.clone()),
        ..Ec2Settings::default()
    };
    let ec2 = lab.serve_ec2(settings).await.expect("an EC2 API");
    let parameters = "Region: us-east-1\n          AccessKeyID: AKIAFORTESTS\n          \
                      SecretAccessKey: not-a-secret\n          SubnetID: [subnet-a1, subnet-b1]";
    let config = lab
        .config_yaml()
        .replace("Driver: lab", "Driver: ec2")
        .replace(&format!("Endpoint: {}", lab.cloud_url()), parameters);
    let environment = [
        ("AWS_ENDPOINT_URL_EC2", ec2.url()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let (output, said) = cloudtest(&config, &["-command", "echo hello"], &environment).await;
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches("passed: all 10 steps").count(), 2, "{said}");
    for subnet in ["subnet-a1", "subnet-b1"] {
        let used = ec2.forms().into_iter().any(|form| {
            form.get("NetworkInterface.1.SubnetId")
                .is_some_and(|used| used == subnet)
        });
        assert!(used, "{subnet}: {said}");
    }
    assert_eq!(alive(&lab), 0, "{said}");
    // Every check of the contract on top, as on a live account.
    let args = ["--all-checks", "--instance-set-id", "another"];
    let (output, said) = cloudtest(&config, &args, &environment).await;
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("passed       destroying_what_never_was_succeeds"),
        "{said}"
    );
    assert!(
        said.contains("cannot show  a_full_quota_is_told_as_such"),
        "{said}"
    );
    assert_eq!(alive(&lab), 0, "{said}");
    // With no other permission, and with each of them.
    let called: BTreeSet<String> = ec2.calls().into_keys().collect();
    assert_eq!(called, policy);
}

/// The lab's configuration for its Azure API, and where that is.
#[cfg(all(feature = "azure", feature = "cloud-tests"))]
fn on_azure(
    lab: &LabHandle,
    azure: &dispatch_lab_net::AzureApi,
) -> (String, [(String, String); 3]) {
    let settings = azure.settings();
    let parameters = [
        ("SubscriptionID", settings.subscription.as_str()),
        ("TenantID", &settings.tenant),
        ("ClientID", &settings.client_id),
        ("ClientSecret", &settings.client_secret),
        ("Location", &settings.location),
        ("ResourceGroup", "vms"),
        ("NetworkResourceGroup", "net"),
        ("ImageResourceGroup", "images"),
        ("Network", "vnet"),
        ("Subnet", "subnet"),
    ];
    let parameters = parameters.map(|(key, value)| format!("{key}: {value}"));
    let config = lab
        .config_yaml()
        .replace("Driver: lab", "Driver: azure")
        .replace(
            &format!("Endpoint: {}", lab.cloud_url()),
            &parameters.join("\n          "),
        );
    let places = [
        "AZURE_AUTHORITY_HOST",
        "AZURE_RESOURCE_MANAGER_ENDPOINT",
        "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    ];
    let places = places.map(|name| (name.to_owned(), azure.url().to_owned()));
    (config, places)
}

/// The same against an account of Azure, with its credentials in the configuration, is the live mode.
#[cfg(all(feature = "azure", feature = "cloud-tests"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_azure_account_is_tried_out_and_left_as_it_was() {
    let lab = lab().await;
    let azure = lab.serve_azure(dispatch_lab_net::AzureSettings::default());
    let azure = azure.await.expect("an Azure API");
    let (config, places) = on_azure(&lab, &azure);
    let environment: Vec<(&str, &str)> = (places.iter())
        .map(|(name, url)| (name.as_str(), url.as_str()))
        .collect();
    let args = ["-command", "echo hello from there"];
    let (output, said) = cloudtest(&config, &args, &environment).await;
    assert!(output.status.success(), "{said}");
    assert!(said.contains("passed: all 10 steps"), "{said}");
    assert!(said.contains("hello from there"), "{said}");
    assert_eq!(alive(&lab), 0, "{said}");
    // Every check of the contract on top, as on a live account.
    let args = ["--all-checks", "--instance-set-id", "another"];
    let (output, said) = cloudtest(&config, &args, &environment).await;
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("passed       destroying_what_never_was_succeeds"),
        "{said}"
    );
    assert!(
        said.contains("cannot show  a_full_quota_is_told_as_such"),
        "{said}"
    );
    assert_eq!(alive(&lab), 0, "{said}");
    nothing_was_called_beyond_the_role(&azure);
    let left = [azure.vms(), azure.nics(), azure.disks()].concat();
    assert_eq!(left, Vec::<String>::new(), "{said}");
}

/// What Azure refuses is told with its code and its remedy, and nothing is left behind.
#[cfg(all(feature = "azure", feature = "cloud-tests"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_azure_refuses_is_told_with_the_remedy() {
    let lab = lab().await;
    let azure = lab.serve_azure(dispatch_lab_net::AzureSettings {
        images: ["another-image".to_owned()].into(),
        ..dispatch_lab_net::AzureSettings::default()
    });
    let azure = azure.await.expect("an Azure API");
    let (config, places) = on_azure(&lab, &azure);
    let environment: Vec<(&str, &str)> = (places.iter())
        .map(|(name, url)| (name.as_str(), url.as_str()))
        .collect();
    // Whatever is refused, an instance is waited for: not for long here.
    let (output, said) = cloudtest(&config, &["--deadline", "1"], &environment).await;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("ImageNotFound"), "{said}");
    assert!(said.contains("check ImageID"), "{said}");
    assert!(!said.contains("lab-client-secret"), "{said}");
    nothing_was_called_beyond_the_role(&azure);
    assert_eq!(azure.vms(), Vec::<String>::new());
}

/// Azure keeps the network interface of a refused VM for a while: the test waits for it.
#[cfg(all(feature = "azure", feature = "cloud-tests"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_create_on_azure_leaves_not_even_its_network_interface() {
    let lab = lab().await;
    let types = Settings::default().instance_types;
    let azure = lab.serve_azure(dispatch_lab_net::AzureSettings {
        sold_out: types.into_iter().map(|one| one.provider_type).collect(),
        reserved_ms: 1_500,
        ..dispatch_lab_net::AzureSettings::default()
    });
    let azure = azure.await.expect("an Azure API");
    let (config, places) = on_azure(&lab, &azure);
    let environment: Vec<(&str, &str)> = (places.iter())
        .map(|(name, url)| (name.as_str(), url.as_str()))
        .collect();
    let (output, said) = cloudtest(&config, &[], &environment).await;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("SkuNotAvailable"), "{said}");
    nothing_was_called_beyond_the_role(&azure);
    assert_eq!(azure.nics(), Vec::<String>::new(), "{said}");
    let deletes = azure.calls()["DELETE nic"].0;
    assert!(deletes > 1, "it was reserved at first: {deletes}");
}
