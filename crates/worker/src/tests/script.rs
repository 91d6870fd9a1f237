//! A small language for pool tests: `<seconds> <event> <arguments>`, one a line.
//!
//! Deadlines up to a line's time fire by themselves; what they bring is shown with their time and "tick".
//! Answers go to the last call of their kind. Containers are ours if they begin with "c".
//! `answers w1 ok c1` answers every probe of w1 from then on at once, `answers w1` no more; `lists i-1:…` answers every
//! list. What such answers change is shown as "answer".
//!
//! ```text
//! 0    listed i-1:small:10.0.0.1 i-2:gone:-:behavior=hold:gpus=c1=0
//! 0    create small               (the secret is "s1", then "s2" …)
//! 1    created w1 i-1 10.0.0.1    |  create-fails w1 quota|type|group=x|rate=9|refused|all-refused|market-refused|transient|unknown
//! 2    probed w1 ok c1 c2 stale=c3 broken
//! 2    probed w1 no-connection|no-key|boot|boot+list|deploy|list c1
//! 3    start w1 c1 gpus=2         |  started w1 c1  |  start-fails w1 c1
//! 4    kill c1  |  signalled w1 c1 gone|alive|failed  |  forget c1
//! 5    hold|drain|run|shutdown|kill-instance w1
//! 6    destroyed w1 | destroy-fails w1 | tagged w1 | tag-fails w1 | ended w1 c1 | watch-lost w1
//! 7    died i-1 taken-back|never-began|other [quota|type|…]
//! 7    runner unreadable|ok  |  stop  |  tick  |  show
//! ```

use std::{collections::BTreeMap, fmt::Write, sync::Arc, time::Duration};

use dispatch_model::{
    CapacityScope, CloudErrorClass, ContainerId, EndCause, Gpu, IdleBehavior, InstanceSecret,
    InstanceType, InstanceTypeName, Now, RefusalScope, Resources, RunnerReport, Sizing, Time,
    WorkerId,
};

use super::show;
use crate::{
    Action, CallId, Event, Failure, InstanceEnd, ListedInstance, Pool, ProbeFailure, ProbeReport,
    Settings, SignalOutcome, Timing,
};

/// A pool, what it has asked for, and the record of it all.
pub(crate) struct Script {
    pub(crate) pool: Pool,
    pub(crate) shown: String,
    now: Time,
    n_secrets: u32,
    calls: BTreeMap<String, CallId>,
    connected: BTreeMap<WorkerId, Time>,
    /// What probes of a worker are answered with.
    answers: BTreeMap<WorkerId, Vec<String>>,
    /// What lists are answered with.
    lists: Option<Vec<ListedInstance>>,
    /// Answers that are due.
    due: Vec<Event>,
}

/// Short and round time-outs, so that scripts can be read.
pub(crate) fn settings() -> Settings {
    Settings {
        boot_timeout: Duration::from_secs(60),
        probe_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(60),
        shutdown_timeout: Duration::from_secs(10),
        signal_interval: Duration::from_secs(5),
        term_timeout: Duration::from_secs(12),
        stale_lock_timeout: Duration::from_secs(5),
        probe_interval: Duration::from_secs(10),
        sync_interval: Duration::from_secs(60),
        max_probes_per_second: 10,
        max_cloud_ops_per_second: Some(1),
        max_concurrent_creates: Some(2),
        max_instances: Some(8),
        kill_after_term: None,
        deploy_runner: true,
        runner_user: None,
        tag_key_prefix: "P".to_owned(),
        resource_tags: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
        max_price_per_hour: None,
        instance_set_id: "set".to_owned(),
        cluster_id: "c".to_owned(),
        quota_groups: BTreeMap::from([("a1".into(), "a".into()), ("a2".into(), "a".into())]),
        spot_fallback: None,
        timing: Timing {
            connect: Duration::from_secs(2),
            command: Duration::from_secs(3),
            deploy: Duration::from_secs(10),
            cloud_call: Duration::from_secs(30),
            fresh_grace: Duration::from_secs(20),
        },
    }
}

pub(crate) fn types() -> BTreeMap<InstanceTypeName, Arc<InstanceType>> {
    let make = |name: &str, provider_type: &str, preemptible, gpus| InstanceType {
        name: name.into(),
        provider_type: provider_type.to_owned(),
        image: None,
        vcpus: 4,
        ram_bytes: 8 << 30,
        included_scratch_bytes: 1 << 40,
        added_scratch_bytes: 0,
        price: 0.1,
        preemptible,
        gpu: Gpu {
            device_count: gpus,
            ..Gpu::default()
        },
    };
    [
        make("small", "m.small", false, 0),
        make("small", "m.small", false, 0).with_image("rocky", "img-9"),
        make("big", "m.big", false, 0),
        make("spot", "m.small", true, 0),
        make("gpu4", "g.x4", false, 4),
        make("a1", "a.1", false, 0),
        make("a2", "a.2", false, 0),
    ]
    .into_iter()
    .map(|one| (one.name.clone(), Arc::new(one)))
    .collect()
}

pub(crate) fn sizing(gpus: u32) -> Arc<Sizing> {
    Arc::new(Sizing {
        needs: Resources {
            vcpus: 1,
            gpus,
            ..Resources::default()
        },
        types: vec![],
    })
}

pub(crate) fn failure(class: CloudErrorClass, message: &str) -> Failure {
    Failure {
        class,
        message: message.to_owned(),
    }
}

pub(crate) fn wall(time: Time) -> Now {
    let wall = jiff::Timestamp::from_millisecond(time.millis() as i64).expect("a small number");
    Now { time, wall }
}

impl Script {
    pub(crate) fn new() -> Script {
        Script::with(|_| ())
    }

    /// A pool with other settings, which has asked for its first list.
    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Script {
        let mut settings = settings();
        change(&mut settings);
        let mut script = Script {
            pool: Pool::new(settings, types()),
            shown: String::new(),
            now: Time::ZERO,
            n_secrets: 0,
            calls: BTreeMap::new(),
            connected: BTreeMap::new(),
            answers: BTreeMap::new(),
            lists: None,
            due: Vec::new(),
        };
        script.handle(Event::Tick);
        script
    }

    /// Runs one line.
    #[track_caller]
    pub(crate) fn line(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let secs: f64 = words.next().and_then(|word| word.parse().ok()).expect(line);
        let at = Time::from_millis((secs * 1000.0).round() as u64);
        let mut n_steps = 0;
        while let Some(deadline) = self.pool.deadline().filter(|deadline| *deadline <= at) {
            n_steps += 1;
            assert!(n_steps < 10_000, "stuck at {}: {line}", self.now);
            self.now = self.now.max(deadline);
            self.step("tick", Event::Tick);
        }
        assert!(at >= self.now, "time goes back: {line}");
        self.now = at;
        let words: Vec<&str> = words.collect();
        match words[0] {
            "show" => {
                let shown = self.snapshot();
                let _ = writeln!(self.shown, "{at} show{shown}");
            }
            "tick" => self.step("tick", Event::Tick),
            "lists" => {
                self.lists = Some(words[1..].iter().map(|word| listed(word)).collect());
            }
            "answers" => {
                let worker = worker(words[1]).expect(line);
                self.answers.remove(&worker);
                if words.len() > 2 {
                    let answer = words[2..].iter().map(|word| word.to_string()).collect();
                    self.answers.insert(worker, answer);
                }
            }
            _ => {
                let event = self.event(&words);
                let event =
                    event.unwrap_or_else(|| panic!("cannot read {line:?} after\n{}", self.shown));
                let effects = self.handle(event);
                let _ = writeln!(self.shown, "{at} {}{effects}", words.join(" "));
            }
        }
        self.answer_what_is_due();
    }

    /// An event that is shown only if something comes of it.
    fn step(&mut self, name: &str, event: Event) {
        let effects = self.handle(event);
        if !effects.is_empty() {
            let _ = writeln!(self.shown, "{} {name}{effects}", self.now);
        }
        self.answer_what_is_due();
    }

    fn answer_what_is_due(&mut self) {
        while let Some(event) = self.due.pop() {
            self.step("answer", event);
        }
    }

    fn handle(&mut self, event: Event) -> String {
        let effects = self.pool.handle(event, wall(self.now));
        let mut shown = String::new();
        for fact in effects.facts.iter().filter_map(show::fact) {
            let _ = write!(shown, "\n    {fact}");
        }
        for action in &effects.actions {
            self.note_call(action);
            match self.answer_to(action) {
                Some(answer) => self.due.push(answer),
                None => {
                    let _ = write!(shown, "\n  > {}", show::action(action));
                }
            }
        }
        shown
    }

    fn answer_to(&mut self, action: &Action) -> Option<Event> {
        match action {
            Action::List { call, .. } => Some(Event::Listed {
                call: *call,
                result: Ok(self.lists.clone()?),
            }),
            Action::Probe { call, worker, .. } => {
                let answer = self.answers.get(worker)?;
                let list: Vec<&str> = answer[1..].iter().map(String::as_str).collect();
                let connected = *self.connected.entry(*worker).or_insert(self.now);
                Some(Event::Probed {
                    call: *call,
                    worker: *worker,
                    report: report(&answer[0], &list, connected),
                })
            }
            _ => None,
        }
    }

    fn note_call(&mut self, action: &Action) {
        let (key, call) = match action {
            Action::List { call, .. } => ("list".to_owned(), call),
            Action::Create { call, worker, .. } => (format!("create {worker}"), call),
            Action::Destroy { call, worker, .. } => (format!("destroy {worker}"), call),
            Action::SetTags { call, worker, .. } => (format!("tag {worker}"), call),
            Action::Probe { call, worker, .. } => (format!("probe {worker}"), call),
            Action::Start {
                call,
                worker,
                container,
                ..
            } => (format!("start {worker} {container}"), call),
            Action::Signal {
                call,
                worker,
                container,
                ..
            } => (format!("signal {worker} {container}"), call),
            Action::Attach { .. } | Action::Detach { .. } | Action::Watch { .. } => return,
        };
        self.calls.insert(key, *call);
    }

    fn call(&self, key: &str) -> Option<CallId> {
        self.calls.get(key).copied()
    }

    fn event(&mut self, words: &[&str]) -> Option<Event> {
        let worker = words.get(1).and_then(|word| worker(word));
        let container = || words.last().map(|word| ContainerId::from(*word));
        let reason = || "test".to_owned();
        Some(match words[0] {
            "stop" => Event::Stopping,
            "runner" if words[1] == "ok" => Event::RunnerBinary(Ok(())),
            "runner" => Event::RunnerBinary(Err("no such file".to_owned())),
            "create" => {
                self.n_secrets += 1;
                Event::Create {
                    instance_type: words[1].into(),
                    secret: InstanceSecret::new(format!("s{}", self.n_secrets)),
                }
            }
            "shutdown" => Event::ShutDown {
                worker: worker?,
                reason: reason(),
            },
            "kill-instance" => Event::KillInstance {
                worker: worker?,
                reason: reason(),
            },
            "hold" | "drain" | "run" => Event::SetIdleBehavior {
                worker: worker?,
                behavior: IdleBehavior::parse(words[0])?,
            },
            "start" => Event::Start {
                worker: worker?,
                container: words[2].into(),
                sizing: sizing(option(words, "gpus=").map_or(0, |n| n.parse().unwrap())),
            },
            "kill" => Event::Kill {
                container: container()?,
                worker,
                reason: reason(),
            },
            "forget" => Event::Forget {
                container: container()?,
            },
            "died" => Event::Died(InstanceEnd {
                instance: words[1].into(),
                cause: match words[2] {
                    "taken-back" => EndCause::TakenBack,
                    "never-began" => EndCause::NeverBegan,
                    _ => EndCause::Other,
                },
                class: words.get(3).map(|word| cloud_failure(word).class),
                reason: match words[2] {
                    "unsaid" => String::new(),
                    _ => "Server.Reason: words".to_owned(),
                },
            }),
            "groups" => Event::QuotaGroups(
                words[1..]
                    .iter()
                    .filter_map(|word| word.split_once('='))
                    .map(|(name, group)| (name.to_owned(), group.to_owned()))
                    .collect(),
            ),
            "ended" => Event::Ended {
                worker: worker?,
                container: container()?,
            },
            "watch-lost" => Event::WatchLost { worker: worker? },
            "listed" => Event::Listed {
                call: self.call("list")?,
                result: Ok(words[1..].iter().map(|word| listed(word)).collect()),
            },
            "list-fails" => Event::Listed {
                call: self.call("list")?,
                result: Err(cloud_failure(words.get(1).unwrap_or(&"transient"))),
            },
            "created" => Event::Created {
                call: self.call(&format!("create {}", words[1]))?,
                worker: worker?,
                result: Ok(listed(&format!("{}:small:{}", words[2], words[3]))),
            },
            "create-fails" => Event::Created {
                call: self.call(&format!("create {}", words[1]))?,
                worker: worker?,
                result: Err(cloud_failure(words[2])),
            },
            "destroyed" | "destroy-fails" => Event::Destroyed {
                call: self.call(&format!("destroy {}", words[1]))?,
                worker: worker?,
                result: outcome(words, "destroyed"),
            },
            "tagged" | "tag-fails" => Event::Tagged {
                call: self.call(&format!("tag {}", words[1]))?,
                worker: worker?,
                result: outcome(words, "tagged"),
            },
            "probed" => {
                let worker = worker?;
                let connected = *self.connected.entry(worker).or_insert(self.now);
                if matches!(words[2], "no-connection" | "no-key") {
                    self.connected.remove(&worker);
                }
                Event::Probed {
                    call: self.call(&format!("probe {worker}"))?,
                    worker,
                    report: report(words[2], &words[3..], connected),
                }
            }
            "started" | "start-fails" => Event::Started {
                call: self.call(&format!("start {} {}", words[1], words[2]))?,
                worker: worker?,
                container: container()?,
                result: if words[0] == "started" {
                    Ok(())
                } else {
                    Err("broken pipe".to_owned())
                },
            },
            "signalled" => Event::Signalled {
                call: self.call(&format!("signal {} {}", words[1], words[2]))?,
                worker: worker?,
                container: words[2].into(),
                outcome: match words[3] {
                    "gone" => SignalOutcome::Gone,
                    "alive" => SignalOutcome::StillThere,
                    _ => SignalOutcome::Failed("broken pipe".to_owned()),
                },
            },
            _ => return None,
        })
    }

    fn snapshot(&self) -> String {
        let snapshot = self.pool.snapshot();
        let mut shown = String::new();
        for view in snapshot.workers.values() {
            let instance = view
                .instance
                .as_ref()
                .map_or("-", |instance| instance.as_str());
            let _ = write!(
                shown,
                "\n    {} {instance} {} {} {}",
                view.id, view.instance_type.name, view.state, view.idle_behavior
            );
            let marks = [
                (view.takes_work, "takes-work"),
                (view.will_take_work, "will-take-work"),
                (view.runners_known, "known"),
            ];
            for (_, mark) in marks.iter().filter(|(on, _)| *on) {
                let _ = write!(shown, " {mark}");
            }
            if view.instance_type.gpu.device_count > 0 {
                let _ = write!(shown, " gpus {:?}", view.free_gpus);
            }
            if let Some(remark) = &view.remark {
                let _ = write!(shown, " ({remark})");
            }
        }
        for (container, views) in &snapshot.runners {
            for view in views {
                let _ = write!(
                    shown,
                    "\n    {container} on {}: {:?}",
                    view.worker, view.state
                );
            }
            if let Some(words) = self.pool.death_of(container) {
                let _ = write!(shown, "\n      {words}");
            }
        }
        let holds = snapshot
            .type_holds
            .iter()
            .map(|(name, hold)| (name.as_str(), hold));
        for (name, hold) in snapshot.hold.iter().map(|hold| ("any", hold)).chain(holds) {
            let _ = write!(
                shown,
                "\n    hold {name}: {} until {:?}",
                hold.cause, hold.until
            );
        }
        for (name, other) in &snapshot.substitutes {
            let _ = write!(shown, "\n    {other} instead of {name}");
        }
        let _ = write!(shown, "\n    limit {:?}", snapshot.instance_limit);
        shown
    }
}

fn worker(word: &str) -> Option<WorkerId> {
    word.strip_prefix('w')?.parse().ok().map(WorkerId)
}

fn option<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(key))
}

fn outcome(words: &[&str], success: &str) -> Result<(), Failure> {
    if words[0] == success {
        Ok(())
    } else {
        Err(cloud_failure(words.get(2).unwrap_or(&"transient")))
    }
}

fn cloud_failure(word: &str) -> Failure {
    let class = match word.split_once('=').unwrap_or((word, "")) {
        ("quota", _) => CloudErrorClass::Quota,
        ("type", _) => CloudErrorClass::Capacity(CapacityScope::Type),
        ("market", _) => CloudErrorClass::Capacity(CapacityScope::Market),
        ("group", name) => CloudErrorClass::Capacity(CapacityScope::QuotaGroup(name.to_owned())),
        ("rate", until) => CloudErrorClass::RateLimited(Time::from_secs(until.parse().unwrap())),
        ("refused", _) => CloudErrorClass::Refused,
        ("all-refused", _) => CloudErrorClass::RefusedWidely(RefusalScope::Everything),
        ("market-refused", _) => CloudErrorClass::RefusedWidely(RefusalScope::Market),
        ("unknown", _) => CloudErrorClass::OutcomeUnknown,
        ("transient", _) => CloudErrorClass::Transient,
        _ => panic!("no such failure: {word}"),
    };
    failure(class, word)
}

/// `id:type:address[:tag=value…][:provider-type=m.big]`; "-" leaves out.
fn listed(word: &str) -> ListedInstance {
    let mut parts = word.split(':');
    let id = parts.next().unwrap().into();
    let name = parts.next().unwrap();
    let address = parts.next().unwrap().replace('-', "");
    let mut tags = BTreeMap::from([
        ("PInstanceSetID".to_owned(), "set".to_owned()),
        ("PIdleBehavior".to_owned(), "run".to_owned()),
    ]);
    if name != "-" {
        tags.insert("PInstanceType".to_owned(), name.to_owned());
    }
    let mut provider_type = format!("m.{name}");
    for part in parts {
        let (tag, value) = part.split_once('=').unwrap();
        let key = match tag {
            "provider-type" => {
                provider_type = value.to_owned();
                continue;
            }
            "behavior" => "PIdleBehavior",
            "secret" => "PInstanceSecret",
            "set" => "PInstanceSetID",
            "gpus" => "PGPUs",
            "image" => "PVMImage",
            "user" => "PRunnerUser",
            _ => panic!("no such tag: {tag}"),
        };
        tags.insert(key.to_owned(), value.to_owned());
    }
    ListedInstance {
        id,
        address,
        provider_type,
        tags,
    }
}

/// A probe's answer: what failed ("ok": nothing), and what the list said if it came to that.
pub(crate) fn report(what: &str, list: &[&str], connected_at: Time) -> ProbeReport {
    let failed = |message: &str| {
        Err(ProbeFailure {
            expected_while_booting: message != "key refused",
            message: message.to_owned(),
            stderr: String::new(),
        })
    };
    let runners = RunnerReport {
        broken: list.contains(&"broken"),
        alive: list
            .iter()
            .filter(|word| **word != "broken" && !word.contains('='))
            .map(|word| ContainerId::from(*word))
            .collect(),
        stale: list
            .iter()
            .filter_map(|word| word.strip_prefix("stale="))
            .map(ContainerId::from)
            .collect(),
    };
    let mut report = ProbeReport {
        connected_at: Some(connected_at),
        connect: Ok(()),
        boot: Some(Ok(())),
        deploy: Some(Ok(())),
        list: Some(Ok(runners)),
        list_took: Some(Duration::from_millis(10)),
    };
    match what {
        "ok" => return report,
        "no-connection" => report.connect = failed("connection refused"),
        "no-key" => report.connect = failed("key refused"),
        "boot" | "boot+list" => report.boot = Some(failed("degraded")),
        "deploy" => report.deploy = Some(failed("no space")),
        "list" => report.list = Some(failed("exit 1").map(|()| RunnerReport::default())),
        _ => panic!("no such answer: {what}"),
    }
    if matches!(what, "no-connection" | "no-key") {
        report.connected_at = None;
        report.boot = None;
    }
    if what == "boot" {
        report.deploy = None;
    }
    if !matches!(what, "list" | "boot+list") {
        report.list = None;
        report.list_took = None;
    }
    report
}
