//! Operations, answer by answer.

use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

fn plain(status: u16, body: Value) -> Answer {
    Answer {
        status,
        body,
        ..Answer::default()
    }
}

fn retry(mut answer: Answer, secs: u64) -> Answer {
    answer.retry_after = Some(Duration::from_secs(secs));
    answer
}

fn operation(mut answer: Answer) -> Answer {
    answer.async_operation = Some("op".to_owned());
    answer
}

fn location(mut answer: Answer, url: &str) -> Answer {
    answer.location = Some(url.to_owned());
    answer
}

fn show(step: &Step) -> String {
    match step {
        Step::Poll { url, at } => format!("{at} ask {url}\n"),
        Step::Ended(End::Succeeded) => "succeeded\n".to_owned(),
        Step::Ended(End::TimedOut) => "timed out\n".to_owned(),
        Step::Ended(End::Gone) => "gone\n".to_owned(),
        Step::Ended(End::Failed(fault)) => {
            format!("failed: {:?} {}\n", fault.code(), fault.message())
        }
    }
}

/// What the one who asks is told.
enum Told {
    Yes(Answer),
    No(No, Option<u64>),
}

fn yes(answer: Answer) -> Told {
    Told::Yes(answer)
}

/// Plays the answers, each at the moment it was asked for.
#[track_caller]
fn check(first: Answer, then: &[Told], expected: Expect) {
    check_of(Aim::Making, 60, first, then, expected);
}

#[track_caller]
fn check_of(aim: Aim, within: u64, first: Answer, then: &[Told], expected: Expect) {
    let within = Duration::from_secs(within);
    let (mut follow, mut step) = Follow::begin(aim, &first, "resource", 1, within, Time::ZERO);
    let mut text = show(&step);
    for told in then {
        let Step::Poll { at, .. } = step else {
            panic!("nothing is asked any more: {text}");
        };
        step = match told {
            Told::Yes(answer) => follow.answered(answer, at),
            Told::No(no, wait) => follow.unanswered(*no, wait.map(Duration::from_secs), at),
        };
        text.push_str(&show(&step));
    }
    expected.assert_eq(&text);
}

#[test]
fn an_operation_is_asked_at_retry_after_and_otherwise_every_five_seconds() {
    let running = || json!({"status": "InProgress"});
    check(
        retry(
            operation(plain(
                201,
                json!({"properties": {"provisioningState": "Creating"}}),
            )),
            3,
        ),
        &[
            yes(plain(200, running())),
            yes(retry(plain(200, running()), 10)),
            yes(plain(200, json!({"status": "Succeeded"}))),
        ],
        expect![[r#"
            3.000s ask op
            8.000s ask op
            18.000s ask op
            succeeded
        "#]],
    );
}

#[test]
fn k27_an_operation_that_fails_says_why() {
    check(
        operation(plain(201, json!({}))),
        &[yes(plain(
            200,
            json!({"status": "Failed", "error": {"code": "AllocationFailed", "message": "none left"}}),
        ))],
        expect![[r#"
            5.000s ask op
            failed: "AllocationFailed" none left
        "#]],
    );
    check(
        operation(plain(201, json!({}))),
        &[yes(plain(200, json!({"status": "Canceled"})))],
        expect![[r#"
            5.000s ask op
            failed: "" the operation is Canceled, without a reason
        "#]],
    );
}

#[test]
fn an_answer_that_is_final_at_once_needs_no_asking() {
    check(
        plain(204, Value::Null),
        &[],
        expect![[r#"
        succeeded
    "#]],
    );
    check(
        plain(
            200,
            json!({"properties": {"provisioningState": "Succeeded"}}),
        ),
        &[],
        expect![[r#"
            succeeded
        "#]],
    );
    check(
        plain(200, json!({"properties": {"provisioningState": "Failed"}})),
        &[],
        expect![[r#"
            failed: "" the operation is Failed, without a reason
        "#]],
    );
}

#[test]
fn without_headers_the_resource_itself_is_asked() {
    check(
        plain(
            201,
            json!({"properties": {"provisioningState": "Updating"}}),
        ),
        &[
            yes(plain(
                200,
                json!({"properties": {"provisioningState": "Updating"}}),
            )),
            yes(plain(
                200,
                json!({"properties": {"provisioningState": "Succeeded"}}),
            )),
        ],
        expect![[r#"
            5.000s ask resource
            10.000s ask resource
            succeeded
        "#]],
    );
}

#[test]
fn a_location_is_followed_while_it_says_202_wherever_it_moves() {
    check(
        retry(location(plain(202, Value::Null), "l1"), 1),
        &[
            yes(location(plain(202, Value::Null), "l2")),
            yes(plain(204, Value::Null)),
        ],
        expect![[r#"
            1.000s ask l1
            6.000s ask l2
            succeeded
        "#]],
    );
}

#[test]
fn what_passes_is_waited_for_and_a_forgotten_operation_is_read_from_the_resource() {
    check(
        operation(plain(202, Value::Null)),
        &[
            Told::No(No::Passing, None),
            Told::No(No::Passing, Some(7)),
            Told::No(No::Absent, None),
            yes(plain(
                200,
                json!({"properties": {"provisioningState": "Succeeded"}}),
            )),
        ],
        expect![[r#"
            5.000s ask op
            10.000s ask op
            17.000s ask op
            17.100s ask resource
            succeeded
        "#]],
    );
}

#[test]
fn an_operation_that_may_not_be_read_is_not_taken_for_one_that_failed() {
    // The role does not allow it, or the token is refused: the resource itself is asked.
    check(
        operation(plain(202, Value::Null)),
        &[
            Told::No(No::Refused, None),
            yes(plain(
                200,
                json!({"properties": {"provisioningState": "Creating"}}),
            )),
            yes(plain(
                200,
                json!({"properties": {"provisioningState": "Succeeded"}}),
            )),
        ],
        expect![[r#"
            5.000s ask op
            5.100s ask resource
            10.100s ask resource
            succeeded
        "#]],
    );
    // Not even that may be read: nothing is known, and nothing is concluded.
    check_of(
        Aim::Making,
        12,
        location(plain(202, Value::Null), "l1"),
        &[
            Told::No(No::Refused, None),
            Told::No(No::Refused, None),
            Told::No(No::Refused, None),
        ],
        expect![[r#"
            5.000s ask l1
            5.100s ask resource
            10.100s ask resource
            timed out
        "#]],
    );
}

#[test]
fn what_is_being_made_may_be_unknown_for_a_while_and_then_it_is_gone() {
    check_of(
        Aim::Making,
        1000,
        operation(plain(202, Value::Null)),
        &[
            Told::No(No::Absent, None),
            Told::No(No::Absent, Some(100)),
            Told::No(No::Absent, Some(100)),
            Told::No(No::Absent, None),
        ],
        expect![[r#"
            5.000s ask op
            5.100s ask resource
            105.100s ask resource
            205.100s ask resource
            gone
        "#]],
    );
}

#[test]
fn an_end_is_followed_until_the_resource_is_not_there() {
    let state = |state: &str| plain(200, json!({"properties": {"provisioningState": state}}));
    check_of(
        Aim::Ending,
        60,
        plain(202, Value::Null),
        &[
            yes(state("Deleting")),
            yes(state("Succeeded")),
            Told::No(No::Refused, None),
            Told::No(No::Absent, None),
        ],
        expect![[r#"
            5.000s ask resource
            10.000s ask resource
            15.000s ask resource
            20.000s ask resource
            succeeded
        "#]],
    );
    check_of(
        Aim::Ending,
        60,
        plain(204, Value::Null),
        &[],
        expect![[r#"
            succeeded
        "#]],
    );
    check_of(
        Aim::Ending,
        60,
        operation(plain(202, Value::Null)),
        &[yes(plain(
            200,
            json!({"status": "Failed", "error": {"code": "ScopeLocked", "message": "locked"}}),
        ))],
        expect![[r#"
            5.000s ask op
            failed: "ScopeLocked" locked
        "#]],
    );
}

#[test]
fn it_ends_in_time_whatever_the_cloud_says() {
    let mut answers = vec![yes(retry(plain(200, json!({"status": null})), 3600))];
    check(
        operation(plain(202, Value::Null)),
        &answers,
        expect![[r#"
            5.000s ask op
            timed out
        "#]],
    );
    // It is not hammered either.
    answers = (0..2)
        .map(|_| yes(retry(plain(200, json!({})), 0)))
        .collect();
    check(
        operation(plain(202, Value::Null)),
        &answers,
        expect![[r#"
            5.000s ask op
            5.100s ask op
            5.200s ask op
        "#]],
    );
}
