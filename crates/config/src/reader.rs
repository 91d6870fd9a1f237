//! Takes values out of the merged configuration, in which every known key is there and of its kind.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::{duration, mask, path::KeyPath, report::Report, schema};

pub(crate) struct Reader<'a> {
    tree: &'a Map<String, Value>,
    pub(crate) report: &'a mut Report,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(tree: &'a Map<String, Value>, report: &'a mut Report) -> Reader<'a> {
        Reader { tree, report }
    }

    pub(crate) fn value(&self, path: &str) -> &'a Value {
        at(self.tree, path)
    }

    pub(crate) fn section(&self, path: &str) -> &'a Map<String, Value> {
        self.value(path)
            .as_object()
            .expect("the merge lets only a section stand here")
    }

    pub(crate) fn text(&self, path: &str) -> &'a str {
        self.value(path)
            .as_str()
            .expect("the merge lets only a text stand here")
    }

    /// A text, unless it is empty.
    pub(crate) fn some_text(&self, path: &str) -> Option<String> {
        Some(self.text(path))
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    pub(crate) fn texts(&self, path: &str) -> Vec<String> {
        let items = self
            .value(path)
            .as_array()
            .expect("the merge lets only a list stand here");
        items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn flag(&self, path: &str) -> bool {
        self.value(path)
            .as_bool()
            .expect("the merge lets only true or false stand here")
    }

    pub(crate) fn count(&self, path: &str) -> u32 {
        let count = self
            .value(path)
            .as_u64()
            .expect("the merge lets only a count stand here");
        u32::try_from(count).expect("the merge lets only 32 bits stand here")
    }

    /// A count in which 0 means that there is no limit.
    pub(crate) fn limit(&self, path: &str) -> Option<u32> {
        Some(self.count(path)).filter(|limit| *limit > 0)
    }

    pub(crate) fn bytes(&self, path: &str) -> u64 {
        self.value(path)
            .as_u64()
            .expect("the merge lets only a size stand here")
    }

    /// A number that must not be negative.
    pub(crate) fn number(&mut self, path: &str) -> f64 {
        let number = self
            .value(path)
            .as_f64()
            .expect("the merge lets only a number stand here");
        if number < 0.0 {
            let value = Some(number.to_string());
            self.report.error(
                &KeyPath::dotted(path),
                value,
                "is negative",
                "write 0 or a positive number",
            );
        }
        number
    }

    /// A duration; what is not positive falls back to the default (facts §3.2).
    pub(crate) fn duration(&mut self, path: &str) -> Duration {
        if let Some(duration) = positive(self.value(path)) {
            return duration;
        }
        let default = schema::default_at(path).expect("a key of our tables");
        let (path, value) = (KeyPath::dotted(path), self.text(path));
        let default_text = default.as_str().unwrap_or_default();
        self.report.warning(
            &path,
            Some(mask::quoted(value)),
            format!("is not positive, so the default {default_text} is used"),
            "write a positive duration, or remove the key",
        );
        positive(default).expect("defaults of intervals and time-outs are positive")
    }

    /// A duration in which 0 means "never".
    pub(crate) fn some_duration(&self, path: &str) -> Option<Duration> {
        positive(self.value(path))
    }
}

/// The value at a path that our tables name.
fn at<'a>(tree: &'a Map<String, Value>, path: &str) -> &'a Value {
    let (first, rest) = path
        .split_once('.')
        .map_or((path, None), |(first, rest)| (first, Some(rest)));
    let mut value = &tree[first];
    for key in rest.into_iter().flat_map(|rest| rest.split('.')) {
        value = &value[key];
    }
    value
}

fn positive(value: &Value) -> Option<Duration> {
    let nanos = duration::parse(value.as_str()?).ok()?;
    u64::try_from(nanos)
        .ok()
        .filter(|nanos| *nanos > 0)
        .map(Duration::from_nanos)
}
