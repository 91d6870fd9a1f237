//! Which instance types can run a container, best first (facts §8.2, S27, S28).

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use dispatch_model::{InstanceType, InstanceTypeName, Sizing};

use crate::{
    Settings, SizingSettings,
    gpu::{self, Demand},
    reason,
    row::ContainerRequest,
    sizing::{self, Want},
};

/// Chooses, and keeps what it has chosen: containers of one shape share one [`Sizing`].
#[derive(Debug)]
pub(crate) struct Chooser {
    /// By the name of their image; `None`: the cluster's.
    types: BTreeMap<Option<String>, Types>,
    /// Images that containers may ask for: what the cloud calls them, by name.
    images: BTreeMap<String, String>,
    price_factor: f64,
    settings: SizingSettings,
    shapes: BTreeMap<Want, Weak<Sizing>>,
    /// How many shapes there may be before those that nobody uses are thrown away.
    shapes_max: usize,
}

type Types = BTreeMap<InstanceTypeName, Arc<InstanceType>>;

/// Why there is no type for a container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Impossible {
    /// There are no types at all: the configuration is at fault, not the container.
    NoTypes,
    /// None fits: the reason, in words for the container's owner.
    Unfit(String),
}

/// Fewer shapes than this are never worth sorting out.
const SHAPES_MIN: usize = 1000;

impl Chooser {
    pub(crate) fn new(settings: &Settings) -> Chooser {
        let mut types: BTreeMap<Option<String>, Types> = BTreeMap::new();
        let mut images = BTreeMap::new();
        for (name, instance_type) in &settings.types {
            if let Some(image) = &instance_type.image {
                images.insert(image.name.clone(), image.id.clone());
            }
            let image = instance_type.image_name().map(str::to_owned);
            let of_image = types.entry(image).or_default();
            of_image.insert(name.clone(), Arc::clone(instance_type));
        }
        Chooser {
            types,
            images,
            price_factor: settings.maximum_price_factor,
            settings: settings.sizing,
            shapes: BTreeMap::new(),
            shapes_max: SHAPES_MIN,
        }
    }

    /// What a container needs and where it can run. Where it can run nowhere, the needs come with the reason.
    pub(crate) fn size(
        &mut self,
        request: &ContainerRequest,
        tmp_bytes: u64,
    ) -> (Arc<Sizing>, Option<Impossible>) {
        let mut want = sizing::want(request, tmp_bytes, self.settings);
        want.image = self.image(request).map(str::to_owned);
        if let Some(sizing) = self.shapes.get(&want).and_then(Weak::upgrade) {
            return (sizing, None);
        }
        let none = Types::new();
        let types = self.types.get(&want.image).unwrap_or(&none);
        match choose(&want, types, self.price_factor) {
            Ok(types) => {
                let sizing = Arc::new(Sizing {
                    needs: want.needs,
                    types,
                });
                self.keep(want, &sizing);
                (sizing, None)
            }
            Err(impossible) => (unplaced(&want), Some(impossible)),
        }
    }

    /// What a container needs as far as is known before its mounts have been read, without saying where it can run.
    pub(crate) fn size_without_mounts(&self, request: &ContainerRequest) -> Arc<Sizing> {
        unplaced(&sizing::want(request, 0, self.settings))
    }

    /// The allowed image that a container asks for, by its name or by what the cloud calls it; `None`: the cluster's.
    fn image(&self, request: &ContainerRequest) -> Option<&str> {
        let asked = request.constraints.vm_image.as_ref()?;
        let by_id = || self.images.iter().find(|(_, id)| *id == asked);
        let found = self.images.get_key_value(asked).or_else(by_id);
        found.map(|(name, _)| name.as_str())
    }

    /// What a container's owner should know if it asks for an image that is not allowed.
    pub(crate) fn image_remark(&self, request: &ContainerRequest) -> Option<String> {
        let asked = request.constraints.vm_image.as_deref()?;
        if self.image(request).is_some() {
            return None;
        }
        let allowed: Vec<&str> = self.images.keys().map(String::as_str).collect();
        Some(reason::image_not_allowed(asked, &allowed))
    }

    fn keep(&mut self, want: Want, sizing: &Arc<Sizing>) {
        if self.shapes.len() >= self.shapes_max {
            self.shapes.retain(|_, sizing| sizing.strong_count() > 0);
            self.shapes_max = (2 * self.shapes.len()).max(SHAPES_MIN);
        }
        self.shapes.insert(want, Arc::downgrade(sizing));
    }
}

fn unplaced(want: &Want) -> Arc<Sizing> {
    Arc::new(Sizing {
        needs: want.needs,
        types: Vec::new(),
    })
}

/// The names of the types that fit and cost no more than the cheapest of them times the factor, best first.
pub(crate) fn choose(
    want: &Want,
    types: &Types,
    price_factor: f64,
) -> Result<Vec<InstanceTypeName>, Impossible> {
    if types.is_empty() {
        return Err(Impossible::NoTypes);
    }
    if let Some(absurdity) = gpu::absurdity(&want.gpu) {
        return Err(Impossible::Unfit(reason::cannot_be_run(&absurdity)));
    }
    let mut fitting: Vec<&InstanceType> = types
        .values()
        .map(Arc::as_ref)
        .filter(|instance_type| fits(want, instance_type))
        .collect();
    fitting.sort_by(|a, b| {
        a.price
            .total_cmp(&b.price)
            .then(b.ram_bytes.cmp(&a.ram_bytes))
            .then(b.vcpus.cmp(&a.vcpus))
            .then(b.scratch_bytes().cmp(&a.scratch_bytes()))
            .then(a.name.cmp(&b.name))
    });
    let Some(cheapest) = fitting.first() else {
        return Err(Impossible::Unfit(reason::explain(want, types)));
    };
    let price_max = cheapest.price * price_factor.max(1.0);
    Ok(fitting
        .iter()
        .filter(|instance_type| instance_type.price <= price_max)
        .map(|instance_type| instance_type.name.clone())
        .collect())
}

fn fits(want: &Want, instance_type: &InstanceType) -> bool {
    instance_type.preemptible == want.preemptible
        && Demand::ALL
            .iter()
            .all(|demand| demand.is_met(&want.gpu, &instance_type.gpu))
        && instance_type.vcpus >= want.needs.vcpus
        && instance_type.ram_bytes >= want.needs.ram_bytes
        && instance_type.scratch_bytes() >= want.needs.scratch_bytes
}

#[cfg(test)]
mod tests;
