//! `setup`: sees to what building and testing need, installing it where that is allowed.

use std::{fmt::Write as _, fs};

use anyhow::{Result, bail};

use crate::{
    command::{command, execute, installed, succeeds},
    python,
    step::step,
};

/// What to set up.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only what building needs, not what the tests need as well.
    #[arg(long)]
    build_only: bool,
}

/// What the machine must be fit for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Compile and run the product.
    Build,
    /// Make packages as well.
    Dist,
    /// Run all tests as well; packages are tested, too.
    Test,
}

/// How the product is to be built on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenSsl {
    /// Against the system's headers.
    System,
    /// Built along with us, which takes minutes.
    Vendored,
}

impl OpenSsl {
    /// What to add to a cargo command that builds `ssh-executor` along with other packages.
    pub(crate) fn cargo_args(self) -> &'static [&'static str] {
        match self {
            OpenSsl::System => &[],
            OpenSsl::Vendored => &["--features", "dispatch-ssh-executor/vendored-openssl"],
        }
    }
}

pub(crate) fn run_for(purpose: Purpose) -> Result<OpenSsl> {
    step("setup", || prepare(purpose))
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let purpose = if args.build_only {
        Purpose::Build
    } else {
        Purpose::Test
    };
    let open_ssl = run_for(purpose)?;
    if open_ssl == OpenSsl::Vendored {
        println!(
            "OpenSSL's headers are missing; our own commands build it along (minutes). Plain cargo needs {:?}.",
            OpenSsl::Vendored.cargo_args().join(" ")
        );
    }
    Ok(())
}

/// One thing that must be there.
struct Need {
    what: &'static str,
    purpose: Purpose,
    /// Debian's packages that bring it.
    packages: &'static [&'static str],
    present: fn() -> bool,
}

const OPEN_SSL: Need = Need {
    what: "OpenSSL headers and pkg-config (for SSH)",
    purpose: Purpose::Build,
    packages: &["libssl-dev", "pkg-config"],
    present: || {
        std::env::var_os("OPENSSL_DIR").is_some()
            || succeeds("pkg-config", &["--exists", "openssl"])
    },
};

/// A browser joins when the tests that need one do.
const NEEDS: &[Need] = &[
    Need {
        what: "a C compiler",
        purpose: Purpose::Build,
        packages: &["gcc", "libc6-dev"],
        present: || installed("cc"),
    },
    OPEN_SSL,
    Need {
        what: "Debian's tools for packages (dpkg-deb, dpkg-shlibdeps, strip)",
        purpose: Purpose::Dist,
        packages: &["dpkg-dev", "binutils"],
        present: || installed("dpkg-deb") && installed("dpkg-shlibdeps") && installed("strip"),
    },
    Need {
        what: "systemd-analyze (judges the unit)",
        purpose: Purpose::Test,
        packages: &["systemd"],
        present: || installed("systemd-analyze"),
    },
    Need {
        what: "adduser (the packages make a user with it)",
        purpose: Purpose::Test,
        packages: &["adduser"],
        present: || installed("adduser"),
    },
    Need {
        what: "setfacl (lets the service read a file without taking it from others)",
        purpose: Purpose::Test,
        packages: &["acl"],
        present: || installed("setfacl"),
    },
    Need {
        what: "an SSH server (for VMs that are real sshd processes)",
        purpose: Purpose::Test,
        packages: &["openssh-server"],
        present: || installed("sshd"),
    },
    Need {
        what: "ssh-keygen and openssl (for keys of every kind)",
        purpose: Purpose::Test,
        packages: &["openssh-client", "openssl"],
        present: || installed("ssh-keygen") && installed("openssl"),
    },
    Need {
        what: "sudo (for VMs whose login is not root)",
        purpose: Purpose::Test,
        packages: &["sudo"],
        present: || installed("sudo"),
    },
    Need {
        what: "unshare and flock (for VMs with files of their own)",
        purpose: Purpose::Test,
        packages: &["util-linux"],
        present: || installed("unshare") && installed("flock"),
    },
    Need {
        what: "PostgreSQL (for the lock that dispatchers share)",
        purpose: Purpose::Test,
        packages: &["postgresql"],
        present: has_postgres,
    },
    Need {
        what: "ip and nsenter (for lines between network namespaces that tests cut)",
        purpose: Purpose::Test,
        packages: &["iproute2", "util-linux"],
        present: || installed("ip") && installed("nsenter") && installed("setpriv"),
    },
    Need {
        what: "Python (for moto, a stand-in for EC2, and boto3)",
        purpose: Purpose::Test,
        packages: &["python3", "python3-venv"],
        present: python::present,
    },
];

/// On the search path, or where Debian hides it.
fn has_postgres() -> bool {
    let hidden = fs::read_dir("/usr/lib/postgresql").is_ok_and(|versions| {
        let mut versions = versions.filter_map(std::result::Result::ok);
        versions.any(|version| version.path().join("bin/initdb").is_file())
    });
    hidden || (installed("initdb") && installed("postgres"))
}

fn prepare(purpose: Purpose) -> Result<OpenSsl> {
    let missing = missing(purpose);
    if !missing.is_empty() && may_install() {
        install(&missing);
    }
    if purpose == Purpose::Test && is_root() {
        // sshd refuses to start without it, and only the init script would have made it.
        fs::create_dir_all("/run/sshd")?;
    }
    let open_ssl = judge(
        &self::missing(purpose),
        installed("perl") && installed("make"),
    )?;
    if purpose == Purpose::Test {
        python::prepare()?;
    }
    Ok(open_ssl)
}

fn missing(purpose: Purpose) -> Vec<&'static Need> {
    NEEDS
        .iter()
        .filter(|need| need.purpose <= purpose && !(need.present)())
        .collect()
}

/// What is left missing decides: build OpenSSL along, or stop and name the packages.
fn judge(missing: &[&Need], can_build_open_ssl: bool) -> Result<OpenSsl> {
    let open_ssl = missing.iter().any(|need| need.what == OPEN_SSL.what);
    let fatal: Vec<&&Need> = missing
        .iter()
        .filter(|need| need.what != OPEN_SSL.what || !can_build_open_ssl)
        .collect();
    if fatal.is_empty() {
        return Ok(if open_ssl {
            OpenSsl::Vendored
        } else {
            OpenSsl::System
        });
    }
    let mut complaint = String::from("this machine lacks:\n");
    for need in &fatal {
        let _ = writeln!(
            complaint,
            "  {} (Debian: {})",
            need.what,
            need.packages.join(" ")
        );
    }
    let packages: Vec<&str> = fatal
        .iter()
        .flat_map(|need| need.packages)
        .copied()
        .collect();
    let _ = write!(
        complaint,
        "install them, for instance: sudo RUNLEVEL=1 apt-get install {}",
        packages.join(" ")
    );
    if open_ssl && !can_build_open_ssl {
        complaint.push_str("\n(with perl and make, OpenSSL would be built along instead)");
    }
    bail!(complaint)
}

fn may_install() -> bool {
    is_root() && installed("apt-get")
}

fn is_root() -> bool {
    crate::command::output(command("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// Installs what it can; what is still missing afterwards is judged by the caller.
fn install(missing: &[&Need]) {
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|need| need.packages)
        .copied()
        .collect();
    if apt_get("install", &packages).is_ok() {
        return;
    }
    // The lists of a fresh machine are empty or old.
    let again = apt_get("update", &[]).and_then(|()| apt_get("install", &packages));
    if let Err(error) = again {
        println!("    could not install {}: {error:#}", packages.join(" "));
    }
}

fn apt_get(verb: &str, packages: &[&str]) -> Result<()> {
    let mut command = command("apt-get");
    // A runlevel of 1 keeps the SSH server's package from starting a server on this host.
    command
        .env("RUNLEVEL", "1")
        .env("DEBIAN_FRONTEND", "noninteractive");
    command.args(["-qq", "-o", "DPkg::Lock::Timeout=120", verb]);
    if verb == "install" {
        command
            .args(["--yes", "--no-install-recommends"])
            .args(packages);
    }
    execute(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(what: &'static str, packages: &'static [&'static str]) -> Need {
        Need {
            what,
            purpose: Purpose::Test,
            packages,
            present: || false,
        }
    }

    #[test]
    fn with_nothing_missing_the_systems_openssl_is_used() {
        assert_eq!(judge(&[], false).unwrap(), OpenSsl::System);
    }

    #[test]
    fn missing_headers_are_built_along_where_perl_and_make_exist() {
        assert_eq!(judge(&[&OPEN_SSL], true).unwrap(), OpenSsl::Vendored);
    }

    #[test]
    fn missing_headers_without_perl_stop_and_name_the_packages() {
        let complaint = judge(&[&OPEN_SSL], false).unwrap_err().to_string();
        assert!(complaint.contains("libssl-dev pkg-config"), "{complaint}");
        assert!(complaint.contains("perl and make"), "{complaint}");
    }

    #[test]
    fn everything_else_that_is_missing_stops_and_is_named_at_once() {
        let (sshd, sudo) = (need("sshd", &["openssh-server"]), need("sudo", &["sudo"]));
        let complaint = judge(&[&sshd, &OPEN_SSL, &sudo], true)
            .unwrap_err()
            .to_string();
        assert!(
            complaint.ends_with("apt-get install openssh-server sudo"),
            "{complaint}"
        );
    }
}
