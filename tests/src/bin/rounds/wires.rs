//! The lines between the daemons and the rest of the world: links between network namespaces that this program makes
//! itself, and can take down. A proxy that is frozen would not do: its kernel still answers keepalives.

use std::{fs::File, net::TcpListener, process::Stdio, thread};

use anyhow::{Context, anyhow, bail};
use nix::sched::{CloneFlags, setns};
use tokio::process::{Child, Command};

const REMEDY: &str = "making network namespaces and links needs root with CAP_NET_ADMIN and CAP_SYS_ADMIN (in a \
    container: --privileged, or --cap-add for both) and the packages iproute2 and util-linux; run it as \
    `unshare --net rounds takeover …`";

/// Where a line leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum To {
    Database,
    /// To the API and the cloud.
    Services,
}

impl To {
    const ALL: [To; 2] = [To::Database, To::Services];

    fn net(self) -> u8 {
        match self {
            To::Database => 66,
            To::Services => 67,
        }
    }
}

/// A network namespace with two lines to each daemon. It goes when it is dropped, with its lines.
pub(crate) struct Wires {
    /// Keeps the namespace alive.
    holder: Child,
    n: usize,
}

impl Wires {
    /// Makes the namespace and the lines of `n` daemons.
    pub(crate) async fn lay(n: usize) -> anyhow::Result<Wires> {
        // In the machine's own namespace there are other interfaces, and links of ours would be in the way.
        let links = said(Command::new("ip").args(["-o", "link"])).await?;
        if links.lines().count() > 1 {
            bail!("this is not a network namespace of its own; {REMEDY}");
        }
        run("ip", &["link", "set", "lo", "up"]).await?;
        let holder = Command::new("unshare")
            .args(["--net", "--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context(REMEDY)?;
        let wires = Wires { holder, n };
        wires.until_it_is_there().await?;
        wires.inside(&["link", "set", "lo", "up"]).await?;
        for daemon in 0..n {
            for to in To::ALL {
                wires.lay_one(daemon, to).await?;
            }
        }
        Ok(wires)
    }

    async fn lay_one(&self, daemon: usize, to: To) -> anyhow::Result<()> {
        let net = to.net();
        let (near, far) = (format!("near{net}.{daemon}"), Wires::far(daemon, to));
        let pid = self.pid().to_string();
        run(
            "ip",
            &[
                "link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &pid,
            ],
        )
        .await?;
        let near_address = format!("10.{net}.{daemon}.1/30");
        run("ip", &["address", "add", &near_address, "dev", &near]).await?;
        run("ip", &["link", "set", &near, "up"]).await?;
        let far_address = format!("{}/30", Wires::there(daemon, to));
        self.inside(&["address", "add", &far_address, "dev", &far])
            .await?;
        self.mend(daemon, to).await
    }

    /// A process in the far namespace.
    pub(crate) fn pid(&self) -> u32 {
        self.holder.id().unwrap_or_default()
    }

    /// Where this daemon finds the database or the services.
    pub(crate) fn there(daemon: usize, to: To) -> String {
        format!("10.{}.{daemon}.2", to.net())
    }

    /// Where the database sees this daemon.
    pub(crate) fn daemon(daemon: usize) -> String {
        format!("10.{}.{daemon}.1", To::Database.net())
    }

    /// A door at the far end of this daemon's line to the services.
    pub(crate) fn door(&self, daemon: usize) -> anyhow::Result<TcpListener> {
        let namespace = File::open(format!("/proc/{}/ns/net", self.pid()))?;
        let address = format!("{}:0", Wires::there(daemon, To::Services));
        // A socket stays in the namespace where it was made, and a thread in the one that it has entered.
        let opened = thread::spawn(move || -> anyhow::Result<TcpListener> {
            setns(namespace, CloneFlags::CLONE_NEWNET).context(REMEDY)?;
            let door = TcpListener::bind(address)?;
            door.set_nonblocking(true)?;
            Ok(door)
        });
        opened.join().map_err(|_| anyhow!("no door"))?
    }

    /// Cuts this daemon's line, without a word to either end.
    pub(crate) async fn cut(&self, daemon: usize, to: To) -> anyhow::Result<()> {
        let far = Wires::far(daemon, to);
        self.inside(&["link", "set", &far, "down"]).await
    }

    /// Mends it.
    pub(crate) async fn mend(&self, daemon: usize, to: To) -> anyhow::Result<()> {
        let far = Wires::far(daemon, to);
        self.inside(&["link", "set", &far, "up"]).await
    }

    /// Mends all.
    pub(crate) async fn mend_all(&self) -> anyhow::Result<()> {
        for daemon in 0..self.n {
            for to in To::ALL {
                self.mend(daemon, to).await?;
            }
        }
        Ok(())
    }

    /// The name of the far end.
    fn far(daemon: usize, to: To) -> String {
        format!("far{}.{daemon}", to.net())
    }

    /// The program has been started, and is in its own namespace.
    async fn until_it_is_there(&self) -> anyhow::Result<()> {
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net"));
        let ours = namespace("self").context(REMEDY)?;
        let by = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            match namespace(&self.pid().to_string()) {
                Ok(theirs) if theirs != ours => return Ok(()),
                _ if tokio::time::Instant::now() > by => bail!("no second namespace; {REMEDY}"),
                _ => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    }

    async fn inside(&self, ip: &[&str]) -> anyhow::Result<()> {
        let pid = self.pid().to_string();
        let words = ["--net", "--target", &pid, "--", "ip"];
        run("nsenter", &[&words[..], ip].concat()).await
    }
}

async fn run(program: &str, words: &[&str]) -> anyhow::Result<()> {
    said(Command::new(program).args(words)).await.map(drop)
}

async fn said(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.context(REMEDY)?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("{command:?}: {words}; {REMEDY}", command = command.as_std());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
