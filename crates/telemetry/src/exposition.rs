//! Prometheus' text form: what must not be in it, and the same as JSON.

use serde_json::{Map, Value, json};

use crate::catalog::{CATALOG, Kind};

/// Drops the quantiles of summaries that have none in Arvados (facts §4).
pub(crate) fn without_needless_quantiles(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        let needless = CATALOG.iter().any(|metric| {
            metric.kind == Kind::SummaryWithoutQuantiles
                && line
                    .strip_prefix(metric.name)
                    .is_some_and(|rest| rest.starts_with('{') && rest.contains("quantile="))
        });
        if !needless {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The same as an array of families: `{name, help, type, metric: [{label: [{name, value}], gauge|counter|summary}]}`.
pub(crate) fn to_json(text: &str) -> Value {
    let mut families: Vec<Family> = Vec::new();
    let mut help = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "gauge"));
            families.push(Family {
                name: name.to_owned(),
                help: help.to_owned(),
                kind: kind.to_owned(),
                metrics: vec![],
            });
            help = "";
        } else if let (Some(sample), Some(family)) = (Sample::parse(line), families.last_mut()) {
            family.add(sample);
        }
    }
    families.sort_by(|a, b| a.name.cmp(&b.name));
    Value::Array(families.into_iter().map(Family::into_json).collect())
}

/// Names and values, in the order of names.
type Labels = Vec<(String, String)>;

struct Family {
    name: String,
    help: String,
    kind: String,
    metrics: Vec<(Labels, Map<String, Value>)>,
}

impl Family {
    fn add(&mut self, sample: Sample) {
        let Sample {
            name,
            mut labels,
            value,
        } = sample;
        let quantile = labels
            .iter()
            .position(|(key, _)| key == "quantile")
            .map(|at| labels.remove(at).1);
        labels.sort();
        let at = self
            .metrics
            .iter()
            .position(|(known, _)| *known == labels)
            .unwrap_or_else(|| {
                self.metrics.push((labels, Map::new()));
                self.metrics.len() - 1
            });
        let body = &mut self.metrics[at].1;
        if self.kind != "summary" {
            body.insert("value".to_owned(), number(value));
        } else if name.ends_with("_sum") {
            body.insert("sampleSum".to_owned(), number(value));
        } else if name.ends_with("_count") {
            body.insert("sampleCount".to_owned(), json!(format!("{value}")));
        } else if let Some(quantile) = quantile {
            let quantile = quantile.parse::<f64>().unwrap_or(f64::NAN);
            let row = json!({ "quantile": number(quantile), "value": number(value) });
            if let Value::Array(rows) = body.entry("quantile").or_insert_with(|| json!([])) {
                rows.push(row);
            }
        }
    }

    fn into_json(self) -> Value {
        let kind = self.kind;
        let metrics: Vec<Value> = self
            .metrics
            .into_iter()
            .map(|(labels, body)| {
                let labels: Vec<Value> = labels
                    .into_iter()
                    .map(|(name, value)| json!({ "name": name, "value": value }))
                    .collect();
                let mut metric = Map::new();
                if !labels.is_empty() {
                    metric.insert("label".to_owned(), Value::Array(labels));
                }
                metric.insert(kind.clone(), Value::Object(body));
                Value::Object(metric)
            })
            .collect();
        json!({ "name": self.name, "help": self.help, "type": kind.to_uppercase(), "metric": metrics })
    }
}

/// What is not a number in JSON is a text there.
fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| json!(format!("{value}")), Value::Number)
}

struct Sample {
    name: String,
    labels: Labels,
    value: f64,
}

impl Sample {
    /// `name{key="value",…} 1.5`
    fn parse(line: &str) -> Option<Sample> {
        let (series, value) = line.rsplit_once(' ')?;
        let value = value.parse().ok()?;
        let (name, rest) = series.split_once('{').unwrap_or((series, ""));
        let mut labels = Vec::new();
        let mut rest = rest.trim_end_matches('}');
        while let Some((key, after)) = rest.split_once("=\"") {
            let end = closing_quote(after)?;
            labels.push((
                key.trim_start_matches(',').to_owned(),
                unescape(&after[..end]),
            ));
            rest = &after[end + 1..];
        }
        Some(Sample {
            name: name.to_owned(),
            labels,
            value,
        })
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })
}

fn unescape(text: &str) -> String {
    text.replace("\\\"", "\"")
        .replace("\\n", "\n")
        .replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn text_becomes_families() {
        let text = "# HELP a what a is\n# TYPE a counter\na{e=\"1\",o=\"x \\\"y\\\"\"} 2\na{e=\"0\",o=\"z\"} 0\n\n# TYPE s summary\ns{quantile=\"0.5\"} 1.5\ns_sum 3\ns_count 2\n";
        expect![[r#"[{"name":"a","help":"what a is","type":"COUNTER","metric":[{"label":[{"name":"e","value":"1"},{"name":"o","value":"x \"y\""}],"counter":{"value":2.0}},{"label":[{"name":"e","value":"0"},{"name":"o","value":"z"}],"counter":{"value":0.0}}]},{"name":"s","help":"","type":"SUMMARY","metric":[{"summary":{"quantile":[{"quantile":0.5,"value":1.5}],"sampleSum":3.0,"sampleCount":"2"}}]}]"#]]
            .assert_eq(&to_json(text).to_string());
    }
}
