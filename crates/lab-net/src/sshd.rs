//! Machines that are real: an OpenSSH server each, in mount and process namespaces of its own, with a private /run,
//! /var/lock and /tmp, logins root and crunch (who has sudo), and a user worker; crunch and worker may use what takes
//! Docker's place.
//!
//! Needs root, `sshd`, `sudo` and `unshare`. Accounts, sudo rules and everything else that is private to a machine is
//! mounted over the host's files inside the namespace: the host is left as it is.

use std::{
    fs,
    io::Write,
    os::unix::{
        fs::{OpenOptionsExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, ensure};
use dispatch_lab::vm::Ailment;
use russh::keys::PrivateKey;
use serde_json::json;

use crate::keys;

/// The login that is not root. A user id that hosts hardly use.
const CRUNCH_ID: u32 = 64_321;
/// A user who logs in nowhere.
const WORKER_ID: u32 = 64_322;
/// The group that may use Docker.
const DOCKER_ID: u32 = 64_323;

/// What a machine needs to know of the lab.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Where the machines' files are. Not below /tmp, /run or /var/lock, which are private in each.
    pub(crate) directory: PathBuf,
    pub(crate) api_url: String,
    pub(crate) control_url: String,
}

/// One machine's order.
pub(crate) struct Spec<'a> {
    pub(crate) instance: &'a str,
    /// host:port.
    pub(crate) address: &'a str,
    pub(crate) init_script: &'a str,
    pub(crate) public_key: &'a str,
    pub(crate) ailment: Ailment,
}

/// One machine that runs. Dropping it ends all its processes.
pub(crate) struct RealVm {
    child: Child,
    directory: PathBuf,
}

/// Whether this host can run such machines; if not, what is missing.
pub(crate) fn check_host() -> anyhow::Result<()> {
    for program in ["/usr/sbin/sshd", "/usr/bin/sudo", "/usr/bin/unshare"] {
        ensure!(
            Path::new(program).is_file(),
            "{program} is missing: machines that are real sshd processes need the packages openssh-server, sudo and util-linux"
        );
    }
    let tried = Command::new("/usr/bin/unshare")
        .args(["-m", "-p", "--fork", "true"])
        .output()
        .context("run unshare")?;
    ensure!(
        tried.status.success(),
        "unshare fails ({}): machines that are real sshd processes need root",
        String::from_utf8_lossy(&tried.stderr).trim()
    );
    Ok(())
}

impl RealVm {
    /// Starts one.
    pub(crate) fn start(
        site: &Site,
        spec: &Spec<'_>,
        host_key: &PrivateKey,
    ) -> anyhow::Result<RealVm> {
        let directory = site.directory.join(spec.instance);
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        write_files(site, spec, host_key, &directory)?;
        let log = fs::File::create(directory.join("log"))?;
        let mut command = Command::new("/usr/bin/unshare");
        die_with_us(&mut command);
        let child = command
            .args([
                "-m",
                "-p",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "/bin/sh",
            ])
            .arg(directory.join("boot"))
            // The machine lives for as long as this is open, see the script.
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start unshare")?;
        Ok(RealVm { child, directory })
    }

    /// It reports itself broken from here on.
    pub(crate) fn report_broken(&self) -> anyhow::Result<()> {
        fs::write(self.root()?.join("run/lock/crunch-run-broken"), b"")
            .context("write the broken marker")
    }

    /// Its file system, seen from here.
    fn root(&self) -> anyhow::Result<PathBuf> {
        let first = self.first_process().context("the machine has no process")?;
        Ok(PathBuf::from(format!("/proc/{first}/root")))
    }

    /// The first process of its namespace, by the number that it has here.
    fn first_process(&self) -> Option<i32> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for RealVm {
    fn drop(&mut self) {
        // With its first process the kernel kills all of a process namespace, and only then is `unshare` told: when it
        // has ended, nothing is left.
        match self.first_process() {
            Some(first) => kill(first),
            None => {
                let _ = self.child.kill();
            }
        }
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[expect(
    unsafe_code,
    reason = "the standard library kills only its own children"
)]
fn kill(pid: i32) {
    // SAFETY: kill(2) takes two integers and touches no memory of ours. `unshare`, which lives, has not yet reaped
    // this child of its own, so the number cannot have passed to another process.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Should the lab be killed, nobody else would end the machine.
#[expect(
    unsafe_code,
    reason = "the standard library has no name for the signal at a parent's death"
)]
fn die_with_us(command: &mut Command) {
    let us = std::process::id();
    let ask = move || {
        // SAFETY: both take or give a number and touch no memory; they may be called after a fork.
        let parent = unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::getppid()
        };
        // The lab may have been killed before this.
        if u32::try_from(parent) == Ok(us) {
            Ok(())
        } else {
            Err(std::io::ErrorKind::Interrupted.into())
        }
    };
    // SAFETY: the closure makes two system calls and neither allocates nor locks.
    unsafe { command.pre_exec(ask) };
}

fn write_files(
    site: &Site,
    spec: &Spec<'_>,
    host_key: &PrivateKey,
    directory: &Path,
) -> anyhow::Result<()> {
    let (host, port) = spec
        .address
        .rsplit_once(':')
        .context("an address without a port")?;
    let path = |name: &str| directory.join(name).display().to_string();
    private(directory, "host_key", &keys::private_text(host_key)?)?;
    private(directory, "init", spec.init_script)?;
    fs::write(
        directory.join("authorized_keys"),
        format!("{}\n", spec.public_key.trim()),
    )?;
    let lab = json!({"api_url": site.api_url, "control_url": site.control_url, "instance": spec.instance});
    fs::write(directory.join("lab.json"), lab.to_string())?;
    let config = format!(
        "ListenAddress {host}\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
         PermitRootLogin prohibit-password\nPasswordAuthentication no\nMaxStartups 200:30:400\nUseDNS no\nPrintMotd no\n\
         # Keeps bash from reading ~/.bashrc, which may take long.\nSetEnv SHLVL=3\n",
        path("host_key"),
        path("authorized_keys"),
    );
    fs::write(directory.join("sshd_config"), config)?;
    account_files(directory)?;
    fs::write(directory.join("boot"), boot_script(spec.ailment, directory))?;
    Ok(())
}

/// The host's accounts, with `crunch` and `worker` added and no password that could lock anybody out.
fn account_files(directory: &Path) -> anyhow::Result<()> {
    const OURS: [&str; 3] = ["crunch:", "worker:", "docker:"];
    let without_ours = |path: &str| -> anyhow::Result<Vec<String>> {
        let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
        Ok(text
            .lines()
            .filter(|line| !OURS.iter().any(|ours| line.starts_with(ours)))
            .map(str::to_owned)
            .collect())
    };
    let mut passwd = without_ours("/etc/passwd")?;
    passwd.push(format!(
        "crunch:x:{CRUNCH_ID}:{CRUNCH_ID}::/tmp/home:/bin/sh"
    ));
    passwd.push(format!(
        "worker:x:{WORKER_ID}:{WORKER_ID}::/tmp/worker:/bin/sh"
    ));
    let mut group = without_ours("/etc/group")?;
    group.push(format!("crunch:x:{CRUNCH_ID}:"));
    group.push(format!("worker:x:{WORKER_ID}:"));
    group.push(format!("docker:x:{DOCKER_ID}:crunch,worker"));
    // Without PAM, an account whose password begins with `!` is locked, `*` only has none.
    let mut shadow: Vec<String> = without_ours("/etc/shadow")?
        .into_iter()
        .map(|line| {
            if line.starts_with("root:") {
                "root:*:19000:0:99999:7:::".into()
            } else {
                line
            }
        })
        .collect();
    shadow.push("crunch:*:19000:0:99999:7:::".into());
    shadow.push("worker:*:19000:0:99999:7:::".into());
    fs::write(directory.join("passwd"), passwd.join("\n") + "\n")?;
    fs::write(directory.join("group"), group.join("\n") + "\n")?;
    private(directory, "shadow", &(shadow.join("\n") + "\n"))?;
    fs::set_permissions(directory.join("passwd"), fs::Permissions::from_mode(0o644))?;
    fs::set_permissions(directory.join("group"), fs::Permissions::from_mode(0o644))?;
    Ok(())
}

/// What the machine's first process does.
fn boot_script(ailment: Ailment, directory: &Path) -> String {
    let tmp_options = if ailment == Ailment::RunnerMissing {
        "mode=1777,noexec"
    } else {
        "mode=1777"
    };
    let secret = match ailment {
        Ailment::WrongSecret => "printf wrong > /run/arvados-instance-secret",
        _ => ":",
    };
    let booted = if ailment == Ailment::BootProbeFails {
        ":"
    } else {
        "touch /run/lab-booted"
    };
    let slow = match ailment {
        Ailment::SlowHandshake(ms) => format!("sleep {}.{:03}", ms / 1000, ms % 1000),
        _ => ":".into(),
    };
    let directory = directory.display();
    format!(
        "set -e\n\
         # With the lab the other end of our input goes, and with it the machine: a lab that is killed while `unshare`\n\
         # forks leaves nobody who would have been told of its death.\n\
         exec 9<&0 </dev/null\n\
         trap 'exit 1' TERM\n\
         (cat <&9 >/dev/null; kill -KILL -1; kill -TERM 1) &\n\
         mount -t tmpfs -o mode=755 tmpfs /run\n\
         mkdir -p /run/sshd /run/lock\n\
         chmod 1777 /run/lock\n\
         [ -L /var/run ] || mount --bind /run /var/run\n\
         [ -L /var/lock ] || mount --bind /run/lock /var/lock\n\
         mount -t tmpfs -o {tmp_options} tmpfs /tmp\n\
         mkdir /tmp/home\n\
         chown {CRUNCH_ID}:{CRUNCH_ID} /tmp/home\n\
         for file in passwd group shadow; do mount --bind {directory}/$file /etc/$file; done\n\
         mount -t tmpfs -o mode=0750 tmpfs /etc/sudoers.d\n\
         printf 'crunch ALL=(ALL) NOPASSWD: ALL\\nDefaults !lecture\\n' > /etc/sudoers.d/lab\n\
         chmod 0440 /etc/sudoers.d/lab\n\
         cp {directory}/lab.json /run/lab.json\n\
         chmod 0644 /run/lab.json\n\
         # What the check of the runners' user looks at: whatever the host has of it is not the machine's.\n\
         touch /run/docker.sock\n\
         chown 0:{DOCKER_ID} /run/docker.sock\n\
         chmod 0660 /run/docker.sock\n\
         echo user_allow_other > /run/fuse.conf\n\
         [ ! -e /etc/fuse.conf ] || mount --bind /run/fuse.conf /etc/fuse.conf\n\
         [ ! -e /dev/fuse ] || mount --bind /dev/null /dev/fuse\n\
         sh {directory}/init || echo 'the init script failed'\n\
         {secret}\n\
         {booted}\n\
         {slow}\n\
         # Not by exec: as the first process, this shell reaps what loses its parent.\n\
         /usr/sbin/sshd -D -e -f {directory}/sshd_config &\n\
         wait $!\n"
    )
}

fn private(directory: &Path, name: &str, content: &str) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(directory.join(name))?;
    file.write_all(content.as_bytes())?;
    Ok(())
}
