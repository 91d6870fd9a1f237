//! The form of the log: what Arvados' services write, to standard error (facts §2.6).

use std::{fmt, io, process};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::outlet::{LogGuard, Outlet};

/// How to log.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// "error", "warn", "info", "debug" or "trace".
    pub level: String,
    /// One JSON object a line, or text for people.
    pub json: bool,
    /// On every line.
    pub cluster_id: String,
}

/// Logging cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("logging cannot be set up: {0}")]
pub struct LogError(String);

/// Logs to standard error from now on, until the guard is dropped. Libraries below us are heard only when something is
/// wrong with them.
pub fn init_logging(settings: &LogSettings) -> Result<LogGuard, LogError> {
    let quiet = "hyper=warn,hyper_util=warn,reqwest=warn,h2=warn,rustls=warn,aws_config=warn,aws_smithy_runtime=warn";
    let filter = EnvFilter::try_new(format!("{},{quiet}", settings.level))
        .map_err(|e| LogError(e.to_string()))?;
    let (outlet, guard) = Outlet::start(io::stderr()).map_err(|e| LogError(e.to_string()))?;
    let form = Form {
        outlet: outlet.clone(),
        json: settings.json,
        cluster_id: settings.cluster_id.clone(),
        pid: process::id(),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || outlet.clone())
        // It would complain on standard error about standard error, and panic if that is closed.
        .log_internal_errors(false)
        .event_format(form)
        .finish();
    tracing::subscriber::set_global_default(subscriber).map_err(|e| LogError(e.to_string()))?;
    Ok(guard)
}

struct Form {
    outlet: Outlet,
    json: bool,
    cluster_id: String,
    pid: u32,
}

impl<S, N> FormatEvent<S, N> for Form
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "dates the log's lines")]
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = Timestamp::now();
        let lost = self.outlet.take_lost();
        if lost > 0 {
            let message =
                format!("{lost} lines of the log found no room, because nobody took them");
            let note = Fields {
                message,
                others: Map::new(),
            };
            writeln!(writer, "{}", self.line(Level::WARN, note, now))?;
        }
        let line = self.line(*event.metadata().level(), fields, now);
        writeln!(writer, "{line}")
    }
}

impl Form {
    fn line(&self, level: Level, fields: Fields, now: Timestamp) -> String {
        let level = match level {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        let time = format!("{now:.9}");
        if self.json {
            let mut line = Map::new();
            line.insert("ClusterID".to_owned(), json!(self.cluster_id));
            line.insert("PID".to_owned(), json!(self.pid));
            line.extend(fields.others);
            line.insert("level".to_owned(), json!(level));
            line.insert("msg".to_owned(), json!(fields.message));
            line.insert("time".to_owned(), json!(time));
            Value::Object(line).to_string()
        } else {
            let mut line = format!("{time} {level:<7} {}", fields.message);
            for (key, value) in fields.others {
                match value {
                    Value::String(text) if text.is_empty() => {}
                    Value::String(text) if !text.contains([' ', '"', '\n']) => {
                        line += &format!(" {key}={text}")
                    }
                    value => line += &format!(" {key}={value}"),
                }
            }
            line
        }
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
        } else {
            self.others.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_arvados_services_write() {
        let at: Timestamp = "2026-11-22T11:31:25.9Z".parse().expect("a time");
        let fields = || {
            let mut others = Map::new();
            others.insert(
                "ContainerUUID".to_owned(),
                json!("zzzzz-dz642-000000000000001"),
            );
            others.insert("Reason".to_owned(), json!("two words"));
            others.insert("Instance".to_owned(), json!(""));
            Fields {
                message: "starting container".to_owned(),
                others,
            }
        };
        let form = |json| Form {
            outlet: Outlet::default(),
            json,
            cluster_id: "zzzzz".to_owned(),
            pid: 7,
        };
        assert_eq!(
            form(true).line(Level::WARN, fields(), at),
            r#"{"ClusterID":"zzzzz","PID":7,"ContainerUUID":"zzzzz-dz642-000000000000001","Reason":"two words","Instance":"","level":"warning","msg":"starting container","time":"2026-11-22T11:31:25.900000000Z"}"#
        );
        assert_eq!(
            form(false).line(Level::INFO, fields(), at),
            r#"2026-11-22T11:31:25.900000000Z info    starting container ContainerUUID=zzzzz-dz642-000000000000001 Reason="two words""#
        );
    }
}
