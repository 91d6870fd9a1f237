//! The detached process: looks at its container, sets it Running, waits, sets it Complete, with the token it was given.

use std::{io::Read, io::Write, process::ExitCode};

use serde_json::{Value, json};

use crate::{http, process};

/// Where the lab tells a machine who it is: instance, and the addresses of the APIs.
const LAB_FILE: &str = "/run/lab.json";
/// How often a call is tried again while the API is busy or out of reach, and how long apart, ms.
const TRIES: u32 = 60;
const TRY_AGAIN_MS: u64 = 300;
/// How often it looks for signals while it waits, ms.
const SLICE_MS: u64 = 20;

struct Runner {
    lab: Value,
    uuid: String,
    token: String,
    gateway_address: String,
}

/// Lives one container's life. `lock` is the number of the lock file's descriptor.
pub(crate) fn run(uuid: &str, lock: &str) -> Result<ExitCode, String> {
    process::handle_signals(false);
    let mut input = Vec::new();
    std::io::stdin()
        .read_to_end(&mut input)
        .map_err(|error| format!("read the configuration: {error}"))?;
    let runner = match Runner::read(&input, uuid) {
        Ok(runner) => runner,
        Err(message) => {
            let _ = writeln!(std::io::stdout(), "decode config from stdin: {message}");
            return Ok(ExitCode::FAILURE);
        }
    };
    process::close_output();
    let destiny = runner.tell("began");
    let of = |name: &str| destiny[name].as_u64().unwrap_or(100);
    process::handle_signals(destiny["ignores_term"] == true);
    if !wait(of("start_ms")) {
        runner.put(json!({"state": "Queued"}));
        return Ok(runner.end("ended"));
    }
    if destiny["crash"] == "early" {
        return Ok(runner.end("crashed"));
    }
    if runner.state().as_deref() != Some("Locked") {
        return Ok(runner.end("ended"));
    }
    runner.tell("passed");
    if runner.put(json!({"state": "Running", "gateway_address": runner.gateway_address}))
        != Some(200)
    {
        return Ok(runner.end("ended"));
    }
    let crashes = destiny["crash"] == "running";
    if !wait(if crashes {
        of("run_ms") / 2
    } else {
        of("run_ms")
    }) {
        runner.put(json!({"state": "Cancelled"}));
        return Ok(runner.end("ended"));
    }
    if crashes {
        return Ok(runner.end("crashed"));
    }
    let output = "d41d8cd98f00b204e9800998ecf8427e+0";
    runner.put(json!({"state": "Complete", "exit_code": destiny["exit_code"], "output": output, "log": output}));
    if destiny["deadlock"] == true {
        keep_lock(lock);
    }
    Ok(runner.end("ended"))
}

/// A child that inherits the lock and outlives us, as a hung mount does.
fn keep_lock(lock: &str) {
    let mut command = std::process::Command::new("sleep");
    command.arg("3600");
    if let Ok(number) = lock.parse() {
        process::detached(&mut command, number);
    }
    // Without it there is one deadlock less.
    let _ = command.spawn();
}

/// False if a signal ended the wait.
fn wait(ms: u64) -> bool {
    let mut left = ms;
    while left > 0 && !process::was_terminated() {
        let slice = left.min(SLICE_MS);
        process::pause(slice);
        left -= slice;
    }
    !process::was_terminated()
}

impl Runner {
    fn read(input: &[u8], uuid: &str) -> Result<Runner, String> {
        let document: Value = serde_json::from_slice(input).map_err(|error| error.to_string())?;
        let token = document["Env"]["ARVADOS_API_TOKEN"]
            .as_str()
            .ok_or("Env.ARVADOS_API_TOKEN is missing")?
            .to_owned();
        // The same strictness as on in-process machines. The token is the key of the gateway's secret.
        dispatch_lab::vm::check_start_document(input, uuid, &token)?;
        let lab = std::fs::read(LAB_FILE).map_err(|error| format!("read {LAB_FILE}: {error}"))?;
        let gateway_address = document["Env"]["GatewayAddress"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Ok(Runner {
            lab: serde_json::from_slice(&lab).map_err(|error| format!("{LAB_FILE}: {error}"))?,
            uuid: uuid.to_owned(),
            token,
            gateway_address,
        })
    }

    /// Tells the lab what happens; what it answers.
    fn tell(&self, event: &str) -> Value {
        let base = self.lab["control_url"].as_str().unwrap_or_default();
        let body = json!({"event": event, "instance": self.lab["instance"], "uuid": self.uuid, "pid": std::process::id()});
        http::call(base, "POST", "/runners", &[], &body)
            .map(|(_, answer)| answer)
            .unwrap_or_default()
    }

    fn end(&self, event: &str) -> ExitCode {
        self.tell(event);
        if event == "ended" {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn state(&self) -> Option<String> {
        let (_, container) = self.api("GET", &Value::Null)?;
        container["state"].as_str().map(str::to_owned)
    }

    fn put(&self, attributes: Value) -> Option<u16> {
        self.api("PUT", &json!({ "container": attributes }))
            .map(|(status, _)| status)
    }

    /// One call to the Arvados API, repeated while it is busy or out of reach.
    fn api(&self, method: &str, body: &Value) -> Option<(u16, Value)> {
        let base = self.lab["api_url"].as_str().unwrap_or_default();
        let path = format!("/arvados/v1/containers/{}", self.uuid);
        let token = format!("Bearer {}", self.token);
        let name = format!(
            "{}/{}",
            self.lab["instance"].as_str().unwrap_or_default(),
            std::process::id()
        );
        for _ in 0..TRIES {
            match http::call(
                base,
                method,
                &path,
                &[("Authorization", &token), ("X-Lab-Runner", &name)],
                body,
            ) {
                Ok((status, answer)) if status != 503 => return Some((status, answer)),
                _ => process::pause(TRY_AGAIN_MS),
            }
        }
        None
    }
}
