//! What the driver is told under `Containers.CloudVMs.DriverParameters` (facts §3.3, E15, E21).

use std::{collections::BTreeMap, fmt, time::Duration};

use serde_json::Value;

use crate::quota_group::QuotaGroups;

/// The parameters, checked.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Parameters {
    /// `None`: the default chain (environment, profile files, the host's role).
    pub(crate) keys: Option<Keys>,
    /// `None`: the default chain.
    pub(crate) region: Option<String>,
    pub(crate) security_groups: Vec<String>,
    /// Empty: EC2 chooses.
    pub(crate) subnets: Vec<String>,
    pub(crate) ebs_volume_type: String,
    pub(crate) instance_profile: Option<String>,
    /// How old prices may become. Zero: they are never looked up (facts E18).
    pub(crate) spot_price_interval: Duration,
    /// Dollars for a GiB and thirty days.
    pub(crate) ebs_price: f64,
    pub(crate) quota_groups: QuotaGroups,
    pub(crate) admin_username: String,
}

/// Static credentials. The secret half does not print.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.access_key_id)
    }
}

impl Parameters {
    /// Reads them, or says everything that is wrong with them. Keys of other drivers are passed over.
    pub(crate) fn read(parameters: &Value) -> Result<Parameters, Vec<String>> {
        let mut reader = Reader {
            parameters,
            problems: Vec::new(),
        };
        let read = Parameters {
            keys: reader.keys(),
            region: reader.region(),
            security_groups: reader.names("SecurityGroupIDs", "\"sg-0123456789abcdef0\""),
            subnets: reader.names("SubnetID", "\"subnet-0123456789abcdef0\""),
            ebs_volume_type: reader.volume_type(),
            instance_profile: reader.instance_profile(),
            spot_price_interval: reader.interval("SpotPriceUpdateInterval"),
            ebs_price: reader.price("EBSPrice"),
            quota_groups: reader.quota_groups(),
            admin_username: reader.admin_username(),
        };
        if reader.problems.is_empty() {
            Ok(read)
        } else {
            Err(reader.problems)
        }
    }
}

const VOLUME_TYPES: &[&str] = &["gp2", "gp3", "io1", "io2", "sc1", "st1", "standard"];

/// Ids and regions are letters, digits and hyphens; a comma, say, is a list in one text.
fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

struct Reader<'a> {
    parameters: &'a Value,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn value(&self, key: &str) -> &Value {
        &self.parameters[key]
    }

    fn problem(&mut self, key: &str, value: &Value, is_not: &str, remedy: &str) {
        self.problems.push(format!(
            "DriverParameters.{key} is {value}, which is not {is_not}: {remedy}"
        ));
    }

    fn text(&mut self, key: &str) -> String {
        match self.value(key).clone() {
            Value::Null => String::new(),
            Value::String(text) => text.trim().to_owned(),
            other => {
                self.problem(key, &other, "a string", "put it in quotes, or leave it out");
                String::new()
            }
        }
    }

    fn some_text(&mut self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    fn keys(&mut self) -> Option<Keys> {
        let access_key_id = self.text("AccessKeyID");
        // Its value must not be shown.
        let secret_access_key = match self.value("SecretAccessKey") {
            Value::Null => String::new(),
            Value::String(text) => text.trim().to_owned(),
            _ => {
                self.problems.push(
                    "DriverParameters.SecretAccessKey is not a string: put it in quotes, or leave it out"
                        .to_owned(),
                );
                return None;
            }
        };
        match (access_key_id.is_empty(), secret_access_key.is_empty()) {
            (true, true) => None,
            (false, false) => Some(Keys {
                access_key_id,
                secret_access_key,
            }),
            (id_is_empty, _) => {
                let (missing, given) = if id_is_empty {
                    ("AccessKeyID", "SecretAccessKey")
                } else {
                    ("SecretAccessKey", "AccessKeyID")
                };
                self.problems.push(format!(
                    "DriverParameters.{missing} is empty although {given} is not: set both, or leave both empty to \
                     use the host's role"
                ));
                None
            }
        }
    }

    /// A string, a list of strings, or a map whose keys count (facts E21). Empty strings are none.
    fn names(&mut self, key: &str, example: &str) -> Vec<String> {
        let value = self.value(key).clone();
        let remedy = format!("write {example}, or a list of such");
        let candidates: Vec<Value> = match &value {
            Value::Null => Vec::new(),
            Value::String(_) => vec![value.clone()],
            Value::Array(list) => list.clone(),
            Value::Object(map) => map.keys().cloned().map(Value::String).collect(),
            other => {
                self.problem(key, other, "a string, a list or a map", &remedy);
                return Vec::new();
            }
        };
        let mut names = Vec::new();
        for candidate in candidates {
            match candidate.as_str().map(str::trim) {
                Some("") => {}
                Some(name) if names.iter().any(|known| known == name) => {}
                Some(name) if is_plain(name) => names.push(name.to_owned()),
                _ => self.problem(key, &candidate, "an id", &remedy),
            }
        }
        names
    }

    fn region(&mut self) -> Option<String> {
        let name = self.some_text("Region")?;
        if !is_plain(&name) || name != name.to_ascii_lowercase() {
            let value = Value::String(name.clone());
            self.problem("Region", &value, "a region", "write such as us-east-1");
        }
        Some(name)
    }

    fn volume_type(&mut self) -> String {
        const KEY: &str = "EBSVolumeType";
        let name = self.some_text(KEY).unwrap_or_else(|| "gp2".to_owned());
        if !VOLUME_TYPES.contains(&name.as_str()) {
            let value = Value::String(name.clone());
            let remedy = format!("write one of {}", VOLUME_TYPES.join(", "));
            self.problem(KEY, &value, "a type of volume", &remedy);
        }
        name
    }

    fn instance_profile(&mut self) -> Option<String> {
        let name = self.some_text("IAMInstanceProfile")?;
        if name.starts_with("arn:") {
            let value = Value::String(name.clone());
            self.problem(
                "IAMInstanceProfile",
                &value,
                "a name",
                "write the part behind the last \"/\"",
            );
        }
        Some(name)
    }

    fn interval(&mut self, key: &str) -> Duration {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let value = self.value(key).clone();
        let read = match &value {
            Value::Null => Some(DAY),
            Value::String(text) => duration(text),
            Value::Number(number) if number.as_f64() == Some(0.0) => Some(Duration::ZERO),
            _ => None,
        };
        read.unwrap_or_else(|| {
            self.problem(
                key,
                &value,
                "a duration",
                "write \"24h\", or \"0\" to look up no prices",
            );
            DAY
        })
    }

    fn price(&mut self, key: &str) -> f64 {
        const DEFAULT: f64 = 0.10;
        let value = self.value(key).clone();
        let read = match &value {
            Value::Null => Some(DEFAULT),
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        read.filter(|price| price.is_finite() && *price >= 0.0)
            .unwrap_or_else(|| {
                self.problem(
                    key,
                    &value,
                    "a price",
                    "write dollars for a GiB and month, such as 0.10",
                );
                DEFAULT
            })
    }

    fn quota_groups(&mut self) -> QuotaGroups {
        const KEY: &str = "InstanceTypeQuotaGroups";
        const REMEDY: &str = "write a map such as {a: standard, p5: p5}";
        let value = self.value(KEY).clone();
        let mut groups = BTreeMap::new();
        match &value {
            Value::Null => {
                for letter in "acdhimrtz".chars() {
                    groups.insert(letter.to_string(), "standard".to_owned());
                }
                groups.insert("vt".to_owned(), "g".to_owned());
                groups.insert("p5".to_owned(), "p5".to_owned());
            }
            Value::Object(map) => {
                for (prefix, group) in map {
                    match group.as_str() {
                        Some(group) => {
                            groups.insert(prefix.to_ascii_lowercase(), group.to_owned());
                        }
                        None => self.problem(KEY, group, "the name of a group", REMEDY),
                    }
                }
            }
            other => self.problem(KEY, other, "a map", REMEDY),
        }
        QuotaGroups(groups)
    }

    fn admin_username(&mut self) -> String {
        let name = self
            .some_text("AdminUsername")
            .unwrap_or_else(|| "crunch".to_owned());
        if name.contains(char::is_whitespace) {
            let value = Value::String(name.clone());
            self.problem(
                "AdminUsername",
                &value,
                "a user's name",
                "write \"crunch\" or \"admin\"",
            );
        }
        name
    }
}

/// A duration as Arvados writes it (facts §3.7): "24h", "1h30m", "90s", "0". Below zero counts as zero (facts E18).
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut secs = 0.0_f64;
    while !rest.is_empty() || secs.to_bits() == 0 {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest.get(..number)?.parse().ok()?;
        rest = rest.get(number..)?;
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let factor = match rest.get(..unit)? {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        rest = rest.get(unit..)?;
        secs += value * factor;
        if rest.is_empty() {
            break;
        }
    }
    if negative {
        return Some(Duration::ZERO);
    }
    Duration::try_from_secs_f64(secs).ok()
}

#[cfg(test)]
mod tests;
