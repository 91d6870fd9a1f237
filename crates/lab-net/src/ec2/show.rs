//! XML as EC2 writes it, and lists in pages.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use dispatch_lab::{
    Now, When, World,
    cloud::{Class, CloudAnswer, CloudCall, CloudRefusal, InstanceText},
};

use super::{
    account::{Account, KeyPair, Made, Refusal},
    form::Form,
    settings::Subnet,
    volumes,
};

const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
const REQUEST: &str = "<requestId>00000000-0000-4000-8000-000000000000</requestId>";

/// A whole answer.
pub(super) fn document(action: &str, content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"{NAMESPACE}\">{REQUEST}{content}</{action}Response>"
    )
}

/// A refusal.
pub(super) fn error(code: &str, message: &str) -> String {
    let message = escaped(message);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>00000000-0000-4000-8000-000000000000</RequestID></Response>"
    )
}

/// The world's refusals in EC2's words.
pub(super) fn refusal(refusal: &CloudRefusal) -> Refusal {
    let (status, code) = match refusal.class {
        Class::Quota => (400, "InstanceLimitExceeded"),
        Class::Capacity if refusal.scope == Some("group") => (400, "VcpuLimitExceeded"),
        Class::Capacity => (500, "InsufficientInstanceCapacity"),
        Class::RateLimited => (503, "RequestLimitExceeded"),
        Class::Refused => (400, "InvalidAMIID.NotFound"),
        Class::NotFound => (400, "InvalidInstanceID.NotFound"),
        Class::Transient => (500, "InternalError"),
    };
    (status, code, refusal.message.clone())
}

/// What RunInstances answers beside its envelope.
pub(super) fn reservation_of(row: &str) -> String {
    format!(
        "<reservationId>r-0</reservationId><ownerId>000000000000</ownerId><groupSet/><instancesSet>{row}</instancesSet>"
    )
}

pub(super) fn instance(text: &InstanceText, made: Option<&Made>, spot: bool) -> String {
    let died = made.and_then(|made| made.died.as_ref());
    let (code, state) = match (text.state, died) {
        (_, Some(_)) => (48, "terminated"),
        ("pending", _) => (0, "pending"),
        ("running", _) => (16, "running"),
        _ => (32, "shutting-down"),
    };
    let mut row = format!(
        "<item><instanceId>{}</instanceId><imageId>{}</imageId><instanceState><code>{code}</code><name>{state}</name></instanceState><instanceType>{}</instanceType><launchTime>{}</launchTime>",
        text.id,
        escaped(&text.image_id),
        escaped(&text.provider_type),
        text.launched_at,
    );
    let mut add = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = write!(row, "<{name}>{}</{name}>", escaped(value));
    };
    if let Some(host) = text
        .address
        .split(':')
        .next()
        .filter(|host| !host.is_empty())
    {
        add("privateIpAddress", host);
    }
    if let Some(key) = made.and_then(|made| made.key_name.as_ref()) {
        add("keyName", key);
    }
    if let Some(subnet) = made.and_then(|made| made.subnet.as_ref()) {
        add("subnetId", subnet);
    }
    if spot {
        add("instanceLifecycle", "spot");
    }
    if let Some(made) = made.filter(|_| code < 48) {
        row.push_str(&volumes::mapping(&text.id, &made.disks));
    }
    if let Some(made) = made {
        let _ = write!(
            row,
            "<placement><availabilityZone>{}</availabilityZone></placement>",
            escaped(&made.zone)
        );
    }
    if let Some((code, message)) = died {
        let _ = write!(
            row,
            "<stateReason><code>{code}</code><message>{}</message></stateReason>",
            escaped(message)
        );
    }
    let _ = write!(row, "<tagSet>{}</tagSet></item>", tag_items(&text.tags));
    row
}

pub(super) fn terminated(ids: &[String]) -> String {
    let mut items = String::new();
    for id in ids {
        let _ = write!(
            items,
            "<item><instanceId>{}</instanceId><currentState><code>32</code><name>shutting-down</name></currentState><previousState><code>16</code><name>running</name></previousState></item>",
            escaped(id)
        );
    }
    format!("<instancesSet>{items}</instancesSet>")
}

pub(super) fn key_pairs<'a>(pairs: impl Iterator<Item = (&'a String, &'a KeyPair)>) -> String {
    let items: Vec<String> = pairs
        .map(|(name, pair)| format!("<item>{}</item>", key_pair(name, pair)))
        .collect();
    format!("<keySet>{}</keySet>", items.concat())
}

pub(super) fn key_pair(name: &str, pair: &KeyPair) -> String {
    format!(
        "<keyName>{}</keyName><keyFingerprint>{}</keyFingerprint><keyPairId>key-0</keyPairId><tagSet>{}</tagSet>",
        escaped(name),
        escaped(&pair.fingerprint),
        tag_items(&pair.tags)
    )
}

pub(super) fn subnets<'a>(subnets: impl Iterator<Item = &'a Subnet>) -> String {
    let items: Vec<String> = subnets
        .map(|subnet| {
            format!(
                "<item><subnetId>{}</subnetId><availabilityZone>{}</availabilityZone><availableIpAddressCount>{}</availableIpAddressCount><state>available</state></item>",
                escaped(&subnet.id),
                escaped(&subnet.zone),
                subnet.free
            )
        })
        .collect();
    format!("<subnetSet>{}</subnetSet>", items.concat())
}

impl Account {
    /// One instance, as RunInstances shows it again.
    pub(super) fn one(&self, id: &str, world: &World, now: Now) -> String {
        let row = world.instances().alive(id).map(|instance| {
            let spot = instance.instance_type.preemptible;
            self::instance(&instance.described(now), self.made.get(id), spot)
        });
        reservation_of(&row.unwrap_or_default())
    }

    pub(super) fn describe_instances(
        &mut self,
        form: &Form,
        world: &mut World,
        now: Now,
    ) -> Result<(String, When), Refusal> {
        let filters = form.filters();
        let reply = world.cloud(&CloudCall::List(BTreeMap::new()), now);
        let mut found = match reply.answer {
            CloudAnswer::Listed(found) => found,
            CloudAnswer::Refused(refused) => return Err(refusal(&refused)),
            _ => return Ok((String::new(), reply.when)),
        };
        if self.settings.ended_lose_tags {
            for row in &mut found {
                if !matches!(row.state, "pending" | "running") {
                    row.tags.clear();
                }
            }
        }
        let ids = form.list("InstanceId");
        if let Some(missing) = ids.iter().find(|id| found.iter().all(|row| row.id != **id)) {
            return Err((
                400,
                "InvalidInstanceID.NotFound",
                format!("The instance ID '{missing}' does not exist"),
            ));
        }
        found.retain(|row| ids.is_empty() || ids.contains(&row.id));
        for (name, values) in &filters {
            if let Some(key) = name.strip_prefix("tag:") {
                found.retain(|row| {
                    let tag = row.tags.get(key);
                    tag.is_some_and(|tag| values.iter().any(|value| matches(value, tag)))
                });
            }
            if name == "instance-state-name" {
                found.retain(|row| values.iter().any(|value| value == row.state));
            }
        }
        if ids.is_empty() {
            self.omit(&mut found);
        }
        let asked: usize = form
            .get("MaxResults")
            .and_then(|most| most.parse().ok())
            .unwrap_or(usize::MAX);
        let page = asked.min(self.settings.page).max(1);
        let start: usize = form
            .get("NextToken")
            .and_then(|token| token.parse().ok())
            .unwrap_or(0);
        let rows: Vec<String> = found
            .iter()
            .skip(start)
            .take(page)
            .map(|row| {
                let shown = self::instance(row, self.made.get(&row.id), row.preemptible);
                format!("<item>{}</item>", reservation_of(&shown))
            })
            .collect();
        let token = if start + page < found.len() {
            *self.struck.entry("another page").or_default() += 1;
            format!("<nextToken>{}</nextToken>", start + page)
        } else if self.settings.empty_tokens {
            *self.struck.entry("empty token").or_default() += 1;
            "<nextToken></nextToken>".to_owned()
        } else {
            String::new()
        };
        Ok((
            format!("<reservationSet>{}</reservationSet>{token}", rows.concat()),
            reply.when,
        ))
    }

    /// Lists may lag behind.
    fn omit(&mut self, found: &mut Vec<InstanceText>) {
        let n = found.len();
        found.retain(|row| !self.settings.omitted.contains(&row.id));
        let rate = self.settings.omitted_rate;
        if rate > 0.0 && !found.is_empty() && self.draw() < rate {
            let which = self.draw() * found.len() as f64;
            found.remove(which as usize);
        }
        if found.len() < n {
            *self.struck.entry("omitted").or_default() += 1;
        }
    }

    /// Prices that change every hour, by one cent of a dollar, and are two cents higher in each further zone.
    pub(super) fn describe_prices(&self, form: &Form, world: &World, now: Now) -> String {
        let filters = form.filters();
        let values = |wanted: &str| {
            let found = filters.iter().find(|(name, _)| name == wanted);
            found.map(|(_, values)| values.clone()).unwrap_or_default()
        };
        if !values("product-description").contains(&"Linux/UNIX".to_owned()) {
            return "<spotPriceHistorySet/>".to_owned();
        }
        let mut items = String::new();
        for name in values("instance-type") {
            let price = world
                .settings()
                .instance_type(&name, true)
                .map_or(0.01, |t| t.price / 2.0);
            let zones: BTreeSet<&String> = self.settings.subnets.iter().map(|s| &s.zone).collect();
            for (n, zone) in zones.into_iter().enumerate() {
                for hour in 0..2_i64 {
                    let at = now.wall - jiff::SignedDuration::from_hours(hour);
                    let _ = write!(
                        items,
                        "<item><instanceType>{name}</instanceType><productDescription>Linux/UNIX</productDescription><spotPrice>{:.4}</spotPrice><timestamp>{at}</timestamp><availabilityZone>{}</availabilityZone></item>",
                        price + 0.01 * hour as f64 + 0.02 * n as f64,
                        zone
                    );
                }
            }
        }
        let token = if self.settings.empty_tokens {
            "<nextToken></nextToken>"
        } else {
            ""
        };
        format!("<spotPriceHistorySet>{items}</spotPriceHistorySet>{token}")
    }
}

/// Whether a filter's value means this text: `*` and `?` are wildcards unless a backslash stands before them.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let ends = text.char_indices().map(|(at, _)| at);
            let mut ends = ends.chain([text.len()]);
            ends.any(|at| matches(rest.as_str(), &text[at..]))
        }
        Some(c) => {
            let (wild, wanted) = match c {
                '?' => (true, c),
                '\\' => (false, rest.next().unwrap_or(c)),
                c => (false, c),
            };
            let mut text = text.chars();
            let found = text.next();
            found.is_some_and(|found| wild || found == wanted)
                && matches(rest.as_str(), text.as_str())
        }
    }
}

pub(super) fn tag_items(tags: &BTreeMap<String, String>) -> String {
    let items: Vec<String> = tags
        .iter()
        .map(|(key, value)| {
            format!(
                "<item><key>{}</key><value>{}</value></item>",
                escaped(key),
                escaped(value)
            )
        })
        .collect();
    items.concat()
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Undoes base64; "" if it is none.
pub(super) fn from_base64(text: &str) -> String {
    let mut bytes = Vec::new();
    let (mut bits, mut n_bits) = (0_u32, 0);
    for c in text
        .bytes()
        .filter(|c| *c != b'=' && !c.is_ascii_whitespace())
    {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return String::new(),
        };
        bits = (bits << 6) | u32::from(value);
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            bytes.push(u8::try_from((bits >> n_bits) & 0xff).unwrap_or_default());
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}
