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

/// How often each action was sent, by the address.
static SENT: Mutex<BTreeMap<String, BTreeMap<String, usize>>> = Mutex::new(BTreeMap::new());

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
        let there = sent.entry(host.to_owned()).or_default();
        *there.entry(action.to_owned()).or_default() += 1;
        Ok(())
    }
}

/// The actions that were sent to addresses of this kind, as an IAM policy names them.
pub(super) fn sent_to(is_there: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let sent = SENT.lock().unwrap_or_else(PoisonError::into_inner);
    let there = sent.iter().filter(|(host, _)| is_there(host));
    let actions = there.flat_map(|(_, actions)| actions.keys());
    actions.map(|action| format!("ec2:{action}")).collect()
}

/// How often this action was sent to the service at this URL.
pub(super) fn times_sent(url: &str, action: &str) -> usize {
    let (_, host) = url.split_once("://").unwrap_or_default();
    let sent = SENT.lock().unwrap_or_else(PoisonError::into_inner);
    let there = sent.get(host.trim_end_matches('/'));
    there
        .and_then(|there| there.get(action))
        .copied()
        .unwrap_or_default()
}
