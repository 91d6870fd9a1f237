//! Which actions were called where and by which suite, read from the requests themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use aws_sdk_ec2::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef,
    },
    error::BoxError,
};

/// How often each action was sent, by the address.
static SENT: Mutex<BTreeMap<String, BTreeMap<String, usize>>> = Mutex::new(BTreeMap::new());

/// The actions that one suite has called, and nothing else in this process.
pub(super) type Called = Arc<Mutex<BTreeSet<String>>>;

tokio::task_local! {
    /// Where the suite at work writes down what it calls.
    pub(super) static CALLED: Called;
}

/// What was written down, as an IAM policy names it.
pub(super) fn called(by: &Called) -> BTreeSet<String> {
    by.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

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
        let of_suite = CALLED.try_with(|called| {
            let mut called = called.lock().unwrap_or_else(PoisonError::into_inner);
            called.insert(format!("ec2:{action}"));
        });
        // What is called outside of the suites is nobody's.
        let _ = of_suite;
        let mut sent = SENT.lock().unwrap_or_else(PoisonError::into_inner);
        let there = sent.entry(host.to_owned()).or_default();
        *there.entry(action.to_owned()).or_default() += 1;
        Ok(())
    }
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
