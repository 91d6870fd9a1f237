//! The instance across creates, destroys and restarts of the dispatcher.

use super::*;

async fn list(set: &LoopbackSet) -> Vec<Instance> {
    set.list(&Tags::new()).await.expect("a list")
}

#[tokio::test]
async fn a_second_create_meets_the_quota_and_destroy_frees_the_place() {
    let host = Host::new();
    let set = host.open();
    let first = set.create(order("a")).await.expect("the first");
    let repeated = set.create(order("a")).await.expect("the first again");
    assert_eq!(repeated, first);
    let refused = set.create(order("b")).await.expect_err("one too many");
    assert_eq!(refused.class, CloudErrorClass::Quota);
    set.destroy(&first.id).await.expect("destroyed");
    let second = set.create(order("b")).await.expect("the second");
    assert_ne!(
        second.id, first.id,
        "the dispatcher must not take it for the first"
    );
}

#[tokio::test]
async fn a_marker_of_an_earlier_instance_is_removed_at_create() {
    let host = Host::new();
    let set = host.open();
    fs::write(host.marker(), "").expect("a marker");
    set.create(order("a")).await.expect("an instance");
    assert!(!host.marker().exists());
}

#[tokio::test]
async fn a_restarted_dispatcher_finds_the_instance_with_its_tags_and_processes() {
    let host = Host::new();
    let before = host.open();
    let made = before.create(order("a")).await.expect("an instance");
    let held: Tags = [("ArvadosIdleBehavior".to_owned(), "hold".to_owned())].into();
    before.set_tags(&made.id, &held).await.expect("tags set");
    let runner = "setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $!";
    let started = connection(&before, "a")
        .run(command(runner))
        .await
        .expect("started");
    let pid = String::from_utf8_lossy(&started.stdout).trim().to_owned();
    drop(before);

    let after = host.open();
    let found = list(&after).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id, made.id);
    assert_eq!(found[0].tags["ArvadosIdleBehavior"], "hold");
    assert_eq!(found[0].tags["ArvadosInstanceSecret"], "a");
    let alive = connection(&after, "a")
        .run(command(&format!("kill -0 {pid}")))
        .await;
    assert!(
        alive.expect("an answer").success(),
        "the runner outlived the restart"
    );

    after.destroy(&made.id).await.expect("destroyed");
    assert_eq!(list(&after).await, []);
    assert!(has_ended(&pid));
}

#[tokio::test]
async fn runners_that_do_not_stop_are_killed_when_the_destroy_is_repeated() {
    let host = Host::new();
    let set = host.open();
    let made = set.create(order("a")).await.expect("an instance");
    let stubborn = "setsid sh -c 'trap \"\" TERM; echo $$; exec >/dev/null 2>&1; while :; do sleep 1; done' </dev/null & wait";
    let mut lines = connection(&set, "a")
        .lines(stubborn, PATIENCE)
        .await
        .expect("started");
    let pid = lines.next().await.expect("a line").expect("its number");
    drop(lines);

    set.destroy(&made.id).await.expect("told to go");
    assert_eq!(
        list(&set).await.len(),
        1,
        "it keeps its place while something of it is there"
    );
    let refused = set.create(order("b")).await.expect_err("no room");
    assert_eq!(refused.class, CloudErrorClass::Quota);
    let error = connection(&set, "a")
        .run(command("true"))
        .await
        .expect_err("no more work");
    assert!(error.did_not_run(), "{error}");

    set.destroy(&made.id).await.expect("destroyed");
    assert!(has_ended(&pid));
    assert_eq!(list(&set).await, []);
    set.create(order("b")).await.expect("room again");
}

#[tokio::test]
async fn clusters_on_one_host_do_not_see_each_other() {
    let host = Host::new();
    let ours = host.open();
    let paths = Paths {
        state_directory: host.state(),
        lock_directory: host.locks(),
    };
    let theirs = LoopbackSet::open(paths, &context("theirs")).expect("a set");
    let made = ours.create(order("a")).await.expect("ours");
    theirs.create(order("b")).await.expect("theirs");
    theirs.destroy(&made.id).await.expect("destroyed");
    assert_eq!(list(&ours).await, [made]);
}

#[tokio::test]
async fn an_unreadable_file_is_put_aside() {
    let host = Host::new();
    drop(host.open());
    fs::write(host.state_file(), "{\"n_created\": \"many\"").expect("damage");
    let set = host.open();
    assert_eq!(list(&set).await, []);
    assert!(host.state_file().with_extension("unreadable").exists());
    set.create(order("a")).await.expect("an instance");
}

#[tokio::test]
async fn the_secret_is_kept_from_other_users() {
    use std::os::unix::fs::PermissionsExt as _;
    let host = Host::new();
    host.open().create(order("a")).await.expect("an instance");
    let mode = |path: PathBuf| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(
        (mode(host.state_file()), mode(host.state())),
        (0o600, 0o700)
    );
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_an_error_with_the_remedy() {
    let host = Host::new();
    fs::write(host.state(), "a file in the way").expect("a file");
    let paths = Paths {
        state_directory: host.state(),
        lock_directory: host.locks(),
    };
    let error = LoopbackSet::open(paths, &context("ours")).expect_err("no directory");
    assert!(
        error.message.contains("DriverParameters.StateDirectory"),
        "{error}"
    );
}
