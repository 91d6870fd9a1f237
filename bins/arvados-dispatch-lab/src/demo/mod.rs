//! `demo`: serves the lab, starts the dispatcher on it as a process of its own, submits containers, shows and judges.

mod daemon;
mod picture;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use dispatch_lab::{
    faults::Level,
    judge::Report,
    world::{Event, Status},
};
use dispatch_lab_net::{LabHandle, VmKind, free_address};
use serde_json::json;
use tempfile::TempDir;
use tokio::{sync::broadcast, time::Instant};

use crate::{
    display::{Progress, complain, say},
    serve::parse_level,
    setup,
    stop::{INTERRUPTED, Stop},
};
use daemon::Daemon;

/// How often the picture is drawn.
const TICK: Duration = Duration::from_millis(200);
/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// Without any change for so long, the demo gives up waiting and judges what there is.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// The daemon's management API has this long to answer after a start.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Options of `demo`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many containers to submit.
    #[arg(long, default_value_t = 200, value_parser = setup::parse_containers)]
    containers: usize,
    /// How much goes wrong: none, some or many.
    #[arg(long, default_value = "none", value_parser = parse_level)]
    faults: Level,
    /// Decides everything that is luck in the lab.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the virtual machines are: in-process, or sshd (real OpenSSH servers; needs root).
    #[arg(long, default_value = "in-process", value_parser = ["in-process", "sshd"])]
    vms: String,
    /// End when all containers are final and all instances are gone; otherwise wait to be interrupted.
    #[arg(long)]
    exit_when_done: bool,
    /// Print the judgement as one JSON object on the last line.
    #[arg(long)]
    json: bool,
    /// The dispatcher; the one built beside this program if not given.
    #[arg(long)]
    daemon: Option<PathBuf>,
    /// The runner binary to deploy; the stand-in built beside this program if not given.
    #[arg(long)]
    runner: Option<PathBuf>,
    /// Where configuration and log go; a new directory under the system's temporary one if not given.
    #[arg(long)]
    directory: Option<PathBuf>,
}

/// Runs the demo. Exit code 0 if the dispatcher did all that could be asked of it, 1 if not, 130 if the demo was
/// interrupted before that could be said.
pub(crate) async fn run(arguments: Arguments, mut stop: Stop) -> anyhow::Result<ExitCode> {
    let real = arguments.vms == "sshd";
    // Declared first, so that it goes last.
    let machines = if real {
        Some(setup::machines_directory()?)
    } else {
        None
    };
    let begun = tokio::select! {
        biased;
        () = stop.wanted() => {
            complain("interrupted before it began");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        begun = begin(&arguments, machines.as_ref().map(TempDir::path)) => begun,
    };
    let (mut demo, mut events) = begun?;
    let ended = tokio::select! {
        biased;
        () = stop.wanted() => Ended::Interrupted,
        ended = demo.watch(&mut events) => ended?,
    };
    let seconds = demo.began.elapsed().as_secs_f64();
    let report = demo.lab.world(|world, now| world.report(now));
    if ended == Ended::Done && !arguments.exit_when_done {
        summarise(&report, seconds);
        complain("all done; the lab and the dispatcher go on until you interrupt this (Ctrl-C)");
        tokio::select! {
            biased;
            () = stop.wanted() => {}
            failed = demo.serve_on(&mut events) => failed?,
        }
    }
    demo.daemon.stop().await;
    let log = demo.log.clone();
    drop(demo);
    conclude(&arguments, &report, seconds, &ended, &log)
}

/// Starts the lab and the dispatcher, and submits the containers.
async fn begin(
    arguments: &Arguments,
    machines: Option<&Path>,
) -> anyhow::Result<(Demo, broadcast::Receiver<Event>)> {
    let program = arguments
        .daemon
        .clone()
        .map_or_else(|| setup::sibling("arvados-dispatch-cloud", "--daemon"), Ok)?;
    let directory = setup::demo_directory(arguments.directory.as_deref())?;
    let runner = match (&arguments.runner, machines) {
        (Some(runner), _) => runner.clone(),
        (None, Some(_)) => setup::sibling("lab-crunch-run", "--runner")?,
        (None, None) => setup::play_runner(&directory)?,
    };
    let management = free_address().context("find a port for the management API")?;
    let mut lab = setup::lab(arguments.seed, arguments.faults);
    lab.config = setup::config(management.clone(), Some(&runner), machines.is_some());
    if let Some(directory) = machines {
        lab.vms = VmKind::Sshd(directory.into());
    }
    let lab = lab.start().await?;
    let config = directory.join("config.yml");
    setup::write(&config, lab.config_yaml().as_bytes())?;

    let log = directory.join("dispatcher.log");
    let events = lab.events();
    let mut daemon = Daemon::start(program, config.clone(), log.clone())?;
    daemon.ready(&management, READY_WITHIN).await?;
    complain(&format!(
        "lab            {} (control: {})",
        lab.api_url(),
        lab.control_url()
    ));
    complain(&format!("configuration  {}", config.display()));
    complain(&format!("log            {}", log.display()));
    complain(&format!("management     http://{management}"));
    complain(&format!(
        "try            arvados-dispatch-ctl --config {} list",
        config.display()
    ));
    lab.world(|world, now| world.submit_mixed(arguments.containers, now));
    let demo = Demo {
        lab,
        daemon,
        progress: Progress::new(),
        began: Instant::now(),
        management,
        log,
    };
    Ok((demo, events))
}

/// How the waiting ended.
#[derive(PartialEq, Eq)]
enum Ended {
    Done,
    Stalled,
    Interrupted,
}

struct Demo {
    // Ends first: it shall not see its world end.
    daemon: Daemon,
    lab: LabHandle,
    progress: Progress,
    began: Instant,
    management: String,
    log: PathBuf,
}

impl Demo {
    /// Until everything is done, or nothing moves any more.
    async fn watch(&mut self, events: &mut broadcast::Receiver<Event>) -> anyhow::Result<Ended> {
        let mut seen = String::new();
        let mut moved = Instant::now();
        let mut written: Option<Instant> = None;
        loop {
            self.step(events).await?;
            let status = self.lab.world(|world, _| world.status());
            let key = format!(
                "{:?}{}{}",
                status.containers, status.instances, status.created
            );
            if key != seen {
                (seen, moved) = (key, Instant::now());
            }
            let due =
                self.progress.is_live() || written.is_none_or(|at| at.elapsed() >= LINE_EVERY);
            if due {
                self.show(&status);
                written = Some(Instant::now());
            }
            if status.open == 0 && status.instances == 0 {
                self.show(&status);
                return Ok(Ended::Done);
            }
            if moved.elapsed() > STALLED_AFTER {
                self.progress.remark(&format!(
                    "nothing has changed for {} s",
                    STALLED_AFTER.as_secs()
                ));
                return Ok(Ended::Stalled);
            }
            tokio::time::sleep(TICK).await;
        }
    }

    async fn serve_on(&mut self, events: &mut broadcast::Receiver<Event>) -> anyhow::Result<()> {
        loop {
            self.step(events).await?;
            tokio::time::sleep(TICK).await;
        }
    }

    /// What the lab asks for, and whether the daemon still lives.
    async fn step(&mut self, events: &mut broadcast::Receiver<Event>) -> anyhow::Result<()> {
        loop {
            match events.try_recv() {
                Ok(Event::RestartDispatcher) => self.restart().await?,
                Ok(_) | Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => break,
            }
        }
        self.daemon.check()
    }

    async fn restart(&mut self) -> anyhow::Result<()> {
        self.progress
            .remark("the lab kills the dispatcher and starts it again");
        self.daemon.kill().await?;
        self.lab.world(|world, _| world.dispatcher_restarted());
        self.daemon.start_again()?;
        self.daemon.ready(&self.management, READY_WITHIN).await
    }

    fn show(&mut self, status: &Status) {
        let picture = picture::draw(status, self.began.elapsed());
        let line = picture::line(status, self.began.elapsed());
        self.progress.show(&picture, &line);
    }
}

fn summarise(report: &Report, seconds: f64) {
    say(&format!(
        "{} containers: {} complete, {} cancelled ({} doomed), {} lost, {} run twice",
        report.submitted,
        report.complete,
        report.cancelled,
        report.doomed,
        report.lost,
        report.run_twice
    ));
    say(&format!(
        "{} instances created, {} gone, {} left; {:.4} $; queue to start p50 {} ms, p99 {} ms; {seconds:.1} s",
        report.instances_created,
        report.instances_destroyed,
        report.instances_left,
        report.cost,
        report.queue_to_start_p50_ms,
        report.queue_to_start_p99_ms
    ));
    if !report.kinds_of_faults.is_empty() {
        let kinds: Vec<String> = report
            .kinds_of_faults
            .iter()
            .map(|(name, n)| format!("{name} {n}"))
            .collect();
        say(&format!("faults: {}", kinds.join(", ")));
    }
}

fn conclude(
    arguments: &Arguments,
    report: &Report,
    seconds: f64,
    ended: &Ended,
    log: &Path,
) -> anyhow::Result<ExitCode> {
    if *ended == Ended::Interrupted {
        complain(&interrupted(report, seconds));
        if arguments.json {
            say(&object(report, seconds, true).to_string());
        }
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if !arguments.json {
        summarise(report, seconds);
    }
    let mut failures = report.failures();
    // Fewer containers bring too few opportunities.
    if *ended == Ended::Done && arguments.containers >= 200 && !report.kinds_missing.is_empty() {
        let missing = report.kinds_missing.join(", ");
        failures.push(format!("the lab failed to bring about {missing}"));
    }
    if *ended == Ended::Stalled {
        failures.push("the dispatcher made no progress any more".into());
    }
    for failure in &failures {
        complain(&format!("failure: {failure}"));
    }
    if !failures.is_empty() {
        complain(&format!("the dispatcher's log is {}", log.display()));
    }
    if arguments.json {
        say(&object(report, seconds, false).to_string());
    }
    Ok(if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What can be said of a life that was cut short. What was under way is not called lost or left over.
fn interrupted(report: &Report, seconds: f64) -> String {
    format!(
        "interrupted after {seconds:.1} s, so nothing is judged: {} of {} containers complete, {} cancelled; {} instances created, {} gone",
        report.complete,
        report.submitted,
        report.cancelled,
        report.instances_created,
        report.instances_destroyed
    )
}

/// The last line of `--json`. `interrupted`: the counts are of a moment, and judge nothing.
fn object(report: &Report, seconds: f64, interrupted: bool) -> serde_json::Value {
    json!({
        "interrupted": interrupted,
        "submitted": report.submitted,
        "complete": report.complete,
        "cancelled": report.cancelled,
        "doomed": report.doomed,
        "lost": report.lost,
        "run_twice": report.run_twice,
        "instances_created": report.instances_created,
        "instances_destroyed": report.instances_destroyed,
        "instances_left": report.instances_left,
        "kinds_of_faults": report.kinds_of_faults,
        "seconds": (seconds * 10.0).round() / 10.0,
        "queue_to_start_p50_ms": report.queue_to_start_p50_ms,
        "queue_to_start_p99_ms": report.queue_to_start_p99_ms,
    })
}
