//! An account that is full (facts S11, W20, K16).

use expect_test::expect;

use super::check;

#[test]
fn a_full_account_is_remembered_and_then_exceeded_one_at_a_time() {
    check(
        "
        0    listed i-1:small:10.0.0.1:behavior=hold i-2:small:10.0.0.2:behavior=hold
        0    lists i-1:small:10.0.0.1:behavior=hold i-2:small:10.0.0.2:behavior=hold i-4:small:10.0.0.4
        0    answers w1 ok
        0    answers w2 ok
        0    answers w4 ok c4
        0    probed w1 ok
        0    probed w2 ok
        0    create small
        0    create small
        0    create small
        1    create-fails w3 quota
        1    created w4 i-4 10.0.0.4
        1    show
        2    create small
        182  create small
        182  create small
        183  create-fails w6 quota
        184  show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1:behavior=hold i-2:small:10.0.0.2:behavior=hold
                w1 adopted, hold
                w2 adopted, hold
                surveyed 2
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
            0.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            0.000s probed w2 ok
                w2 boot Success
                w2 unknown -> idle: passed its probes
            0.000s create small
              > create w3 small
            0.000s create small
              > create w4 small
            0.000s create small
            1.000s create-fails w3 quota
                w3 creation failed: quota (Quota, 1s)
                w5 creation dropped: there may be 2 instances
                hold any: quota until 31.000s
            1.000s created w4 i-4 10.0.0.4
                w4 created as i-4 in 1s
              > attach w4 10.0.0.4
            1.000s answer
                w4 ssh up after 0ns
                w4 c4 alive, found
                w4 ready after 0ns
                w4 boot Success
                w4 booting -> running: passed its probes
              > watch w4 [c4]
            1.000s show
                w1 i-1 small idle hold known
                w2 i-2 small idle hold known
                w4 i-4 small running run takes-work known
                c4 on w4: Alive
                hold any: quota until Some(31.000s)
                limit Some(3)
            2.000s create small
                create small refused: quota: quota
            31.000s tick
                hold any: quota ended
            182.000s create small
              > create w6 small
            182.000s create small
                create small refused: quota: more than 3 instances are created one at a time, since the cloud refused that before: quota
            183.000s create-fails w6 quota
                w6 creation failed: quota (Quota, 1s)
                hold any: quota until 213.000s
            184.000s show
                w1 i-1 small idle hold known
                w2 i-2 small idle hold known
                w4 i-4 small running run takes-work known
                c4 on w4: Alive
                hold any: quota until Some(213.000s)
                limit Some(3)
        "#]],
    );
}

#[test]
fn when_an_instance_goes_another_may_come_although_the_account_is_full() {
    check(
        "
        0    listed i-1:small:10.0.0.1 i-2:small:10.0.0.2
        0    create small
        1    create-fails w3 quota
        1    create small
        2    kill-instance w1
        2    destroyed w1
        3.5  listed i-2:small:10.0.0.2
        4    create small
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1 i-2:small:10.0.0.2
                w1 adopted, run
                w2 adopted, run
                surveyed 2
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
            0.000s create small
              > create w3 small
            1.000s create-fails w3 quota
                w3 creation failed: quota (Quota, 1s)
                hold any: quota until 31.000s
            1.000s create small
                create small refused: quota: quota
            2.000s kill-instance w1
                w1 boot Aborted
                w1 unknown -> shutdown: test
              > destroy w1 i-1
            2.000s destroyed w1
            3.000s tick
              > list
            3.500s listed i-2:small:10.0.0.2
                w1 gone, was shutdown, shutdown took Some(1.5s)
                hold any: quota ended
              > detach w1
            4.000s create small
              > create w4 small
        "#]],
    );
}

#[test]
fn an_account_that_refuses_the_first_instance_is_asked_again_after_a_minute() {
    check(
        "
        0    listed
        0    create small
        0    create-fails w1 quota
        1    create small
        61   create small
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create-fails w1 quota
                w1 creation failed: quota (Quota, 0ns)
                hold any: quota until 60.000s
            1.000s create small
                create small refused: quota: quota
            60.000s tick
                hold any: quota ended
              > list
            61.000s create small
              > create w2 small
        "#]],
    );
}

#[test]
fn a_refusal_for_quota_is_told_once_however_often_it_holds_creation_and_the_next_one_again() {
    check(
        "
        0    listed
        0    create small
        1    created w1 i-1 -
        1    create small
        2    create-fails w2 quota
        33   create small
        34   created w3 i-2 -
        35   create small
        36   created w4 i-3 -
        37   create small
        38   create-fails w5 quota
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            1.000s created w1 i-1 -
                w1 created as i-1 in 1s
            1.000s create small
              > create w2 small
            2.000s tick
              > list
            2.000s create-fails w2 quota
                w2 creation failed: quota (Quota, 1s)
                hold any: quota until 32.000s
            32.000s tick
                hold any: quota ended
            33.000s create small
              > create w3 small
            34.000s created w3 i-2 -
                w3 created as i-2 in 1s
            35.000s create small
              > create w4 small
            36.000s created w4 i-3 -
                w4 created as i-3 in 1s
            37.000s tick
              > list
            37.000s create small
              > create w5 small
            38.000s create-fails w5 quota
                w5 creation failed: quota (Quota, 1s)
                hold any: quota until 68.000s
        "#]],
    );
}
