//! The tags on an instance that the dispatcher reads and writes (facts §2.3).

use std::collections::BTreeMap;

use dispatch_model::{IdleBehavior, InstanceSecret, InstanceTypeName};

use crate::Settings;

/// The names of our tags: the prefix that the operator chose, and what follows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tag {
    InstanceSetId,
    InstanceType,
    IdleBehavior,
    InstanceSecret,
    Gpus,
}

impl Tag {
    /// The full name.
    pub(crate) fn key(self, settings: &Settings) -> String {
        let name = match self {
            Tag::InstanceSetId => "InstanceSetID",
            Tag::InstanceType => "InstanceType",
            Tag::IdleBehavior => "IdleBehavior",
            Tag::InstanceSecret => "InstanceSecret",
            Tag::Gpus => "GPUs",
        };
        format!("{}{name}", settings.tag_key_prefix)
    }

    /// Its value among these; blank is as good as none.
    pub(crate) fn read<'a>(
        self,
        tags: &'a BTreeMap<String, String>,
        settings: &Settings,
    ) -> Option<&'a str> {
        tags.get(&self.key(settings))
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }
}

/// The tags of a new instance but for its secret; ours win over the operator's.
pub(crate) fn at_creation(
    instance_type: &InstanceTypeName,
    settings: &Settings,
) -> BTreeMap<String, String> {
    let mut tags = settings.resource_tags.clone();
    let ours = [
        (Tag::InstanceSetId, settings.instance_set_id.clone()),
        (Tag::InstanceType, instance_type.to_string()),
        (Tag::IdleBehavior, IdleBehavior::Run.to_string()),
    ];
    tags.extend(
        ours.into_iter()
            .map(|(tag, value)| (tag.key(settings), value)),
    );
    tags
}

/// The secret among these tags.
pub(crate) fn secret(
    tags: &BTreeMap<String, String>,
    settings: &Settings,
) -> Option<InstanceSecret> {
    Tag::InstanceSecret
        .read(tags, settings)
        .map(InstanceSecret::new)
}
