//! Reads what the API says of one container, field by field, so that a bad field spoils no other.

use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr};

use dispatch_model::{ContainerId, ContainerState, GpuNeeds};
use serde::Deserialize;
use serde_json::value::RawValue;

/// `runtime_constraints`: what a container asks for (facts §2.1.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Constraints {
    /// `API`: whether the container may call the API.
    pub api: bool,
    /// `vcpus`.
    pub vcpus: u32,
    /// `ram`.
    pub ram_bytes: u64,
    /// `keep_cache_ram`.
    pub keep_cache_ram_bytes: u64,
    /// `keep_cache_disk`.
    pub keep_cache_disk_bytes: u64,
    /// `gpu`.
    pub gpu: GpuNeeds,
    /// `vm_image`: the image of the instance; our own, which Arvados hands on as it is.
    pub vm_image: Option<String>,
}

/// `scheduling_parameters`: how a container wants to be run (facts §2.1.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Parameters {
    /// `partitions`: not for cloud dispatchers, kept for readers.
    pub partitions: Option<Vec<String>>,
    /// `preemptible`: on a spot instance, and only there.
    pub preemptible: bool,
    /// `max_run_time`, seconds; 0: none. The runner sees to it.
    pub max_run_secs: i64,
    /// `supervisor`: starts other containers and mostly waits for them.
    pub supervisor: bool,
}

/// One container as a list or an answer tells it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Row {
    pub(crate) id: ContainerId,
    pub(crate) state: ContainerState,
    pub(crate) priority: i64,
    pub(crate) locked_by: Option<String>,
    /// What does not change in a container's life, or why it cannot be read.
    pub(crate) request: Result<ContainerRequest, Problem>,
}

/// The part of a row that never changes.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct ContainerRequest {
    pub(crate) constraints: Constraints,
    pub(crate) parameters: Parameters,
    pub(crate) container_image: String,
    pub(crate) created_at: Option<jiff::Timestamp>,
}

/// What the API says of a container after a call that changed it (facts Q6), or when it is read again.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Reply {
    pub(crate) state: ContainerState,
    pub(crate) priority: Option<i64>,
    pub(crate) locked_by: Option<String>,
    pub(crate) runtime_status: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Which field is bad, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem(pub(crate) String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a row of a list. The error says whose row it was, if that can be read.
pub(crate) fn read_row(raw: &RawValue) -> Result<Row, (Option<ContainerId>, Problem)> {
    let fields = Fields::read("", raw).map_err(|problem| (None, problem))?;
    let id = fields.id().map_err(|problem| (None, problem))?;
    let of_this = |problem| (Some(id.clone()), problem);
    Ok(Row {
        state: fields.state().map_err(of_this)?,
        priority: fields.get("priority").map_err(of_this)?,
        locked_by: fields.text("locked_by_uuid").map_err(of_this)?,
        request: read_request(&fields),
        id,
    })
}

/// Reads the answer to a lock, an unlock, a cancel or a read.
pub(crate) fn read_reply(raw: &RawValue) -> Result<Reply, Problem> {
    let fields = Fields::read("", raw)?;
    Ok(Reply {
        state: fields.state()?,
        priority: fields.optional("priority")?,
        locked_by: fields.text("locked_by_uuid")?,
        // Only merged into what we write: if it is odd, it is replaced.
        runtime_status: fields.optional("runtime_status").unwrap_or_default(),
    })
}

/// Reads the row of our own token: its UUID.
pub(crate) fn read_token_uuid(raw: &RawValue) -> Result<String, Problem> {
    let fields = Fields::read("", raw)?;
    match fields.text("uuid")? {
        Some(uuid) => Ok(uuid),
        None => Err(Problem("uuid: missing".to_owned())),
    }
}

/// Reads a row of `uuid` and `mounts`: the container, and how much temporary space its mounts ask for, or why that
/// cannot be read (facts Q14, Q15). Nothing else of the mounts is kept.
pub(crate) fn read_mounts(raw: &RawValue) -> Result<(ContainerId, Result<u64, Problem>), Problem> {
    let fields = Fields::read("", raw)?;
    Ok((fields.id()?, tmp_bytes(&fields)))
}

fn tmp_bytes(fields: &Fields<'_>) -> Result<u64, Problem> {
    let mut sum = 0_u64;
    for mount in fields.nested("mounts")?.each()? {
        if mount.text("kind")?.as_deref() == Some("tmp") {
            sum = sum.saturating_add(mount.size("capacity")?);
        }
    }
    Ok(sum)
}

fn read_request(fields: &Fields<'_>) -> Result<ContainerRequest, Problem> {
    let constraints = fields.nested("runtime_constraints")?;
    let gpu = constraints.nested("gpu")?;
    let parameters = fields.nested("scheduling_parameters")?;
    Ok(ContainerRequest {
        constraints: Constraints {
            api: constraints.get("API")?,
            vcpus: constraints.count("vcpus")?,
            ram_bytes: constraints.size("ram")?,
            keep_cache_ram_bytes: constraints.size("keep_cache_ram")?,
            keep_cache_disk_bytes: constraints.size("keep_cache_disk")?,
            gpu: GpuNeeds {
                stack: gpu.get("stack")?,
                driver_version: gpu.get("driver_version")?,
                hardware_targets: gpu.get("hardware_target")?,
                device_count: gpu.count("device_count")?,
                vram_bytes: gpu.size("vram")?,
            },
            vm_image: constraints.text("vm_image")?,
        },
        parameters: Parameters {
            partitions: parameters.optional("partitions")?,
            preemptible: parameters.get("preemptible")?,
            max_run_secs: parameters.get("max_run_time")?,
            supervisor: parameters.get("supervisor")?,
        },
        container_image: fields.get("container_image")?,
        // Only for the waiting time's metric: nothing depends on it.
        created_at: fields
            .text("created_at")
            .ok()
            .flatten()
            .and_then(|text| jiff::Timestamp::from_str(&text).ok()),
    })
}

/// A JSON object whose values have not been looked at yet. A missing value and `null` mean the same: zero.
struct Fields<'a> {
    /// Where it is in the row, for messages: "runtime_constraints.gpu".
    path: String,
    fields: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

impl<'a> Fields<'a> {
    fn read(path: &str, raw: &'a RawValue) -> Result<Fields<'a>, Problem> {
        let fields: Option<BTreeMap<Cow<'a, str>, &'a RawValue>> = serde_json::from_str(raw.get())
            .map_err(|_| {
                let subject = if path.is_empty() { "the row" } else { path };
                Problem(format!("{subject}: {} where an object belongs", kind(raw)))
            })?;
        Ok(Fields {
            path: path.to_owned(),
            fields: fields.unwrap_or_default(),
        })
    }

    fn id(&self) -> Result<ContainerId, Problem> {
        match self.text("uuid")? {
            Some(uuid) => Ok(ContainerId::from(uuid)),
            None => Err(Problem("uuid: missing".to_owned())),
        }
    }

    fn state(&self) -> Result<ContainerState, Problem> {
        self.optional("state")?
            .ok_or_else(|| Problem("state: missing".to_owned()))
    }

    fn get<T: Deserialize<'a> + Default>(&self, key: &str) -> Result<T, Problem> {
        Ok(self.optional(key)?.unwrap_or_default())
    }

    fn optional<T: Deserialize<'a>>(&self, key: &str) -> Result<Option<T>, Problem> {
        let Some(raw) = self.fields.get(key) else {
            return Ok(None);
        };
        serde_json::from_str(raw.get()).map_err(|_| self.bad(key, raw))
    }

    /// Text that is there and not empty.
    fn text(&self, key: &str) -> Result<Option<String>, Problem> {
        let text: Option<String> = self.optional(key)?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    fn size(&self, key: &str) -> Result<u64, Problem> {
        // The API's numbers are signed and have 64 bits (facts Q26).
        let size: i64 = self.get(key)?;
        u64::try_from(size).map_err(|_| self.bad(key, self.fields[key]))
    }

    fn count(&self, key: &str) -> Result<u32, Problem> {
        let count: i64 = self.get(key)?;
        u32::try_from(count).map_err(|_| self.bad(key, self.fields[key]))
    }

    fn nested(&self, key: &str) -> Result<Fields<'a>, Problem> {
        match self.fields.get(key) {
            Some(raw) => Fields::read(&self.path_of(key), raw),
            None => Ok(Fields {
                path: self.path_of(key),
                fields: BTreeMap::new(),
            }),
        }
    }

    fn each(&self) -> Result<Vec<Fields<'a>>, Problem> {
        self.fields
            .iter()
            .map(|(key, raw)| Fields::read(&self.path_of(key), raw))
            .collect()
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn bad(&self, key: &str, raw: &RawValue) -> Problem {
        Problem(format!(
            "{}: {} cannot be used",
            self.path_of(key),
            shown(raw)
        ))
    }
}

/// The kind of a JSON value, with its article.
fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// A value as a message may show it: its kind, and itself if it is short and simple.
fn shown(raw: &RawValue) -> String {
    /// Longer values are not repeated in logs.
    const SHOWN_MAX: usize = 60;
    let text = raw.get();
    if text.len() <= SHOWN_MAX && !text.starts_with(['{', '[']) {
        format!("{} {text}", kind(raw))
    } else {
        kind(raw).to_owned()
    }
}

#[cfg(test)]
mod tests;
