//! Azure's documented limits of calls: buckets that fill again by themselves.
//!
//! Resource manager, per subscription and principal: reads 250 + 25/s, writes 200 + 10/s, deletes 200 + 10/s
//! (learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling). Compute, per
//! subscription and region: PUT of VMs 500 a minute with 1,500 in store; per VM: 12 updates with 4 more a minute
//! (learn.microsoft.com/azure/virtual-machines/compute-throttling-limits).

use std::collections::BTreeMap;

/// PUT of VMs: in store, and more a second.
const PUT_VM: (f64, f64) = (1500.0, 500.0 / 60.0);

/// The buckets.
#[derive(Default, Debug)]
pub(super) struct Buckets(BTreeMap<String, (f64, u64)>);

/// A call that is too fast: which bucket is empty, and for how many seconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Throttled {
    pub(super) bucket: String,
    pub(super) by_compute: bool,
    pub(super) secs: u64,
}

impl Buckets {
    /// Others of the subscription have put so many VMs, which count here, and not among our calls of the resource manager.
    pub(super) fn others_put(&mut self, vms: u32, now_ms: u64) {
        let (tokens, _) = (self.0)
            .entry("PutVM".to_owned())
            .or_insert((PUT_VM.0, now_ms));
        *tokens = (*tokens - f64::from(vms)).max(0.0);
    }

    /// Whether a call may pass, and how many more of its kind. `vm`: the VM that is written, if any.
    pub(super) fn lets(
        &mut self,
        method: &str,
        vm: Option<&str>,
        speed: f64,
        now_ms: u64,
    ) -> Result<u64, Throttled> {
        let (kind, most, per_second) = match method {
            "GET" | "HEAD" => ("reads", 250.0, 25.0),
            "DELETE" => ("deletes", 200.0, 10.0),
            _ => ("writes", 200.0, 10.0),
        };
        let mut wanted = vec![(kind.to_owned(), most, per_second, false)];
        if let (Some(vm), "PUT" | "PATCH") = (vm, method) {
            if method == "PUT" {
                wanted.push(("PutVM".to_owned(), PUT_VM.0, PUT_VM.1, true));
            }
            wanted.push((format!("UpdateVM/{vm}"), 12.0, 4.0 / 60.0, true));
        }
        let mut left = u64::MAX;
        for (name, most, per_second, by_compute) in &wanted {
            let (tokens, at) = self.0.entry(name.clone()).or_insert((*most, now_ms));
            let earned = now_ms.saturating_sub(*at) as f64 / 1000.0 * per_second * speed;
            *tokens = (*tokens + earned).min(*most);
            *at = now_ms;
            if *tokens < 1.0 {
                let secs = ((1.0 - *tokens) / (per_second * speed)).ceil();
                return Err(Throttled {
                    bucket: name.split('/').next().unwrap_or_default().to_owned(),
                    by_compute: *by_compute,
                    secs: secs as u64,
                });
            }
            if !by_compute {
                left = *tokens as u64 - 1;
            }
        }
        for (name, ..) in &wanted {
            if let Some((tokens, _)) = self.0.get_mut(name) {
                *tokens -= 1.0;
            }
        }
        Ok(left)
    }
}
