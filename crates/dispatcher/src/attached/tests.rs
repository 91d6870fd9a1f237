//! What the pool orders when it learns something of an instance, down to the connection.

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use dispatch_cloud::exec::{Command, ExecError, Lines, Output};
use dispatch_runner::{Login, RunnerCommand};
use dispatch_worker::{Action, Event, ListedInstance};

use super::*;
use crate::{as_user::CommandLines, test_pool};

/// What has become of the connections that were made, in order: "address secret", or "closed".
#[derive(Default)]
struct Fake(Mutex<Vec<Arc<Mutex<String>>>>);

struct FakeConnection {
    secret: String,
    state: Arc<Mutex<String>>,
}

impl Fake {
    fn states(&self) -> Vec<String> {
        let made = self.0.lock().expect("no panic");
        made.iter()
            .map(|one| one.lock().expect("no panic").clone())
            .collect()
    }
}

impl Executor for Fake {
    fn connection(&self, target: Target) -> Arc<dyn Connection> {
        let secret = target.secret.as_ref();
        let connection = FakeConnection {
            secret: secret
                .map_or("nothing", |secret| secret.reveal())
                .to_owned(),
            state: Arc::default(),
        };
        connection.set_address(&target.address);
        self.0
            .lock()
            .expect("no panic")
            .push(Arc::clone(&connection.state));
        Arc::new(connection)
    }
}

#[async_trait]
impl Connection for FakeConnection {
    fn set_address(&self, address: &str) {
        *self.state.lock().expect("no panic") = format!("{address}, knows it by {}", self.secret);
    }

    async fn connect(&self, _: Duration) -> Result<(), ExecError> {
        unreachable!("nothing is looked at")
    }

    async fn run(&self, _: Command) -> Result<Output, ExecError> {
        unreachable!("nothing is run")
    }

    async fn upload(&self, _: Command) -> Result<Output, ExecError> {
        unreachable!("nothing is uploaded")
    }

    async fn lines(&self, _: &str, _: Duration) -> Result<Box<dyn Lines>, ExecError> {
        unreachable!("nothing is watched")
    }

    fn close(&self) {
        *self.state.lock().expect("no panic") = "closed".to_owned();
    }
}

/// An adopted instance that each list shows with this address and this secret: what has become of its connections.
#[track_caller]
fn check(lists: &[(&str, Option<&str>)], expected: &[&str]) {
    let fake = Fake::default();
    let mut all = BTreeMap::new();
    let lines = CommandLines {
        login: Login::new("crunch"),
        runner: RunnerCommand::Installed("crunch-run".to_owned()),
        engine: "docker".to_owned(),
        arguments: vec![],
    };
    let mut pool = test_pool::pool(None);
    let mut lists = lists.iter();
    let mut time = Time::ZERO;
    let mut event = Event::Tick;
    loop {
        let wall = jiff::Timestamp::UNIX_EPOCH;
        let effects = pool.handle(event, dispatch_model::Now { time, wall });
        let mut asked = None;
        for action in effects.actions {
            match action {
                Action::Attach {
                    worker,
                    instance,
                    address,
                    secret,
                    runner_user,
                } => {
                    let lines = Arc::new(lines.as_user(runner_user));
                    Attached::attach(&mut all, &fake, worker, instance, address, secret, lines);
                }
                Action::List { call, .. } => asked = Some(call),
                _ => {}
            }
        }
        event = match asked {
            None => {
                time = pool.deadline().expect("lists go on");
                Event::Tick
            }
            Some(call) => {
                let Some((address, secret)) = lists.next() else {
                    break;
                };
                let instance = ListedInstance {
                    id: "i-1".into(),
                    address: (*address).to_owned(),
                    provider_type: "m.small".to_owned(),
                    tags: test_pool::tags(*secret),
                };
                Event::Listed {
                    call,
                    result: Ok(vec![instance]),
                }
            }
        };
    }
    assert_eq!(fake.states(), expected);
}

#[test]
fn a_secret_that_a_later_list_shows_reaches_the_connection() {
    check(
        &[("10.0.0.1", None), ("10.0.0.1", Some("5ecret"))],
        &["closed", "10.0.0.1, knows it by 5ecret"],
    );
    check(
        &[("10.0.0.1", None), ("10.0.0.2", Some("5ecret"))],
        &["closed", "10.0.0.2, knows it by 5ecret"],
    );
}

#[test]
fn a_connection_that_knows_its_instance_moves_with_it_and_stays_when_the_tag_is_lost() {
    check(
        &[("10.0.0.1", Some("5ecret")), ("10.0.0.2", None)],
        &["10.0.0.2, knows it by 5ecret"],
    );
    check(
        &[("10.0.0.1", None), ("10.0.0.2", None)],
        &["10.0.0.2, knows it by nothing"],
    );
}
