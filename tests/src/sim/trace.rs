//! What happened, a line each: for people when a run fails, and as a number to compare runs by.

use std::{collections::VecDeque, fmt::Write};

use dispatch_brain::{Command, Input};
use dispatch_container_queue::{Event as QueueEvent, Request};
use dispatch_worker::{Action, Event as PoolEvent, ProbeReport};

/// So many of the last lines are kept.
const KEPT_LINES: usize = 30_000;

/// The trace of one run. Off, it costs nothing: the same seed can always be run again.
#[derive(Debug, Default)]
pub(super) struct Trace {
    on: bool,
    last: VecDeque<String>,
    digest: u64,
    n_lines: u64,
}

impl Trace {
    pub(super) fn new(on: bool) -> Trace {
        Trace {
            on,
            // FNV-1a's start.
            digest: 0xcbf2_9ce4_8422_2325,
            ..Trace::default()
        }
    }

    pub(super) fn input(&mut self, ms: u64, input: &Input) {
        self.line(ms, || format!("< {}", input_in_words(input)));
    }

    pub(super) fn command(&mut self, ms: u64, command: &Command) {
        self.line(ms, || format!("> {}", command_in_words(command)));
    }

    pub(super) fn note(&mut self, ms: u64, note: impl FnOnce() -> String) {
        self.line(ms, || format!("* {}", note()));
    }

    /// All lines in one number.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// The last lines.
    pub(super) fn tail(&self) -> String {
        let mut text = String::new();
        for line in &self.last {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
        }
        text
    }

    fn line(&mut self, ms: u64, text: impl FnOnce() -> String) {
        if !self.on {
            return;
        }
        let line = format!("{:>7}.{:03} {}", ms / 1000, ms % 1000, text());
        self.n_lines += 1;
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.last.len() >= KEPT_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}

fn command_in_words(command: &Command) -> String {
    match command {
        Command::Api(Request::Poll {
            known,
            queued_wanted,
            ..
        }) => {
            format!("poll, {} known, {queued_wanted} wanted", known.len())
        }
        Command::Api(request) => format!("{request:?}"),
        Command::Pool(action) => action_in_words(action),
    }
}

fn action_in_words(action: &Action) -> String {
    match action {
        Action::List { call, .. } => format!("{call} list"),
        Action::Create {
            call,
            worker,
            instance_type,
            ..
        } => {
            format!("{call} create {worker} of {}", instance_type.name)
        }
        Action::Destroy {
            call,
            worker,
            instance,
            ..
        } => format!("{call} destroy {worker} {instance}"),
        Action::SetTags {
            call, worker, tags, ..
        } => format!("{call} tag {worker} {tags:?}"),
        Action::Attach {
            worker,
            instance,
            address,
            ..
        } => {
            format!("attach {worker} {instance} at {address}")
        }
        Action::Detach { worker } => format!("detach {worker}"),
        Action::Probe {
            call,
            worker,
            order,
        } => format!(
            "{call} probe {worker}{}{}",
            if order.boot { " boot" } else { "" },
            if order.deploy { " deploy" } else { "" },
        ),
        Action::Start {
            call,
            worker,
            container,
            gpus,
            ..
        } => {
            format!("{call} start {container} on {worker} {gpus:?}")
        }
        Action::Signal {
            call,
            worker,
            container,
            signal,
            ..
        } => {
            format!("{call} signal {container} on {worker} {signal:?}")
        }
        Action::Watch { worker, containers } => format!("watch on {worker} {containers:?}"),
    }
}

fn input_in_words(input: &Input) -> String {
    match input {
        Input::Queue(QueueEvent::Polled(Ok(rows))) => format!(
            "polled {} rows, gone {:?}, {} unasked",
            rows.rows.len(),
            rows.gone,
            rows.unasked.len()
        ),
        Input::Queue(QueueEvent::MountsRead {
            ids,
            result: Ok(rows),
        }) => {
            format!("mounts of {} containers, {} rows", ids.len(), rows.len())
        }
        Input::Queue(event) => format!("{event:?}"),
        Input::Pool(event) => event_in_words(event),
        Input::ApiOverloaded | Input::Stop => format!("{input:?}"),
    }
}

fn event_in_words(event: &PoolEvent) -> String {
    match event {
        PoolEvent::Listed {
            call,
            result: Ok(rows),
        } => {
            let rows: Vec<String> = rows
                .iter()
                .map(|row| {
                    format!(
                        "{}{}",
                        row.id,
                        if row.address.is_empty() {
                            " (no address)"
                        } else {
                            ""
                        }
                    )
                })
                .collect();
            format!("{call} listed {}", rows.join(", "))
        }
        PoolEvent::Created {
            call,
            worker,
            result: Ok(row),
        } => format!("{call} created {worker} {}", row.id),
        PoolEvent::Probed {
            call,
            worker,
            report,
        } => format!("{call} probed {worker} {}", report_in_words(report)),
        event => format!("{event:?}"),
    }
}

fn report_in_words(report: &ProbeReport) -> String {
    let step = |name: &str, failed: Option<&str>| match failed {
        Some(message) => format!("{name} failed ({message})"),
        None => format!("{name} ok"),
    };
    let mut words = vec![step(
        "connect",
        report.connect.as_ref().err().map(|f| f.message.as_str()),
    )];
    for (name, result) in [("boot", &report.boot), ("deploy", &report.deploy)] {
        if let Some(result) = result {
            words.push(step(
                name,
                result.as_ref().err().map(|f| f.message.as_str()),
            ));
        }
    }
    match &report.list {
        Some(Ok(list)) => words.push(format!("{list:?}")),
        Some(Err(failure)) => words.push(step("list", Some(&failure.message))),
        None => {}
    }
    words.join(", ")
}
