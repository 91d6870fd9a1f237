//! Creations and boots that fail again and again (facts K10, K11).

use expect_test::expect;

use super::{check_with, script::Script};

#[test]
fn failing_creations_back_off_by_type_up_to_ten_minutes() {
    check_with(
        Script::with(|settings| settings.sync_interval = std::time::Duration::from_secs(100_000)),
        "
        0     listed
        0     create small
        0     create-fails w1 refused
        1     create small
        1     create big
        5     create small
        5     create-fails w3 refused
        15    create small
        15    create-fails w4 refused
        35    create small
        35    create-fails w5 refused
        36    show
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create-fails w1 refused
                w1 creation failed: refused (Refused, 0ns)
                hold small: create-failing until 5.000s
            1.000s create small
                create small refused: create-failing: refused
            1.000s create big
              > create w2 big
            5.000s tick
                hold small: create-failing ended
            5.000s create small
              > create w3 small
            5.000s create-fails w3 refused
                w3 creation failed: refused (Refused, 0ns)
                hold small: create-failing until 15.000s
            15.000s tick
                hold small: create-failing ended
            15.000s create small
              > create w4 small
            15.000s create-fails w4 refused
                w4 creation failed: refused (Refused, 0ns)
                hold small: create-failing until 35.000s
            35.000s tick
                hold small: create-failing ended
            35.000s create small
              > create w5 small
            35.000s create-fails w5 refused
                w5 creation failed: refused (Refused, 0ns)
                hold small: create-failing until 75.000s
            36.000s tick
                w2 creation unsure: no answer
                hold big: create-failing until 37.000s
            36.000s show
                w2 - big booting run will-take-work known
                hold big: create-failing until Some(37.000s)
                hold small: create-failing until Some(75.000s)
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_type_that_keeps_failing_to_boot_is_paused_and_then_one_instance_tries() {
    check_with(
        Script::with(|settings| {
            settings.max_concurrent_creates = None;
        }),
        "
        0    listed
        0    lists
        0    create small
        0    create small
        0    create small
        0    created w1 i-1 10.0.0.1
        0    created w2 i-2 10.0.0.2
        0    created w3 i-3 10.0.0.3
        1    probed w1 ok broken
        1    probed w2 ok broken
        1    destroyed w1
        1    destroyed w2
        1    create small
        1    created w4 i-4 10.0.0.4
        1    probed w3 ok broken
        1    destroyed w3
        1    probed w4 ok broken
        1    destroyed w4
        2    create small
        2    create big
        2    created w5 i-5 10.0.0.5
        2    kill-instance w5
        2    destroyed w5
        61   create small
        61   create small
        62   created w6 i-6 10.0.0.6
        63   probed w6 ok broken
        63   destroyed w6
        64   show
        183  create small
        183  shutdown w7
        183  created w7 i-7 10.0.0.7
        183  destroyed w7
        184  create small
        185  create-fails w8 unknown
        186  create small
        186  created w9 i-9 10.0.0.9
        187  probed w9 ok
        187  show
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create small
              > create w2 small
            0.000s create small
              > create w3 small
            0.000s created w1 i-1 10.0.0.1
                w1 created as i-1 in 0ns
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:IfBooted
            0.000s created w2 i-2 10.0.0.2
                w2 created as i-2 in 0ns
              > attach w2 10.0.0.2
              > probe w2 boot deploy list:IfBooted
            0.000s created w3 i-3 10.0.0.3
                w3 created as i-3 in 0ns
              > attach w3 10.0.0.3
              > probe w3 boot deploy list:IfBooted
            1.000s probed w1 ok broken
                w1 ssh up after 1s
                w1 broken: it reports that it is broken
                w1 run => drain: it reports that it is broken
                w1 boot Failure
                w1 booting -> idle: passed its probes
                w1 idle -> shutdown: idle and draining
              > destroy w1 i-1
            1.000s probed w2 ok broken
                w2 ssh up after 1s
                w2 broken: it reports that it is broken
                w2 run => drain: it reports that it is broken
                w2 boot Failure
                w2 booting -> idle: passed its probes
                w2 idle -> shutdown: idle and draining
              > destroy w2 i-2
            1.000s destroyed w1
            1.000s destroyed w2
            1.000s create small
              > create w4 small
            1.000s created w4 i-4 10.0.0.4
                w4 created as i-4 in 0ns
              > attach w4 10.0.0.4
              > probe w4 boot deploy list:IfBooted
            1.000s probed w3 ok broken
                w3 ssh up after 1s
                w3 broken: it reports that it is broken
                w3 run => drain: it reports that it is broken
                w3 boot Failure
                w3 booting -> idle: passed its probes
                w3 idle -> shutdown: idle and draining
                hold small: boot-failing until 61.000s
              > destroy w3 i-3
            1.000s destroyed w3
            1.000s probed w4 ok broken
                w4 ssh up after 0ns
                w4 broken: it reports that it is broken
                w4 run => drain: it reports that it is broken
                w4 boot Failure
                w4 booting -> idle: passed its probes
                w4 idle -> shutdown: idle and draining
              > destroy w4 i-4
            1.000s destroyed w4
            2.000s answer
                w1 gone, was shutdown, shutdown took Some(1s)
                w2 gone, was shutdown, shutdown took Some(1s)
                w3 gone, was shutdown, shutdown took Some(1s)
                w4 gone, was shutdown, shutdown took Some(1s)
              > detach w1
              > detach w2
              > detach w3
              > detach w4
            2.000s create small
                create small refused: boot-failing: 3 failed to boot in a row
            2.000s create big
              > create w5 big
            2.000s created w5 i-5 10.0.0.5
                w5 created as i-5 in 0ns
              > attach w5 10.0.0.5
              > probe w5 boot deploy list:IfBooted
            2.000s kill-instance w5
                w5 boot Aborted
                w5 booting -> shutdown: test
              > destroy w5 i-5
            2.000s destroyed w5
            3.000s answer
                w5 gone, was shutdown, shutdown took Some(1s)
              > detach w5
            61.000s tick
                hold small: boot-failing ended
            61.000s create small
                hold small: boot-failing
              > create w6 small
            61.000s create small
                create small refused: boot-failing: 3 failed to boot in a row; one is trying
            62.000s created w6 i-6 10.0.0.6
                w6 created as i-6 in 1s
              > attach w6 10.0.0.6
              > probe w6 boot deploy list:IfBooted
            63.000s probed w6 ok broken
                w6 ssh up after 1s
                w6 broken: it reports that it is broken
                w6 run => drain: it reports that it is broken
                w6 boot Failure
                w6 booting -> idle: passed its probes
                w6 idle -> shutdown: idle and draining
              > destroy w6 i-6
            63.000s destroyed w6
            64.000s answer
                w6 gone, was shutdown, shutdown took Some(1s)
              > detach w6
            64.000s show
                hold small: boot-failing until Some(183.000s)
                limit Some(8)
            183.000s tick
                hold small: boot-failing ended
            183.000s create small
                hold small: boot-failing
              > create w7 small
            183.000s shutdown w7
                w7 booting -> shutdown: test
            183.000s created w7 i-7 10.0.0.7
                w7 created as i-7 in 0ns
                w7 boot Aborted
                hold small: boot-failing ended
              > attach w7 10.0.0.7
              > destroy w7 i-7
            183.000s destroyed w7
            184.000s answer
                w7 gone, was shutdown, shutdown took Some(1s)
              > detach w7
            184.000s create small
                hold small: boot-failing
              > create w8 small
            185.000s create-fails w8 unknown
                w8 creation unsure: unknown
                hold small: boot-failing ended
                hold small: create-failing until 186.000s
            186.000s tick
                hold small: create-failing ended
            186.000s create small
                hold small: boot-failing
              > create w9 small
            186.000s created w9 i-9 10.0.0.9
                w9 created as i-9 in 0ns
              > attach w9 10.0.0.9
              > probe w9 boot deploy list:IfBooted
            187.000s probed w9 ok
                w9 ssh up after 1s
                w9 ready after 0ns
                w9 boot Success
                w9 booting -> idle: passed its probes
                hold small: boot-failing ended
            187.000s show
                w8 - small booting run will-take-work known
                w9 i-9 small idle run takes-work known
                limit Some(8)
        "#]],
    );
}
