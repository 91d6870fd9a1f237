//! The check of the runners' user, as the user who runs the tests.

use std::{fs, os::unix::fs::chown, path::PathBuf, process::Output};

use dispatch_model::UserName;

use super::*;

struct Bench {
    directory: tempfile::TempDir,
    me: String,
}

impl Bench {
    /// A machine on which everything is as it must be, with Docker.
    fn new() -> Bench {
        let output = Command::new("id").arg("-un").output().expect("id");
        let me = String::from_utf8(output.stdout).expect("text");
        let bench = Bench {
            directory: tempfile::tempdir().expect("a directory"),
            me: me.trim().to_owned(),
        };
        fs::create_dir(bench.path("lock")).expect("made");
        fs::write(bench.path("docker.sock"), "").expect("written");
        fs::write(bench.path("fuse.conf"), "# x\n  user_allow_other\n").expect("written");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, shell: &str, user: &str, engine: &str) -> Output {
        let words = ["lock", "fuse.conf"].map(|name| text(&self.path(name)));
        let line = shell::script_line("", USER, "n", &[user, engine, &words[0], &words[1]]);
        let line = line.strip_prefix("sh ").expect("a script");
        let docker_host = format!("unix://{}", text(&self.path("docker.sock")));
        Command::new("sh")
            .args(["-c", &format!("{shell} {line}")])
            .env("DOCKER_HOST", docker_host)
            .output()
            .expect("sh")
    }

    #[track_caller]
    fn check(&self, engine: &str, code: i32, complaint: &str) {
        for shell in shells() {
            let output = self.run(shell, &self.me, engine);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{shell}: {said}");
            assert!(said.contains(complaint), "{shell}: {said}");
            assert!(output.stdout.is_empty(), "{output:?}");
            let left = fs::read_dir(self.path("lock")).map_or(0, |left| {
                left.filter_map(Result::ok)
                    .filter(|left| left.file_name().to_string_lossy().starts_with('.'))
                    .count()
            });
            assert_eq!(left, 0, "{shell} leaves a file");
        }
    }
}

#[test]
fn a_user_who_may_use_everything_passes() {
    let bench = Bench::new();
    bench.check("docker", 0, "");
    // A file of its own, such as an earlier runner leaves.
    fs::write(bench.path("lock/crunch-run-all.lock"), "").expect("written");
    bench.check("docker", 0, "");
    fs::remove_file(bench.path("fuse.conf")).expect("removed");
    bench.check("an engine that nobody knows", 0, "");
}

#[test]
fn what_is_missing_is_told_with_its_remedy() {
    let bench = Bench::new();
    let other = bench.run("sh", "somebody-else", "docker");
    let said = String::from_utf8_lossy(&other.stderr);
    assert_eq!(other.status.code(), Some(4));
    assert!(said.contains("and not as somebody-else"), "{said}");

    fs::write(bench.path("fuse.conf"), "#user_allow_other\n").expect("written");
    bench.check("docker", 4, "has no line user_allow_other");

    fs::remove_file(bench.path("docker.sock")).expect("removed");
    bench.check("docker", 4, "docker.sock is missing: Docker does not run");

    let lock = bench.path("lock/crunch-run-all.lock");
    fs::write(&lock, "").expect("written");
    if chown(&lock, Some(54_321), None).is_err() {
        // Who is not root cannot give files away, but can point at root's.
        fs::remove_file(&lock).expect("removed");
        std::os::unix::fs::symlink("/etc/passwd", &lock).expect("linked");
    }
    bench.check("docker", 4, "belongs to another user");

    fs::remove_dir_all(bench.path("lock")).expect("removed");
    bench.check("docker", 4, "where runners keep their lock files");
}

#[test]
fn root_is_not_checked() {
    let crunch = Login::new("crunch");
    for user in [None, UserName::parse("root")] {
        assert_eq!(user_check_script(&crunch.with_runner(user), "docker"), None);
    }
    let line = user_check_script(&crunch.with_runner(UserName::parse("w")), "docker");
    let line = line.expect("a command");
    assert!(
        line.starts_with("sudo -H -u w sh -c ': arvados-dispatch user v1\n"),
        "{line}"
    );
    assert!(
        line.ends_with("' arvados-dispatch-user w docker /var/lock /etc/fuse.conf"),
        "{line}"
    );
}
