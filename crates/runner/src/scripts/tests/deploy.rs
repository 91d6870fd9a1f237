//! Deployment: whole or not at all, whatever happens meanwhile (facts K24, K25, W28).

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use super::{deploy_script, eventually, root, shells, start, text};
use crate::{BinaryHash, DeployPath};

const BINARY: &[u8] = b"#!/bin/sh\necho the runner\n";

fn path_of(binary: &[u8], dir: &Path) -> DeployPath {
    let mut hash = BinaryHash::default();
    hash.update(binary);
    DeployPath::new(&text(dir), &hash.finish())
}

fn final_path(path: &DeployPath) -> PathBuf {
    PathBuf::from(path.to_string())
}

pub(super) fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").permissions().mode() & 0o7777
}

/// Deploys to `path`, feeding `stdin`.
fn deploy(shell: &str, path: &DeployPath, stdin: &[u8]) -> Output {
    let mut child = start(shell, &deploy_script(&root(), path));
    // A script that ends early closes the pipe, and that is its right.
    let _ = child.stdin.take().expect("a pipe").write_all(stdin);
    child.wait_with_output().expect("the script's end")
}

#[track_caller]
fn check_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert_eq!(output.stderr.is_empty(), code == 0, "{output:?}");
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("the directory")
        .map(|entry| text(Path::new(&entry.expect("an entry").file_name())))
        .collect();
    names.sort();
    names
}

#[test]
fn a_binary_is_deployed_executable_into_a_directory_made_for_it() {
    for shell in shells() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = path_of(BINARY, &temp.path().join("some/where else"));
        check_code(&deploy(shell, &path, BINARY), 0);
        assert_eq!(fs::read(final_path(&path)).expect("the binary"), BINARY);
        assert_eq!(mode(&final_path(&path)), 0o755);
        assert_eq!(mode(Path::new(path.directory())), 0o755);
        assert_eq!(names_in(Path::new(path.directory())).len(), 1);
        let check = Command::new("sh")
            .arg("-c")
            .arg(path.check_command())
            .output()
            .expect("md5sum");
        assert!(path.check_passed(&check.stdout, &check.stderr));
    }
}

#[test]
fn an_interrupted_copy_leaves_nothing_behind() {
    for shell in shells() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = path_of(BINARY, temp.path());
        check_code(&deploy(shell, &path, &BINARY[..10]), 3);
        check_code(&deploy(shell, &path, b""), 3);
        assert_eq!(names_in(temp.path()), Vec::<String>::new());
    }
}

#[test]
fn a_wrong_hash_leaves_what_was_there() {
    for shell in shells() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = path_of(BINARY, temp.path());
        fs::write(final_path(&path), "an older partial copy").expect("a file");
        check_code(&deploy(shell, &path, b"something else"), 3);
        assert_eq!(names_in(temp.path()).len(), 1);
        assert_eq!(
            fs::read_to_string(final_path(&path)).expect("the file"),
            "an older partial copy"
        );
    }
}

#[test]
fn a_signal_during_the_copy_leaves_nothing_behind() {
    for shell in shells() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = path_of(BINARY, temp.path());
        let line = deploy_script(&root(), &path);
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(line.replacen("sh -c", &format!("exec {shell} -c"), 1))
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(&BINARY[..10]).expect("the first part");
        eventually("a part has been copied", || {
            fs::read_dir(temp.path())
                .expect("the directory")
                .flatten()
                .any(|entry| entry.metadata().is_ok_and(|file| file.len() == 10))
        });
        let kill = Command::new("kill").arg(child.id().to_string()).status();
        assert!(kill.expect("kill").success());
        drop(stdin);
        assert_eq!(child.wait().expect("the end").code(), Some(143), "{shell}");
        assert_eq!(names_in(temp.path()), Vec::<String>::new());
    }
}

#[test]
fn a_complete_binary_is_never_replaced() {
    for shell in shells() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = path_of(BINARY, temp.path());
        let file = final_path(&path);
        check_code(&deploy(shell, &path, BINARY), 0);
        let before = fs::metadata(&file).expect("metadata").ino();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("chmod");
        check_code(&deploy(shell, &path, BINARY), 0);
        assert_eq!(fs::metadata(&file).expect("metadata").ino(), before);
        assert_eq!(mode(&file), 0o755);
    }
}

#[test]
fn a_running_file_with_wrong_content_is_replaced_beneath_its_process() {
    for shell in shells() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = path_of(BINARY, temp.path());
        fs::copy("/bin/sleep", final_path(&path)).expect("a copy of sleep");
        let mut running = Command::new("sh")
            .arg("-c")
            .arg("exec \"$0\" 600")
            .arg(final_path(&path))
            .spawn()
            .expect("sh");
        eventually("sleep runs", || {
            fs::read_link(format!("/proc/{}/exe", running.id()))
                .is_ok_and(|exe| exe == final_path(&path))
        });
        let output = deploy(shell, &path, BINARY);
        let still_running = running.try_wait().expect("its state").is_none();
        running.kill().expect("kill");
        running.wait().expect("its end");
        check_code(&output, 0);
        assert!(still_running);
        assert_eq!(fs::read(final_path(&path)).expect("the binary"), BINARY);
    }
}

#[test]
fn deployments_at_the_same_time_do_not_disturb_each_other() {
    let other: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    for shell in shells() {
        let temp = tempfile::tempdir().expect("a directory");
        std::thread::scope(|scope| {
            for n in 0..10 {
                let binary = if n % 2 == 0 { BINARY } else { &other[..] };
                let dir = temp.path();
                scope.spawn(move || {
                    let path = path_of(binary, dir);
                    if n % 5 == 4 {
                        let half = &binary[..binary.len() / 2];
                        check_code(&deploy(shell, &path, binary), 0);
                        let partial = path_of(b"another binary", dir);
                        check_code(&deploy(shell, &partial, half), 3);
                    } else {
                        check_code(&deploy(shell, &path, binary), 0);
                    }
                });
            }
        });
        assert_eq!(
            names_in(temp.path()).len(),
            2,
            "{:?}",
            names_in(temp.path())
        );
        for binary in [BINARY, &other[..]] {
            let path = final_path(&path_of(binary, temp.path()));
            assert!(fs::read(path).expect("the binary") == binary);
        }
    }
}

#[test]
fn a_link_in_the_place_of_the_binary_is_replaced_and_not_followed() {
    for shell in shells() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = path_of(BINARY, &temp.path().join("deploy"));
        fs::create_dir(path.directory()).expect("a directory");
        let victim = temp.path().join("victim");
        fs::write(&victim, "precious").expect("a file");
        symlink(&victim, final_path(&path)).expect("a link");
        check_code(&deploy(shell, &path, BINARY), 0);
        assert_eq!(fs::read_to_string(&victim).expect("the victim"), "precious");
        let file = fs::symlink_metadata(final_path(&path)).expect("metadata");
        assert!(file.is_file());
    }
}

#[test]
fn a_directory_in_the_place_of_the_binary_is_an_error() {
    for shell in shells() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = path_of(BINARY, temp.path());
        fs::create_dir(final_path(&path)).expect("a directory");
        check_code(&deploy(shell, &path, BINARY), 1);
        assert_eq!(names_in(temp.path()).len(), 1);
        assert_eq!(names_in(&final_path(&path)), Vec::<String>::new());
    }
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let temp = tempfile::tempdir().expect("a directory");
    let theirs = temp.path().join("theirs");
    fs::create_dir(&theirs).expect("a directory");
    // Only root can give a directory away; everybody else finds one of root's.
    let is_root = chown(&theirs, Some(12345), None).is_ok();
    let theirs = if is_root { theirs } else { "/usr".into() };
    let link = temp.path().join("link");
    symlink(&theirs, &link).expect("a link");
    for dir in [&theirs, &link] {
        let path = path_of(BINARY, dir);
        let output = deploy("sh", &path, BINARY);
        check_code(&output, 4);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains(path.directory()), "{words}");
        assert!(words.contains("DeployRunnerDirectory"), "{words}");
        assert!(!final_path(&path).exists());
    }
    if is_root {
        let ours = temp.path().join("ours");
        fs::create_dir(&ours).expect("a directory");
        let their_link = temp.path().join("their-link");
        symlink(&ours, &their_link).expect("a link");
        lchown(&their_link, Some(12345), None).expect("chown");
        check_code(&deploy("sh", &path_of(BINARY, &their_link), BINARY), 4);
        assert_eq!(names_in(&ours), Vec::<String>::new());
    }
}

#[test]
fn a_sticky_directory_keeps_its_mode_and_a_link_of_ours_is_followed() {
    let temp = tempfile::tempdir().expect("a directory");
    let sticky = temp.path().join("sticky");
    fs::create_dir(&sticky).expect("a directory");
    fs::set_permissions(&sticky, fs::Permissions::from_mode(0o1777)).expect("chmod");
    let link = temp.path().join("link");
    symlink(&sticky, &link).expect("a link");
    check_code(&deploy("sh", &path_of(BINARY, &link), BINARY), 0);
    assert_eq!(mode(&sticky), 0o1777);
    assert_eq!(names_in(&sticky).len(), 1);
}

#[test]
fn malformed_arguments_touch_nothing() {
    let temp = tempfile::tempdir().expect("a directory");
    let good = path_of(BINARY, &temp.path().join("d"));
    let line = deploy_script(&root(), &good);
    for (word, wrong) in [
        (good.md5(), "0123"),
        (good.md5(), "ABCDEFABCDEFABCDEFABCDEFABCDEFAB"),
        (good.directory(), "relative"),
        (good.directory(), "/"),
        (good.directory(), "/trailing/"),
    ] {
        let mut child = start("sh", &line.replace(word, wrong));
        drop(child.stdin.take());
        check_code(&child.wait_with_output().expect("the end"), 2);
    }
    assert_eq!(names_in(temp.path()), Vec::<String>::new());
}

#[test]
fn leftovers_of_killed_deployments_are_cleared_away_after_an_hour() {
    let temp = tempfile::tempdir().expect("a directory");
    let path = path_of(BINARY, temp.path());
    for (name, age) in [("old", "2 hours ago"), ("fresh", "1 minute ago")] {
        let name = format!(".crunch-run~{}.{name}", path.md5());
        let touch = Command::new("touch")
            .args(["-d", age])
            .arg(temp.path().join(name))
            .status();
        assert!(touch.expect("touch").success());
    }
    check_code(&deploy("sh", &path, BINARY), 0);
    let names = names_in(temp.path());
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].ends_with(".fresh"), "{names:?}");
}
