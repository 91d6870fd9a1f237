//! The test itself, step by step.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use dispatch_cloud::{
    CreateOrder, Instance, Tags,
    exec::{Command, Connection, Exit, Output, Target},
};
use dispatch_model::InstanceId;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{Audience, Report, Settings, Step, Verdict};

/// A message of an instance or a cloud is shown up to so many characters.
const WORDS_MAX: usize = 400;

/// Tries everything out. Ends within `Timing::total`, pauses that the operator asked for excepted. If `stop` tells why
/// (a signal, say), it goes on to the clean-up at once.
pub async fn run(
    settings: &Settings,
    audience: &mut dyn Audience,
    stop: impl Future<Output = String>,
) -> Report {
    let mut trial = Trial {
        settings,
        audience,
        report: Report::default(),
        made: Vec::new(),
        in_doubt: false,
        address: String::new(),
    };
    let began = Instant::now();
    let timing = &settings.timing;
    let mut stop = pin!(stop);
    let room = tokio::select! {
        room = trial.make_room() => Ok(room),
        why = stop.as_mut() => Err(why),
    };
    match room {
        Ok(true) => {}
        Ok(false) => return trial.report,
        Err(why) => {
            // Nothing has been made yet.
            trial.stopped(&why, began);
            return trial.report;
        }
    }
    let until = began + timing.total.saturating_sub(timing.clean_up);
    let stopped = tokio::select! {
        ended = timeout_at(until, trial.try_out()) => {
            if ended.is_err() {
                let words = format!("after {} s", began.elapsed().as_secs());
                trial.tell("the test ends in time", Err(words), began);
            }
            None
        }
        why = stop.as_mut() => Some(why),
    };
    if let Some(why) = stopped {
        trial.stopped(&why, began);
    } else if settings.pause_before_destroy && !trial.made.is_empty() {
        let address = trial.address.clone();
        tokio::select! {
            () = trial.audience.pause(&address) => {}
            // What is wanted is there already: the end of the pause.
            _ = stop => {}
        }
    }
    trial.clean_up().await;
    trial.report
}

/// A test under way.
pub(crate) struct Trial<'a> {
    pub(crate) settings: &'a Settings,
    audience: &'a mut dyn Audience,
    report: Report,
    /// What must be destroyed.
    pub(crate) made: Vec<InstanceId>,
    /// Whether there may be an instance that nobody knows of: from the create on, until it has been answered with one.
    pub(crate) in_doubt: bool,
    address: String,
}

/// What a step found, or why it failed.
pub(crate) type Found = Result<String, String>;

impl Trial<'_> {
    /// Writes a step down; whether it passed.
    pub(crate) fn tell(&mut self, what: &str, found: Found, began: Instant) -> bool {
        let verdict = if found.is_ok() {
            Verdict::Passed
        } else {
            Verdict::Failed
        };
        let step = Step {
            what: what.to_owned(),
            verdict,
            more: self.masked(&found.unwrap_or_else(|words| words)),
            took: began.elapsed(),
        };
        self.audience.ended(&step);
        self.report.steps.push(step);
        verdict == Verdict::Passed
    }

    /// Something that may take long.
    pub(crate) fn begins(&mut self, what: &str) {
        self.audience.begins(what);
    }

    fn stopped(&mut self, why: &str, began: Instant) {
        self.tell("the test is not interrupted", Err(why.to_owned()), began);
    }

    /// One line, of bounded length, without the secret (facts K35).
    fn masked(&self, words: &str) -> String {
        let secret = self.settings.secret.reveal();
        let masked = if secret.is_empty() {
            words.to_owned()
        } else {
            words.replace(secret, "(secret)")
        };
        let line: Vec<&str> = masked.split_whitespace().collect();
        let line = line.join(" ");
        match line.char_indices().nth(WORDS_MAX) {
            Some((at, _)) => format!("{}…", &line[..at]),
            None => line,
        }
    }

    async fn try_out(&mut self) {
        let Some(made) = self.create().await else {
            return;
        };
        let Some(listed) = self.find(&made.id).await else {
            return;
        };
        self.judge_tags(&made.id, &listed.tags).await;
        self.change_a_tag(&made.id).await;
        if let Some(connection) = self.log_in(&made.id).await {
            self.boot(&*connection).await;
            self.run_command(&*connection).await;
            connection.close();
        }
    }

    fn tags(&self) -> Tags {
        let settings = self.settings;
        let mut tags = settings.ours();
        for (name, value) in [
            ("InstanceType", settings.instance_type.name.as_str()),
            ("IdleBehavior", "run"),
            ("InstanceSecret", settings.secret.reveal()),
            ("CloudTestPID", &settings.pid.to_string()),
        ] {
            tags.insert(settings.key(name), value.to_owned());
        }
        tags
    }

    async fn create(&mut self) -> Option<Instance> {
        let settings = self.settings;
        let what = "an instance is created";
        self.audience.begins(what);
        let began = Instant::now();
        let order = CreateOrder {
            instance_type: (*settings.instance_type).clone(),
            image_id: settings.image_id.clone(),
            tags: self.tags(),
            init_script: settings.init_script.clone(),
            secret: settings.secret.clone(),
        };
        // Until the answer is there, nobody knows.
        self.in_doubt = true;
        let call = settings.set.create_within(order, settings.timing.call);
        match call.await {
            Ok(made) => {
                self.in_doubt = false;
                self.made.push(made.id.clone());
                self.report.instance = Some(made.id.clone());
                self.tell(what, Ok(made.id.to_string()), began);
                Some(made)
            }
            Err(error) => {
                // Whatever it says: a cloud, or a driver, that is wrong must not leave an instance running.
                self.tell(what, Err(error.message), began);
                None
            }
        }
    }

    async fn find(&mut self, id: &InstanceId) -> Option<Instance> {
        let what = "it is listed";
        self.audience.begins(what);
        let began = Instant::now();
        let found = self
            .until_listed(id, self.settings.timing.boot, |_| true)
            .await;
        let words = found.as_ref().map(|_| String::new());
        self.tell(what, words.map_err(Clone::clone), began);
        found.ok()
    }

    async fn judge_tags(&mut self, id: &InstanceId, first: &Tags) {
        let began = Instant::now();
        let mut wanted = self.settings.resource_tags.clone();
        wanted.extend(self.tags());
        let carries = |tags: &Tags| lacking(&wanted, tags).is_empty();
        let seen = if carries(first) {
            Ok(String::new())
        } else {
            // Lists may show old tags for a while.
            let patience = self.settings.timing.sync_interval * 3;
            let found = self
                .until_listed(id, patience, |row| carries(&row.tags))
                .await;
            found.map(|_| String::new()).map_err(|words| {
                format!(
                    "{words} (missing or changed: {:?})",
                    lacking(&wanted, first)
                )
            })
        };
        self.tell("it has its tags", seen, began);
    }

    async fn change_a_tag(&mut self, id: &InstanceId) {
        let began = Instant::now();
        let timing = self.settings.timing;
        let key = self.settings.key("IdleBehavior");
        let change: Tags = [(key.clone(), "hold".to_owned())].into();
        let set = &self.settings.set;
        let changed = match set.set_tags_within(id, &change, timing.call).await {
            Ok(()) => {
                let holds = |row: &Instance| row.tags.get(&key).is_some_and(|tag| tag == "hold");
                let patience = timing.boot.min(timing.sync_interval * 6);
                let found = self.until_listed(id, patience, holds).await;
                found.map(|_| String::new())
            }
            Err(error) => Err(error.message),
        };
        self.tell("its tags can be changed", changed, began);
    }

    async fn log_in(&mut self, id: &InstanceId) -> Option<Arc<dyn Connection>> {
        let (settings, timing) = (self.settings, self.settings.timing);
        let began = Instant::now();
        if !settings.has_own_executor() {
            let what = "it has an address";
            self.audience.begins(what);
            let found = self
                .until_listed(id, timing.boot, |row| !row.address.is_empty())
                .await;
            match found {
                Ok(row) => {
                    self.address = row.address.clone();
                    self.tell(what, Ok(row.address), began);
                }
                Err(words) => {
                    self.tell(what, Err(words), began);
                    return None;
                }
            }
        }
        let what = "it can be logged in to and shows its secret";
        self.audience.begins(what);
        let connection = settings.executor.connection(Target {
            address: self.address.clone(),
            secret: Some(settings.secret.clone()),
        });
        let mut last = String::new();
        while began.elapsed() < timing.boot {
            match connection.connect(timing.command).await {
                Ok(()) => {
                    self.tell(what, Ok(String::new()), began);
                    return Some(connection);
                }
                Err(error) => last = error.to_string(),
            }
            sleep(timing.probe_interval).await;
        }
        connection.close();
        let words = format!("not within {} s: {last}", began.elapsed().as_secs());
        self.tell(what, Err(words), began);
        None
    }

    async fn boot(&mut self, connection: &dyn Connection) {
        let timing = self.settings.timing;
        let what = format!("its boot probe succeeds (`{}`)", self.settings.boot_probe);
        self.audience.begins(&what);
        let began = Instant::now();
        let mut last = String::new();
        while began.elapsed() < timing.boot {
            match ran(connection, &self.settings.boot_probe, timing.command).await {
                Ok(output) if output.success() => {
                    self.tell(&what, Ok(String::new()), began);
                    return;
                }
                Ok(output) => last = ended(&output),
                Err(words) => last = words,
            }
            sleep(timing.probe_interval).await;
        }
        // A deferred failure: what follows is tried all the same (facts T3).
        let words = format!("not within {} s: {last}", began.elapsed().as_secs());
        self.tell(&what, Err(words), began);
    }

    async fn run_command(&mut self, connection: &dyn Connection) {
        let Some(command) = &self.settings.command else {
            return;
        };
        let what = format!("the command succeeds (`{command}`)");
        self.audience.begins(&what);
        let began = Instant::now();
        let found = match ran(connection, command, self.settings.timing.boot).await {
            Ok(output) => {
                self.audience.output(&output.stdout);
                self.audience.output(&output.stderr);
                if output.success() {
                    Ok(String::new())
                } else {
                    Err(ended(&output))
                }
            }
            Err(words) => Err(words),
        };
        self.tell(&what, found, began);
    }

    /// Lists until this instance is as wanted.
    async fn until_listed(
        &self,
        id: &InstanceId,
        patience: Duration,
        is_so: impl Fn(&Instance) -> bool,
    ) -> Result<Instance, String> {
        let timing = &self.settings.timing;
        let began = Instant::now();
        loop {
            let last = match self.list().await {
                Ok(rows) => match rows.into_iter().find(|row| row.id == *id) {
                    Some(row) if is_so(&row) => return Ok(row),
                    Some(_) => "the list does not show it so".to_owned(),
                    None => "the list does not have it".to_owned(),
                },
                Err(words) => words,
            };
            if began.elapsed() >= patience {
                return Err(format!("not within {} s: {last}", patience.as_secs()));
            }
            sleep(timing.sync_interval).await;
        }
    }

    async fn list(&self) -> Result<Vec<Instance>, String> {
        self.list_within(self.settings.timing.call).await
    }

    pub(crate) async fn list_within(&self, within: Duration) -> Result<Vec<Instance>, String> {
        let set = &self.settings.set;
        let listed = set.list_within(&self.settings.ours(), within).await;
        listed.map_err(|error| error.message)
    }
}

async fn ran(connection: &dyn Connection, line: &str, within: Duration) -> Result<Output, String> {
    let command = Command {
        line: line.to_owned(),
        stdin: Bytes::new(),
        deadline: within,
    };
    let output = connection.run(command).await;
    output.map_err(|error| error.to_string())
}

fn ended(output: &Output) -> String {
    let how = match &output.exit {
        Exit::Status(status) => format!("exit status {status}"),
        Exit::Signal(signal) => format!("signal {signal}"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if said.trim().is_empty() {
        how
    } else {
        format!("{how}: {}", said.trim())
    }
}

/// The names of tags that are missing or have other values.
fn lacking<'a>(wanted: &'a Tags, found: &Tags) -> Vec<&'a String> {
    let lacks = wanted
        .iter()
        .filter(|(key, value)| found.get(*key) != Some(*value));
    lacks.map(|(key, _)| key).collect()
}
