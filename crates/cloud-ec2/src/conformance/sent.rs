//! Which actions were called where, read from the requests themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use aws_sdk_ec2::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef,
    },
    error::BoxError,
};

/// Actions by the address they were sent to.
static SENT: Mutex<BTreeMap<String, BTreeSet<String>>> = Mutex::new(BTreeMap::new());

/// Writes down every request of every driver in these tests.
#[derive(Debug)]
pub(crate) struct Recorder;

impl Intercept for Recorder {
    fn name(&self) -> &'static str {
        "Recorder"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
        let action = body
            .split('&')
            .find_map(|pair| pair.strip_prefix("Action="))
            .unwrap_or_default();
        let (_, rest) = request.uri().split_once("://").unwrap_or_default();
        let host = rest.split('/').next().unwrap_or_default();
        let mut sent = SENT.lock().unwrap_or_else(PoisonError::into_inner);
        sent.entry(host.to_owned())
            .or_default()
            .insert(action.to_owned());
        Ok(())
    }
}

/// The actions that were sent to addresses of this kind, as an IAM policy names them.
pub(super) fn sent_to(is_there: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let sent = SENT.lock().unwrap_or_else(PoisonError::into_inner);
    let there = sent.iter().filter(|(host, _)| is_there(host));
    let actions = there.flat_map(|(_, actions)| actions);
    actions.map(|action| format!("ec2:{action}")).collect()
}
