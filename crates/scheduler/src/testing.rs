//! A small language for queues and pools, so that tests read as situations.
//!
//! One thing a line; `#` begins a comment. Types `typeN` have N processors, N GiB of RAM and of scratch and cost N cents;
//! `type2@rocky` is `type2` with an image of its own; `gpuN` has 8 of each, N GPUs of 16 GiB, and costs a dollar and N cents.
//!
//! ```text
//! now 100                         seconds; the default is 100
//! worker 1 type2 idle : a b       states unknown booting idle running shutdown; then the containers alive on it
//! worker 2 type2 idle hold        also: drain broken creating silent gpus=1 since=50
//! queued a p5 cpu=2 on=type2      also: locked running complete cancelled
//! unreadable c                    its row cannot be read
//! locked b p5 found               also: supervisor busy unsized seen=3 as_of=90 created=40 ram=3 scratch=1 gpus=1 vram=4
//! runner a 1 exited=50            also: starting alive killing given-up
//! limit containers=3 supervisors=1 per_instance=2 patience=60
//! instances max=3
//! hold quota until=200
//! typehold type2 capacity until=200
//! substitute type2 type4           containers for type2 may go to type4
//! ```

use std::{fmt::Write as _, sync::Arc, time::Duration};

use dispatch_model::{
    ContainerState, Gpu, Hold, HoldCause, IdleBehavior, InstanceType, Now, PoolSnapshot,
    QueueEntry, QueueSnapshot, Resources, RunnerState, RunnerView, Sizing, Time, WorkerId,
    WorkerState, WorkerView, units::GIB,
};
use jiff::Timestamp;

use crate::{InstanceTypes, Limits, Plan, Recovery, Wait, plan};

/// A whole situation.
#[derive(Clone)]
pub(crate) struct Situation {
    pub(crate) queue: QueueSnapshot,
    pub(crate) pool: PoolSnapshot,
    pub(crate) types: InstanceTypes,
    pub(crate) limits: Limits,
    pub(crate) recovery: Recovery,
    pub(crate) now: Now,
}

impl Situation {
    pub(crate) fn plan(&self) -> Plan {
        plan(
            &self.queue,
            &self.pool,
            &self.types,
            &self.limits,
            &self.recovery,
            self.now,
        )
    }

    #[track_caller]
    pub(crate) fn read(text: &str) -> Situation {
        let mut situation = Situation {
            queue: QueueSnapshot {
                listed_at: Some(Time::from_secs(99)),
                ..QueueSnapshot::default()
            },
            pool: PoolSnapshot {
                surveyed: true,
                ..PoolSnapshot::default()
            },
            types: types(),
            limits: Limits::none(),
            recovery: Recovery::nothing(),
            now: at(100),
        };
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            if let Some((verb, rest)) = words.split_first() {
                situation.line(verb, rest);
            }
        }
        situation
    }

    #[track_caller]
    fn line(&mut self, verb: &str, words: &[&str]) {
        match verb {
            "now" => self.now = at(words[0].parse().expect("seconds")),
            "worker" => self.worker(words),
            "runner" => self.runner(words),
            "limit" => self.limit(words),
            "instances" => self.pool.instance_limit = Some(value(words, "max").expect("max=")),
            "price" => self.pool.price_limit = Some(value(words, "max").expect("max=")),
            "orders" => self.pool.orders_at_once = Some(value(words, "max").expect("max=")),
            "hold" => self.pool.hold = Some(hold(words[0], words)),
            "unreadable" => {
                self.queue.unreadable.insert(words[0].into());
            }
            "substitute" => {
                (self.pool.substitutes).insert(words[0].into(), words[1].into());
            }
            "typehold" => {
                let hold = hold(words[1], words);
                self.pool.type_holds.insert(words[0].into(), hold);
            }
            _ => {
                let state = (ContainerState::ALL.into_iter())
                    .find(|state| state.to_string().to_lowercase() == verb)
                    .unwrap_or_else(|| panic!("what is `{verb}`?"));
                let entry = entry(state, words);
                self.queue.entries.insert(entry.id.clone(), Arc::new(entry));
            }
        }
    }

    #[track_caller]
    fn worker(&mut self, words: &[&str]) {
        let id = WorkerId(words[0].parse().expect("a number"));
        let (words, containers) = match words.iter().position(|word| *word == ":") {
            Some(colon) => (&words[..colon], &words[colon + 1..]),
            None => (words, &[][..]),
        };
        let has = |word: &str| words.contains(&word);
        let state = (WorkerState::ALL.into_iter())
            .find(|state| has(&state.to_string()))
            .expect("a state");
        let idle_behavior = (words.iter())
            .find_map(|word| IdleBehavior::parse(word))
            .unwrap_or_default();
        let fit = idle_behavior == IdleBehavior::Run && !has("broken");
        let in_service = matches!(state, WorkerState::Idle | WorkerState::Running);
        let instance_type = Arc::clone(&self.types[words[1]]);
        let view = WorkerView {
            id,
            instance: (!has("creating")).then(|| format!("i-{}", id.0).into()),
            address: None,
            free_gpus: Some(value(words, "gpus").unwrap_or(instance_type.gpu.device_count)),
            instance_type,
            state,
            idle_behavior,
            containers: containers.iter().map(|name| (*name).into()).collect(),
            takes_work: fit && in_service && !has("failing") && !has("dead"),
            will_take_work: fit && !has("dead") && (!in_service || has("failing")),
            runners_known: !has("silent"),
            state_since: Time::from_secs(value(words, "since").unwrap_or(0)),
            last_busy: Timestamp::UNIX_EPOCH,
            last_container: None,
            remark: None,
        };
        for name in containers {
            let runner = RunnerView {
                worker: id,
                state: RunnerState::Alive,
            };
            self.pool
                .runners
                .entry((*name).into())
                .or_default()
                .push(runner);
        }
        self.pool.workers.insert(id, Arc::new(view));
    }

    #[track_caller]
    fn runner(&mut self, words: &[&str]) {
        let worker = WorkerId(words[1].parse().expect("a number"));
        let state = match words[2] {
            "starting" => RunnerState::Starting,
            "alive" => RunnerState::Alive,
            "killing" => RunnerState::Killing,
            "given-up" => RunnerState::GivenUp,
            _ => RunnerState::Exited {
                at: Time::from_secs(value(words, "exited").expect("a runner's state")),
            },
        };
        let runners = self.pool.runners.entry(words[0].into()).or_default();
        runners.push(RunnerView { worker, state });
        if !matches!(state, RunnerState::Exited { .. })
            && let Some(view) = self.pool.workers.get_mut(&worker)
        {
            Arc::make_mut(view).containers.push(words[0].into());
        }
    }

    fn limit(&mut self, words: &[&str]) {
        let limits = &mut self.limits;
        limits.containers = value(words, "containers").or(limits.containers);
        limits.supervisors = value(words, "supervisors").or(limits.supervisors);
        limits.containers_per_instance =
            value(words, "per_instance").or(limits.containers_per_instance);
        if let Some(secs) = value(words, "patience") {
            limits.patience = Duration::from_secs(secs);
        }
    }
}

/// So many seconds after the start.
pub(crate) fn at(secs: u64) -> Now {
    Now {
        time: Time::from_secs(secs),
        wall: wall(secs),
    }
}

/// What the wall clock shows then.
pub(crate) fn wall(secs: u64) -> Timestamp {
    Timestamp::from_second(secs as i64).expect("a small number")
}

/// The types that every situation has.
pub(crate) fn types() -> InstanceTypes {
    let mut types = InstanceTypes::new();
    for size in [1, 2, 3, 4, 6, 8, 16] {
        let gpu = Gpu::default();
        types.insert(
            format!("type{size}").into(),
            instance_type("type", size, size, gpu),
        );
    }
    for device_count in [1, 2, 4] {
        let gpu = Gpu {
            stack: "cuda".into(),
            device_count,
            vram_bytes: 16 * GIB,
            ..Gpu::default()
        };
        types.insert(
            format!("gpu{device_count}").into(),
            instance_type("gpu", device_count, 8, gpu),
        );
    }
    let with_image = instance_type("type", 2, 2, Gpu::default()).with_image("rocky", "img-9");
    types.insert(with_image.name.clone(), Arc::new(with_image));
    types
}

fn instance_type(kind: &str, number: u32, size: u32, gpu: Gpu) -> Arc<InstanceType> {
    let dollars = if gpu.device_count > 0 { 1.0 } else { 0.0 };
    Arc::new(InstanceType {
        name: format!("{kind}{number}").into(),
        provider_type: format!("p.{kind}{number}"),
        image: None,
        vcpus: size,
        ram_bytes: u64::from(size) * GIB,
        included_scratch_bytes: u64::from(size) * GIB,
        added_scratch_bytes: 0,
        price: dollars + 0.01 * f64::from(number),
        preemptible: false,
        gpu,
    })
}

fn value<T: std::str::FromStr>(words: &[&str], key: &str) -> Option<T> {
    let text = (words.iter()).find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?;
    match text.parse() {
        Ok(value) => Some(value),
        Err(_) => panic!("{key}={text}: not a number"),
    }
}

fn hold(cause: &str, words: &[&str]) -> Hold {
    let causes = [
        HoldCause::MaxInstances,
        HoldCause::SpendingLimit,
        HoldCause::TooDear,
        HoldCause::Quota,
        HoldCause::Capacity,
        HoldCause::SpotInterrupted,
        HoldCause::RateLimit,
        HoldCause::CreateFailing,
        HoldCause::BootFailing,
        HoldCause::RunnerUnreadable,
        HoldCause::Stopping,
    ];
    Hold {
        cause: (causes.into_iter())
            .find(|known| known.to_string() == cause)
            .unwrap_or_else(|| panic!("what is `{cause}`?")),
        until: value(words, "until").map(Time::from_secs),
        detail: String::new(),
    }
}

fn entry(state: ContainerState, words: &[&str]) -> QueueEntry {
    let has = |word: &str| words.contains(&word);
    let vcpus: u32 = value(words, "cpu").unwrap_or(1);
    let gib = |key: &str, default: u64| value(words, key).unwrap_or(default) * GIB;
    let seen = value(words, "seen").unwrap_or(90);
    let priority = (words[1..].iter())
        .find_map(|word| word.strip_prefix('p')?.parse().ok())
        .unwrap_or(1);
    let types: String = value(words, "on").unwrap_or_else(|| format!("type{vcpus}"));
    QueueEntry {
        id: words[0].into(),
        state,
        priority,
        created_at: Some(wall(value(words, "created").unwrap_or(seen))),
        first_seen: Time::from_secs(seen),
        first_seen_wall: wall(seen),
        supervisor: has("supervisor"),
        sizing: Arc::new(Sizing {
            needs: Resources {
                vcpus,
                ram_bytes: gib("ram", u64::from(vcpus)),
                scratch_bytes: gib("scratch", 0),
                gpus: value(words, "gpus").unwrap_or(0),
                gpu_vram_bytes: gib("vram", 0),
            },
            types: types
                .split(',')
                .filter(|name| *name != "none")
                .map(Into::into)
                .collect(),
        }),
        needs_known: !has("unsized"),
        locked_here: state == ContainerState::Locked && !has("found"),
        busy: has("busy"),
        as_of: Time::from_secs(value(words, "as_of").unwrap_or(99)),
    }
}

/// A plan as text: what it does, one thing a line, then who waits for what.
pub(crate) fn write_plan(plan: &Plan) -> String {
    let mut text = String::new();
    for (container, reason) in &plan.unlock {
        writeln!(text, "unlock {container}: {reason:?}").unwrap();
    }
    for container in &plan.lock {
        writeln!(text, "lock {container}").unwrap();
    }
    for (container, worker) in &plan.start {
        writeln!(text, "start {container} on {worker}").unwrap();
    }
    for create in &plan.create {
        writeln!(
            text,
            "create {} for {}",
            create.instance_type, create.container
        )
        .unwrap();
    }
    for worker in &plan.shut_down {
        writeln!(text, "shut down {worker}").unwrap();
    }
    for (container, wait) in &plan.waits {
        writeln!(text, "{container}: {}", write_wait(wait)).unwrap();
    }
    if let Some(again_at) = plan.again_at {
        writeln!(text, "again at {again_at}").unwrap();
    }
    text
}

fn write_wait(wait: &Wait) -> String {
    match wait {
        Wait::Preparing { worker } => format!("preparing on {worker}"),
        Wait::AboutToStart { worker } => format!("about to start on {worker}"),
        Wait::Boot {
            worker: Some(worker),
            ..
        } => format!("waits for {worker} to boot"),
        Wait::Boot {
            worker: None,
            instance_type,
        } => format!("waits for a new {instance_type}"),
        Wait::NotAnswering { worker, .. } => format!("waits for {worker} to answer again"),
        Wait::PreviousAttempt { worker } => format!("previous attempt on {worker}"),
        Wait::RunnerEnded { worker } => format!("runner ended on {worker}"),
        Wait::SupervisorLimit { position, .. } => format!("supervisor limit, position {position}"),
        Wait::ContainerLimit { position, .. } => format!("container limit, position {position}"),
        Wait::TypesHeld {
            types,
            kept,
            position,
        } => {
            let held: Vec<String> = (types.iter())
                .map(|held| format!("{} {}", held.name, held.cause))
                .collect();
            let held = held.join(", ");
            format!(
                "types held ({held}), position {position}{}",
                write_kept(*kept)
            )
        }
        Wait::NoMoreInstances {
            cause,
            kept,
            position,
            ..
        } => format!("{cause}, position {position}{}", write_kept(*kept)),
        Wait::OnHold | Wait::NoType | Wait::Recovering | Wait::NotSurveyed => format!("{wait:?}"),
    }
}

fn write_kept(kept: Option<WorkerId>) -> String {
    kept.map(|worker| format!(", {worker} is kept for it"))
        .unwrap_or_default()
}
