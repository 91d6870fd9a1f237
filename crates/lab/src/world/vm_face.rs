//! The machines as the world shows them: connections, commands, exit watches.

use std::collections::BTreeSet;

use super::{
    Event, Happening, Moment, World,
    duties::Heard,
    runners::{Key, Step},
};
use crate::{
    faults::Fault,
    time::{Now, Span, When},
    vm::{Ailment, Crash, Effect, Execution, Exit, Fate, Reach, SECRET_FILE, Surroundings},
};

/// How late a late start arrives, ms.
const LATE_START_MS: Span = Span::between(1000, 6000);

/// One exit watch.
pub(crate) struct Watch {
    pub(crate) instance: String,
    /// It may read the locks.
    reads: bool,
    waits_for: BTreeSet<String>,
}

impl World {
    /// What a connection to this address meets.
    pub fn reach(&mut self, address: &str, now: Now) -> Reach {
        self.advance(now);
        self.vm_at(address)
            .map_or(Reach::Refused, |vm| vm.reach(now))
    }

    /// The login shell of `user` at this address runs a command line. None if there is no such machine any more.
    pub fn exec(
        &mut self,
        address: &str,
        user: &str,
        command: &str,
        stdin: &[u8],
        now: Now,
    ) -> Option<Execution> {
        self.advance(now);
        let vm = self.vm_at(address)?;
        let instance = vm.instance.clone();
        if !vm.up {
            return None;
        }
        if vm.is_silent(now) {
            return Some(Execution::hanging());
        }
        self.check_stranger(&instance, command, stdin);
        if command.contains(" --list") {
            self.journal.write(|| Moment::Listed {
                instance: instance.clone(),
            });
        }
        let starts = command.contains(" --detach ");
        let fate = if starts {
            self.draw_fate()
        } else {
            Fate::default()
        };
        if fate.late_ms > 0 {
            let late =
                Happening::LateCommand(address.into(), user.into(), command.into(), stdin.to_vec());
            self.later(fate.late_ms, late, now);
            return Some(Execution::hanging());
        }
        if !starts && self.faults.strikes(Fault::CommandHangs) {
            return Some(Execution::hanging());
        }
        let mut execution = self.execute(&instance, user, command, stdin, fate, now)?;
        if fate.hangs {
            execution.when = When::Never;
        }
        self.note_answer(&instance, command, &execution, now);
        if let When::After(ms) = execution.when
            && command.contains(" --list")
            && execution.exit == Exit::Status(0)
            && let Some(vm) = self.vms.get_mut(&instance)
        {
            vm.answers_list(now.ms + ms);
        }
        Some(execution)
    }

    fn execute(
        &mut self,
        instance: &str,
        user: &str,
        command: &str,
        stdin: &[u8],
        fate: Fate,
        now: Now,
    ) -> Option<Execution> {
        let vm = self.vms.get_mut(instance)?;
        let surroundings = Surroundings {
            vm: &self.settings.vm,
            runner: &self.settings.runner,
            root_token: &self.settings.system_root_token,
            fate,
            now,
        };
        let (execution, effects) = vm.execute(user, command, stdin, &surroundings);
        self.carry_out(instance, effects, now);
        Some(execution)
    }

    pub(super) fn late_command(
        &mut self,
        address: &str,
        user: &str,
        command: &str,
        stdin: &[u8],
        now: Now,
    ) {
        let Some(instance) = self.vm_at(address).map(|vm| vm.instance.clone()) else {
            return;
        };
        // Its runner is a late one even if it does nothing wrong.
        let fate = Fate {
            late_ms: 1,
            ..Fate::default()
        };
        self.execute(&instance, user, command, stdin, fate, now);
    }

    /// Nothing but the reading of its secret may reach a machine that cannot show it (invariant 3, facts X3).
    fn check_stranger(&mut self, instance: &str, command: &str, stdin: &[u8]) {
        let Some(vm) = self.vms.get(instance) else {
            return;
        };
        let verifies = command.ends_with(&format!("cat {SECRET_FILE}"));
        if vm.ailment == Ailment::WrongSecret && !verifies {
            let secret = !stdin.is_empty();
            self.judge.breach(format!(
                "{instance} could not show its secret and was told {:?}{}",
                command.lines().next().unwrap_or_default(),
                if secret { ", with input" } else { "" }
            ));
        }
        if command.contains(self.settings.system_root_token.as_str()) {
            self.judge.breach(format!(
                "a command line for {instance} contains the dispatcher's token"
            ));
        }
    }

    /// What becomes of the next runner.
    pub(super) fn draw_fate(&mut self) -> Fate {
        let knobs = &self.settings.runner;
        let crashes = self.luck.chance(knobs.crash_rate);
        let early = self.luck.chance(0.5);
        let deadlock = self.luck.chance(knobs.deadlock_rate);
        let ignores_term = self.luck.chance(knobs.ignore_term_rate);
        let crash = match (crashes, early) {
            (true, true) => Crash::Early,
            (true, false) => Crash::Running,
            (false, _) if self.faults.strikes(Fault::RunnerCrashEarly) => Crash::Early,
            (false, _) if self.faults.strikes(Fault::RunnerCrashRunning) => Crash::Running,
            (false, _) => Crash::Never,
        };
        let late_ms = if self.faults.strikes(Fault::StartLate) {
            LATE_START_MS.draw(&mut self.luck)
        } else {
            0
        };
        Fate {
            crash,
            deadlock: deadlock || crash == Crash::Never && self.faults.strikes(Fault::StaleLock),
            ignores_term,
            hangs: self.faults.strikes(Fault::StartHangs),
            late_ms,
        }
    }

    fn carry_out(&mut self, instance: &str, effects: Vec<Effect>, now: Now) {
        for effect in effects {
            match effect {
                Effect::Began { uuid, pid } => {
                    let late = self
                        .vms
                        .get(instance)
                        .and_then(|vm| vm.runners.get(&uuid))
                        .is_some_and(|r| r.fate.late_ms > 0);
                    self.judge_start(instance, &uuid, pid, Heard::Here { late }, now);
                    self.journal.write(|| Moment::Began {
                        instance: instance.into(),
                        uuid: uuid.clone(),
                    });
                    let start_ms = self.settings.runner.start_ms.draw(&mut self.luck);
                    self.later(
                        start_ms,
                        Happening::Runner(Step::Look, Key::new(instance, &uuid, pid)),
                        now,
                    );
                }
                Effect::Terminate { uuid, pid, after } => {
                    self.later(
                        after,
                        Happening::Runner(Step::Obey, Key::new(instance, &uuid, pid)),
                        now,
                    );
                }
                Effect::BrokenOff(_) if self.judge.was_restarted() => {}
                Effect::Complaint(text) | Effect::BrokenOff(text) => {
                    self.judge.breach(format!("{instance}: {text}"));
                }
            }
        }
    }

    /// Lets a machine come up after so long, whatever time its order said. Once only.
    pub fn boot_after(&mut self, instance: &str, after_ms: u64, now: Now) {
        self.advance(now);
        self.later(after_ms, Happening::Boot(instance.into()), now);
    }

    pub(super) fn boot(&mut self, instance: &str, now: Now) {
        let Some(vm) = self.vms.get_mut(instance) else {
            return;
        };
        let surroundings = Surroundings {
            vm: &self.settings.vm,
            runner: &self.settings.runner,
            root_token: &self.settings.system_root_token,
            fate: Fate::default(),
            now,
        };
        let effects = vm.boot(&surroundings);
        let address = vm.address.clone();
        self.carry_out(instance, effects, now);
        self.journal.write(|| Moment::Up {
            instance: instance.into(),
        });
        self.tell(Event::Up {
            instance: instance.into(),
            address,
        });
    }

    pub(super) fn speak(&mut self, instance: &str) {
        if let Some(vm) = self.vms.get_mut(instance) {
            vm.silent = None;
            self.needed_again(instance);
            self.tell(Event::Silence {
                instance: instance.into(),
                silent: false,
            });
        }
    }

    /// Opens an exit watch on a machine (`docs/reference/scripts.md`), as this user; its number. None if the machine is
    /// not there.
    pub fn open_watch(&mut self, address: &str, user: &str, now: Now) -> Option<u64> {
        self.advance(now);
        let vm = self.vm_at(address).filter(|vm| vm.up)?;
        let (instance, reads) = (vm.instance.clone(), vm.may_read_locks(user));
        self.watches_opened += 1;
        self.watches.insert(
            self.watches_opened,
            Watch {
                instance,
                reads,
                waits_for: BTreeSet::new(),
            },
        );
        Some(self.watches_opened)
    }

    /// One line of input for a watch. What it prints comes as events.
    pub fn watch_line(&mut self, watch: u64, line: &str, now: Now) {
        self.advance(now);
        let Some(open) = self.watches.get_mut(&watch) else {
            return;
        };
        let held = self
            .vms
            .get(&open.instance)
            .is_some_and(|vm| vm.runners.contains_key(line));
        let uuid_like =
            !line.is_empty() && line.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let answer = match (uuid_like, held, open.reads) {
            (false, ..) => "! not a container's UUID".to_owned(),
            (true, true, false) => format!("! {line}: cannot watch its lock"),
            (true, false, _) => line.to_owned(),
            (true, true, true) => {
                open.waits_for.insert(line.into());
                return;
            }
        };
        self.tell(Event::WatchLine {
            watch,
            line: answer,
        });
    }

    /// A watch's standard input has ended.
    pub fn close_watch(&mut self, watch: u64) {
        self.watches.remove(&watch);
    }

    /// A container's lock is held by nobody any more.
    pub(super) fn lock_released(&mut self, instance: &str, uuid: &str) {
        let watching: Vec<u64> = self
            .watches
            .iter_mut()
            .filter(|(_, watch)| watch.instance == instance)
            .filter_map(|(number, watch)| watch.waits_for.remove(uuid).then_some(*number))
            .collect();
        for watch in watching {
            self.tell(Event::WatchLine {
                watch,
                line: uuid.into(),
            });
        }
    }

    /// How an exit watch ends when its input does.
    pub fn watch_exit() -> Exit {
        Exit::Status(0)
    }
}
