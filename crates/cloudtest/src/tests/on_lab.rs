//! On the lab's cloud, whose instances have SSH servers.

use dispatch_cloud::{Clock, Driver as _, DriverContext};
use dispatch_cloud_lab::LabDriver;
use dispatch_lab_net::{
    Lab, LabHandle,
    world::{Settings as LabSettings, Span},
};
use dispatch_ssh_executor::{PrivateKey, SshExecutor};
use serde_json::json;

use super::*;

/// Runs the test on such a lab: what it says, and what is left.
async fn on_lab(
    world: impl FnOnce(&mut LabSettings),
    change: impl FnOnce(&mut Settings),
) -> (Report, String, usize) {
    let mut lab = LabSettings::default();
    lab.vm.port = 0;
    lab.cloud.bystanders = 2;
    lab.cloud.fresh_missing_ms = Span::between(0, 30);
    lab.cloud.gone_listed_ms = Span::between(0, 30);
    lab.vm.boot_ms = Span::between(0, 20);
    lab.vm.boot_probe_fails_ms = Span::between(0, 20);
    world(&mut lab);
    let lab: LabHandle = Lab::new(11, lab).start().await.expect("a lab");
    let context = DriverContext {
        instance_set_id: "cloudtest".to_owned(),
        tag_key_prefix: "Arvados".to_owned(),
        image_id: "lab-image".to_owned(),
        public_key: Some(lab.public_key().to_owned()),
        clock: Clock::start(),
        gate: dispatch_cloud::Gate::open(),
    };
    let set = LabDriver
        .open(&json!({"Endpoint": lab.cloud_url()}), context)
        .await
        .expect("an account");
    let key = PrivateKey::parse(lab.private_key()).expect("a key");
    let ssh = dispatch_ssh_executor::Settings::new(set.remote_user(), 22);
    let mut settings = settings(set, Arc::new(SshExecutor::new(ssh, key)));
    settings.init_script = dispatch_runner::init_script(&settings.secret, "echo booted");
    settings.boot_probe = "systemctl is-system-running".to_owned();
    let ms = Duration::from_millis;
    settings.timing.sync_interval = ms(20);
    settings.timing.probe_interval = ms(20);
    settings.timing.boot = ms(4000);
    settings.timing.command = ms(2000);
    change(&mut settings);
    let mut spectator = Spectator::default();
    let report = run(&settings, &mut spectator, pending()).await;
    assert!(!spectator.seen.contains(SECRET), "{}", spectator.seen);
    let left = lab.world(|world, _| {
        let all = world.instances().instances().values();
        all.filter(|instance| instance.alive() && !instance.bystander)
            .count()
    });
    (report, spectator.seen, left)
}

/// The verdict on the step that begins so.
fn verdict(report: &Report, what: &str) -> Verdict {
    let found = report.steps.iter().find(|step| step.what.starts_with(what));
    found
        .unwrap_or_else(|| panic!("no step {what}: {report:?}"))
        .verdict
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lab_passes_the_test_of_clouds() {
    let command = |settings: &mut Settings| settings.command = Some("echo hello".to_owned());
    let (report, seen, left) = on_lab(|_| (), command).await;
    assert!(report.passed(), "{seen}");
    assert!(seen.contains("hello"), "{seen}");
    assert_eq!((report.steps.len(), left), (10, 0), "{seen}");
}

/// Facts §6.5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_boot_probe_that_never_succeeds_fails_the_test_at_its_end() {
    let (report, seen, left) = on_lab(
        |lab| lab.vm.boot_probe_fails_ms = Span::exactly(3_600_000),
        |settings| {
            settings.command = Some("true".to_owned());
            settings.timing.boot = Duration::from_millis(1500);
        },
    )
    .await;
    assert_eq!(
        verdict(&report, "its boot probe"),
        Verdict::Failed,
        "{seen}"
    );
    assert_eq!(verdict(&report, "the command"), Verdict::Passed, "{seen}");
    assert_eq!((report.n_failed(), left), (1, 0), "{seen}");
}

/// Facts §6.5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_fails_fails_the_test() {
    let command = |settings: &mut Settings| settings.command = Some("false".to_owned());
    let (report, seen, left) = on_lab(|_| (), command).await;
    assert_eq!(verdict(&report, "the command"), Verdict::Failed, "{seen}");
    assert_eq!((report.n_failed(), left), (1, 0), "{seen}");
}

/// Facts §6.5: a tenth of the calls fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_fail_now_and_then_leave_nothing_behind() {
    let (_, seen, left) = on_lab(
        |lab| {
            lab.cloud.error_rate_destroy = 0.3;
            lab.cloud.error_rate_list = 0.1;
        },
        |_| (),
    )
    .await;
    assert_eq!(left, 0, "{seen}");
}
