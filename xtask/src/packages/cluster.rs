//! The lab from its package, as the cluster that the daemon serves.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{root::Root, wait::until};
use crate::command::{command, execute_quietly};

/// How long the lab may take to write its configuration.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(20);

/// Where the configuration is.
pub(super) const CONFIG: &str = "/etc/arvados/config.yml";
/// Where the variables are.
pub(super) const ENVIRONMENT: &str = "/etc/arvados/environment";

/// A lab that runs.
pub(super) struct Cluster(Child);

impl Cluster {
    /// Starts it and waits for its files.
    pub(super) fn start(root: &Root) -> Result<Cluster> {
        let child = root
            .command("arvados-dispatch-lab")
            .args(["serve", "--config", CONFIG, "--environment", ENVIRONMENT])
            .stdout(Stdio::null())
            .spawn()
            .context("start the lab")?;
        let mut cluster = Cluster(child);
        let written = until(PATIENCE, || {
            if let Some(status) = cluster.0.try_wait()? {
                bail!("the lab ended by itself: {status}");
            }
            Ok(root.path(ENVIRONMENT).exists().then_some(()))
        })?;
        written.context("the lab has written no configuration")?;
        Ok(cluster)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It ends on SIGTERM, and otherwise at once.
        let _ = execute_quietly(command("kill").args(["-TERM", &self.0.id().to_string()]));
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The value of a variable that the lab wrote.
fn variable(root: &Root, file: &str, name: &str) -> Result<String> {
    let text = fs::read_to_string(root.path(file)).context("the lab wrote its variables")?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Ok(value
        .with_context(|| format!("{name} is not in them"))?
        .to_owned())
}

/// What the lab says has happened in it.
pub(super) fn report(root: &Root, environment: &str) -> Result<Value> {
    let url = variable(root, environment, "LAB_CONTROL_URL")?;
    let host = url.strip_prefix("http://").context("it speaks HTTP")?;
    let body = get(host, "/report", "")?;
    serde_json::from_str(&body).context("the lab's report is JSON")
}

/// The daemon's metrics.
pub(super) fn metrics(root: &Root) -> Result<String> {
    let config = fs::read_to_string(root.path(CONFIG))?;
    let token = config
        .lines()
        .find_map(|line| line.trim().strip_prefix("ManagementToken: "));
    let token = token.context("the configuration has a ManagementToken")?;
    let header = format!("Authorization: Bearer {token}\r\n");
    get("127.0.0.1:9006", "/metrics", &header)
}

/// The body of an answer.
fn get(host: &str, path: &str, header: &str) -> Result<String> {
    let mut stream = TcpStream::connect(host).with_context(|| format!("connect to {host}"))?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {host}\r\n{header}Connection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("it is HTTP")?;
    if !head
        .lines()
        .next()
        .is_some_and(|line| line.contains(" 200 "))
    {
        bail!("GET {path} was answered with {head}");
    }
    Ok(body.to_owned())
}
