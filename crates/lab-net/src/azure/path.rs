//! The paths of the resource manager, whose fixed parts and names are the same in any case
//! (learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules).

use crate::faces::decoded;

/// What a request is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Target {
    Vms,
    Vm(String),
    InstanceView(String),
    Nics,
    Nic(String),
    Disks,
    Disk(String),
    Usages(String),
    Skus,
    /// Of any provider.
    Operation(String),
    /// The tags of another resource.
    Tags(Box<Target>),
}

/// A path of the resource manager.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ArmPath {
    pub(super) subscription: String,
    /// Of what is in one.
    pub(super) group: Option<String>,
    pub(super) target: Target,
}

impl ArmPath {
    pub(super) fn read(path: &str) -> Option<ArmPath> {
        let parts: Vec<String> = path.trim_matches('/').split('/').map(decoded).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let [word, subscription, rest @ ..] = parts.as_slice() else {
            return None;
        };
        if !word.eq_ignore_ascii_case("subscriptions") {
            return None;
        }
        let (group, rest) = match rest {
            [word, group, rest @ ..] if word.eq_ignore_ascii_case("resourceGroups") => {
                (Some((*group).to_owned()), rest)
            }
            rest => (None, rest),
        };
        Some(ArmPath {
            subscription: (*subscription).to_owned(),
            target: target(rest, group.is_some())?,
            group,
        })
    }
}

fn target(parts: &[&str], in_group: bool) -> Option<Target> {
    let [word, provider, rest @ ..] = parts else {
        return None;
    };
    if !word.eq_ignore_ascii_case("providers") {
        return None;
    }
    let provider = provider.to_ascii_lowercase();
    let kinds: Vec<String> = rest.iter().map(|part| part.to_ascii_lowercase()).collect();
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    let name = |at: usize| {
        rest.get(at)
            .map(|&name| name.to_owned())
            .unwrap_or_default()
    };
    let found = match (provider.as_str(), kinds.as_slice()) {
        ("microsoft.compute", ["virtualmachines"]) => Target::Vms,
        ("microsoft.compute", ["virtualmachines", _]) => Target::Vm(name(1)),
        ("microsoft.compute", ["virtualmachines", _, "instanceview"]) => {
            Target::InstanceView(name(1))
        }
        ("microsoft.compute", ["disks"]) => Target::Disks,
        ("microsoft.compute", ["disks", _]) => Target::Disk(name(1)),
        ("microsoft.network", ["networkinterfaces"]) => Target::Nics,
        ("microsoft.network", ["networkinterfaces", _]) => Target::Nic(name(1)),
        ("microsoft.compute", ["locations", _, "usages"]) => Target::Usages(name(1)),
        ("microsoft.compute", ["skus"]) => Target::Skus,
        (_, ["locations", _, "operations" | "operationresults", _]) => Target::Operation(name(3)),
        (
            _,
            [
                kind,
                _,
                "providers",
                "microsoft.resources",
                "tags",
                "default",
            ],
        ) => {
            let inner = target(&["providers", provider.as_str(), kind, rest[1]], in_group)?;
            Target::Tags(Box::new(inner))
        }
        _ => return None,
    };
    let needs_group = !matches!(
        found,
        Target::Usages(_) | Target::Skus | Target::Operation(_)
    );
    (needs_group == in_group).then_some(found)
}
