//! Virtual machines: booting, answering, running commands. They interpret command lines by their own reading of the
//! facts, not with the dispatcher's code.

mod builtins;
mod document;
mod files;
mod runner;
mod runner_commands;
mod scripts;
mod shell;
mod words;

use std::collections::BTreeMap;

pub use document::example_start_document;
pub use runner::{Crash, Fate, Phase, Runner};
pub use scripts::{Kind, kind_of};

use crate::{
    luck::Luck,
    settings::{InstanceType, RunnerKnobs, VmKnobs},
    time::{Now, When},
};
use files::{File, Files};

/// Where the instance's secret is (facts §2.2).
pub(crate) const SECRET_FILE: &str = "/var/run/arvados-instance-secret";

/// Checks a start document by all rules of facts §2.2.2; what is wrong with it.
pub fn check_start_document(stdin: &[u8], uuid: &str, root_token: &str) -> Result<(), String> {
    document::Start::read(stdin, uuid, root_token).map(|_| ())
}

/// How a command ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal, such as "KILL".
    Signal(String),
}

/// What a command left behind, and when the one who asked learns of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Execution {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// When it ends.
    pub when: When,
}

/// What a connection to an address meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Nobody listens.
    Refused,
    /// It is accepted, and then nothing is said.
    Silent,
    /// It is accepted; the handshake takes at least so long, ms.
    Speaks(u64),
}

/// What is wrong with a machine from its birth.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ailment {
    /// Nothing.
    #[default]
    None,
    /// Nothing ever listens.
    NeverBoots,
    /// It accepts connections and never speaks.
    SilentBoot,
    /// The boot probe never succeeds.
    BootProbeFails,
    /// It shows another secret than it was given.
    WrongSecret,
    /// The runner is not there, and cannot be put there.
    RunnerMissing,
    /// Every handshake takes so long, ms.
    SlowHandshake(u64),
}

/// What a command did beyond its answer; the world carries it out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    /// A runner process began; it has this PID.
    Began { uuid: String, pid: u32 },
    /// A runner was told to end, and obeys after so long, ms.
    Terminate { uuid: String, pid: u32, after: u64 },
    /// Lines for people: what was wrong with a command.
    Complaint(String),
    /// The input of a command ended in the midst of it.
    BrokenOff(String),
}

/// What commands need to know of the world.
pub(crate) struct Surroundings<'a> {
    pub(crate) vm: &'a VmKnobs,
    pub(crate) runner: &'a RunnerKnobs,
    pub(crate) root_token: &'a str,
    /// What becomes of the runner that this command starts, if it starts one.
    pub(crate) fate: Fate,
    pub(crate) now: Now,
}

/// One machine.
pub struct Vm {
    /// The cloud's name for it.
    pub instance: String,
    /// host:port.
    pub address: String,
    /// Its type.
    pub instance_type: InstanceType,
    /// The key that may log in; none means the lab's own.
    pub public_key: Option<String>,
    /// Whether it has booted.
    pub up: bool,
    /// From when to when it neither speaks nor reaches the API, ms.
    pub silent: Option<(u64, u64)>,
    /// When the first of the silences began between which it has answered no list of its runners, ms: whoever asks it
    /// has heard nothing of it since.
    unheard_since: Option<u64>,
    /// When it answered the first list since its last silence began, or will have.
    list_answered_at: Option<u64>,
    /// What is wrong with it.
    pub ailment: Ailment,
    /// Whether it has a broken marker (facts §2.2.1).
    pub broken: bool,
    /// When it was seen to be what it says it is: somebody read its secret.
    pub secret_read: bool,
    /// What it was ordered to run at its first boot. Contains its secret.
    pub init_script: String,
    pub(crate) boot_probe_ok_from: u64,
    pub(crate) runners: BTreeMap<String, Runner>,
    pub(crate) files: Files,
    pub(crate) luck: Luck,
    pub(crate) next_pid: u32,
    /// Who ran the runner first: the lock of its directory is that user's, and nobody else can take it.
    pub(crate) lock_owner: Option<String>,
}

impl Vm {
    pub(crate) fn new(
        instance: &str,
        address: &str,
        instance_type: InstanceType,
        init_script: String,
        public_key: Option<String>,
        luck: Luck,
    ) -> Vm {
        Vm {
            instance: instance.into(),
            address: address.into(),
            instance_type,
            public_key,
            up: false,
            silent: None,
            unheard_since: None,
            list_answered_at: None,
            ailment: Ailment::None,
            broken: false,
            secret_read: false,
            init_script,
            boot_probe_ok_from: 0,
            runners: BTreeMap::new(),
            files: Files::default(),
            luck,
            next_pid: 1000,
            lock_owner: None,
        }
    }

    /// The runners whose lock is held, by container.
    pub fn runners(&self) -> &BTreeMap<String, Runner> {
        &self.runners
    }

    /// Whether it is cut off now.
    pub fn is_silent(&self, now: Now) -> bool {
        self.silent
            .is_some_and(|(from, until)| from <= now.ms && now.ms < until)
    }

    /// It is cut off until then.
    pub(crate) fn fall_silent(&mut self, until_ms: u64, now: Now) {
        let heard = self.list_answered_at.take().is_some_and(|at| at <= now.ms);
        if heard || self.unheard_since.is_none() {
            self.unheard_since = Some(now.ms);
        }
        self.silent = Some((now.ms, until_ms));
    }

    /// It answers a list of its runners, at that time.
    pub(crate) fn answers_list(&mut self, at_ms: u64) {
        self.list_answered_at.get_or_insert(at_ms);
    }

    /// Whether it is silent for good, and nobody has heard of it for so long.
    pub(crate) fn may_be_given_up(&self, timeout_ms: u64, now: Now) -> bool {
        let for_good = self.silent.is_some_and(|(_, until)| until == u64::MAX);
        let since = self.unheard_since.or(self.silent.map(|(from, _)| from));
        for_good && since.is_some_and(|since| now.ms >= since + timeout_ms)
    }

    /// What a connection meets now.
    pub fn reach(&self, now: Now) -> Reach {
        match self.ailment {
            _ if !self.up => Reach::Refused,
            _ if self.is_silent(now) => Reach::Silent,
            Ailment::SilentBoot => Reach::Silent,
            Ailment::SlowHandshake(ms) => Reach::Speaks(ms),
            _ => Reach::Speaks(0),
        }
    }

    /// The system comes up: runs the init script, which writes the secret (facts §2.4).
    pub(crate) fn boot(&mut self, surroundings: &Surroundings<'_>) -> Vec<Effect> {
        self.up = true;
        self.boot_probe_ok_from =
            surroundings.now.ms + surroundings.vm.boot_probe_fails_ms.draw(&mut self.luck);
        if surroundings.vm.runner_installed {
            self.files.put(
                "/usr/bin/crunch-run",
                File::new(0o755, b"the image's crunch-run"),
            );
        }
        let script = self.init_script.clone();
        let (_, effects) = self.run_as_root(&script, &[], surroundings);
        if self.ailment == Ailment::WrongSecret {
            self.files.put(
                SECRET_FILE,
                File::new(0o600, b"0000000000000000000000000000000000000000"),
            );
        }
        effects
    }

    /// Runs a command line by the login shell of `user`.
    pub(crate) fn execute(
        &mut self,
        user: &str,
        command: &str,
        stdin: &[u8],
        surroundings: &Surroundings<'_>,
    ) -> (Execution, Vec<Effect>) {
        let latency = surroundings.vm.exec_ms.draw(&mut self.luck);
        if self.luck.chance(surroundings.vm.hang_rate) {
            return (Execution::hanging(), Vec::new());
        }
        let (outcome, effects) = shell::run(self, command, stdin, user, surroundings);
        let execution = Execution {
            exit: Exit::Status(outcome.status),
            stdout: outcome.stdout,
            stderr: outcome.stderr,
            when: When::After(latency + outcome.took_ms),
        };
        (execution, effects)
    }

    fn run_as_root(
        &mut self,
        command: &str,
        stdin: &[u8],
        surroundings: &Surroundings<'_>,
    ) -> (shell::Outcome, Vec<Effect>) {
        shell::run(self, command, stdin, "root", surroundings)
    }

    /// Whether a user may read the locks of runners.
    pub(crate) fn may_read_locks(&self, user: &str) -> bool {
        user == "root" || self.lock_owner.as_deref() == Some(user)
    }
}

impl Execution {
    /// A command that never ends.
    pub(crate) fn hanging() -> Execution {
        Execution {
            exit: Exit::Signal("KILL".into()),
            stdout: Vec::new(),
            stderr: Vec::new(),
            when: When::Never,
        }
    }
}

#[cfg(test)]
mod tests;
