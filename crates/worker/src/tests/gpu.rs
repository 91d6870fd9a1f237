//! GPU devices: assigned here, written down before the start, known again after a restart.

use expect_test::expect;

use super::check;

#[test]
fn devices_are_written_down_before_the_start_is_sent() {
    check(
        "
        0    listed i-1:gpu4:10.0.0.1
        0    probed w1 ok
        1    start w1 c1 gpus=2
        1    start w1 c2 gpus=1
        1.1  show
        2    tagged w1
        3    tagged w1
        4    start w1 c3 gpus=2
        4    start w1 c4
        5    tagged w1
        6    started w1 c1
        6    show
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
            1.000s start w1 c1 gpus=2
                w1 idle -> running: has containers
              > tag w1 {"PGPUs": "c1=0,1"}
            1.000s start w1 c2 gpus=1
            1.100s show
                w1 i-1 gpu4 running run takes-work known gpus Some(1)
                c1 on w1: Starting
                c2 on w1: Starting
                limit Some(8)
            2.000s tagged w1
              > start w1 c1 gpus [0, 1]
              > tag w1 {"PGPUs": "c1=0,1;c2=2"}
            3.000s tagged w1
              > start w1 c2 gpus [2]
            4.000s start w1 c3 gpus=2
                w1 c3 start refused: 2 GPU devices are needed and 1 are free
            4.000s start w1 c4
              > tag w1 {"PGPUs": "c1=0,1;c2=2;c4="}
            5.000s tagged w1
              > start w1 c4
            6.000s started w1 c1
                w1 c1 start answered Ok(())
              > watch w1 [c1]
            6.000s show
                w1 i-1 gpu4 running run takes-work known gpus Some(1)
                c1 on w1: Starting
                c2 on w1: Starting
                c4 on w1: Starting
                limit Some(8)
        "#]],
    );
}

#[test]
fn freed_devices_are_used_again() {
    check(
        "
        0    listed i-1:gpu4:10.0.0.1:gpus=c1=0,1;c2=2;c9=3
        0    probed w1 ok c1 c2
        0    show
        5    ended w1 c1
        5.1  probed w1 ok c2
        5.2  start w1 c3 gpus=2
        6    tagged w1
        ",
        expect![[r#"
            0.000s listed i-1:gpu4:10.0.0.1:gpus=c1=0,1;c2=2;c9=3
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok c1 c2
                w1 c1 alive, found
                w1 c2 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1, c2]
            0.000s show
                w1 i-1 gpu4 running run takes-work known gpus Some(1)
                c1 on w1: Alive
                c2 on w1: Alive
                limit Some(8)
            5.000s ended w1 c1
              > probe w1 list:Always
            5.100s probed w1 ok c2
                w1 c1 ended (Unlisted)
              > watch w1 [c2]
            5.200s start w1 c3 gpus=2
              > tag w1 {"PGPUs": "c2=2;c3=0,1"}
            6.000s tagged w1
              > start w1 c3 gpus [0, 1]
        "#]],
    );
}

#[test]
fn where_devices_are_unknown_no_gpu_work_starts() {
    check(
        "
        0    listed i-1:gpu4:10.0.0.1:gpus=c1=0
        0    answers w1 ok c1 c2
        0    probed w1 ok c1 c2
        0    show
        1    start w1 c3 gpus=1
        60   listed i-1:gpu4:10.0.0.1:gpus=c1=0;c2=3
        60   show
        ",
        expect![[r#"
            0.000s listed i-1:gpu4:10.0.0.1:gpus=c1=0
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok c1 c2
                w1 c1 alive, found
                w1 c2 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1, c2]
            0.000s show
                w1 i-1 gpu4 running run takes-work known gpus None
                c1 on w1: Alive
                c2 on w1: Alive
                limit Some(8)
            1.000s start w1 c3 gpus=1
                w1 c3 start refused: the GPU devices of c2 are unknown
            60.000s tick
              > list
            60.000s listed i-1:gpu4:10.0.0.1:gpus=c1=0;c2=3
            60.000s show
                w1 i-1 gpu4 running run takes-work known gpus Some(2)
                c1 on w1: Alive
                c2 on w1: Alive
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_start_whose_devices_cannot_be_written_down_is_called_off() {
    check(
        "
        0    listed i-1:gpu4:10.0.0.1
        0    probed w1 ok
        1    start w1 c1 gpus=1
        1    tag-fails w1
        2    tag-fails w1
        4    tag-fails w1
        8    tag-fails w1
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
            1.000s start w1 c1 gpus=1
                w1 idle -> running: has containers
              > tag w1 {"PGPUs": "c1=0"}
            1.000s tag-fails w1
                w1 tags failed: transient
            2.000s tick
              > tag w1 {"PGPUs": "c1=0"}
            2.000s tag-fails w1
                w1 tags failed: transient
            4.000s tick
              > tag w1 {"PGPUs": "c1=0"}
            4.000s tag-fails w1
                w1 tags failed: transient
            8.000s tick
              > tag w1 {"PGPUs": "c1=0"}
            8.000s tag-fails w1
                w1 tags failed: transient
                w1 c1 ended (NeverSent)
                w1 running -> idle: its last container has ended
        "#]],
    );
}

#[test]
fn a_start_that_waits_for_its_devices_can_be_called_off() {
    check(
        "
        0    listed i-1:gpu4:10.0.0.1
        0    probed w1 ok
        1    start w1 c1 gpus=1
        1    start w1 c2 gpus=1
        2    kill c1
        3    hold w1
        4    tagged w1
        5    show
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
            1.000s start w1 c1 gpus=1
                w1 idle -> running: has containers
              > tag w1 {"PGPUs": "c1=0"}
            1.000s start w1 c2 gpus=1
            2.000s kill c1
                w1 c1 ended (NeverSent)
            3.000s hold w1
                w1 run => hold: asked for
            4.000s tagged w1
              > tag w1 {"PGPUs": "c1=0;c2=1", "PIdleBehavior": "hold"}
            5.000s show
                w1 i-1 gpu4 running hold known gpus Some(3)
                c1 on w1: Exited { at: 2.000s }
                c2 on w1: Starting
                limit Some(8)
        "#]],
    );
}
