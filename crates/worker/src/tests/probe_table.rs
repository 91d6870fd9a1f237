//! The probe table of facts §6.3: what becomes of a worker of some state and age that gets the same answer every time.

use dispatch_model::{IdleBehavior, Time, WorkerId, WorkerState};

use super::script::{self, report, sizing};
use crate::{Action, CallId, Event, Pool};

/// How a row's worker came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Begin {
    Unknown,
    /// Adopted, and once seen with a container while its boot probe failed.
    UnknownBusy,
    Booting,
    Idle,
    Running,
    /// Idle, with a start command that is never answered.
    Starting,
    /// As these, held by an operator.
    HeldIdle,
    HeldUnknown,
}

use Begin::{Booting, HeldIdle, HeldUnknown, Idle, Running, Starting, Unknown, UnknownBusy};

/// The time-out that concerns the row is not over, or has been over for a little.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Age {
    Young,
    Old,
}

use Age::{Old, Young};

/// Boot time-out 1 min, probe time-out 1 s; the answers are `what` and `list` of the script language.
#[track_caller]
fn row(begin: Begin, age: Age, what: &str, list: &[&str], state: WorkerState, n_running: usize) {
    let mut settings = script::settings();
    settings.probe_timeout = std::time::Duration::from_secs(1);
    settings.probe_interval = std::time::Duration::from_millis(200);
    settings.idle_timeout = std::time::Duration::from_secs(3600);
    settings.max_probes_per_second = 1000;
    let mut pool = Pool::new(settings, script::types());
    let mut now = Time::ZERO;
    let worker = WorkerId(1);
    let mut probe = None;
    let mut handle = |pool: &mut Pool, event, now| {
        let effects = pool.handle(event, script::wall(now));
        let mut calls = Vec::new();
        for action in effects.actions {
            match action {
                Action::Probe { call, .. } => probe = Some(call),
                Action::List { call, .. } | Action::Create { call, .. } => calls.push(call),
                _ => {}
            }
        }
        (probe, calls)
    };
    let answer = |call: Option<CallId>, what: &str, list: &[&str], now| Event::Probed {
        call: call.expect("a probe has been asked for"),
        worker,
        report: report(what, list, now),
    };
    let instance = crate::ListedInstance {
        id: "i-1".into(),
        address: "10.0.0.1".to_owned(),
        provider_type: "m.small".to_owned(),
        tags: [
            ("PInstanceSetID", "set"),
            ("PInstanceType", "small"),
            ("PIdleBehavior", "run"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
    };
    let (_, calls) = handle(&mut pool, Event::Tick, now);
    let created = matches!(begin, Booting);
    let listed = Event::Listed {
        call: calls[0],
        result: Ok(if created {
            vec![]
        } else {
            vec![instance.clone()]
        }),
    };
    let (mut open, _) = handle(&mut pool, listed, now);
    match begin {
        Unknown => {}
        HeldUnknown => {
            let behavior = IdleBehavior::Hold;
            let _ = handle(&mut pool, Event::SetIdleBehavior { worker, behavior }, now);
        }
        UnknownBusy => {
            (open, _) = handle(&mut pool, answer(open, "boot+list", &["c1"], now), now);
        }
        Booting => {
            let create = Event::Create {
                instance_type: "small".into(),
                secret: dispatch_model::InstanceSecret::new("s"),
            };
            let (_, calls) = handle(&mut pool, create, now);
            let created = Event::Created {
                call: calls[0],
                worker,
                result: Ok(instance),
            };
            (open, _) = handle(&mut pool, created, now);
        }
        Idle | Running | Starting | HeldIdle => {
            let running: &[&str] = if begin == Running { &["c1"] } else { &[] };
            (open, _) = handle(&mut pool, answer(open, "ok", running, now), now);
            if begin == Starting {
                let start = Event::Start {
                    worker,
                    container: "c1".into(),
                    sizing: sizing(0),
                };
                (open, _) = handle(&mut pool, start, now);
            }
            if begin == HeldIdle {
                let behavior = IdleBehavior::Hold;
                let event = Event::SetIdleBehavior { worker, behavior };
                (open, _) = handle(&mut pool, event, now);
            }
        }
    }
    let timeout = match begin {
        Unknown | HeldUnknown | Booting => Time::from_secs(60),
        UnknownBusy | Idle | Running | Starting | HeldIdle => Time::from_secs(1),
    };
    // A row that stays unknown although it answers is about the boot time-out.
    let timeout = if begin == UnknownBusy && what == "boot+list" {
        Time::from_secs(60)
    } else {
        timeout
    };
    let until = match age {
        Young => Time::from_millis(timeout.millis() - 100),
        Old => timeout + std::time::Duration::from_millis(900),
    };
    let mut answered = None;
    loop {
        if open.is_some() && open != answered {
            answered = open;
            (open, _) = handle(&mut pool, answer(open, what, list, now), now);
            continue;
        }
        let next = pool.deadline().expect("lists go on");
        if next > until {
            break;
        }
        now = next;
        (open, _) = handle(&mut pool, Event::Tick, now);
    }
    let view = &pool.snapshot().workers[&worker];
    assert_eq!(
        (view.state, view.containers.len()),
        (state, n_running),
        "{begin:?} {age:?} {what} {list:?}"
    );
}

#[test]
fn every_case_of_the_probe_table() {
    use WorkerState as S;
    // Nothing works.
    row(Unknown, Young, "no-connection", &[], S::Unknown, 0);
    row(Unknown, Old, "no-connection", &[], S::Shutdown, 0);
    row(Booting, Young, "no-connection", &[], S::Booting, 0);
    row(Booting, Old, "no-connection", &[], S::Shutdown, 0);
    // The boot probe fails.
    row(Unknown, Young, "boot+list", &[], S::Unknown, 0);
    row(Unknown, Old, "boot+list", &[], S::Shutdown, 0);
    row(Unknown, Old, "boot+list", &["c1"], S::Unknown, 1);
    row(UnknownBusy, Young, "boot+list", &["c1"], S::Unknown, 1);
    row(UnknownBusy, Old, "boot+list", &["c1"], S::Unknown, 1);
    row(UnknownBusy, Young, "no-connection", &[], S::Unknown, 1);
    row(UnknownBusy, Old, "no-connection", &[], S::Shutdown, 1);
    row(Booting, Young, "boot", &[], S::Booting, 0);
    row(Booting, Old, "boot", &[], S::Shutdown, 0);
    // The deployment fails.
    row(Unknown, Young, "deploy", &[], S::Unknown, 0);
    row(Unknown, Old, "deploy", &[], S::Shutdown, 0);
    row(Booting, Young, "deploy", &[], S::Booting, 0);
    row(Booting, Old, "deploy", &[], S::Shutdown, 0);
    // It boots, and does not list.
    row(Unknown, Young, "list", &[], S::Unknown, 0);
    row(Booting, Young, "list", &[], S::Booting, 0);
    row(Booting, Old, "list", &[], S::Shutdown, 0);
    // All is well.
    row(Unknown, Young, "ok", &[], S::Idle, 0);
    row(Unknown, Young, "ok", &["c1"], S::Running, 1);
    row(Unknown, Old, "ok", &["c1", "c2"], S::Running, 2);
    row(Booting, Young, "ok", &[], S::Idle, 0);
    row(Booting, Old, "ok", &[], S::Idle, 0);
    row(Idle, Old, "ok", &[], S::Idle, 0);
    row(Idle, Old, "ok", &["c1"], S::Running, 1);
    row(Running, Old, "ok", &["c1"], S::Running, 1);
    row(Running, Old, "ok", &[], S::Idle, 0);
    // In service, and silent.
    row(Idle, Young, "list", &[], S::Idle, 0);
    row(Idle, Old, "list", &[], S::Shutdown, 0);
    row(Idle, Old, "no-connection", &[], S::Shutdown, 0);
    row(Running, Young, "list", &[], S::Running, 1);
    row(Running, Old, "list", &[], S::Shutdown, 1);
    // A start is under way: it proves nothing, and nothing proves anything about it.
    row(Starting, Old, "list", &[], S::Running, 1);
    row(Starting, Old, "ok", &[], S::Running, 1);
    row(Starting, Old, "ok", &["c1"], S::Running, 1);
    // Held.
    row(HeldIdle, Old, "no-connection", &[], S::Idle, 0);
    row(HeldUnknown, Old, "no-connection", &[], S::Unknown, 0);
}
