//! The watch against a connection whose other end is the test.

use std::sync::Mutex;

use async_trait::async_trait;
use dispatch_cloud::exec::{Command, Output};

use super::*;

/// Hands each channel that is opened to the test: what was written comes out, what is sent goes in.
struct Fake {
    opened: mpsc::Sender<Channel>,
    refuse: Mutex<Option<ExecError>>,
}

struct Channel {
    written: mpsc::Receiver<String>,
    lines: mpsc::Sender<String>,
}

struct FakeLines {
    written: mpsc::Sender<String>,
    lines: mpsc::Receiver<String>,
}

#[async_trait]
impl Connection for Fake {
    fn set_address(&self, _: &str) {}

    async fn connect(&self, _: Duration) -> Result<(), ExecError> {
        Ok(())
    }

    async fn run(&self, _: Command) -> Result<Output, ExecError> {
        unreachable!("the watch runs no commands")
    }

    async fn upload(&self, _: Command) -> Result<Output, ExecError> {
        unreachable!("the watch uploads nothing")
    }

    async fn lines(&self, command: &str, _: Duration) -> Result<Box<dyn Lines>, ExecError> {
        assert_eq!(command, "the script");
        if let Some(error) = self.refuse.lock().expect("not poisoned").take() {
            return Err(error);
        }
        let (written, reads) = mpsc::channel(16);
        let (sends, lines) = mpsc::channel(16);
        self.opened
            .try_send(Channel {
                written: reads,
                lines: sends,
            })
            .expect("the test listens");
        Ok(Box::new(FakeLines { written, lines }))
    }

    fn close(&self) {}
}

#[async_trait]
impl Lines for FakeLines {
    async fn write(&mut self, line: &str) -> Result<(), ExecError> {
        self.written
            .try_send(line.to_owned())
            .map_err(|_| ExecError::Disconnected("the test hung up".to_owned()))
    }

    async fn next(&mut self) -> Result<Option<String>, ExecError> {
        Ok(self.lines.recv().await)
    }
}

struct Rig {
    watch: ExitWatch,
    opened: mpsc::Receiver<Channel>,
    inputs: mpsc::Receiver<Input>,
}

fn rig(wanted: &[&str], refuse: Option<ExecError>) -> Rig {
    let (opened, opens) = mpsc::channel(16);
    let (sender, inputs) = mpsc::channel(8);
    let fake = Arc::new(Fake {
        opened,
        refuse: Mutex::new(refuse),
    });
    let watch = ExitWatch::start(
        WorkerId(1),
        set(wanted),
        fake,
        Arc::from("the script"),
        sender,
    );
    Rig {
        watch,
        opened: opens,
        inputs,
    }
}

fn set(ids: &[&str]) -> BTreeSet<ContainerId> {
    ids.iter().map(|id| ContainerId::from(*id)).collect()
}

async fn ended(rig: &mut Rig) -> String {
    match rig.inputs.recv().await {
        Some(Input::Pool(Event::Ended { container, .. })) => container.to_string(),
        other => panic!("not an end: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_end_is_told_once_and_a_container_that_comes_back_is_watched_anew() {
    let mut rig = rig(&["a", "b"], None);
    let mut channel = rig.opened.recv().await.expect("opened");
    assert_eq!(channel.written.recv().await.as_deref(), Some("a"));
    assert_eq!(channel.written.recv().await.as_deref(), Some("b"));
    for line in ["! flock: something odd", "nobody", "a", "a"] {
        channel.lines.try_send(line.to_owned()).expect("listening");
    }
    assert_eq!(ended(&mut rig).await, "a");
    assert!(rig.watch.set(set(&["b", "c"])));
    assert_eq!(
        channel.written.recv().await.as_deref(),
        Some("c"),
        "the same channel goes on"
    );
    assert!(rig.watch.set(set(&["a", "b", "c"])));
    assert_eq!(channel.written.recv().await.as_deref(), Some("a"));
    channel.lines.try_send("a".to_owned()).expect("listening");
    assert_eq!(ended(&mut rig).await, "a");
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_no_more_is_watched_no_more() {
    let mut rig = rig(&["a", "b"], None);
    let mut first = rig.opened.recv().await.expect("opened");
    assert_eq!(first.written.recv().await.as_deref(), Some("a"));
    assert!(rig.watch.set(set(&["b"])));
    let mut second = rig.opened.recv().await.expect("opened anew");
    assert_eq!(second.written.recv().await.as_deref(), Some("b"));
    assert!(
        first.lines.try_send("a".to_owned()).is_err(),
        "the first channel is closed"
    );
    assert!(rig.watch.set(set(&[])));
    while second.written.recv().await.is_some() {}
    assert!(
        rig.watch.set(set(&["c"])),
        "the watch lives on without a channel"
    );
    assert_eq!(
        rig.opened
            .recv()
            .await
            .expect("opened again")
            .written
            .recv()
            .await
            .as_deref(),
        Some("c")
    );
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_breaks_or_cannot_be_opened_is_told() {
    let mut broken = rig(&["a"], None);
    drop(broken.opened.recv().await.expect("opened"));
    assert!(matches!(
        broken.inputs.recv().await,
        Some(Input::Pool(Event::WatchLost {
            worker: WorkerId(1)
        }))
    ));
    let mut refused = rig(&["a"], Some(ExecError::NoAddress));
    assert!(matches!(
        refused.inputs.recv().await,
        Some(Input::Pool(Event::WatchLost { .. }))
    ));
    while refused.watch.set(set(&["b"])) {
        tokio::task::yield_now().await;
    }
}
