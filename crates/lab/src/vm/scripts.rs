//! The dispatcher's own scripts, recognised by their markers (`docs/reference/scripts.md`).

use md5::{Digest, Md5};

use super::{
    Ailment,
    files::File,
    shell::{Outcome, Shell},
    words,
};

/// What every marker begins with.
const MARKER: &str = ": arvados-dispatch ";

/// What a command line needs of the one who carries it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It reads its standard input to the end, then answers.
    ReadsInput,
    /// It does not look at its standard input.
    NeedsNothing,
    /// It speaks in lines until its standard input ends: the exit watch. Whether it may read the locks.
    Watch {
        /// Whom it runs as by `sudo`; none: the login.
        user: Option<String>,
    },
}

/// What this command line needs.
pub fn kind_of(command: &str) -> Kind {
    let words = words::simple(command).unwrap_or_default();
    let all: Vec<&str> = words.iter().map(String::as_str).collect();
    let (user, command) = match all.split_first() {
        Some((&"sudo", arguments)) => {
            let (user, command) = sudo_to(arguments);
            (Some(user.to_owned()), command)
        }
        _ => (None, all.as_slice()),
    };
    match of(&words[words.len() - command.len()..]) {
        Some(Script::Watch) => Kind::Watch { user },
        Some(Script::User(_)) => Kind::NeedsNothing,
        Some(_) => Kind::ReadsInput,
        None if words
            .iter()
            .any(|word| word.starts_with("--stdin-") || word == "-c") =>
        {
            Kind::ReadsInput
        }
        None if words.is_empty() => Kind::ReadsInput,
        None => Kind::NeedsNothing,
    }
}

/// Whom `sudo` with these arguments runs a command as, and the command.
pub(crate) fn sudo_to<'a, 'w>(arguments: &'a [&'w str]) -> (&'w str, &'a [&'w str]) {
    let (mut user, mut rest) = ("root", arguments);
    loop {
        match rest {
            ["-n" | "-H", more @ ..] => rest = more,
            ["-u", name, more @ ..] => (user, rest) = (*name, more),
            _ => return (user, rest),
        }
    }
}

/// One of the scripts, with its arguments.
pub(crate) enum Script {
    /// Deployment: MD5 and directory.
    Deploy(Option<String>, Option<String>),
    /// The exit watch.
    Watch,
    /// The check of the runners' user: who that is.
    User(Option<String>),
    /// A marker that nobody knows.
    Unknown,
}

/// The script that these words start.
pub(crate) fn of(words: &[String]) -> Option<Script> {
    let [shell, flag, script, rest @ ..] = words else {
        return None;
    };
    let marker = script.lines().next()?.strip_prefix(MARKER)?;
    if shell != "sh" || flag != "-c" {
        return None;
    }
    Some(match marker {
        "deploy v1" => Script::Deploy(rest.get(1).cloned(), rest.get(2).cloned()),
        "watch v1" => Script::Watch,
        "user v1" => Script::User(rest.get(1).cloned()),
        _ => Script::Unknown,
    })
}

impl Script {
    pub(crate) fn run(&self, shell: &mut Shell<'_, '_>, stdin: &[u8]) -> Outcome {
        match self {
            Script::Deploy(Some(md5), Some(directory)) => deploy(shell, md5, directory, stdin),
            Script::Deploy(..) => {
                Outcome::failed(2, "arvados-dispatch-deploy: an argument is missing")
            }
            // As a whole command line it is a line channel of the world's; here, its standard input has ended.
            Script::Watch => Outcome::default(),
            Script::User(user) => check_user(shell, user.as_deref().unwrap_or_default()),
            Script::Unknown => {
                Outcome::failed(127, "sh: an arvados-dispatch script of an unknown version")
            }
        }
    }
}

/// What the check of the runners' user says.
fn check_user(shell: &Shell<'_, '_>, user: &str) -> Outcome {
    let me = &shell.user;
    let owner = shell.vm.lock_owner.as_deref();
    if me != user {
        return Outcome::failed(4, format!("this runs as {me} and not as {user}"));
    }
    if owner.is_some_and(|owner| owner != user) {
        let file = "/var/lock/crunch-run-all.lock";
        return Outcome::failed(4, format!("{file} belongs to another user than {user}"));
    }
    if !shell.may_use_docker() {
        return Outcome::failed(4, format!("{user} may not use /var/run/docker.sock"));
    }
    Outcome::default()
}

/// The effects of the deployment script, in its order.
fn deploy(shell: &mut Shell<'_, '_>, md5: &str, directory: &str, stdin: &[u8]) -> Outcome {
    let digits = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let absolute = directory.starts_with('/') && !directory.ends_with('/');
    if md5.len() != 32 || !md5.chars().all(digits) || !absolute {
        return Outcome::failed(2, "arvados-dispatch-deploy: malformed argument");
    }
    if shell.vm.ailment == Ailment::RunnerMissing {
        return Outcome::failed(
            1,
            format!("mkdir: cannot create directory '{directory}': Read-only file system"),
        );
    }
    if !shell.is_root()
        && !directory.starts_with("/tmp/")
        && !directory.starts_with("/home/crunch/")
    {
        return Outcome::failed(
            1,
            format!("mkdir: cannot create directory '{directory}': Permission denied"),
        );
    }
    shell.vm.files.make_directory(directory, 0o755);
    shell.vm.files.chmod(directory, 0o755);
    let path = format!("{directory}/crunch-run~{md5}");
    if shell
        .vm
        .files
        .get(&path)
        .is_some_and(|file| file.md5 == md5)
    {
        shell.vm.files.chmod(&path, 0o755);
        return Outcome::default();
    }
    let arrived = hex::encode(Md5::digest(stdin));
    if arrived != md5 {
        return Outcome::failed(
            3,
            format!("arvados-dispatch-deploy: the copy has MD5 {arrived}, not {md5}"),
        );
    }
    shell.vm.files.put(&path, File::new(0o755, stdin));
    Outcome::default()
}
