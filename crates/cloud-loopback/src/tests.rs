//! The driver on this host, with its files in a temporary directory.

mod commands;
mod life;
mod sudo;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use dispatch_cloud::{
    Clock, CreateOrder, Driver as _, DriverContext, Instance, InstanceSet, Tags,
    exec::{Command, Connection, ExecError, Exit, Output, Target},
};
use dispatch_cloud_conformance::{Fault, Hooks};
use dispatch_model::{CloudErrorClass, Gpu, InstanceId, InstanceSecret, InstanceType};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    LoopbackDriver,
    set::{LoopbackSet, Paths},
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory for the state and the locks.
struct Host(TempDir);

impl Host {
    fn new() -> Host {
        let host = Host(tempfile::tempdir().expect("a directory"));
        fs::create_dir(host.locks()).expect("a directory");
        host
    }

    fn locks(&self) -> PathBuf {
        self.0.path().join("lock")
    }

    fn state(&self) -> PathBuf {
        self.0.path().join("state")
    }

    fn state_file(&self) -> PathBuf {
        self.state().join("loopback-ours.json")
    }

    fn marker(&self) -> PathBuf {
        self.locks().join("crunch-run-broken")
    }

    /// What a dispatcher opens when it starts.
    fn open(&self) -> LoopbackSet {
        let paths = Paths {
            state_directory: self.state(),
            lock_directory: self.locks(),
        };
        LoopbackSet::open(paths, &context("ours")).expect("a set")
    }
}

fn context(instance_set_id: &str) -> DriverContext {
    DriverContext {
        instance_set_id: instance_set_id.to_owned(),
        tag_key_prefix: "Arvados".to_owned(),
        image_id: String::new(),
        public_key: None,
        clock: Clock::start(),
        gate: dispatch_cloud::Gate::open(),
    }
}

fn order_with(mut tags: Tags, secret: InstanceSecret) -> CreateOrder {
    tags.insert(
        "ArvadosInstanceSecret".to_owned(),
        secret.reveal().to_owned(),
    );
    CreateOrder {
        instance_type: InstanceType {
            name: "localhost".into(),
            provider_type: "localhost".to_owned(),
            image: None,
            vcpus: 1,
            ram_bytes: 1 << 30,
            included_scratch_bytes: 1 << 30,
            added_scratch_bytes: 0,
            price: 1.0,
            preemptible: false,
            gpu: Gpu::default(),
        },
        image_id: String::new(),
        tags,
        init_script: String::new(),
        secret,
    }
}

fn order(secret: &str) -> CreateOrder {
    order_with(Tags::new(), InstanceSecret::new(secret))
}

/// A connection for whoever knows this secret.
fn connection(set: &LoopbackSet, secret: &str) -> Arc<dyn Connection> {
    let executor = set.executor().expect("an executor");
    executor.connection(Target {
        address: "127.0.0.1".to_owned(),
        secret: Some(InstanceSecret::new(secret)),
    })
}

fn command(line: &str) -> Command {
    Command {
        line: line.to_owned(),
        stdin: Bytes::new(),
        deadline: PATIENCE,
    }
}

/// Whether the process is gone or waits for its parent only.
fn has_ended(pid: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ")).map_or(true, |environ| environ.is_empty())
}

/// Waits until something is true.
async fn eventually(what: &str, is_true: impl Fn() -> bool) {
    let waiting = async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
        "in vain: {what}"
    );
}

#[test]
fn parameters_of_other_drivers_are_passed_over() {
    let check = |parameters| LoopbackDriver.check(&parameters);
    assert_eq!(check(json!({"SubnetID": ["x"]})), Vec::<String>::new());
    assert_eq!(check(json!(null)), Vec::<String>::new());
    assert_eq!(
        check(json!({"StateDirectory": "/run/x"})),
        Vec::<String>::new()
    );
    for wrong in [
        json!({"StateDirectory": "run/x"}),
        json!({"StateDirectory": 7}),
    ] {
        let problems = check(wrong);
        assert!(
            problems.len() == 1 && problems[0].contains("DriverParameters.StateDirectory"),
            "{problems:?}"
        );
    }
}

#[async_trait]
impl Hooks for Host {
    fn run_id(&self) -> String {
        "loopback".to_owned()
    }

    fn order(&self, tags: Tags, secret: InstanceSecret) -> CreateOrder {
        order_with(tags, secret)
    }

    fn unknown_id(&self) -> InstanceId {
        "loopback-1000".into()
    }

    fn instances_max(&self) -> Option<usize> {
        Some(1)
    }

    fn knows_repeated_creates(&self) -> Result<(), String> {
        Ok(())
    }

    async fn arrange(&self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::Refusal => fs::create_dir(self.marker()).expect("a directory"),
            Fault::Passing => {
                fs::create_dir(self.state_file().with_extension("new")).expect("a directory");
            }
            Fault::Quota
            | Fault::CapacityOfType
            | Fault::CapacityOfGroup
            | Fault::RateLimit
            | Fault::LostAnswer => return Err("this host does not refuse or forget".to_owned()),
        }
        Ok(())
    }

    async fn settle(&self) {
        for directory in [self.marker(), self.state_file().with_extension("new")] {
            if directory.is_dir() {
                fs::remove_dir(directory).expect("removed");
            }
        }
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn look_every(&self) -> Duration {
        Duration::from_millis(5)
    }
}

#[tokio::test]
async fn the_driver_keeps_to_the_contract() {
    let host = Host::new();
    let report = dispatch_cloud_conformance::run(Arc::new(host.open()), &host).await;
    assert_eq!(report.failed, [], "{report}");
    let names: Vec<&str> = report.cannot_show.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "creates_at_the_same_time_make_different_instances",
            "a_full_quota_is_told_as_such",
            "a_lack_of_one_type_is_told_as_such",
            "a_lack_of_a_group_is_told_as_such",
            "a_rate_limit_is_told_as_such",
            "a_lost_answer_leaves_the_outcome_unknown",
        ]
    );
}
