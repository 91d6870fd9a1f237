//! What instances are made with beside the cluster's image: images for containers that ask, and the runners' user.

use std::collections::BTreeMap;

use dispatch_model::{InstanceType, InstanceTypeName, UserName};

use crate::{mask, path::KeyPath, reader::Reader};

const IMAGES: &str = "Containers.CloudVMs.AllowedImages";
/// Longer names make longer tags than clouds allow.
const NAME_MAX: usize = 64;

/// `RunnerUser`; `None`: root.
pub(crate) fn runner_user(reader: &mut Reader<'_>) -> Option<UserName> {
    const KEY: &str = "Containers.CloudVMs.RunnerUser";
    let text = reader.text(KEY);
    if text.is_empty() || text == "root" {
        return None;
    }
    let (problem, remedy) = match UserName::parse(text) {
        None => (
            "is not a user's name",
            "write the name of a user of the image, as in crunch, or leave it out for root",
        ),
        Some(_) if reader.text("Containers.CloudVMs.Driver") == "loopback" => (
            "has no meaning for the driver loopback, whose containers run as the user whom this program runs as, or as root",
            "leave it out",
        ),
        Some(user) => return Some(user),
    };
    reader.report.error(
        &KeyPath::dotted(KEY),
        Some(mask::quoted(text)),
        problem,
        remedy,
    );
    None
}

/// `AllowedImages`: names and what the driver calls them.
pub(crate) fn allowed(reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let mut images = BTreeMap::new();
    for (name, value) in reader.section(IMAGES) {
        let id = value.as_str().unwrap_or_default().trim();
        let path = KeyPath::dotted(IMAGES).child(name);
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(plain) {
            reader.report.error(
                &path,
                None,
                "is not a name for an image",
                "use letters, digits, `_`, `-` and `.`, at most 64",
            );
        } else if id.is_empty() {
            let remedy = "write what the driver calls the image, as in ImageID";
            reader.report.error(&path, None, "is empty", remedy);
        } else {
            images.insert(name.clone(), id.to_owned());
        }
    }
    images
}

/// No entry of `InstanceTypes` may be called what a type with an image is called.
pub(crate) fn check_names(
    reader: &mut Reader<'_>,
    images: &BTreeMap<String, String>,
    types: &BTreeMap<InstanceTypeName, InstanceType>,
) {
    for name in types.keys() {
        for image in images.keys() {
            let with_image = InstanceType::name_with_image(name.as_str(), image);
            if types.contains_key(&with_image) {
                let path = KeyPath::dotted("InstanceTypes").child(with_image.as_str());
                let message =
                    format!("is what the type {name} with the allowed image {image} is called");
                reader
                    .report
                    .error(&path, None, message, "rename the type or the image");
            }
        }
    }
}
