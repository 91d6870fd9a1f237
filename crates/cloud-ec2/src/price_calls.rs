//! Asking what spot instances have cost (facts E17–E19).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_sdk_ec2::{
    primitives::DateTime,
    types::{InstanceType as SdkType, SpotPrice},
};
use dispatch_cloud::CloudError;
use dispatch_model::{CloudErrorClass, InstanceId, InstanceType, PricePoint};
use jiff::Timestamp;

use crate::{
    account::{Account, Action},
    describe::filter,
    prices::PriceKey,
};

/// EC2's name for the prices of ordinary Linux (facts E17).
const PRODUCT: &str = "Linux/UNIX";
/// More pages of prices are not read.
const PAGES_MAX: usize = 200;
/// EC2 takes at most 200 values in one filter.
const TYPES_A_CALL: usize = 100;
const GIB: u64 = 1 << 30;

impl Account {
    /// What these instances have cost; asks EC2 only when what is known is older than `SpotPriceUpdateInterval`.
    pub(crate) async fn prices_of(
        &self,
        instances: &[(InstanceId, Arc<InstanceType>)],
    ) -> Result<BTreeMap<InstanceId, Vec<PricePoint>>, CloudError> {
        let keyed: Vec<(&InstanceId, u64, PriceKey)> = {
            let memory = self.memory();
            instances
                .iter()
                .filter_map(|(id, instance_type)| {
                    let scratch = instance_type.added_scratch_bytes.div_ceil(GIB);
                    #[cfg(all(test, feature = "cloud-tests"))]
                    let scratch = if self.errs(crate::mutants::Mutant::ScratchIsFree) {
                        0
                    } else {
                        scratch
                    };
                    Some((id, scratch, memory.price_key(id)?.clone()))
                })
                .collect()
        };
        let used: Vec<PriceKey> = keyed.iter().map(|(_, _, key)| key.clone()).collect();
        let due = self.prices().due(&used, self.now());
        if !due.is_empty() {
            let asked = self.ask_for_prices(&due).await;
            let now = self.now();
            match asked {
                Ok(points) => self.prices().told(&used, points, now),
                Err(error) => {
                    self.prices().failed(now);
                    return Err(error);
                }
            }
        }
        let prices = self.prices();
        let ebs_price = self.parameters.ebs_price;
        let priced = keyed.into_iter().filter_map(|(id, scratch, key)| {
            let points = prices.of(&key, scratch, ebs_price);
            (!points.is_empty()).then(|| (id.clone(), points))
        });
        Ok(priced.collect())
    }

    async fn ask_for_prices(
        &self,
        types: &[String],
    ) -> Result<Vec<(PriceKey, PricePoint)>, CloudError> {
        let since = start_time(self.prices().look_back());
        let mut points = Vec::new();
        for types in types.chunks(TYPES_A_CALL) {
            let mut token: Option<String> = None;
            for _ in 0..PAGES_MAX {
                let send = self
                    .client
                    .describe_spot_price_history()
                    .filters(filter("instance-type", types))
                    .filters(filter("product-description", [&PRODUCT.to_owned()]))
                    .start_time(since)
                    .set_next_token(token.take())
                    .send();
                let action = Action::DescribeSpotPriceHistory;
                let page = self.call(action, send).await.map_err(|failure| {
                    self.error(action, &failure, "", CloudErrorClass::Transient)
                })?;
                let rows = page.spot_price_history.unwrap_or_default();
                points.extend(rows.into_iter().filter_map(point));
                // Facts E14.
                token = page.next_token.filter(|token| !token.is_empty());
                if token.is_none() {
                    break;
                }
            }
        }
        Ok(points)
    }
}

/// One row; `None` if it lacks something.
fn point(row: SpotPrice) -> Option<(PriceKey, PricePoint)> {
    let instance_type: SdkType = row.instance_type?;
    let key = (instance_type.as_str().to_owned(), row.availability_zone?);
    let point = PricePoint {
        start: Timestamp::from_second(row.timestamp?.secs()).ok()?,
        price: row.spot_price?.parse().ok()?,
    };
    Some((key, point))
}

#[expect(
    clippy::disallowed_methods,
    reason = "EC2 dates prices by the wall clock"
)]
fn start_time(look_back: Duration) -> DateTime {
    let now = std::time::SystemTime::now();
    DateTime::from(now.checked_sub(look_back).unwrap_or(std::time::UNIX_EPOCH))
}
