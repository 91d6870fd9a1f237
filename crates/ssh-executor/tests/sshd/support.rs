//! OpenSSH servers of our own, each with its own host key, secret and log.

use std::{
    fs,
    io::Read,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command as Process, Stdio},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use dispatch_cloud::exec::{Command, Connection, Executor, Target};
use dispatch_model::InstanceSecret;
use dispatch_ssh_executor::{PrivateKey, Settings, SshExecutor};
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef01234567";

/// The Debian name of what a machine without sshd lacks.
const REMEDY: &str = "OpenSSH's server is missing; install it with: apt-get install openssh-server";

/// One server. Dropping it ends it and its sessions.
pub(crate) struct Sshd {
    folder: TempDir,
    child: Child,
    pub(crate) address: SocketAddr,
    options: Vec<String>,
    /// What starts it, and is given its command line.
    prefix: Vec<String>,
}

impl Sshd {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With these lines of configuration in addition.
    pub(crate) fn with(options: &[&str]) -> Self {
        Self::started_by(&[], options)
    }

    /// By a program that is given its command line and becomes it.
    pub(crate) fn started_by(prefix: &[&str], options: &[&str]) -> Self {
        assert!(Path::new("/usr/sbin/sshd").exists(), "{REMEDY}");
        let folder = TempDir::new().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
            .expect("readable for sshd");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("bin")).expect("a folder");
        fs::create_dir(path("marks")).expect("a folder");
        fs::write(path("secret"), SECRET).expect("written");
        fs::write(
            path("authorized_keys"),
            format!("{}\n", client_key().public_line()),
        )
        .expect("written");
        // The secret's path is absolute and the same for all servers of this machine: each gets a `cat` of its own.
        let cat = format!(
            "#!/bin/sh\n[ \"$1\" = /var/run/arvados-instance-secret ] && exec /bin/cat {}\nexec /bin/cat \"$@\"\n",
            path("secret").display()
        );
        for (name, text) in [("cat", cat.as_str()), ("sudo", "#!/bin/sh\nexec \"$@\"\n")] {
            fs::write(path("bin").join(name), text).expect("written");
            fs::set_permissions(path("bin").join(name), fs::Permissions::from_mode(0o755))
                .expect("executable");
        }
        make_key(&path("host_key"), &["-t", "ed25519"]);
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let prefix: Vec<String> = prefix.iter().map(ToString::to_string).collect();
        let (child, address) = launch(folder.path(), &options, &prefix, None);
        Self {
            folder,
            child,
            address,
            options,
            prefix,
        }
    }

    /// Ends it and starts it again at the same address, as it is or with another host key.
    pub(crate) fn restart(&mut self, other_key: bool) {
        self.stop();
        if other_key {
            fs::remove_file(self.folder.path().join("host_key")).expect("removed");
            make_key(&self.folder.path().join("host_key"), &["-t", "ed25519"]);
        }
        (self.child, self.address) = launch(
            self.folder.path(),
            &self.options,
            &self.prefix,
            Some(self.address),
        );
    }

    /// Ends it with its sessions.
    pub(crate) fn stop(&mut self) {
        let sessions = self.sessions();
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
        for pid in sessions {
            signal(pid, "KILL");
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that commands create to show that they ran.
    pub(crate) fn mark(&self, name: &str) -> PathBuf {
        self.path("marks").join(name)
    }

    pub(crate) fn set_secret(&self, secret: &str) {
        fs::write(self.path("secret"), secret).expect("written");
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// How many connections have logged in.
    pub(crate) fn n_logins(&self) -> usize {
        self.log().matches("Accepted publickey").count()
    }

    /// How many commands were started, verification included.
    pub(crate) fn n_commands(&self) -> usize {
        self.log().matches("Starting session: command").count()
    }

    /// The processes of its connections (the children of the listener, and theirs that are sshd as well).
    pub(crate) fn sessions(&self) -> Vec<u32> {
        let mut found = sshd_children(self.child.id());
        let deeper: Vec<u32> = found.iter().flat_map(|pid| sshd_children(*pid)).collect();
        found.extend(deeper);
        found
    }

    pub(crate) fn signal_sessions(&self, name: &str) {
        for pid in self.sessions() {
            signal(pid, name);
        }
    }

    /// A connection to it with the right secret.
    pub(crate) fn connection(&self, settings: impl FnOnce(&mut Settings)) -> Arc<dyn Connection> {
        connection_to(&self.address.to_string(), Some(SECRET), settings)
    }
}

impl Drop for Sshd {
    #[expect(clippy::print_stderr, reason = "shown with the failed test")]
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!(
                "--- log of the sshd at {} ---\n{}",
                self.address,
                self.log()
            );
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a server is started before the test's own tasks; a drop cannot wait otherwise either"
)]
fn launch(
    folder: &Path,
    options: &[String],
    prefix: &[String],
    address: Option<SocketAddr>,
) -> (Child, SocketAddr) {
    // sshd insists on it when it runs as root.
    let _ = fs::create_dir_all("/run/sshd");
    for _ in 0..10 {
        let address = address.unwrap_or_else(free_address);
        let path = |name: &str| folder.join(name).display().to_string();
        let mut config = vec![
            format!("ListenAddress {address}"),
            format!("HostKey {}", path("host_key")),
            format!("AuthorizedKeysFile {}", path("authorized_keys")),
            format!("PidFile {}", path("pid")),
            // SHLVL keeps bash from reading ~/.bashrc for each command, as it does for those of sshd.
            format!(
                "SetEnv SHLVL=3 PATH={}:/usr/bin:/bin MARKS={}",
                path("bin"),
                path("marks")
            ),
            "UsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no"
                .to_owned(),
            "PermitRootLogin prohibit-password\nMaxStartups 200:30:400\nLogLevel DEBUG1\nUseDNS no"
                .to_owned(),
        ];
        // The first word counts, so options come first.
        config.splice(0..0, options.iter().cloned());
        fs::write(folder.join("config"), config.join("\n") + "\n").expect("written");
        // Should the tests be killed, nobody would end it.
        let mut child = Process::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(prefix)
            .args([
                "/usr/sbin/sshd",
                "-D",
                "-f",
                &path("config"),
                "-E",
                &path("log"),
            ])
            .stdin(Stdio::null())
            .spawn()
            .expect(REMEDY);
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if speaks(address) {
                return (child, address);
            }
            if child.try_wait().expect("our own child").is_some() {
                break; // Somebody else has got the port.
            }
            assert!(
                Instant::now() < deadline,
                "sshd does not start:\n{}",
                fs::read_to_string(path("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    panic!(
        "sshd does not start:\n{}",
        fs::read_to_string(folder.join("log")).unwrap_or_default()
    );
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

fn speaks(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    let mut banner = [0; 4];
    stream.read_exact(&mut banner).is_ok() && &banner == b"SSH-"
}

fn sshd_children(pid: u32) -> Vec<u32> {
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let is_sshd = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == "sshd")
    };
    children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .filter(is_sshd)
        .collect()
}

fn signal(pid: u32, name: &str) {
    // It may have ended by itself.
    let _ = Process::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// Makes a key without passphrase and returns its text.
pub(crate) fn make_key(path: &Path, arguments: &[&str]) -> String {
    let made = Process::new("ssh-keygen")
        .args(["-q", "-N", "", "-f"])
        .arg(path)
        .args(arguments)
        .status();
    assert!(made.expect("ssh-keygen comes with sshd").success());
    fs::read_to_string(path).expect("a key")
}

/// The key that all servers accept.
pub(crate) fn client_key() -> PrivateKey {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    KEY.get_or_init(|| {
        let folder = TempDir::new().expect("a folder");
        PrivateKey::parse(&make_key(&folder.path().join("key"), &["-t", "ed25519"])).expect("a key")
    })
    .clone()
}

/// The user that runs the tests: sshd without PAM lets it log in, whoever it is.
pub(crate) fn user() -> String {
    let output = Process::new("id").arg("-un").output().expect("id runs");
    String::from_utf8(output.stdout)
        .expect("a name")
        .trim()
        .to_owned()
}

pub(crate) fn executor(settings: impl FnOnce(&mut Settings)) -> SshExecutor {
    let mut all = Settings::new(user(), 22);
    // The tests' machines are busier than a cloud's network is slow.
    all.boot_reach = Duration::from_secs(10);
    settings(&mut all);
    SshExecutor::new(all, client_key())
}

pub(crate) fn connection_to(
    address: &str,
    secret: Option<&str>,
    settings: impl FnOnce(&mut Settings),
) -> Arc<dyn Connection> {
    executor(settings).connection(target(address, secret))
}

pub(crate) fn target(address: &str, secret: Option<&str>) -> Target {
    Target {
        address: address.to_owned(),
        secret: secret.map(InstanceSecret::new),
    }
}

pub(crate) const PLENTY: Duration = Duration::from_secs(20);

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A command that has plenty of time and no input.
pub(crate) fn command(line: &str) -> Command {
    Command {
        line: line.to_owned(),
        stdin: Bytes::new(),
        deadline: PLENTY,
    }
}

/// Waits for what should become true soon.
#[track_caller]
pub(crate) fn eventually(
    what: &str,
    mut is_true: impl FnMut() -> bool,
) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PLENTY;
        while !is_true() {
            assert!(Instant::now() < deadline, "never: {what} ({place})");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
