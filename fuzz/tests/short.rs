//! A short run of each target: the whole corpus, and some mutations of it, the same ones every time.

use dispatch_fuzz::{run, targets};

const SEED: u64 = 1;

fn check(name: &str) {
    let (mut target, n) = targets::all()
        .into_iter()
        .find(|(target, _)| target.name() == name)
        .expect("a target of this name");
    let kept = run::corpus(&mut *target).expect("a corpus");
    assert!(
        target.understood() > 0,
        "{name} understands nothing of its corpus"
    );
    let found = match kept {
        Some(found) => Some(found),
        None => run::mutations(&mut *target, SEED, |tried| tried < n).expect("a corpus"),
    };
    if let Some(found) = found {
        panic!(
            "{name} does not stand {}: {}\nthe input:\n{}",
            found.name,
            found.what,
            String::from_utf8_lossy(&found.input)
        );
    }
}

#[test]
fn what_runners_say_does_no_harm() {
    check("runner");
}

#[test]
fn sizes_durations_and_addresses_are_read_or_refused() {
    check("values");
}

#[test]
fn a_configuration_is_loaded_or_refused_with_a_reason() {
    check("config");
}

#[test]
fn whatever_the_api_answers_does_no_harm() {
    check("api");
}

#[test]
fn a_strange_request_harms_neither_the_server_nor_the_next_request() {
    check("management");
}

#[cfg(feature = "azure")]
#[test]
fn whatever_azure_answers_does_no_harm() {
    check("azure");
}

#[cfg(feature = "ec2")]
#[test]
fn whatever_ec2_answers_does_no_harm() {
    check("ec2");
}
