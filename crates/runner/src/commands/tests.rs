//! Command lines, compared with what the Go dispatcher was recorded to send.

use expect_test::expect;

use super::*;

const MD5: &str = "e344479d0a97f7ed2228c4ab04d54c9a";

fn recorded() -> RunnerCommands {
    RunnerCommands::new(
        &RunnerCommand::Deployed(DeployPath::new("/tmp/arvados-crunch-run", MD5)),
        &Login::new("crunch"),
        "docker",
        &[
            "--cgroup-parent-subsystem=memory".to_owned(),
            "--broken-node-hook=it's".to_owned(),
        ],
    )
}

#[test]
fn command_lines_are_those_that_were_recorded() {
    let commands = recorded();
    let container = ContainerId::from("zzzzz-dz642-000000000000001");
    let lines = [
        Login::new("crunch").secret_command(),
        DeployPath::new("/tmp/arvados-crunch-run", MD5).check_command(),
        commands.list(false),
        commands.list(true),
        commands.start(&container),
        commands.kill(&container, 15),
    ];
    expect![[r"
        sudo cat /var/run/arvados-instance-secret
        md5sum /tmp/arvados-crunch-run/crunch-run~e344479d0a97f7ed2228c4ab04d54c9a
        sudo /tmp/arvados-crunch-run/crunch-run~e344479d0a97f7ed2228c4ab04d54c9a --list
        sudo /tmp/arvados-crunch-run/crunch-run~e344479d0a97f7ed2228c4ab04d54c9a --list --stdin-prices
        sudo /tmp/arvados-crunch-run/crunch-run~e344479d0a97f7ed2228c4ab04d54c9a --detach --stdin-config '--runtime-engine=docker' '--cgroup-parent-subsystem=memory' '--broken-node-hook=it'\''s' 'zzzzz-dz642-000000000000001'
        sudo /tmp/arvados-crunch-run/crunch-run~e344479d0a97f7ed2228c4ab04d54c9a --kill 15 zzzzz-dz642-000000000000001"]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn root_needs_no_sudo_and_an_installed_runner_is_called_as_configured() {
    let commands = RunnerCommands::new(
        &RunnerCommand::Installed("/opt/wrapper --x crunch-run".to_owned()),
        &Login::new("root"),
        "singularity",
        &[],
    );
    let lines = [
        Login::new("root").secret_command(),
        commands.list(false),
        commands.start(&ContainerId::from("c1")),
        commands.kill(&ContainerId::from("c1; reboot"), 9),
    ];
    expect![[r"
        cat /var/run/arvados-instance-secret
        /opt/wrapper --x crunch-run --list
        /opt/wrapper --x crunch-run --detach --stdin-config '--runtime-engine=singularity' 'c1'
        /opt/wrapper --x crunch-run --kill 9 'c1; reboot'"]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn runners_of_another_user_are_called_as_that_user_and_only_the_secret_as_root() {
    let check = |login: &str, user: &str, expect: expect_test::Expect| {
        let login = Login::new(login).with_runner(UserName::parse(user));
        let installed = RunnerCommand::Installed("crunch-run".to_owned());
        let commands = RunnerCommands::new(&installed, &login, "docker", &[]);
        let path = DeployPath::new("/d", MD5);
        let script = |line: String| {
            let (before, _) = line.split_once("sh -c").expect("a script");
            format!("{before}sh -c …")
        };
        let lines = [
            login.secret_command(),
            commands.list(true),
            commands.start(&ContainerId::from("c1")),
            commands.kill(&ContainerId::from("c1"), 15),
            script(crate::deploy_script(&login, &path)),
            script(crate::watch_script(&login, "/var/lock")),
            crate::user_check_script(&login, "docker").map_or("-".to_owned(), script),
        ];
        expect.assert_eq(&lines.join("\n"));
    };
    check(
        "crunch",
        "worker",
        expect![[r#"
            sudo cat /var/run/arvados-instance-secret
            sudo -H -u worker crunch-run --list --stdin-prices
            sudo -H -u worker crunch-run --detach --stdin-config '--runtime-engine=docker' 'c1'
            sudo -H -u worker crunch-run --kill 15 c1
            sudo -H -u worker sh -c …
            sudo -H -u worker sh -c …
            sudo -H -u worker sh -c …"#]],
    );
    check(
        "crunch",
        "crunch",
        expect![[r#"
        sudo cat /var/run/arvados-instance-secret
        crunch-run --list --stdin-prices
        crunch-run --detach --stdin-config '--runtime-engine=docker' 'c1'
        crunch-run --kill 15 c1
        sh -c …
        sh -c …
        sh -c …"#]],
    );
    check(
        "root",
        "worker",
        expect![[r#"
        cat /var/run/arvados-instance-secret
        sudo -H -u worker crunch-run --list --stdin-prices
        sudo -H -u worker crunch-run --detach --stdin-config '--runtime-engine=docker' 'c1'
        sudo -H -u worker crunch-run --kill 15 c1
        sudo -H -u worker sh -c …
        sudo -H -u worker sh -c …
        sudo -H -u worker sh -c …"#]],
    );
    check(
        "crunch",
        "root",
        expect![[r#"
        sudo cat /var/run/arvados-instance-secret
        sudo crunch-run --list --stdin-prices
        sudo crunch-run --detach --stdin-config '--runtime-engine=docker' 'c1'
        sudo crunch-run --kill 15 c1
        sudo sh -c …
        sudo sh -c …
        -"#]],
    );
}

#[test]
fn the_boot_probe_is_sent_as_it_is_and_true_if_there_is_none() {
    assert_eq!(
        boot_probe("systemctl is-system-running"),
        "systemctl is-system-running"
    );
    assert_eq!(boot_probe(""), "true");
    assert_eq!(boot_probe("  "), "true");
}

#[test]
fn the_secret_must_be_shown_exactly() {
    let secret = InstanceSecret::new("5c9759");
    assert!(Login::shows_secret(b"5c9759", &secret));
    for wrong in [&b"5c9759\n"[..], b"5c975", b"", b"5c9758", b" 5c9759"] {
        assert!(!Login::shows_secret(wrong, &secret), "{wrong:?}");
    }
    assert!(
        !Login::shows_secret(b"", &InstanceSecret::new("")),
        "an empty secret proves nothing"
    );
}

#[test]
fn the_binary_is_in_place_only_if_md5sum_says_exactly_so() {
    let path = DeployPath::new("/tmp/x//", MD5);
    let right = format!("{MD5}  /tmp/x/crunch-run~{MD5}\n");
    assert!(path.check_passed(right.as_bytes(), b""));
    assert!(!path.check_passed(right.as_bytes(), b"warning\n"));
    assert!(!path.check_passed(right.trim_end().as_bytes(), b""));
    assert!(!path.check_passed(right.replacen('e', "f", 1).as_bytes(), b""));
    assert!(!path.check_passed(b"", b""));
}

#[test]
fn a_directory_with_a_blank_is_quoted() {
    let path = DeployPath::new("/opt/my dir", MD5);
    assert_eq!(
        path.check_command(),
        format!("md5sum '/opt/my dir/crunch-run~{MD5}'")
    );
}
