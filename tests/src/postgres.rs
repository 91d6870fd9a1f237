//! A PostgreSQL server of the test's own: a fresh cluster in a temporary folder, not as root, gone with the test.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::Instant,
};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster of databases, and its server while it runs.
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    /// In which network namespace it runs: that of this process, or our own.
    network_of: Option<u32>,
    settings: Vec<String>,
    server: Option<Child>,
}

/// How to end a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// As an operator does it: sessions are told.
    Fast,
    /// As a crash does it: nobody is told.
    Kill,
}

impl Postgres {
    /// A new cluster whose server is not running yet. `network_of`: the process in whose network namespace it is to run.
    pub async fn prepare(port: u16, network_of: Option<u32>) -> anyhow::Result<Postgres> {
        let programs = programs()?;
        // Sockets have short paths.
        let folder = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp")?;
        let data = folder.path().join("data");
        fs::create_dir(&data)?;
        if geteuid().is_root() {
            let owner = Command::new("chown")
                .arg("-R")
                .arg("postgres:")
                .arg(folder.path())
                .status();
            if !owner.await?.success() {
                bail!(
                    "PostgreSQL does not run as root, and there is no user `postgres`: install the package postgresql"
                );
            }
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let postgres = Postgres {
            folder,
            programs,
            port,
            network_of,
            settings: Vec::new(),
            server: None,
        };
        let mut initdb = postgres.command("initdb", None);
        initdb.args(["-A", "trust", "-U", "postgres", "--no-sync", "--locale=C"]);
        let made = initdb.arg("-D").arg(&data).output().await?;
        if !made.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        let anybody = "local all all trust\nhost all all 0.0.0.0/0 trust\n";
        fs::write(data.join("pg_hba.conf"), anybody)?;
        Ok(postgres)
    }

    /// The folder with the server's socket.
    pub fn socket(&self) -> &Path {
        self.folder.path()
    }

    /// Its port, of its socket as well.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The cluster's own files.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A further setting, `name=value`, from the next start on.
    pub fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// Gives a file to the user as whom the server runs, readable by nobody else.
    pub async fn own(&self, file: &Path) -> anyhow::Result<()> {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
        if geteuid().is_root() {
            Command::new("chown")
                .arg("postgres:")
                .arg(file)
                .status()
                .await?;
        }
        Ok(())
    }

    /// Starts the server, and waits until it takes sessions.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))?;
        let mut server = self.command("postgres", self.network_of);
        server.arg("-D").arg(self.data());
        let (port, socket) = (self.port, self.folder.path().display().to_string());
        for setting in [
            format!("port={port}"),
            format!("unix_socket_directories={socket}"),
            "listen_addresses=*".to_owned(),
            "fsync=off".to_owned(),
            "shared_buffers=16MB".to_owned(),
            "max_connections=50".to_owned(),
        ]
        .iter()
        .chain(&self.settings)
        {
            server.arg("-c").arg(setting);
        }
        self.server = Some(server.stdout(Stdio::null()).stderr(log).spawn()?);
        let by = Instant::now() + PATIENCE;
        loop {
            match self.client().await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > by => {
                    let log = fs::read_to_string(self.folder.path().join("log"));
                    let log = log.unwrap_or_default();
                    bail!("PostgreSQL does not come up: {error:#}\n{log}");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Ends the server, and waits for its end.
    pub async fn stop(&mut self, ending: Ending) -> anyhow::Result<()> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        let signal = match ending {
            Ending::Fast => Signal::INT,
            // The server's own "immediate": its children would outlive a SIGKILL.
            Ending::Kill => Signal::QUIT,
        };
        let pid = server.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            kill_process(pid, signal).context("signal PostgreSQL")?;
        }
        let ended = tokio::time::timeout(PATIENCE, server.wait()).await;
        ended.context("PostgreSQL does not end")??;
        Ok(())
    }

    /// A session of the superuser, over the socket.
    pub async fn client(&self) -> anyhow::Result<Client> {
        self.door().client().await
    }

    /// Where sessions begin, for whoever looks on while the server comes and goes.
    pub fn door(&self) -> Door {
        Door {
            socket: self.folder.path().to_owned(),
            port: self.port,
        }
    }

    /// Ends the session that holds the dispatchers' lock. Whether there was one.
    pub async fn kill_the_holder(&self) -> anyhow::Result<bool> {
        let killed = self
            .client()
            .await?
            .one("SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND objid = 10005 AND granted")
            .await?;
        Ok(killed != "0")
    }

    /// What the holder of the dispatchers' lock calls itself; "" if there is none.
    pub async fn holder(&self) -> anyhow::Result<String> {
        self.client()
            .await?
            .one("SELECT coalesce(max(application_name), '') FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND objid = 10005 AND granted")
            .await
    }

    /// One of its programs, as a user who is not root.
    fn command(&self, program: &str, network_of: Option<u32>) -> Command {
        let mut words: Vec<String> = Vec::new();
        if let Some(pid) = network_of {
            words.extend(["nsenter", "--net", "--target"].map(str::to_owned));
            words.push(pid.to_string());
        }
        if geteuid().is_root() {
            words.extend(
                [
                    "setpriv",
                    "--reuid=postgres",
                    "--regid=postgres",
                    "--init-groups",
                    "--pdeathsig=KILL",
                ]
                .map(str::to_owned),
            );
        }
        words.push(self.programs.join(program).display().to_string());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let server = self.server.as_ref().and_then(Child::id);
        let pid = server.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            // With its children, which a SIGKILL would leave behind. It may have ended by itself.
            let _ = kill_process(pid, Signal::QUIT);
            let by = std::time::Instant::now() + Duration::from_secs(5);
            while let Some(server) = &mut self.server
                && let Ok(None) = server.try_wait()
                && std::time::Instant::now() < by
            {
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
    }
}

/// The way to a server, whether or not it runs.
#[derive(Clone, Debug)]
pub struct Door {
    socket: PathBuf,
    port: u16,
}

impl Door {
    /// A session of the superuser, over the socket.
    pub async fn client(&self) -> anyhow::Result<Client> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(&self.socket).port(self.port);
        config.user("postgres").dbname("postgres");
        config.application_name("the test");
        config.connect_timeout(PATIENCE);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        let line = tokio::spawn(async move { connection.await.is_ok() });
        Ok(Client { client, line })
    }
}

/// A session. Dropping it ends it.
pub struct Client {
    client: tokio_postgres::Client,
    line: tokio::task::JoinHandle<bool>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.line.abort();
    }
}

impl Client {
    /// The first column of the first row.
    pub async fn one(&self, query: &str) -> anyhow::Result<String> {
        let messages = self.client.simple_query(query).await?;
        for message in messages {
            if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                return Ok(row.get(0).unwrap_or_default().to_owned());
            }
        }
        bail!("no row")
    }
}

/// The folder of initdb and postgres: on the search path, or where Debian hides them.
fn programs() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let hidden = fs::read_dir("/usr/lib/postgresql").map(|versions| {
        let mut versions: Vec<(u32, PathBuf)> = versions
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let number = entry.file_name().to_string_lossy().parse().ok()?;
                Some((number, entry.path().join("bin")))
            })
            .collect();
        versions.sort();
        versions.into_iter().rev().map(|(_, folder)| folder)
    });
    let hidden = hidden.into_iter().flatten();
    std::env::split_paths(&path)
        .chain(["/usr/local/bin".into()])
        .chain(hidden)
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
        .ok_or_else(|| {
            io::Error::other("PostgreSQL is not installed: `cargo xtask setup` installs it").into()
        })
}
