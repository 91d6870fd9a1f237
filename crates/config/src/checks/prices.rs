//! What instances may cost.

use std::collections::BTreeMap;

use dispatch_model::{InstanceType, InstanceTypeName};

use crate::{path::KeyPath, reader::Reader};

/// `MaxPricePerHour`: types that cost more by themselves are never created.
pub(crate) fn price_limit(
    reader: &mut Reader<'_>,
    limit: f64,
    types: &BTreeMap<InstanceTypeName, InstanceType>,
) {
    const NAMED_MAX: usize = 5;
    let dearer: Vec<&InstanceType> = types.values().filter(|one| one.price > limit).collect();
    if dearer.is_empty() {
        return;
    }
    let named = dearer.iter().take(NAMED_MAX);
    let mut names: Vec<String> = named
        .map(|one| format!("{} ({})", one.name, one.price))
        .collect();
    if dearer.len() > NAMED_MAX {
        names.push(format!("{} more", dearer.len() - NAMED_MAX));
    }
    let which = if dearer.len() == types.len() {
        "is less than every instance type costs, so that none is ever created: "
    } else {
        "is less than these instance types cost, so that they are never created: "
    };
    reader.report.warning(
        &KeyPath::dotted("Containers.CloudVMs.MaxPricePerHour"),
        Some(limit.to_string()),
        format!("{which}{}", names.join(", ")),
        "write a larger limit, or remove the types",
    );
}
