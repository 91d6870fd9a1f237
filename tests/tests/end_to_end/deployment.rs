//! The runner's program on its way to instances (facts K25).

use std::collections::BTreeSet;

use dispatch_lab_net::Heard;

use crate::support::{Rig, container};

/// The words of what a shell is told.
fn commands(rig: &Rig) -> Vec<(String, String, usize)> {
    let heard = rig.lab.heard().into_iter();
    heard
        .filter_map(|heard| match heard {
            Heard::Command {
                address,
                line,
                stdin,
                ..
            } => Some((address, line, stdin.len())),
            Heard::Api(_) | Heard::Cloud(_) => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_replaced_on_disk_changes_nothing_until_the_next_start() {
    let files = tempfile::tempdir().expect("a directory");
    let runner = files.path().join("crunch-run");
    std::fs::write(&runner, "the old program\n".repeat(5000)).expect("written");
    let path = runner.display().to_string();
    let mut rig = Rig::start(|order| order.lab.config.deploy_runner_binary = path).await;
    rig.lab.overhear();
    rig.submit(&container(1, 100));
    rig.everything_completes().await;

    // As a package upgrade does it.
    let upgrade = files.path().join("upgrade");
    std::fs::write(&upgrade, "the new program\n".repeat(6000)).expect("written");
    std::fs::rename(&upgrade, &runner).expect("replaced");
    rig.submit(&container(1, 100));
    rig.everything_completes().await;
    let first_life = commands(&rig);
    let uploads = |commands: &[(String, String, usize)]| -> Vec<usize> {
        commands
            .iter()
            .map(|(_, _, n)| *n)
            .filter(|n| *n > 50_000)
            .collect()
    };
    assert_eq!(
        uploads(&first_life),
        [80_000, 80_000],
        "the old program, once for each machine"
    );
    assert_eq!(runners_called(&first_life).len(), 1, "one program");

    assert_eq!(rig.daemon.terminate().await.code(), Some(0));
    rig.start_again(|launch| launch).await;
    rig.submit(&container(1, 100));
    rig.everything_completes().await;
    let second_life = &commands(&rig)[first_life.len()..];
    assert_eq!(uploads(second_life), [96_000], "the new program");
    let (old, new) = (runners_called(&first_life), runners_called(second_life));
    assert!(new.len() == 1 && new.is_disjoint(&old), "{old:?} {new:?}");

    // No machine was told to run what it had not shown to be whole.
    let all = commands(&rig);
    for (index, (address, line, _)) in all.iter().enumerate() {
        if let Some(program) = runner_called(line) {
            let shown = all[..index].iter().any(|(at, line, _)| {
                at == address && line.contains("md5sum") && line.contains(&program)
            });
            assert!(shown, "{address} runs {program} unseen");
        }
    }
}

/// The deployed program that a command line calls.
fn runner_called(line: &str) -> Option<String> {
    let program = line
        .strip_prefix("sudo ")
        .unwrap_or(line)
        .split(' ')
        .next()?;
    program.contains("/crunch-run~").then(|| program.to_owned())
}

fn runners_called(commands: &[(String, String, usize)]) -> BTreeSet<String> {
    commands
        .iter()
        .filter_map(|(_, line, _)| runner_called(line))
        .collect()
}
