//! A container's record (facts §5.1).

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value, json};

use crate::time::{Now, rfc3339};

/// A container's state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ContainerState {
    /// Waits for a dispatcher.
    Queued,
    /// A dispatcher has it.
    Locked,
    /// Its processes run.
    Running,
    /// Ended by itself.
    Complete,
    /// Given up.
    Cancelled,
}

impl ContainerState {
    /// All of them.
    pub const ALL: [ContainerState; 5] = [
        ContainerState::Queued,
        ContainerState::Locked,
        ContainerState::Running,
        ContainerState::Complete,
        ContainerState::Cancelled,
    ];

    /// As the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            ContainerState::Queued => "Queued",
            ContainerState::Locked => "Locked",
            ContainerState::Running => "Running",
            ContainerState::Complete => "Complete",
            ContainerState::Cancelled => "Cancelled",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<ContainerState> {
        ContainerState::ALL
            .into_iter()
            .find(|state| state.name() == name)
    }

    /// Whether no dispatcher needs to care any more.
    pub fn is_final(self) -> bool {
        matches!(self, ContainerState::Complete | ContainerState::Cancelled)
    }
}

impl fmt::Display for ContainerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Attributes that are kept as they are, with what they are in a new container.
const PLAIN: &[(&str, &str)] = &[
    ("command", "[]"),
    ("container_image", "\"\""),
    ("cost", "0.0"),
    ("cwd", "\".\""),
    ("environment", "{}"),
    ("exit_code", "null"),
    ("gateway_address", "null"),
    ("interactive_session_started", "false"),
    ("log", "null"),
    ("mounts", "{}"),
    ("output", "null"),
    ("output_path", "\"/tmp\""),
    ("output_properties", "{}"),
    ("output_storage_classes", "[\"default\"]"),
    ("progress", "null"),
    ("runtime_constraints", "{}"),
    ("runtime_status", "{}"),
    ("runtime_user_uuid", "null"),
    ("scheduling_parameters", "{}"),
    ("subrequests_cost", "0.0"),
];

/// Attributes that the API computes.
const COMPUTED: &[&str] = &[
    "uuid",
    "kind",
    "etag",
    "href",
    "owner_uuid",
    "state",
    "priority",
    "locked_by_uuid",
    "lock_count",
    "auth_uuid",
    "created_at",
    "modified_at",
    "started_at",
    "finished_at",
];

/// Whether a container has an attribute of this name.
pub(crate) fn is_attribute(name: &str) -> bool {
    COMPUTED.contains(&name) || PLAIN.iter().any(|(plain, _)| *plain == name)
}

/// One container.
#[derive(Clone, Debug)]
pub struct Container {
    /// `<cluster>-dz642-<15>`.
    pub uuid: String,
    /// Its state.
    pub state: ContainerState,
    /// At least 0; 0 means nobody wants it.
    pub priority: i64,
    /// The token that locked it.
    pub locked_by_uuid: Option<String>,
    /// How often it was locked.
    pub lock_count: i64,
    /// Its own token.
    pub auth_uuid: Option<String>,
    /// When it was submitted.
    pub created_at: jiff::Timestamp,
    /// When it last changed.
    pub modified_at: jiff::Timestamp,
    /// When it became Running.
    pub started_at: Option<jiff::Timestamp>,
    /// When it became final.
    pub finished_at: Option<jiff::Timestamp>,
    /// All other attributes.
    pub(crate) plain: BTreeMap<&'static str, Value>,
    /// What the API shows instead of the truth (a malformed row).
    pub(crate) poison: BTreeMap<String, Value>,
}

impl Container {
    pub(crate) fn create(uuid: String, attributes: &Value, now: Now) -> Result<Container, String> {
        let mut container = Container {
            uuid,
            state: ContainerState::Queued,
            priority: 0,
            locked_by_uuid: None,
            lock_count: 0,
            auth_uuid: None,
            created_at: now.wall,
            modified_at: now.wall,
            started_at: None,
            finished_at: None,
            plain: PLAIN
                .iter()
                .map(|(name, text)| (*name, serde_json::from_str(text).unwrap_or(Value::Null)))
                .collect(),
            poison: BTreeMap::new(),
        };
        for (name, value) in attributes
            .as_object()
            .ok_or("attributes must be an object")?
        {
            match (name.as_str(), container.plain.get_mut(name.as_str())) {
                ("priority", _) => {
                    container.priority = value
                        .as_i64()
                        .filter(|p| *p >= 0)
                        .ok_or("Priority must be an integer of at least 0")?
                }
                ("state", _) if value == "Queued" => {}
                ("state", _) => return Err("State of a new container must be Queued".into()),
                (_, Some(attribute)) => *attribute = value.clone(),
                _ => return Err(format!("unknown attribute '{name}' for Container.")),
            }
        }
        Ok(container)
    }

    /// An attribute that the API does not compute.
    pub fn attribute(&self, name: &str) -> &Value {
        self.plain.get(name).unwrap_or(&Value::Null)
    }

    /// One attribute as the API shows it.
    pub(crate) fn value(&self, name: &str) -> Value {
        match self.poison.get(name) {
            Some(poison) => poison.clone(),
            None => self.truth(name),
        }
    }

    /// One attribute as it is.
    pub(crate) fn truth(&self, name: &str) -> Value {
        match name {
            "uuid" => json!(self.uuid),
            "kind" => json!("arvados#container"),
            "etag" => json!(""),
            "href" => json!(format!("/containers/{}", self.uuid)),
            "owner_uuid" => json!(format!("{}-tpzed-000000000000000", &self.uuid[..5])),
            "state" => json!(self.state.name()),
            "priority" => json!(self.priority),
            "locked_by_uuid" => json!(self.locked_by_uuid),
            "lock_count" => json!(self.lock_count),
            "auth_uuid" => json!(self.auth_uuid),
            "created_at" => json!(rfc3339(self.created_at)),
            "modified_at" => json!(rfc3339(self.modified_at)),
            "started_at" => json!(self.started_at.map(rfc3339)),
            "finished_at" => json!(self.finished_at.map(rfc3339)),
            name => self.attribute(name).clone(),
        }
    }

    /// The record with these attributes, or all, as JSON text.
    pub(crate) fn text(&self, select: Option<&[String]>) -> String {
        let Some(select) = select else {
            return Value::Object(self.show(None)).to_string();
        };
        let mut text = String::from("{");
        for name in select {
            let separator = if text.len() > 1 { "," } else { "" };
            let shown = self
                .poison
                .get(name)
                .or_else(|| self.plain.get(name.as_str()));
            let value = shown.map_or_else(|| self.truth(name).to_string(), Value::to_string);
            text.push_str(&format!("{separator}{}:{value}", json!(name)));
        }
        text.push('}');
        text
    }

    /// The record with these attributes, or all.
    pub(crate) fn show(&self, select: Option<&[String]>) -> Map<String, Value> {
        match select {
            Some(select) => select
                .iter()
                .map(|name| (name.clone(), self.value(name)))
                .collect(),
            None => COMPUTED
                .iter()
                .copied()
                .chain(PLAIN.iter().map(|(name, _)| *name))
                .map(|name| (name.to_owned(), self.value(name)))
                .collect(),
        }
    }
}
