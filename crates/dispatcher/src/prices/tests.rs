//! What runners are told while the cloud answers, and while it does not.

use async_trait::async_trait;
use dispatch_cloud::{CloudError, CreateOrder, Instance, InstanceSet, Tags, WrapSettings};
use dispatch_model::{CloudErrorClass, Gpu, PricePoint};

use super::*;

/// A cloud that does nothing but tell prices.
#[derive(Default)]
struct Market(Mutex<Option<BTreeMap<InstanceId, Vec<PricePoint>>>>);

#[async_trait]
impl InstanceSet for Market {
    async fn create(&self, _: CreateOrder) -> Result<Instance, CloudError> {
        Err(silence())
    }

    async fn list(&self, _: &Tags) -> Result<Vec<Instance>, CloudError> {
        Err(silence())
    }

    async fn set_tags(&self, _: &InstanceId, _: &Tags) -> Result<(), CloudError> {
        Err(silence())
    }

    async fn destroy(&self, _: &InstanceId) -> Result<(), CloudError> {
        Err(silence())
    }

    fn remote_user(&self) -> String {
        "crunch".to_owned()
    }

    async fn prices(
        &self,
        _: &[(InstanceId, Arc<InstanceType>)],
    ) -> Result<BTreeMap<InstanceId, Vec<PricePoint>>, CloudError> {
        self.0.lock().unwrap().clone().ok_or_else(silence)
    }
}

fn silence() -> CloudError {
    CloudError::new(CloudErrorClass::Transient, "silence")
}

fn spot(id: &str) -> (InstanceId, Arc<InstanceType>) {
    let instance_type = InstanceType {
        name: "spot".into(),
        provider_type: "m.small".to_owned(),
        image: None,
        vcpus: 1,
        ram_bytes: 1,
        included_scratch_bytes: 0,
        added_scratch_bytes: 0,
        price: 0.1,
        preemptible: true,
        gpu: Gpu::default(),
    };
    (id.into(), Arc::new(instance_type))
}

#[tokio::test]
async fn runners_are_told_what_was_last_known_and_nothing_about_instances_that_are_gone() {
    let market = Arc::new(Market::default());
    let set = Wrapped::new(
        Arc::clone(&market) as _,
        WrapSettings {
            ops_per_second: None,
            resource_tags: Tags::new(),
            observer: Arc::new(|_, _: Option<&CloudError>, _| {}),
        },
    );
    let prices = Prices::default();
    let told = |prices: &Prices| {
        prices
            .of(&"i-1".into())
            .map(|text| String::from_utf8(text.to_vec()).unwrap())
    };
    prices.ask(&set, &[spot("i-1")]).await;
    assert_eq!(told(&prices), None, "nothing is known yet");

    let point = PricePoint {
        start: "2026-11-22T12:00:00Z".parse().unwrap(),
        price: 0.03,
    };
    let history = BTreeMap::from([("i-1".into(), vec![point]), ("i-2".into(), vec![])]);
    *market.0.lock().unwrap() = Some(history);
    prices.ask(&set, &[spot("i-1"), spot("i-2")]).await;
    let document = r#"[{"StartTime":"2026-11-22T12:00:00Z","Price":0.03}]"#;
    assert_eq!(told(&prices).as_deref(), Some(document));
    assert_eq!(prices.of(&"i-2".into()), None, "no data, no flag");

    *market.0.lock().unwrap() = None;
    prices.ask(&set, &[spot("i-1")]).await;
    assert_eq!(told(&prices).as_deref(), Some(document), "a failure");

    prices.ask(&set, &[]).await;
    assert_eq!(told(&prices), None, "gone");
}
