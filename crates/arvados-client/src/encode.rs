//! How parameters travel: encoded as a form, in the query or in the body (facts §2.1).

use serde_json::Value;

/// From this encoded length on, a GET becomes a POST with an override header: longer URLs trip proxies (facts Q24).
pub(crate) const QUERY_LENGTH_MAX: usize = 1000;

/// One call's parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(&'static str, Value)>);

impl Params {
    pub(crate) fn new() -> Params {
        Params::default()
    }

    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Params {
        self.0.push((key, value.into()));
        self
    }

    /// Keys sorted; text verbatim, numbers decimal, `true` as such, `false` and null left out (facts Q25), lists and
    /// objects as compact JSON; percent-encoded with `+` for spaces.
    pub(crate) fn encoded(&self) -> String {
        let mut fields: Vec<(&str, String)> = self
            .0
            .iter()
            .filter_map(|(key, value)| Some((*key, text(value)?)))
            .collect();
        fields.sort();
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish()
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) => Some("true".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_encoded_as_the_api_reads_them() {
        for (params, expected) in [
            (Params::new(), ""),
            (
                Params::new()
                    .with("order", "priority desc")
                    .with("limit", 1000),
                "limit=1000&order=priority+desc",
            ),
            // A false would be read as true (facts Q25).
            (
                Params::new()
                    .with("a", false)
                    .with("b", true)
                    .with("c", Value::Null),
                "b=true",
            ),
            // Priorities have more digits than a float can hold (facts Q26).
            (
                Params::new().with("priority", 1_125_899_906_842_624_001_i64),
                "priority=1125899906842624001",
            ),
            (
                Params::new().with("filters", json!([["priority", ">", "0"]])),
                "filters=%5B%5B%22priority%22%2C%22%3E%22%2C%220%22%5D%5D",
            ),
            (
                Params::new().with("container", json!({"state": "Cancelled"})),
                "container=%7B%22state%22%3A%22Cancelled%22%7D",
            ),
        ] {
            assert_eq!(params.encoded(), expected);
        }
    }
}
