//! A ready worker whose last probe failed takes no new container until it answers again.

use expect_test::expect;

use super::check;

#[test]
fn a_worker_takes_no_new_container_between_a_failed_probe_and_the_next_good_one() {
    check(
        "
        0     listed i-1:small:10.0.0.1
        0     probed w1 ok
        10.5  probed w1 no-connection
        11    start w1 c1
        11    show
        11.6  probed w1 no-connection
        12    show
        14    probed w1 ok
        14    show
        14    start w1 c1
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            10.397s tick
              > probe w1 list:Always
            10.500s probed w1 no-connection
                w1 connect failed: connection refused (!)
            11.000s start w1 c1
                w1 c1 start refused: the worker is idle and takes no work: connect failed: connection refused
            11.000s show
                w1 i-1 small idle run will-take-work known (connect failed: connection refused)
                limit Some(8)
            11.500s tick
              > probe w1 list:Always
            11.600s probed w1 no-connection
                w1 connect failed: connection refused (!)
            12.000s show
                w1 i-1 small idle run known (connect failed: connection refused)
                limit Some(8)
            13.600s tick
              > probe w1 list:Always
            14.000s probed w1 ok
            14.000s show
                w1 i-1 small idle run takes-work known
                limit Some(8)
            14.000s start w1 c1
                w1 idle -> running: has containers
              > start w1 c1
        "#]],
    );
}

#[test]
fn a_worker_whose_tag_of_gpu_devices_is_full_takes_no_more_containers() {
    check(
        "
        0    listed i-1:gpu4:10.0.0.1
        0    probed w1 ok
        1    start w1 zzzzz-dz642-000000000000001 gpus=1
        1    start w1 zzzzz-dz642-000000000000002 gpus=1
        1    start w1 zzzzz-dz642-000000000000003 gpus=1
        1    start w1 zzzzz-dz642-000000000000004 gpus=1
        1    start w1 zzzzz-dz642-000000000000005
        1    start w1 zzzzz-dz642-000000000000006
        1    start w1 zzzzz-dz642-000000000000007
        1    show
        1    start w1 zzzzz-dz642-000000000000008
        1    show
        1    start w1 zzzzz-dz642-000000000000009
        ",
        expect![[r#"
            0.000s listed i-1:gpu4:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            1.000s start w1 zzzzz-dz642-000000000000001 gpus=1
                w1 idle -> running: has containers
              > tag w1 {"PGPUs": "zzzzz-dz642-000000000000001=0"}
            1.000s start w1 zzzzz-dz642-000000000000002 gpus=1
            1.000s start w1 zzzzz-dz642-000000000000003 gpus=1
            1.000s start w1 zzzzz-dz642-000000000000004 gpus=1
            1.000s start w1 zzzzz-dz642-000000000000005
            1.000s start w1 zzzzz-dz642-000000000000006
            1.000s start w1 zzzzz-dz642-000000000000007
            1.000s show
                w1 i-1 gpu4 running run takes-work known gpus Some(0)
                zzzzz-dz642-000000000000001 on w1: Starting
                zzzzz-dz642-000000000000002 on w1: Starting
                zzzzz-dz642-000000000000003 on w1: Starting
                zzzzz-dz642-000000000000004 on w1: Starting
                zzzzz-dz642-000000000000005 on w1: Starting
                zzzzz-dz642-000000000000006 on w1: Starting
                zzzzz-dz642-000000000000007 on w1: Starting
                limit Some(8)
            1.000s start w1 zzzzz-dz642-000000000000008
            1.000s show
                w1 i-1 gpu4 running run known gpus Some(0) (no more containers fit into its tag of GPU devices)
                zzzzz-dz642-000000000000001 on w1: Starting
                zzzzz-dz642-000000000000002 on w1: Starting
                zzzzz-dz642-000000000000003 on w1: Starting
                zzzzz-dz642-000000000000004 on w1: Starting
                zzzzz-dz642-000000000000005 on w1: Starting
                zzzzz-dz642-000000000000006 on w1: Starting
                zzzzz-dz642-000000000000007 on w1: Starting
                zzzzz-dz642-000000000000008 on w1: Starting
                limit Some(8)
            1.000s start w1 zzzzz-dz642-000000000000009
                w1 zzzzz-dz642-000000000000009 start refused: the worker is running and takes no work: no more containers fit into its tag of GPU devices
        "#]],
    );
}
