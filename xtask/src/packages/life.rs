//! The life of a package on a host: installed, started, stopped, upgraded, removed, purged.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail, ensure};

use super::{
    Checks, as_service, cluster, cluster::Cluster, package, page, root::Root, service,
    service::Service,
};
use crate::{
    command::{execute_quietly, output},
    dist::Made,
};

const USER: &str = "arvados-dispatch-cloud";
const DAEMON: &str = "arvados-dispatch-cloud-rs";
const SETTINGS: &str = "/etc/default/arvados-dispatch-cloud";
const INSTALL: &str = "docs/install-ec2.md";
const DOC: &str = "/usr/share/doc/arvados-dispatch-cloud-rs";
/// What the operator writes, and keeps.
const OURS: [&str; 7] = [
    SETTINGS,
    "/etc/arvados",
    cluster::CONFIG,
    cluster::ENVIRONMENT,
    "/etc/systemd/system",
    DROP_IN_FOLDER,
    DROP_IN,
];
/// A drop-in of the operator's; the Go dispatcher's unit has the same.
const DROP_IN_FOLDER: &str = "/etc/systemd/system/arvados-dispatch-cloud.service.d";
const DROP_IN: &str = "/etc/systemd/system/arvados-dispatch-cloud.service.d/proxy.conf";
/// Who had the cluster's configuration before the dispatcher came.
const NEIGHBOUR: &str = "www-data";

/// From a clean root back to it.
pub(super) fn check(root: &Root, made: &Made, later: &Made) -> Result<u64> {
    let mut checks = Checks::default();
    let before = root.files()?;
    checks.that(
        "they install with all they need, and nothing starts by itself",
        {
            install(root, made).and_then(|()| {
                let user = output(root.command("getent").args(["passwd", USER]))?;
                ensure!(user.contains(USER) && user.contains("nologin"), "{user}");
                ensure!(
                    !root
                        .path("/etc/systemd/system/multi-user.target.wants")
                        .exists(),
                    "the service is enabled"
                );
                Ok(())
            })
        },
    )?;
    checks.that(
        "programs, pages and completions are there and say which build they are",
        pages(root),
    )?;
    checks.that(
        "the examples pass config-check once their blanks are filled",
        examples(root),
    )?;

    let _cluster = Cluster::start(root)?;
    checks.that(
        "the service is let read the configuration, and another service of the host still can",
        let_read(root),
    )?;
    let daemon = Service::start(root)?;
    checks.that(
        "started as its unit says, the daemon becomes ready, as its user and without rights",
        confined(root, &daemon),
    )?;
    checks.that("its metrics tell version and build", build_metric(root))?;
    checks.that(
        "the admin's tool finds it by the cluster's configuration",
        {
            output(
                root.command("arvados-dispatch-ctl")
                    .args(["list", "--json"]),
            )
            .map(drop)
        },
    )?;
    checks.that(
        "the account is tried out as the service would, and says that all is well",
        as_service::run(root),
    )?;
    checks.that("SIGTERM ends it cleanly", daemon.stop())?;
    checks.that(
        "a wrong option ends it with the code that prevents restarts",
        wrong_option(root),
    )?;

    let kept = format!(
        "{}\n# A change of the operator's.\nEXTRA_OPTS=\"--config {}\"\n",
        fs::read_to_string(root.path(SETTINGS))?,
        cluster::CONFIG
    );
    fs::write(root.path(SETTINGS), &kept)?;
    fs::create_dir_all(root.path(DROP_IN_FOLDER))?;
    fs::write(
        root.path(DROP_IN),
        "[Service]\nEnvironment=https_proxy=http://proxy.example:3128\n",
    )?;
    let version = installed_version(root)?;
    checks.that(
        "an upgrade replaces the program and keeps the operator's settings",
        install(root, later).and_then(|()| {
            ensure!(
                fs::read_to_string(root.path(SETTINGS))? == kept,
                "the settings were changed"
            );
            ensure!(
                root.path(cluster::CONFIG).exists(),
                "the configuration is gone"
            );
            ensure!(installed_version(root)? != version, "it is still {version}");
            output(
                root.command("dpkg")
                    .args(["--verify", "arvados-dispatch-ctl"]),
            )
            .map(drop)
        }),
    )?;
    checks.that(
        "the upgraded daemon starts with them, and stops",
        Service::start(root).and_then(Service::stop),
    )?;

    checks.that("removed, its settings stay and its program is gone", {
        execute_quietly(root.command("dpkg").args(["--remove", DAEMON])).and_then(|()| {
            ensure!(root.path(SETTINGS).exists(), "the settings are gone");
            ensure!(
                !root.path("/usr/bin/arvados-dispatch-cloud").exists(),
                "the program is there"
            );
            Ok(())
        })
    })?;
    checks.that(
        "purged, nothing is left but what the operator wrote",
        purge(root, &before),
    )?;
    Ok(checks.0)
}

/// Installs all packages as an operator does, with what is there to be had: no network.
pub(super) fn install(root: &Root, made: &Made) -> Result<()> {
    let mut apt = root.command("apt-get");
    apt.args(["install", "--yes", "-o", "Dpkg::Options::=--force-confold"]);
    for name in [DAEMON, "arvados-dispatch-ctl", "arvados-dispatch-lab"] {
        let file = package(made, name)?;
        let to = format!("/root/{name}.deb");
        root.put(file, &to)?;
        apt.arg(to);
    }
    execute_quietly(&mut apt)
}

fn installed_version(root: &Root) -> Result<String> {
    let mut query = root.command("dpkg-query");
    output(query.args(["--show", "--showformat", "${Version}", DAEMON]))
}

fn pages(root: &Root) -> Result<()> {
    let number = crate::tree::packages_version()?;
    for (program, section) in [("arvados-dispatch-cloud", 8), ("arvados-dispatch-ctl", 1)] {
        let version = output(root.command(program).arg("--version"))?;
        ensure!(
            version.starts_with(&format!("{program} {number} (")),
            "--version says {version}"
        );
        let page = format!("/usr/share/man/man{section}/{program}.{section}.gz");
        let page = output(root.command("zcat").arg(page))?;
        ensure!(
            page.contains(".TH") && page.contains(&number),
            "the page is odd: {page}"
        );
        let completions = format!("/usr/share/bash-completion/completions/{program}");
        execute_quietly(root.command("bash").args(["-n", &completions]))?;
    }
    for file in [
        "copyright",
        "changelog.gz",
        "third-party-licences.txt.gz",
        "README",
        "book/operator-guide.html",
    ] {
        ensure!(root.path(DOC).join(file).exists(), "{file} is missing");
    }
    Ok(())
}

/// Each example, with tokens and a key, has no error; of drivers that are not built in, nothing can be said.
fn examples(root: &Root) -> Result<()> {
    let key = "/etc/arvados/dispatch-private-key";
    // As the page has it: with the program that the package recommends, in the folder that it brings.
    let make = page::command(INSTALL, "ssh-keygen ")?;
    execute_quietly(root.command("sh").args(["-c", &make]))?;
    let mut n_checked = 0;
    for entry in fs::read_dir(root.path(DOC).join("examples"))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !name.starts_with("config-") {
            continue;
        }
        let text = fs::read_to_string(&path)?
            .replace("REPLACE-WITH-THE-ROOT-TOKEN", &"r".repeat(48))
            .replace("REPLACE-WITH-THE-MANAGEMENT-TOKEN", &"m".repeat(48))
            .replace("REPLACE-WITH-THE-DATABASE-HOST", "db.example")
            .replace("REPLACE-WITH-THE-DATABASE-PASSWORD", "secret");
        ensure!(!text.contains("REPLACE-WITH"), "{name} has another blank");
        ensure!(
            text.contains("PostgreSQL"),
            "{name}: nothing says that only one acts"
        );
        let copy = format!("/root/{name}");
        fs::write(root.path(&copy), text)?;
        let mut check = root.command("arvados-dispatch-cloud");
        let checked = check.args(["config-check", "--config", &copy]).output()?;
        let said = String::from_utf8_lossy(&checked.stdout);
        // The test's programs may be built without the SDKs.
        if said.contains("CloudVMs.Driver = ") && said.contains("write one of") {
            println!("        {name}: its driver is not in this build");
            continue;
        }
        ensure!(checked.status.success(), "{name}: {said}");
        n_checked += 1;
        fs::remove_file(root.path(&copy))?;
    }
    ensure!(n_checked > 0, "there was no example to check");
    fs::remove_file(root.path(key))?;
    Ok(fs::remove_file(root.path(&format!("{key}.pub")))?)
}

/// As on a host where Arvados' own packages wrote it for the API server.
fn let_read(root: &Root) -> Result<()> {
    let group = format!("root:{NEIGHBOUR}");
    execute_quietly(root.command("chown").args([&group, cluster::CONFIG]))?;
    execute_quietly(root.command("chmod").args(["640", cluster::CONFIG]))?;
    let reads = |user: &str| {
        let identity = format!("setpriv --reuid={user} --regid={user} --init-groups");
        output(root.jailed("", &identity, "cat").arg(cluster::CONFIG)).is_ok()
    };
    ensure!(!reads(USER), "the service may read it already");
    let line = page::command(INSTALL, "setfacl ")?;
    execute_quietly(root.command("sh").args(["-c", &line]))?;
    ensure!(reads(USER), "the service cannot read it");
    ensure!(reads(NEIGHBOUR), "{NEIGHBOUR} cannot read it any more");
    ensure!(!reads("daemon"), "everybody can read it");
    Ok(())
}

fn confined(root: &Root, daemon: &Service) -> Result<()> {
    let uid = output(root.command("id").args(["--user", USER]))?;
    let uids = daemon.status_line("Uid")?;
    ensure!(
        uids.split_whitespace().all(|one| one == uid.trim()) && uid.trim() != "0",
        "it runs as {uids}"
    );
    for (key, wanted) in [
        ("NoNewPrivs", "1"),
        ("CapBnd", "0000000000000000"),
        ("CapEff", "0000000000000000"),
    ] {
        let found = daemon.status_line(key)?;
        ensure!(found == wanted, "{key} is {found}");
    }
    Ok(())
}

fn build_metric(root: &Root) -> Result<()> {
    let version = output(root.command("arvados-dispatch-cloud").arg("--version"))?;
    let version = version
        .trim()
        .split_once(' ')
        .context("name and version")?
        .1;
    let metrics = cluster::metrics(root)?;
    let line = format!("arvados_dispatchcloud_build{{version=\"{version}\"}} 1");
    ensure!(metrics.lines().any(|found| found == line), "no line {line}");
    Ok(())
}

fn wrong_option(root: &Root) -> Result<()> {
    let unit = service::unit(root)?;
    let prevents = unit
        .last("RestartPreventExitStatus")
        .context("the unit says what prevents restarts")?;
    let mut wrong: Command = root.command("arvados-dispatch-cloud");
    let status = wrong.args(["run", "--no-such-option"]).output()?.status;
    ensure!(
        status.code().map(|code| code.to_string()).as_deref() == Some(prevents),
        "it ended with {status}"
    );
    Ok(())
}

fn purge(root: &Root, before: &std::collections::BTreeSet<String>) -> Result<()> {
    execute_quietly(root.command("dpkg").args([
        "--purge",
        DAEMON,
        "arvados-dispatch-ctl",
        "arvados-dispatch-lab",
    ]))?;
    ensure!(!root.path(SETTINGS).exists(), "the settings are there");
    ensure!(
        root.path(DROP_IN).exists(),
        "the operator's drop-in is gone"
    );
    let left: Vec<String> = root
        .files()?
        .difference(before)
        .filter(|path| {
            let whole = format!("/{path}");
            // The packages' own files, the daemon's socket and log are the test's.
            !OURS.contains(&&*whole) && !whole.starts_with("/root/") && !whole.starts_with("/run/")
        })
        .cloned()
        .collect();
    if !left.is_empty() {
        bail!("left over: {}", left.join(", "));
    }
    Ok(())
}
