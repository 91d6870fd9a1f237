//! A small language for the view's tests. Each line is a time in milliseconds and an event:
//!
//! ```text
//! tick | poke | wanted 500 | whoami t1 | lock c1 | unlock c1 | cancel c1 | forget c1 | refresh c1
//! poll ROW... gone=c1 unasked=c1 more        a row is id:state:priority[:locked by][:vcpus=N|image=X|spot|sup|bad|bad-priority|bad-lock]
//! mounts c1=0 c2=1000 c3=bad ask=c4          c4 was asked for, and is missing
//! locked c1 Locked 5 t1                      also unlocked, cancelled, read; `read c1 Running 5 t1 {"error":"x"}`
//! poll !503                                  any answer can fail: !STATUS, !notsent, !unreachable, !timeout, !odd
//! show                                       prints what the planner sees, and the deadline
//! ```

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dispatch_model::{
    ContainerId, Gpu, InstanceType, InstanceTypeName, Now, Time,
    units::{GIB, MIB},
};
use serde_json::{Value, json};

use crate::{
    ApiFailure, Effects, Event, Fact, FailureKind, Json, Leaving, PollRows, Request, Settings,
    SizingSettings, View,
};

pub(super) struct Script {
    pub(super) view: View,
}

pub(super) fn settings() -> Settings {
    let instance_type = |name: &str, vcpus: u32, price: f64, preemptible: bool| {
        let name = InstanceTypeName::from(name);
        let instance_type = InstanceType {
            name: name.clone(),
            provider_type: name.to_string(),
            image: None,
            vcpus,
            ram_bytes: u64::from(vcpus) * 4 * GIB,
            included_scratch_bytes: 100 * GIB,
            added_scratch_bytes: 0,
            price,
            preemptible,
            gpu: Gpu::default(),
        };
        (name, Arc::new(instance_type))
    };
    Settings {
        poll_interval: Duration::from_secs(10),
        types: BTreeMap::from([
            instance_type("small", 2, 0.1, false),
            instance_type("big", 8, 0.4, false),
            instance_type("spot", 8, 0.1, true),
        ]),
        sizing: SizingSettings {
            reserve_extra_ram_bytes: 550 * MIB,
            keep_blob_buffers_per_vcpu: 0,
        },
        maximum_price_factor: 1.5,
    }
}

pub(super) fn at(millis: u64) -> Now {
    Now {
        time: Time::from_millis(millis),
        wall: jiff::Timestamp::from_millisecond(1_800_000_000_000 + millis as i64).expect("a time"),
    }
}

impl Script {
    pub(super) fn new() -> Script {
        Script::with(settings())
    }

    pub(super) fn with(settings: Settings) -> Script {
        Script {
            view: View::new(settings),
        }
    }

    pub(super) fn run(&mut self, script: &str) -> String {
        let mut shown = String::new();
        for line in script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let (time, words) = line.split_once(' ').expect("a time and an event");
            let now = at(time.parse().expect("milliseconds"));
            if words == "show" {
                shown += &format!("{time} show\n{}", self.show());
            } else {
                shown += &format!("{line}\n");
                shown += &show_effects(&self.view.handle(parse(words), now));
            }
        }
        shown
    }

    fn show(&self) -> String {
        let snapshot = self.view.snapshot();
        let mut shown = format!("  listed at {:?}\n", snapshot.listed_at);
        for (id, entry) in &snapshot.entries {
            shown += &format!(
                "  {id} {} {} {:?}{}{}{}{} as of {}\n",
                entry.state,
                entry.priority,
                entry.sizing.types,
                if entry.needs_known {
                    ""
                } else {
                    " of unknown needs"
                },
                if entry.supervisor { " supervisor" } else { "" },
                if entry.locked_here {
                    " locked-here"
                } else {
                    ""
                },
                if entry.busy { " busy" } else { "" },
                entry.as_of,
            );
            if let Some(problem) = &self.view.details(id).expect("details").problem {
                shown += &format!("    problem: {problem}\n");
            }
        }
        if !snapshot.unreadable.is_empty() {
            shown += &format!("  unreadable {:?}\n", snapshot.unreadable);
        }
        shown + &format!("  again at {:?}\n", self.view.deadline())
    }
}

fn parse(words: &str) -> Event {
    let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
    let id = || ContainerId::from(rest.split(' ').next().expect("an id"));
    match verb {
        "tick" => Event::Tick,
        "poke" => Event::Poke,
        "wanted" => Event::WantedRows(rest.parse().expect("a count")),
        "lock" => Event::Lock(id()),
        "unlock" => Event::Unlock(id()),
        "forget" => Event::Forget(id()),
        "refresh" => Event::Refresh(id()),
        "cancel" => Event::Cancel {
            id: id(),
            reason: "the runner ended".to_owned(),
        },
        "whoami" => {
            Event::WhoAmI(failure(rest).map_or_else(|| Ok(raw(json!({"uuid": rest}))), Err))
        }
        "poll" => Event::Polled(failure(rest).map_or_else(|| Ok(poll_rows(rest)), Err)),
        "mounts" => mounts(rest),
        "locked" => Event::Locked {
            id: id(),
            result: reply(rest),
        },
        "unlocked" => Event::Unlocked {
            id: id(),
            result: reply(rest),
        },
        "cancelled" => Event::Cancelled {
            id: id(),
            result: reply(rest),
        },
        "read" => Event::Read {
            id: id(),
            result: reply(rest),
        },
        _ => panic!("{verb} is no event"),
    }
}

fn raw(value: Value) -> Json {
    crate::json(value)
}

fn failure(text: &str) -> Option<ApiFailure> {
    let word = text.split(' ').find_map(|word| word.strip_prefix('!'))?;
    let kind = match word {
        "notsent" => FailureKind::NotSent,
        "unreachable" => FailureKind::Unreachable,
        "timeout" => FailureKind::TimedOut,
        "odd" => FailureKind::Undecodable,
        status => FailureKind::Status(status.parse().expect("a status")),
    };
    Some(ApiFailure {
        kind,
        message: word.to_owned(),
    })
}

fn poll_rows(text: &str) -> PollRows {
    let mut list = PollRows::default();
    for word in text.split_whitespace() {
        match word.split_once('=').filter(|(key, _)| !key.contains(':')) {
            Some(("gone", id)) => list.gone.push(id.into()),
            Some(("unasked", id)) => list.unasked.push(id.into()),
            Some((key, _)) => panic!("{key} is no part of a list"),
            None if word == "more" => list.truncated = true,
            None => list.rows.push(raw(row(word))),
        }
    }
    list
}

fn row(text: &str) -> Value {
    let mut parts = text.split(':');
    let mut next = || parts.next().expect("id:state:priority");
    let mut row = json!({
        "uuid": next(), "state": next(), "priority": next().parse::<i64>().expect("a priority"),
        "container_image": "", "locked_by_uuid": null,
        "runtime_constraints": {"vcpus": 1, "ram": GIB}, "scheduling_parameters": {},
    });
    for part in parts {
        match part {
            "spot" => row["scheduling_parameters"]["preemptible"] = json!(true),
            "sup" => row["scheduling_parameters"]["supervisor"] = json!(true),
            "bad" => row["runtime_constraints"]["ram"] = json!("much"),
            "bad-priority" => row["priority"] = json!("high"),
            "bad-lock" => row["locked_by_uuid"] = json!(17),
            part => match part.split_once('=') {
                Some(("vcpus", vcpus)) => {
                    row["runtime_constraints"]["vcpus"] = vcpus.parse().expect("vcpus");
                }
                Some(("image", image)) => row["runtime_constraints"]["vm_image"] = json!(image),
                _ => row["locked_by_uuid"] = json!(part),
            },
        }
    }
    row
}

fn mounts(text: &str) -> Event {
    let mut ids = Vec::new();
    let mut rows = Vec::new();
    for word in text.split(' ').filter(|word| !word.starts_with('!')) {
        let (id, value) = word.split_once('=').expect("id=bytes");
        let id = if id == "ask" { value } else { id };
        ids.push(ContainerId::from(id));
        let mounts = match value {
            _ if word.starts_with("ask=") => continue,
            "bad" => json!({"stdin": ["bork"]}),
            bytes => {
                json!({"/tmp": {"kind": "tmp", "capacity": bytes.parse::<i64>().expect("bytes")}})
            }
        };
        rows.push(raw(json!({"uuid": id, "mounts": mounts})));
    }
    Event::MountsRead {
        ids,
        result: failure(text).map_or(Ok(rows), Err),
    }
}

/// "c1 Locked 5 t1 {runtime status}".
fn reply(text: &str) -> Result<Json, ApiFailure> {
    if let Some(failure) = failure(text) {
        return Err(failure);
    }
    let words: Vec<&str> = text.splitn(5, ' ').collect();
    Ok(raw(json!({
        "uuid": words[0],
        "state": words[1],
        "priority": words[2].parse::<i64>().expect("a priority"),
        "locked_by_uuid": words.get(3).filter(|by| **by != "-"),
        "runtime_status": words.get(4).map(|text| serde_json::from_str::<Value>(text).expect("JSON")),
    })))
}

fn show_effects(effects: &Effects) -> String {
    let mut shown = String::new();
    for request in &effects.requests {
        shown += &format!("  -> {}\n", show_request(request));
    }
    for fact in &effects.facts {
        shown += &format!("  .. {}\n", show_fact(fact));
    }
    shown
}

fn show_request(request: &Request) -> String {
    match request {
        Request::WhoAmI => "who am I".to_owned(),
        Request::Poll {
            token_uuid,
            known,
            queued_wanted,
        } => format!("poll for {token_uuid}, known {known:?}, {queued_wanted} wanted"),
        Request::ReadMounts { ids } => format!("mounts of {ids:?}"),
        Request::Lock { id } => format!("lock {id}"),
        Request::Unlock { id } => format!("unlock {id}"),
        Request::Cancel {
            id,
            runtime_status: None,
        } => format!("cancel {id}"),
        Request::Cancel {
            id,
            runtime_status: Some(status),
        } => format!("cancel {id} {status}"),
        Request::Read { id } => format!("read {id}"),
    }
}

fn show_fact(fact: &Fact) -> String {
    match fact {
        Fact::Identified { token_uuid } => format!("we are {token_uuid}"),
        Fact::NotIdentified { failure } => format!("who are we? {failure}"),
        Fact::Polled { rows, took } => format!("polled {rows} rows in {} ms", took.as_millis()),
        Fact::PollFailed { failure, in_a_row } => format!("poll failed ({in_a_row}): {failure}"),
        Fact::Appeared { id, state } => format!("{id} appeared {state}"),
        Fact::Changed { id, from, to } => format!("{id} {from} -> {to}"),
        Fact::Left { id, why } => format!(
            "{id} left: {}",
            match why {
                Leaving::LockedBy(other) => format!("locked by {other}"),
                why => format!("{why:?}"),
            }
        ),
        Fact::Unusable { id, problem } => format!("{id:?} unusable: {problem}"),
        Fact::Impossible { id, reason } => format!("{id} impossible: {reason}"),
        Fact::ImageNotAllowed { id, remark } => format!("{id} image: {remark}"),
        Fact::DeedFailed { id, deed, failure } => format!("{deed} {id} failed: {failure}"),
        Fact::MountsUnread { ids, failure } => format!("mounts of {ids:?} unread: {failure}"),
    }
}
