//! What there is in the subscription.

use std::collections::BTreeMap;

use serde_json::Value;

/// A virtual machine.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Vm {
    /// As it was written.
    pub(super) name: String,
    /// What was put.
    pub(super) body: Value,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) size: String,
    pub(super) spot: bool,
    pub(super) vcpus: u32,
    /// Its create is accepted and fails: code and message.
    pub(super) fault: Option<(String, String)>,
    pub(super) state: State,
    /// It fails, and runs all the same.
    pub(super) runs_failed: bool,
    /// The operation that makes it.
    pub(super) operation: Option<String>,
    /// The world's name for it.
    pub(super) world: Option<String>,
    pub(super) created_ms: u64,
    pub(super) created: jiff::Timestamp,
    /// A list has shown it.
    pub(super) was_listed: bool,
    /// Lower-case name, and whether it goes with the VM.
    pub(super) nics: Vec<(String, bool)>,
    pub(super) disk: String,
    pub(super) disk_goes: bool,
}

/// How a VM is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum State {
    Creating { due_ms: u64 },
    Succeeded,
    Failed { code: String, message: String },
    Deleting { due_ms: u64 },
}

impl State {
    pub(super) fn word(&self) -> &'static str {
        match self {
            State::Creating { .. } => "Creating",
            State::Succeeded => "Succeeded",
            State::Failed { .. } => "Failed",
            State::Deleting { .. } => "Deleting",
        }
    }
}

/// A network interface.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Nic {
    pub(super) name: String,
    pub(super) body: Value,
    pub(super) tags: BTreeMap<String, String>,
    /// The lower-case name of its VM.
    pub(super) vm: Option<String>,
    /// The VM whose create failed, and until when it keeps this, ms.
    pub(super) reserved: Option<(String, u64)>,
    pub(super) ready_ms: u64,
    /// When its deletion, which was accepted, is carried out, and the operation.
    pub(super) going: Option<(u64, String)>,
    /// Since when it belongs to no VM, ms.
    pub(super) alone_ms: Option<u64>,
}

/// A disk.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Disk {
    pub(super) name: String,
    pub(super) vm: Option<String>,
    /// Since when it belongs to no VM, ms.
    pub(super) alone_ms: Option<u64>,
    pub(super) created: jiff::Timestamp,
}

/// A long-running operation.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Operation {
    pub(super) due_ms: u64,
    pub(super) fault: Option<(String, String)>,
}
