//! Runners that are told to end, and those that do not (facts R4 to R7, W19).

use expect_test::expect;

use super::{check, check_with, script::Script};

#[test]
fn sigterm_comes_at_once_and_again_until_the_runner_is_given_up_and_its_worker_drained() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    probed w1 ok c1 c2
        1    kill c1
        1    kill c1
        2    signalled w1 c1 alive
        7    signalled w1 c1 failed
        12   signalled w1 c1 alive
        14   show
        15   probed w1 ok c1
        15   show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
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
            1.000s kill c1
                w1 c1 kill: test
              > signal w1 c1 TERM
            1.000s kill c1
            2.000s signalled w1 c1 alive
            6.000s tick
              > signal w1 c1 TERM
            7.000s signalled w1 c1 failed
                w1 c1 kill failed: broken pipe
            10.397s tick
              > probe w1 list:Always
            11.000s tick
              > signal w1 c1 TERM
            12.000s signalled w1 c1 alive
            13.000s tick
                w1 c1 kill given up
                w1 broken: the runner of c1 cannot be killed
                w1 run => drain: the runner of c1 cannot be killed
              > tag w1 {"PIdleBehavior": "drain"}
            14.000s show
                w1 i-1 small running drain known (the runner of c1 cannot be killed)
                c1 on w1: GivenUp
                c2 on w1: Alive
                limit Some(8)
            15.000s probed w1 ok c1
                w1 c2 ended (Unlisted)
                w1 running -> shutdown: its last runners cannot be killed
              > destroy w1 i-1
            15.000s show
                w1 i-1 small shutdown drain known (the runner of c1 cannot be killed)
                c1 on w1: GivenUp
                c2 on w1: Exited { at: 15.000s }
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_second_runner_is_ended_where_it_is_and_the_first_lives() {
    check(
        "
        0    listed i-1:small:10.0.0.1 i-2:small:10.0.0.2
        0    probed w1 ok c1
        1    probed w2 ok c1
        2    kill w2 c1
        3    signalled w2 c1 gone
        3    show
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
            0.000s probed w1 ok c1
                w1 c1 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1]
            1.000s probed w2 ok c1
                w2 c1 alive, found
                w2 boot Success
                w2 unknown -> running: passed its probes
              > watch w2 [c1]
            2.000s kill w2 c1
                w2 c1 kill: test
              > signal w2 c1 TERM
            3.000s signalled w2 c1 gone
                w2 c1 ended (Killed)
                w2 running -> idle: its last container has ended
              > watch w2 []
            3.000s show
                w1 i-1 small running run takes-work known
                w2 i-2 small idle run takes-work known
                c1 on w1: Alive
                c1 on w2: Exited { at: 3.000s }
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_kill_command_that_hangs_puts_nothing_off() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    probed w1 ok c1
        1    kill c1
        13   tick
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok c1
                w1 c1 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1]
            1.000s kill c1
                w1 c1 kill: test
              > signal w1 c1 TERM
            9.000s tick
                w1 c1 kill failed: no answer
              > signal w1 c1 TERM
            10.397s tick
              > probe w1 list:Always
            13.000s tick
                w1 c1 kill given up
                w1 broken: the runner of c1 cannot be killed
                w1 run => drain: the runner of c1 cannot be killed
                w1 running -> shutdown: its last runners cannot be killed
              > destroy w1 i-1
        "#]],
    );
}

#[test]
fn sigkill_comes_where_the_operator_asked_for_it() {
    check_with(
        Script::with(|settings| {
            settings.kill_after_term = Some(std::time::Duration::from_secs(4));
        }),
        "
        0    listed i-1:small:10.0.0.1
        0    probed w1 ok c1
        1    kill c1
        2    signalled w1 c1 alive
        7    signalled w1 c1 alive
        12   signalled w1 c1 alive
        13   tick
        14   signalled w1 c1 alive
        17   tick
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok c1
                w1 c1 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1]
            1.000s kill c1
                w1 c1 kill: test
              > signal w1 c1 TERM
            2.000s signalled w1 c1 alive
            6.000s tick
              > signal w1 c1 TERM
            7.000s signalled w1 c1 alive
            10.397s tick
              > probe w1 list:Always
            11.000s tick
              > signal w1 c1 TERM
            12.000s signalled w1 c1 alive
            13.000s tick
              > signal w1 c1 KILL
            14.000s signalled w1 c1 alive
            17.000s tick
                w1 c1 kill given up
                w1 broken: the runner of c1 cannot be killed
                w1 run => drain: the runner of c1 cannot be killed
                w1 running -> shutdown: its last runners cannot be killed
              > destroy w1 i-1
        "#]],
    );
}

#[test]
fn a_runner_that_is_gone_is_believed_gone_even_if_an_older_list_shows_it() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    probed w1 ok c1 c2 c3
        10   kill c1
        10   kill c3
        10.5 signalled w1 c1 gone
        10.5 signalled w1 c3 gone
        10.5 forget c1
        10.6 show
        11   probed w1 ok c1 c3
        11   show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok c1 c2 c3
                w1 c1 alive, found
                w1 c2 alive, found
                w1 c3 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1, c2, c3]
            10.000s kill c1
                w1 c1 kill: test
              > signal w1 c1 TERM
            10.000s kill c3
                w1 c3 kill: test
              > signal w1 c3 TERM
            10.397s tick
              > probe w1 list:Always
            10.500s signalled w1 c1 gone
                w1 c1 ended (Killed)
              > watch w1 [c2, c3]
            10.500s signalled w1 c3 gone
                w1 c3 ended (Killed)
              > watch w1 [c2]
            10.500s forget c1
            10.600s show
                w1 i-1 small running run takes-work known
                c2 on w1: Alive
                c3 on w1: Exited { at: 10.500s }
                limit Some(8)
            11.000s probed w1 ok c1 c3
                w1 c2 ended (Unlisted)
                w1 running -> idle: its last container has ended
              > watch w1 []
            11.000s show
                w1 i-1 small idle run takes-work known
                c2 on w1: Exited { at: 11.000s }
                c3 on w1: Exited { at: 10.500s }
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_kill_during_a_start_waits_for_its_answer() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    probed w1 ok
        1    start w1 c1
        2    kill c1
        3    started w1 c1
        4    signalled w1 c1 gone
        5    kill c1
        5    show
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
            1.000s start w1 c1
                w1 idle -> running: has containers
              > start w1 c1
            2.000s kill c1
                w1 c1 kill: test
            3.000s started w1 c1
                w1 c1 start answered Ok(())
              > signal w1 c1 TERM
              > watch w1 [c1]
            4.000s tick
              > probe w1 list:Always
            4.000s signalled w1 c1 gone
                w1 c1 ended (Killed)
                w1 running -> idle: its last container has ended
              > watch w1 []
            5.000s kill c1
            5.000s show
                w1 i-1 small idle run takes-work known
                limit Some(8)
        "#]],
    );
}

#[test]
fn an_adopted_worker_that_never_passed_its_boot_probe_goes_when_its_last_runner_cannot_be_killed() {
    // Its list of runners answers, so that it is never silent (facts K3). The second is held.
    check(
        "
        0    listed i-1:small:10.0.0.1 i-2:small:10.0.0.2:behavior=hold
        0    answers w1 boot+list c1
        0    probed w1 boot+list c1
        0    answers w2 boot+list c2
        0    probed w2 boot+list c2
        1    kill c1
        1    kill c2
        2    signalled w1 c1 alive
        2    signalled w2 c2 alive
        7    signalled w1 c1 alive
        7    signalled w2 c2 alive
        12   signalled w1 c1 alive
        12   signalled w2 c2 alive
        14   show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1 i-2:small:10.0.0.2:behavior=hold
                w1 adopted, run
                w2 adopted, hold
                surveyed 2
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
            0.000s probed w1 boot+list c1
                w1 c1 alive, found
                w1 boot probe failed: degraded
              > watch w1 [c1]
            0.000s probed w2 boot+list c2
                w2 c2 alive, found
                w2 boot probe failed: degraded
              > watch w2 [c2]
            1.000s kill c1
                w1 c1 kill: test
              > signal w1 c1 TERM
            1.000s kill c2
                w2 c2 kill: test
              > signal w2 c2 TERM
            2.000s signalled w1 c1 alive
            2.000s signalled w2 c2 alive
            6.000s tick
              > signal w1 c1 TERM
              > signal w2 c2 TERM
            7.000s signalled w1 c1 alive
            7.000s signalled w2 c2 alive
            11.000s tick
              > signal w1 c1 TERM
              > signal w2 c2 TERM
            12.000s signalled w1 c1 alive
            12.000s signalled w2 c2 alive
            13.000s tick
                w1 c1 kill given up
                w1 broken: the runner of c1 cannot be killed
                w1 run => drain: the runner of c1 cannot be killed
                w1 boot Failure
                w1 unknown -> shutdown: its last runners cannot be killed
                w2 c2 kill given up
                w2 broken: the runner of c2 cannot be killed
                w2 boot Failure
              > destroy w1 i-1
            14.000s show
                w1 i-1 small shutdown drain known (the runner of c1 cannot be killed)
                w2 i-2 small unknown hold known (the runner of c2 cannot be killed)
                c1 on w1: GivenUp
                c2 on w2: GivenUp
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_given_up_runner_on_a_held_worker_keeps_the_worker() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    probed w1 ok c1
        1    hold w1
        1    kill c1
        2    signalled w1 c1 alive
        7    signalled w1 c1 alive
        12   signalled w1 c1 alive
        14   show
        15   run w1
        15   show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok c1
                w1 c1 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1]
            1.000s hold w1
                w1 run => hold: asked for
              > tag w1 {"PIdleBehavior": "hold"}
            1.000s kill c1
                w1 c1 kill: test
              > signal w1 c1 TERM
            2.000s signalled w1 c1 alive
            6.000s tick
              > signal w1 c1 TERM
            7.000s signalled w1 c1 alive
            10.397s tick
              > probe w1 list:Always
            11.000s tick
              > signal w1 c1 TERM
            12.000s signalled w1 c1 alive
            13.000s tick
                w1 c1 kill given up
                w1 broken: the runner of c1 cannot be killed
            14.000s show
                w1 i-1 small running hold known (the runner of c1 cannot be killed)
                c1 on w1: GivenUp
                limit Some(8)
            15.000s run w1
                w1 hold => run: asked for
                w1 running -> shutdown: its last runners cannot be killed
              > destroy w1 i-1
            15.000s show
                w1 i-1 small shutdown run known
                c1 on w1: GivenUp
                limit Some(8)
        "#]],
    );
}
