//! Everything about a world that can be set. All of it may be changed while the world runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{faults::Level, load, time::Span};

/// A world's settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Five characters of a-z0-9; the first five of every UUID.
    pub cluster_id: String,
    /// The dispatcher's token.
    pub system_root_token: String,
    /// Further tokens.
    pub tokens: Vec<Token>,
    /// What can be ordered.
    pub instance_types: Vec<InstanceType>,
    /// The Arvados API.
    pub api: ApiKnobs,
    /// The cloud.
    pub cloud: CloudKnobs,
    /// The virtual machines.
    pub vm: VmKnobs,
    /// The runners on them.
    pub runner: RunnerKnobs,
    /// How much goes wrong on its own.
    pub faults: Level,
    /// After how long the dispatcher gives up a silent instance (its `TimeoutProbe`), ms. Containers on an instance
    /// that is silenced for longer are doomed.
    pub timeout_probe_ms: u64,
    /// After how long the dispatcher lets an instance go that nobody needs (its `TimeoutIdle`), ms. If said, the judge
    /// sees to it.
    pub timeout_idle_ms: Option<u64>,
    /// StaleLockTimeout of the dispatcher, ms: after a restart it may give back the locks behind which a silent machine's
    /// runners may be. None: at any time.
    pub stale_lock_timeout_ms: Option<u64>,
    /// How long a type's instances do not boot where the faults say so: twice the dispatcher's `TimeoutBooting`
    /// (facts I6), ms.
    pub dead_type_ms: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            cluster_id: "zzzzz".into(),
            system_root_token: "labsystemroottoken00000000000000000000000000000000".into(),
            tokens: Vec::new(),
            instance_types: load::instance_types(),
            api: ApiKnobs::default(),
            cloud: CloudKnobs::default(),
            vm: VmKnobs::default(),
            runner: RunnerKnobs::default(),
            faults: Level::None,
            timeout_probe_ms: 10_000,
            timeout_idle_ms: None,
            stale_lock_timeout_ms: None,
            dead_type_ms: 20_000,
        }
    }
}

/// A token that the API knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Token {
    /// What is sent.
    pub token: String,
    /// `<cluster>-gj3su-<15>`.
    pub uuid: String,
    /// Whether its user is an administrator.
    pub admin: bool,
}

/// A type of instance, by both its names.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct InstanceType {
    /// The key in the cluster configuration.
    pub name: String,
    /// The cloud's name.
    pub provider_type: String,
    /// Cores.
    pub vcpus: u32,
    /// Bytes.
    pub ram: u64,
    /// Bytes.
    pub scratch: u64,
    /// $/h.
    pub price: f64,
    /// Whether it is a spot type.
    #[serde(default)]
    pub preemptible: bool,
    /// GPU devices.
    #[serde(default)]
    pub gpus: u32,
}

/// How the Arvados API behaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKnobs {
    /// Time to an answer.
    pub latency_ms: Span,
    /// Containers.MaxDispatchAttempts.
    pub max_dispatch_attempts: i64,
    /// API.MaxItemsPerResponse.
    pub max_items_per_response: usize,
    /// About how many bytes of items a page may hold (at least one item).
    pub max_page_bytes: usize,
    /// So many of the next requests are answered with 503 and an empty body.
    pub next_503s: u64,
    /// So many of the next requests are never answered and have no effect.
    pub next_hangs: u64,
    /// So many of the next requests are carried out, but the answer is lost.
    pub next_lost: u64,
}

impl Default for ApiKnobs {
    fn default() -> ApiKnobs {
        ApiKnobs {
            latency_ms: Span::between(2, 8),
            max_dispatch_attempts: 10,
            max_items_per_response: 1000,
            max_page_bytes: 1 << 24,
            next_503s: 0,
            next_hangs: 0,
            next_lost: 0,
        }
    }
}

/// How the cloud behaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudKnobs {
    /// Time to an answer to `create`.
    pub create_latency_ms: Span,
    /// Time to an answer to `list`.
    pub list_latency_ms: Span,
    /// Time to an answer to `set_tags`.
    pub tags_latency_ms: Span,
    /// Time to an answer to `destroy`.
    pub destroy_latency_ms: Span,
    /// Time from an order to the instance having an address.
    pub address_ms: Span,
    /// How long a fresh instance is missing in lists.
    pub fresh_missing_ms: Span,
    /// How long a destroyed instance is still listed.
    pub gone_listed_ms: Span,
    /// How old the tags are that lists show (facts I5).
    pub tags_stale_ms: u64,
    /// `create` calls closer together than this are refused with a retry time.
    pub min_ms_between_creates: u64,
    /// `list` calls closer together than this are refused with a retry time.
    pub min_ms_between_lists: u64,
    /// How many instances the account may have.
    pub quota_max_instances: Option<usize>,
    /// How many instances of a provider type there can be.
    pub capacity: BTreeMap<String, usize>,
    /// How many instances of a quota group there can be.
    pub group_capacity: BTreeMap<String, usize>,
    /// Provider types of which there are never any.
    pub never_capacity: BTreeSet<String>,
    /// Share of `create` calls that fail without effect.
    pub error_rate_create: f64,
    /// Share of `destroy` calls that fail without effect.
    pub error_rate_destroy: f64,
    /// Share of `list` calls that fail.
    pub error_rate_list: f64,
    /// Share of `set_tags` calls that fail without effect.
    pub error_rate_tags: f64,
    /// Share of `create` calls that are carried out while their answer is lost.
    pub lost_create_rate: f64,
    /// So many of the next calls are never answered and have no effect.
    pub next_hangs: u64,
    /// Refuse every order with this message.
    pub refuse_creates: Option<String>,
    /// Images other than these are refused; empty allows all.
    pub images: BTreeSet<String>,
    /// Instances that are there from the start and belong to somebody else.
    pub bystanders: usize,
}

impl Default for CloudKnobs {
    fn default() -> CloudKnobs {
        CloudKnobs {
            create_latency_ms: Span::between(80, 160),
            list_latency_ms: Span::between(20, 60),
            tags_latency_ms: Span::between(20, 60),
            destroy_latency_ms: Span::between(40, 100),
            address_ms: Span::between(100, 200),
            fresh_missing_ms: Span::exactly(0),
            gone_listed_ms: Span::exactly(0),
            tags_stale_ms: 0,
            min_ms_between_creates: 0,
            min_ms_between_lists: 0,
            quota_max_instances: None,
            capacity: BTreeMap::new(),
            group_capacity: BTreeMap::new(),
            never_capacity: BTreeSet::new(),
            error_rate_create: 0.0,
            error_rate_destroy: 0.0,
            error_rate_list: 0.0,
            error_rate_tags: 0.0,
            lost_create_rate: 0.0,
            next_hangs: 0,
            refuse_creates: None,
            images: BTreeSet::new(),
            bystanders: 0,
        }
    }
}

/// How virtual machines behave.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VmKnobs {
    /// The first two bytes of all addresses; the first is 127.
    pub net: [u8; 2],
    /// The SSH port of all virtual machines.
    pub port: u16,
    /// Time from an order until SSH answers.
    pub boot_ms: Span,
    /// How long the boot probe fails after that.
    pub boot_probe_fails_ms: Span,
    /// Time to an answer to a command, beyond what the command itself takes.
    pub exec_ms: Span,
    /// Whether the image holds `/usr/bin/crunch-run`.
    pub runner_installed: bool,
    /// Users of the image, beside root, that may use Docker; they can log in and be reached by `sudo -u`.
    pub runner_users: BTreeSet<String>,
    /// Share of commands that never end (and have no effect).
    pub hang_rate: f64,
    /// Every instance of these provider types stays silent: it accepts connections and never speaks.
    pub silent_types: BTreeSet<String>,
    /// Instances of these provider types never boot.
    pub dead_types: BTreeSet<String>,
}

impl Default for VmKnobs {
    fn default() -> VmKnobs {
        VmKnobs {
            net: [127, 77],
            port: 22,
            boot_ms: Span::between(400, 1200),
            boot_probe_fails_ms: Span::between(0, 300),
            exec_ms: Span::between(3, 12),
            runner_installed: true,
            runner_users: BTreeSet::new(),
            hang_rate: 0.0,
            silent_types: BTreeSet::new(),
            dead_types: BTreeSet::new(),
        }
    }
}

/// How runners behave.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunnerKnobs {
    /// Time that `--detach` takes.
    pub detach_ms: Span,
    /// Time from there to the container being set Running (the image is loaded).
    pub start_ms: Span,
    /// How long a container runs, unless it says so itself.
    pub run_ms: Span,
    /// Time from the container's final state to the end of the process.
    pub exit_lag_ms: Span,
    /// Time from SIGTERM to the end of the process.
    pub kill_ms: Span,
    /// Share of runners that crash, half of them before Running.
    pub crash_rate: f64,
    /// Share of runners whose children keep the lock after they end.
    pub deadlock_rate: f64,
    /// Share of runners that ignore SIGTERM.
    pub ignore_term_rate: f64,
}

impl Default for RunnerKnobs {
    fn default() -> RunnerKnobs {
        RunnerKnobs {
            detach_ms: Span::between(10, 40),
            start_ms: Span::between(50, 150),
            run_ms: Span::between(800, 3000),
            exit_lag_ms: Span::between(5, 30),
            kill_ms: Span::between(10, 200),
            crash_rate: 0.0,
            deadlock_rate: 0.0,
            ignore_term_rate: 0.0,
        }
    }
}

impl Settings {
    /// These settings with some of them replaced: `patch` has the same shape and only what changes. `null` stands
    /// for "none", not for "unchanged".
    pub fn patched(&self, patch: &serde_json::Value) -> Result<Settings, String> {
        let mut all = serde_json::to_value(self).map_err(|error| error.to_string())?;
        merge(&mut all, patch);
        serde_json::from_value(all).map_err(|error| error.to_string())
    }

    /// The type of this provider name and market.
    pub fn instance_type(&self, provider_type: &str, preemptible: bool) -> Option<&InstanceType> {
        self.instance_types
            .iter()
            .find(|t| t.provider_type == provider_type && t.preemptible == preemptible)
    }
}

fn merge(into: &mut serde_json::Value, patch: &serde_json::Value) {
    match (into, patch) {
        (serde_json::Value::Object(into), serde_json::Value::Object(patch)) => {
            for (key, value) in patch {
                merge(
                    into.entry(key.clone()).or_insert(serde_json::Value::Null),
                    value,
                );
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_changes_only_what_it_names() {
        let settings = Settings::default();
        let patched = settings
            .patched(&serde_json::json!({"cloud": {"quota_max_instances": 3}, "vm": {"boot_ms": [1, 2]}}))
            .unwrap();
        assert_eq!(patched.cloud.quota_max_instances, Some(3));
        assert_eq!(patched.vm.boot_ms, Span::between(1, 2));
        assert_eq!(patched.vm.port, settings.vm.port);
    }

    #[test]
    fn a_patch_with_an_unknown_name_is_refused_by_that_name() {
        let error = Settings::default()
            .patched(&serde_json::json!({"cloud": {"quota": 3}}))
            .unwrap_err();
        assert!(error.contains("quota"), "{error}");
    }
}
