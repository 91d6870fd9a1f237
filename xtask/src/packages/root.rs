//! A clean root: what every Debian has, copied from this machine's own packages, and what our packages say they need.
//!
//! Nothing else is in it, so that a library that a package forgets to name is missing. Needs no network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{command, execute_quietly, output},
    dist::Made,
};

/// Beside what is essential: how packages are installed.
const ALSO: [&str; 1] = ["apt"];

/// A root.
pub(super) struct Root {
    folder: PathBuf,
}

impl Root {
    /// Makes it anew.
    pub(super) fn new(folder: &Path, made: &Made) -> Result<Root> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let root = Root {
            folder: folder.into(),
        };
        let installed = Installed::read()?;
        let mut wanted: Vec<String> = installed.essential.iter().cloned().collect();
        wanted.extend(ALSO.map(str::to_owned));
        for package in &made.packages {
            // What apt brings along if it is not told otherwise.
            for field in ["Depends", "Recommends"] {
                let clauses = output(command("dpkg-deb").arg("--field").arg(package).arg(field))?;
                for clause in clauses
                    .split(',')
                    .filter(|clause| !clause.trim().is_empty())
                {
                    wanted.push(installed.resolve(clause)?);
                }
            }
        }
        let packages = installed.with_all_they_need(wanted)?;
        root.fill(&packages)?;
        root.register(&packages)?;
        Ok(root)
    }

    /// A path in it: `etc/passwd`.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/'))
    }

    /// A command in it, with devices and processes to be seen, and no variable of ours.
    pub(super) fn command(&self, program: &str) -> Command {
        self.jailed("", "", program)
    }

    /// The same after further mounts, by commands before the change of root, and under a program that changes who
    /// it is: `setpriv …`.
    pub(super) fn jailed(&self, mounts: &str, identity: &str, program: &str) -> Command {
        let script = format!(
            "set -e\nproc=\n{mounts}\nmount --rbind /dev \"$0/dev\"; mount -t proc $proc proc \"$0/proc\"\n\
             root=$0; exec chroot \"$root\" {identity} \"$@\""
        );
        let mut command = command("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg(script)
            .arg(&self.folder)
            .arg(program)
            .stdin(Stdio::null());
        plain(&mut command);
        command
    }

    /// A shell in it that reads commands, in a namespace of processes that ends with it.
    pub(super) fn session(&self) -> Command {
        let script = "set -e; mount --rbind /dev \"$0/dev\"; mount -t proc proc \"$0/proc\"; exec chroot \"$0\" sh";
        let mut command = command("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "--pid",
                "--fork",
                "--kill-child",
            ])
            .args(["sh", "-c", script])
            .arg(&self.folder);
        plain(&mut command);
        command
    }

    /// Puts a file of ours into it.
    pub(super) fn put(&self, file: &Path, to: &str) -> Result<()> {
        let to = self.path(to);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(file, &to).with_context(|| format!("copy {}", file.display()))?;
        Ok(())
    }

    /// Every file and link in it that packages bring, make or leave; not what keeps account of that.
    pub(super) fn files(&self) -> Result<BTreeSet<String>> {
        let mut find = command("find");
        let listed = output(find.arg(&self.folder).args([
            "-mindepth",
            "1",
            "(",
            "-path",
            "*/var/lib/dpkg",
            "-o",
            "-path",
            "*/var/cache",
            "-o",
            "-path",
            "*/var/lib/apt",
            "-o",
            "-name",
            ".pwd.lock",
            "-o",
            "-path",
            "*/var/log",
            "-o",
            "-path",
            "*/tmp",
            "-o",
            // Lists of users, kept with a copy of the last.
            "-name",
            "passwd*",
            "-o",
            "-name",
            "group*",
            "-o",
            "-name",
            "*shadow*",
            "-o",
            "-name",
            "sub?id*",
            ")",
            "-prune",
            "-o",
            "-printf",
            "%P\\n",
        ]))?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Copies the packages' files.
    fn fill(&self, packages: &BTreeSet<String>) -> Result<()> {
        for folder in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
            // Links into /usr on most hosts, and folders on some.
            if let Ok(target) = fs::read_link(Path::new("/").join(folder)) {
                fs::create_dir_all(self.path("/usr").join(folder))?;
                symlink(target, self.path(folder))?;
            }
        }
        let listed = output(command("dpkg-query").arg("--listfiles").args(packages))?;
        let mut paths: BTreeSet<&str> = listed
            .lines()
            .filter(|line| line.starts_with('/') && *line != "/.")
            .filter(|path| {
                let unread = ["/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/"];
                !unread.iter().any(|folder| path.starts_with(folder))
            })
            .filter(|path| Path::new(path).symlink_metadata().is_ok())
            .collect();
        // Made when packages are installed, so that no package has them.
        paths.extend(
            [
                "/bin/sh",
                "/etc/passwd",
                "/etc/group",
                "/etc/shadow",
                "/etc/gshadow",
                "/etc/alternatives/awk",
                "/usr/bin/awk",
                "/etc/ssl/certs/ca-certificates.crt",
            ]
            .into_iter()
            .filter(|path| Path::new(path).symlink_metadata().is_ok()),
        );
        let list = paths.into_iter().fold(String::new(), |mut list, path| {
            list.push_str(path);
            list.push('\n');
            list
        });
        let mut pack = command("tar")
            .args([
                "--create",
                "--no-recursion",
                "--directory",
                "/",
                "--files-from",
                "-",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start tar")?;
        let mut input = pack.stdin.take().context("tar reads names")?;
        let names = std::thread::spawn(move || input.write_all(list.as_bytes()));
        let packed = pack.stdout.take().context("tar writes files")?;
        let unpacked = command("tar")
            .args(["--extract", "--keep-directory-symlink", "--directory"])
            .arg(&self.folder)
            .stdin(Stdio::from(packed))
            .status()
            .context("start tar")?;
        if !pack.wait()?.success() || !unpacked.success() || !matches!(names.join(), Ok(Ok(()))) {
            bail!("this machine's packages could not be copied into the clean root");
        }
        for folder in ["dev", "proc", "sys", "run", "root", "tmp", "var/log"] {
            fs::create_dir_all(self.path(folder))?;
        }
        execute_quietly(command("chmod").arg("1777").arg(self.path("tmp")))?;
        execute_quietly(command("ldconfig").arg("-r").arg(&self.folder))
    }

    /// Tells the root's dpkg what is installed in it.
    fn register(&self, packages: &BTreeSet<String>) -> Result<()> {
        let own = Path::new("/var/lib/dpkg");
        let its = self.path("var/lib/dpkg");
        for folder in ["info", "updates", "triggers", "alternatives", "parts"] {
            fs::create_dir_all(its.join(folder))?;
        }
        let status = fs::read_to_string(own.join("status")).context("read dpkg's status")?;
        let mut kept = String::new();
        for paragraph in status.split_inclusive("\n\n") {
            let name = paragraph
                .lines()
                .find_map(|line| line.strip_prefix("Package: "));
            if name.is_some_and(|name| packages.contains(name)) {
                kept.push_str(paragraph);
            }
        }
        fs::write(its.join("status"), kept)?;
        for file in ["diversions", "statoverride", "arch", "available"] {
            // Only of what was ever changed.
            fs::write(its.join(file), "")?;
        }
        fs::remove_file(its.join("arch"))?;
        for entry in fs::read_dir(own.join("info"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let package = name.rsplit_once('.').map_or(&*name, |(stem, _)| stem);
            let package = package.split(':').next().unwrap_or(package);
            // What it wants done about other packages' files is not wanted here.
            if name == "format" || (packages.contains(package) && !name.ends_with(".triggers")) {
                fs::copy(own.join("info").join(&name), its.join("info").join(&name))?;
            }
        }
        Ok(())
    }
}

/// Without the variables of whoever tests.
fn plain(command: &mut Command) {
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8");
}

/// What this machine has installed.
struct Installed {
    essential: BTreeSet<String>,
    /// What each needs: clauses.
    needs: BTreeMap<String, String>,
    /// Who stands for a name that is no package.
    providers: BTreeMap<String, String>,
}

impl Installed {
    fn read() -> Result<Installed> {
        let format = "${db:Status-Status}\t${Package}\t${Essential}\t${Provides}\t${Pre-Depends}, ${Depends}\n";
        let listed = output(command("dpkg-query").args(["--show", "--showformat", format]))?;
        let mut installed = Installed {
            essential: BTreeSet::new(),
            needs: BTreeMap::new(),
            providers: BTreeMap::new(),
        };
        for line in listed.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let ["installed", name, essential, provides, needs] = fields[..] else {
                continue;
            };
            if essential == "yes" {
                installed.essential.insert(name.into());
            }
            for provided in provides
                .split(',')
                .map(bare)
                .filter(|name| !name.is_empty())
            {
                installed.providers.insert(provided.into(), name.into());
            }
            installed.needs.insert(name.into(), needs.into());
        }
        Ok(installed)
    }

    /// The installed package that serves `a (>= 1) | b`.
    fn resolve(&self, clause: &str) -> Result<String> {
        let served = clause.split('|').map(bare).find_map(|name| {
            if self.needs.contains_key(name) {
                return Some(name.to_owned());
            }
            self.providers.get(name).cloned()
        });
        served.with_context(|| {
            format!(
                "the packages need `{}`, which this machine does not have: install it",
                clause.trim()
            )
        })
    }

    fn with_all_they_need(&self, wanted: Vec<String>) -> Result<BTreeSet<String>> {
        let mut open = wanted;
        let mut all = BTreeSet::new();
        while let Some(name) = open.pop() {
            let needs = self.needs.get(&name).cloned().unwrap_or_default();
            if all.insert(name) {
                for clause in needs.split(',').filter(|clause| !clause.trim().is_empty()) {
                    open.push(self.resolve(clause)?);
                }
            }
        }
        Ok(all)
    }
}

/// The name in `libc6:any (>= 2.34)`.
fn bare(clause: &str) -> &str {
    let name = clause.trim();
    let name = name.split([' ', '(']).next().unwrap_or(name);
    name.split(':').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_needs_is_followed_through_alternatives_and_names_that_others_stand_for() {
        let text = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        let installed = Installed {
            essential: BTreeSet::new(),
            needs: text(&[
                ("adduser", "passwd, debconf (>= 0.5) | debconf-2.0"),
                ("passwd", "libc6 (>= 2.36)"),
                ("cdebconf", "libc6"),
                ("libc6", ""),
                ("vim", "libc6"),
            ]),
            providers: text(&[("debconf-2.0", "cdebconf")]),
        };
        let all = installed
            .with_all_they_need(vec!["adduser".into()])
            .expect("resolved");
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(all, ["adduser", "cdebconf", "libc6", "passwd"]);
        let missing = installed
            .resolve("libpq5 (>= 15)")
            .expect_err("missing")
            .to_string();
        assert!(missing.contains("libpq5 (>= 15)"), "{missing}");
    }
}
