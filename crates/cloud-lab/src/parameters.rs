//! What the driver is told under `Containers.CloudVMs.DriverParameters`.

use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

/// The parameters, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Parameters {
    pub(crate) endpoint: Url,
    pub(crate) admin_username: String,
    /// How long a creation may go unanswered.
    pub(crate) create_within: Duration,
}

impl Parameters {
    /// Reads them, or says everything that is wrong with them. Keys of other drivers are passed over.
    pub(crate) fn read(parameters: &Value) -> Result<Parameters, Vec<String>> {
        let mut problems = Vec::new();
        let endpoint = endpoint(&parameters["Endpoint"])
            .map_err(|problem| problems.push(problem))
            .ok();
        let admin_username = admin_username(&parameters["AdminUsername"])
            .map_err(|problem| problems.push(problem))
            .ok();
        let create_within = create_within(&parameters["CreateWithinSeconds"])
            .map_err(|problem| problems.push(problem))
            .ok();
        match (endpoint, admin_username, create_within) {
            (Some(endpoint), Some(admin_username), Some(create_within)) => Ok(Parameters {
                endpoint,
                admin_username,
                create_within,
            }),
            _ => Err(problems),
        }
    }
}

fn endpoint(value: &Value) -> Result<Url, String> {
    const KEY: &str = "DriverParameters.Endpoint";
    const REMEDY: &str =
        "set it to the URL that the lab prints when it starts, such as \"http://127.0.0.1:41234\"";
    let text = match value {
        Value::Null => return Err(format!("{KEY} is missing: {REMEDY}")),
        Value::String(text) => text,
        other => return Err(format!("{KEY} is {other}, which is not a string: {REMEDY}")),
    };
    let url = Url::parse(text)
        .map_err(|error| format!("{KEY} is {text:?}, which is not a URL ({error}): {REMEDY}"))?;
    let is_base = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || !is_base {
        return Err(format!(
            "{KEY} is {text:?}, which is not an http URL without a path: {REMEDY}"
        ));
    }
    Ok(url)
}

fn admin_username(value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Ok("crunch".to_owned()),
        Value::String(name) if !name.is_empty() && !name.contains(char::is_whitespace) => {
            Ok(name.clone())
        }
        other => Err(format!(
            "DriverParameters.AdminUsername is {other}, which is not a user's name: set it to \"crunch\" or \"root\", \
             or leave it out"
        )),
    }
}

/// Unless the parameter says otherwise, longer than the dispatcher waits.
fn create_within(value: &Value) -> Result<Duration, String> {
    const LONGEST: u64 = 900;
    match (value, value.as_u64()) {
        (Value::Null, _) => Ok(Duration::from_secs(LONGEST)),
        (_, Some(seconds @ 1..=LONGEST)) => Ok(Duration::from_secs(seconds)),
        (other, _) => Err(format!(
            "DriverParameters.CreateWithinSeconds is {other}: set it to a whole number of seconds from 1 to {LONGEST}, \
             or leave it out"
        )),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(parameters: Value, expected: Expect) {
        let seen = match Parameters::read(&parameters) {
            Ok(read) => format!(
                "{} as {}, creates in {:?}",
                read.endpoint, read.admin_username, read.create_within
            ),
            Err(problems) => problems.join("\n"),
        };
        expected.assert_eq(&seen);
    }

    #[test]
    fn the_endpoint_is_needed_and_the_rest_has_defaults() {
        check(
            json!({"Endpoint": "http://127.0.0.1:41234", "SubnetID": ["x"], "Region": ""}),
            expect!["http://127.0.0.1:41234/ as crunch, creates in 900s"],
        );
        check(
            json!({"Endpoint": "http://127.0.0.1:41234/", "AdminUsername": "root", "CreateWithinSeconds": 10}),
            expect!["http://127.0.0.1:41234/ as root, creates in 10s"],
        );
    }

    #[test]
    fn everything_wrong_is_named_with_its_remedy() {
        check(
            json!({"AdminUsername": ""}),
            expect![[r#"
                DriverParameters.Endpoint is missing: set it to the URL that the lab prints when it starts, such as "http://127.0.0.1:41234"
                DriverParameters.AdminUsername is "", which is not a user's name: set it to "crunch" or "root", or leave it out"#]],
        );
        check(
            json!({"Endpoint": "http://127.0.0.1:41234", "CreateWithinSeconds": 0}),
            expect![
                "DriverParameters.CreateWithinSeconds is 0: set it to a whole number of seconds from 1 to 900, or leave it out"
            ],
        );
        check(
            json!({"Endpoint": 41234}),
            expect![[
                r#"DriverParameters.Endpoint is 41234, which is not a string: set it to the URL that the lab prints when it starts, such as "http://127.0.0.1:41234""#
            ]],
        );
        for wrong in [
            "127.0.0.1:41234",
            "ftp://h/",
            "http://h/cloud",
            "http://h/?x=y",
        ] {
            let problems = Parameters::read(&json!({"Endpoint": wrong})).expect_err(wrong);
            assert!(
                problems.len() == 1 && problems[0].contains(wrong),
                "{problems:?}"
            );
        }
        assert!(Parameters::read(&Value::Null).is_err());
    }
}
