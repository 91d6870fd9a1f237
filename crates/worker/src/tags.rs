//! The tags on an instance that the dispatcher reads and writes (facts §2.3).

use std::collections::BTreeMap;

use dispatch_model::{IdleBehavior, InstanceSecret, InstanceType};

use crate::Settings;

/// The names of our tags: the prefix that the operator chose, and what follows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tag {
    InstanceSetId,
    InstanceType,
    IdleBehavior,
    InstanceSecret,
    Gpus,
    /// The name of its image, if that is not the cluster's.
    Image,
    /// Whom runners on it run as, if not root: asked as somebody else, it would not show them.
    RunnerUser,
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
            Tag::Image => "VMImage",
            Tag::RunnerUser => "RunnerUser",
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
    instance_type: &InstanceType,
    settings: &Settings,
) -> BTreeMap<String, String> {
    let mut tags = settings.resource_tags.clone();
    let ours = [
        (Tag::InstanceSetId, Some(settings.instance_set_id.clone())),
        (
            Tag::InstanceType,
            Some(instance_type.configured_name().to_string()),
        ),
        (Tag::IdleBehavior, Some(IdleBehavior::Run.to_string())),
        (Tag::Image, instance_type.image_name().map(str::to_owned)),
        (
            Tag::RunnerUser,
            settings.runner_user.as_ref().map(ToString::to_string),
        ),
    ];
    tags.extend(
        ours.into_iter()
            .filter_map(|(tag, value)| Some((tag.key(settings), value?))),
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
