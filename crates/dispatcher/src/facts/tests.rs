//! What the log says of instances, and what is counted of those that go.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use dispatch_model::{IdleBehavior, WorkerId, WorkerState};
use dispatch_worker::Failure;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::*;

/// A log in memory: each line's message and fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Line>>>);

#[derive(Clone, Default)]
struct Line {
    level: String,
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line {
            level: event.metadata().level().to_string(),
            ..Line::default()
        };
        event.record(&mut line);
        self.0.lock().expect("no panic").push(line);
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            name => self.fields.push((name, value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Line {
    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What is logged meanwhile.
fn logged(run: impl FnOnce()) -> Vec<Line> {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), run);
    log.0.lock().expect("no panic").clone()
}

/// Reports this news of one worker; the lines, and the metrics afterwards.
fn reported(instance: Option<&str>, all_news: &[WorkerNews]) -> (Vec<Line>, String) {
    let reporter = Reporter {
        metrics: Arc::new(Metrics::new()),
        clock: Clock::start(),
    };
    reported_by(&reporter, instance, all_news)
}

fn reported_by(
    reporter: &Reporter,
    instance: Option<&str>,
    all_news: &[WorkerNews],
) -> (Vec<Line>, String) {
    let about = About {
        worker: WorkerId(7),
        instance: instance.map(Into::into),
        instance_type: "small".into(),
        address: Some("10.0.0.7".to_owned()),
    };
    let lines = logged(|| {
        for news in all_news {
            let about = about.clone();
            let news = news.clone();
            reporter.report(&Fact::Pool(dispatch_worker::Fact::Worker { about, news }));
        }
    });
    (lines, reporter.metrics.render())
}

fn took() -> Duration {
    Duration::from_secs(3)
}

fn failure() -> Failure {
    Failure {
        class: CloudErrorClass::Refused,
        message: "no such image".to_owned(),
    }
}

#[test]
fn an_instance_counts_as_created_only_when_the_cloud_has_accepted_it() {
    let messages = |instance, news: &[WorkerNews]| -> Vec<String> {
        let (lines, _) = reported(instance, news);
        lines.into_iter().map(|line| line.message).collect()
    };
    let failed = WorkerNews::CreateFailed {
        class: CloudErrorClass::Refused,
        message: "no such image".to_owned(),
        took: took(),
    };
    assert_eq!(
        messages(None, &[WorkerNews::Ordered, failed]),
        ["instance ordered", "instance could not be created"]
    );
    assert_eq!(
        messages(Some("i-7"), &[WorkerNews::Created { took: took() }]),
        ["instance created"]
    );
}

#[test]
fn a_creation_that_no_list_has_shown_counts_as_failed_with_all_its_time() {
    let news = [
        WorkerNews::CreateUnsure {
            message: "no answer".to_owned(),
        },
        WorkerNews::CreateFailed {
            class: CloudErrorClass::OutcomeUnknown,
            message: "no list has shown its instance".to_owned(),
            took: Duration::from_secs(620),
        },
    ];
    let (lines, metrics) = reported(None, &news);
    assert_eq!(
        lines.last().map(|line| line.message.as_str()),
        Some("instance could not be created")
    );
    let labels = "{instance_type=\"small\",reason=\"unknown_outcome\"}";
    for (name, value) in [("create_failed", 1), ("create_failed_seconds", 620)] {
        let line = format!("arvados_dispatchcloud_instances_{name}{labels} {value}\n");
        assert!(metrics.contains(&line), "{line} is missing in\n{metrics}");
    }
}

#[test]
fn lines_about_an_instance_name_it_by_the_clouds_id() {
    let news = [
        WorkerNews::Created { took: took() },
        WorkerNews::Adopted {
            idle_behavior: IdleBehavior::Run,
            remark: None,
        },
        WorkerNews::State {
            from: WorkerState::Booting,
            to: WorkerState::Idle,
            reason: "passed its probes".to_owned(),
        },
        WorkerNews::BootEnded(BootOutcome::Failure),
        WorkerNews::Starting {
            container: "zzzzz-dz642-000000000000001".into(),
            gpus: vec![],
        },
        WorkerNews::Destroying,
        WorkerNews::DestroyFailed(failure()),
        WorkerNews::Gone {
            state: WorkerState::Idle,
            after_shutdown: None,
        },
    ];
    let (lines, _) = reported(Some("i-0123456789abcdef0"), &news);
    assert_eq!(lines.len(), news.len());
    for line in lines {
        let named = (
            line.field("Instance"),
            line.field("InstanceType"),
            line.field("Address"),
        );
        assert_eq!(
            named,
            (Some("i-0123456789abcdef0"), Some("small"), Some("10.0.0.7")),
            "{}",
            line.message
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_shows_how_long_to_wait_and_not_a_moment_of_our_clock() {
    let until = dispatch_model::Time::from_secs(1_000);
    let class = |class| WorkerNews::CreateFailed {
        class,
        message: "429".to_owned(),
        took: took(),
    };
    let news = [
        class(CloudErrorClass::RateLimited(until)),
        class(CloudErrorClass::Quota),
    ];
    let reporter = Reporter {
        metrics: Arc::new(Metrics::new()),
        clock: Clock::start(),
    };
    tokio::time::advance(Duration::from_secs(990)).await;
    let (lines, _) = reported_by(&reporter, None, &news);
    assert_eq!(lines[0].field("Class"), Some("RateLimited"));
    assert_eq!(lines[0].field("Wait"), Some("10.0"));
    assert_eq!(lines[1].field("Class"), Some("Quota"));
    assert_eq!(lines[1].field("Wait"), None);
}

#[test]
fn that_no_instances_are_created_is_a_warning_unless_the_daemon_is_stopping() {
    let level = |cause| {
        let reporter = Reporter {
            metrics: Arc::new(Metrics::new()),
            clock: Clock::start(),
        };
        let hold = dispatch_model::Hold {
            cause,
            until: None,
            detail: "words".to_owned(),
        };
        let news = PoolNews::HoldBegan {
            instance_type: None,
            hold,
        };
        let lines = logged(|| {
            reporter.report(&Fact::Pool(dispatch_worker::Fact::Pool(news.clone())));
        });
        lines[0].level.clone()
    };
    assert_eq!(level(HoldCause::Quota), "WARN");
    assert_eq!(level(HoldCause::Stopping), "INFO");
}

#[test]
fn the_time_of_a_shutdown_is_measured_only_where_a_destroy_was_asked_for() {
    const COUNT: &str =
        "arvados_dispatchcloud_instances_time_from_shutdown_request_to_disappearance_seconds_count";
    let count = |state, after_shutdown| -> f64 {
        let news = WorkerNews::Gone {
            state,
            after_shutdown,
        };
        let (_, metrics) = reported(Some("i-7"), &[news]);
        let line = metrics.lines().find(|line| line.starts_with(COUNT));
        let value = line.and_then(|line| line.rsplit(' ').next());
        value.expect("the metric").parse().expect("a number")
    };
    assert_eq!(count(WorkerState::Idle, None), 0.0, "it went by itself");
    assert_eq!(
        count(WorkerState::Shutdown, None),
        0.0,
        "it went before it was asked to"
    );
    assert_eq!(count(WorkerState::Shutdown, Some(took())), 1.0);
}
