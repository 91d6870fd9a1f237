//! Parameters of a request: from the query, a form or a JSON body (facts §2.1).

use serde_json::{Map, Value};

use super::{ApiRequest, Refusal, refuse};

/// A request's verb after any override, and its parameters.
pub(crate) struct Call {
    /// The effective method.
    pub(crate) verb: String,
    /// Whether the verb was changed by the override header; the controller's federation check does not see that.
    pub(crate) overridden: bool,
    params: Map<String, Value>,
    attributes_at_top: bool,
}

impl Call {
    pub(crate) fn of(request: &ApiRequest) -> Result<Call, Refusal> {
        let mut params = Map::new();
        for (key, value) in decode(&request.query) {
            params.insert(key, Value::String(value));
        }
        let content_type = request
            .headers
            .get("content-type")
            .map(String::as_str)
            .unwrap_or_default();
        let json = content_type.starts_with("application/json");
        if json && !request.body.is_empty() {
            match serde_json::from_slice(&request.body) {
                Ok(Value::Object(body)) => params.extend(body),
                _ => return refuse(400, "malformed JSON body"),
            }
        } else if !request.body.is_empty() {
            let Ok(text) = std::str::from_utf8(&request.body) else {
                return refuse(400, "malformed form body");
            };
            for (key, value) in decode(text) {
                params.insert(key, Value::String(value));
            }
        }
        let header = request
            .headers
            .get("x-http-method-override")
            .filter(|_| request.method == "POST");
        let field = params
            .remove("_method")
            .and_then(|v| v.as_str().map(str::to_owned))
            .filter(|_| request.method == "POST");
        Ok(Call {
            verb: header
                .cloned()
                .or(field)
                .unwrap_or_else(|| request.method.clone())
                .to_uppercase(),
            overridden: header.is_some(),
            params,
            attributes_at_top: json,
        })
    }

    /// A parameter as text; numbers and lists of a JSON body become text as well.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.params.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// A parameter that holds JSON.
    pub(crate) fn json(&self, name: &str) -> Result<Option<Value>, Refusal> {
        match self.params.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => match serde_json::from_str(text) {
                Ok(value) => Ok(Some(value)),
                Err(_) => refuse(422, format!("invalid JSON in {name}")),
            },
            Some(value) => Ok(Some(value.clone())),
        }
    }

    /// The attributes to set: `container` as an object or as JSON text, or all of a JSON body.
    pub(crate) fn container_attributes(&self) -> Result<Map<String, Value>, Refusal> {
        match self.json("container")? {
            Some(Value::Object(attributes)) => Ok(attributes),
            Some(_) => refuse(422, "container must be an object"),
            None if self.attributes_at_top => {
                let mut attributes = self.params.clone();
                attributes.remove("select");
                Ok(attributes)
            }
            None => Ok(Map::new()),
        }
    }
}

/// Decodes `a=b&c=d`.
pub(crate) fn decode(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(key), unescape(value))
        })
        .collect()
}

/// Encodes `a=b&c=d`.
pub(crate) fn encode(params: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = params
        .iter()
        .map(|(key, value)| format!("{}={}", escape(key), escape(value)))
        .collect();
    pairs.join("&")
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (byte, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some(decoded)) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            (byte, _) => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            b' ' => "+".into(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_survive_a_round_trip() {
        let params = [
            ("filters", "[[\"a\",\"=\",\"b c+d&e%\"]]"),
            ("count", "none"),
        ];
        let decoded = decode(&encode(&params));
        let expected: Vec<(String, String)> = params
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        assert_eq!(decoded, expected);
    }

    #[test]
    fn broken_escapes_are_taken_as_they_are() {
        assert_eq!(unescape("100%"), "100%");
        assert_eq!(unescape("%zz%4"), "%zz%4");
    }
}
