//! Rows good and bad.

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check_row(text: &str, expected: Expect) {
    let raw: Box<RawValue> = serde_json::from_str(text).expect("the test's row is JSON");
    let shown = match read_row(&raw) {
        Ok(row) => match row.request {
            Ok(request) => format!(
                "{} {} {} {:?}\n{:?}",
                row.id, row.state, row.priority, row.locked_by, request
            ),
            Err(problem) => format!("{} {} but {problem}", row.id, row.state),
        },
        Err((id, problem)) => format!("{id:?}: {problem}"),
    };
    expected.assert_eq(&shown);
}

#[test]
fn a_row_of_the_queue_is_read_to_the_last_digit() {
    check_row(
        r#"{"uuid":"zzzzz-dz642-000000000000001","state":"Queued","priority":1125899906842624001,
            "created_at":"2026-11-22T11:31:25.904964550Z","container_image":"d41d8cd98f00b204e9800998ecf8427e+342",
            "runtime_constraints":{"API":true,"ram":1073741824,"vcpus":2,"keep_cache_ram":5,"keep_cache_disk":6,
              "gpu":{"stack":"cuda","driver_version":"12.2","hardware_target":["8.0"],"device_count":1,"vram":7}},
            "scheduling_parameters":{"partitions":null,"preemptible":true,"max_run_time":60,"supervisor":true},
            "locked_by_uuid":null,"something_new":{"a":1}}"#,
        expect![[r#"
            zzzzz-dz642-000000000000001 Queued 1125899906842624001 None
            ContainerRequest { constraints: Constraints { api: true, vcpus: 2, ram_bytes: 1073741824, keep_cache_ram_bytes: 5, keep_cache_disk_bytes: 6, gpu: GpuNeeds { stack: "cuda", driver_version: "12.2", hardware_targets: ["8.0"], device_count: 1, vram_bytes: 7 }, vm_image: None }, parameters: Parameters { partitions: None, preemptible: true, max_run_secs: 60, supervisor: true }, container_image: "d41d8cd98f00b204e9800998ecf8427e+342", created_at: Some(2026-11-22T11:31:25.90496455Z) }"#]],
    );
}

#[test]
fn missing_fields_and_nulls_mean_zero() {
    check_row(
        r#"{"uuid":"c1","state":"Locked","priority":null,"runtime_constraints":null,"locked_by_uuid":"t1","created_at":7}"#,
        expect![[r#"
            c1 Locked 0 Some("t1")
            ContainerRequest { constraints: Constraints { api: false, vcpus: 0, ram_bytes: 0, keep_cache_ram_bytes: 0, keep_cache_disk_bytes: 0, gpu: GpuNeeds { stack: "", driver_version: "", hardware_targets: [], device_count: 0, vram_bytes: 0 }, vm_image: None }, parameters: Parameters { partitions: None, preemptible: false, max_run_secs: 0, supervisor: false }, container_image: "", created_at: None }"#]],
    );
}

#[test]
fn a_bad_field_is_named_with_what_it_holds() {
    for (text, expected) in [
        (
            r#"{"uuid":"c1","state":"Queued","runtime_constraints":{"vcpus":"two"}}"#,
            expect![[r#"c1 Queued but runtime_constraints.vcpus: a string "two" cannot be used"#]],
        ),
        (
            r#"{"uuid":"c1","state":"Queued","runtime_constraints":{"ram":-1}}"#,
            expect!["c1 Queued but runtime_constraints.ram: a number -1 cannot be used"],
        ),
        (
            r#"{"uuid":"c1","state":"Running","runtime_constraints":["vcpus"]}"#,
            expect!["c1 Running but runtime_constraints: a list where an object belongs"],
        ),
        (
            r#"{"uuid":"c1","state":"Queued","scheduling_parameters":{"supervisor":{"yes":1}}}"#,
            expect!["c1 Queued but scheduling_parameters.supervisor: an object cannot be used"],
        ),
        (
            r#"{"uuid":"c1","state":"Queued","priority":1.5}"#,
            expect!["Some(c1): priority: a number 1.5 cannot be used"],
        ),
        (
            r#"{"uuid":"c1","state":"Waiting"}"#,
            expect![[r#"Some(c1): state: a string "Waiting" cannot be used"#]],
        ),
        (r#"{"uuid":"c1"}"#, expect!["Some(c1): state: missing"]),
        (
            r#"{"uuid":17}"#,
            expect!["None: uuid: a number 17 cannot be used"],
        ),
        (r#"{}"#, expect!["None: uuid: missing"]),
        (
            r#"[1]"#,
            expect!["None: the row: a list where an object belongs"],
        ),
    ] {
        check_row(text, expected);
    }
}

#[track_caller]
fn check_mounts(mounts: &str, expected: Expect) {
    let raw: Box<RawValue> =
        serde_json::from_str(&format!(r#"{{"uuid":"c1","mounts":{mounts}}}"#)).expect("JSON");
    let shown = match read_mounts(&raw) {
        Ok((id, Ok(bytes))) => format!("{id}: {bytes}"),
        Ok((id, Err(problem))) => format!("{id}: {problem}"),
        Err(problem) => problem.to_string(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn only_tmp_mounts_take_space() {
    check_mounts(
        r#"{"/tmp":{"kind":"tmp","capacity":1000},"/out":{"kind":"tmp","capacity":234},
            "/in":{"kind":"collection","capacity":99},"stdin":{"kind":"json","content":{"a":[1]}}}"#,
        expect!["c1: 1234"],
    );
    check_mounts("{}", expect!["c1: 0"]);
    check_mounts("null", expect!["c1: 0"]);
}

#[test]
fn mounts_of_an_unexpected_shape_are_named() {
    check_mounts(
        r#"{"stdin":["bork"]}"#,
        expect!["c1: mounts.stdin: a list where an object belongs"],
    );
    check_mounts(
        r#"[]"#,
        expect!["c1: mounts: a list where an object belongs"],
    );
    check_mounts(
        r#"{"/tmp":{"kind":"tmp","capacity":"1 GB"}}"#,
        expect![[r#"c1: mounts./tmp.capacity: a string "1 GB" cannot be used"#]],
    );
}

#[test]
fn a_reply_keeps_what_it_does_not_say_open() {
    let raw = crate::json(serde_json::json!({"state": "Locked", "locked_by_uuid": "t1"}));
    let reply = read_reply(&raw).expect("a reply");
    assert_eq!(
        (reply.state, reply.priority),
        (ContainerState::Locked, None)
    );
    assert_eq!(reply.locked_by.as_deref(), Some("t1"));
}
