//! Starts: answered, failed, late, refused.

use expect_test::expect;

use super::check;

#[test]
fn a_container_is_started_watched_and_its_end_noticed() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0.1  probed w1 ok
        1    start w1 c1
        1    show
        1.2  started w1 c1
        2.3  probed w1 ok c1
        5    ended w1 c1
        5.1  probed w1 ok
        5.2  show
        6    start w1 c1
        6    forget c1
        6    start w1 c1
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.100s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            1.000s start w1 c1
                w1 idle -> running: has containers
              > start w1 c1
            1.000s show
                w1 i-1 small running run takes-work known
                c1 on w1: Starting
                limit Some(8)
            1.200s started w1 c1
                w1 c1 start answered Ok(())
              > watch w1 [c1]
            2.200s tick
              > probe w1 list:Always
            2.300s probed w1 ok c1
                w1 c1 alive
            5.000s ended w1 c1
              > probe w1 list:Always
            5.100s probed w1 ok
                w1 c1 ended (Unlisted)
                w1 running -> idle: its last container has ended
              > watch w1 []
            5.200s show
                w1 i-1 small idle run takes-work known
                c1 on w1: Exited { at: 5.100s }
                limit Some(8)
            6.000s start w1 c1
                w1 c1 start refused: a runner of it is in the books
            6.000s forget c1
            6.000s start w1 c1
                w1 idle -> running: has containers
              > start w1 c1
        "#]],
    );
}

#[test]
fn a_list_that_was_asked_for_before_the_start_was_answered_proves_nothing_about_it() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0.1  probed w1 ok c2
        10.5 start w1 c1
        10.6 probed w1 ok c2 c3
        10.7 ended w1 c3
        10.8 started w1 c1
        10.9 probed w1 ok c2
        11   show
        12   probed w1 ok c1
        12   show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.100s probed w1 ok c2
                w1 c2 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c2]
            10.397s tick
              > probe w1 list:Always
            10.500s start w1 c1
              > start w1 c1
            10.600s probed w1 ok c2 c3
                w1 c3 alive, found
              > watch w1 [c2, c3]
            10.700s ended w1 c3
              > probe w1 list:Always
            10.800s started w1 c1
                w1 c1 start answered Ok(())
              > watch w1 [c1, c2, c3]
            10.900s probed w1 ok c2
                w1 c3 ended (Unlisted)
              > watch w1 [c1, c2]
            11.000s show
                w1 i-1 small running run takes-work known
                c1 on w1: Starting
                c2 on w1: Alive
                c3 on w1: Exited { at: 10.900s }
                limit Some(8)
            11.800s tick
              > probe w1 list:Always
            12.000s probed w1 ok c1
                w1 c1 alive
                w1 c2 ended (Unlisted)
              > watch w1 [c1]
            12.000s show
                w1 i-1 small running run takes-work known
                c1 on w1: Alive
                c2 on w1: Exited { at: 12.000s }
                c3 on w1: Exited { at: 10.900s }
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_start_that_failed_may_have_worked_and_the_next_list_decides() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    probed w1 ok
        1    start w1 c1
        1    start w1 c2
        1.1  start-fails w1 c1
        1.1  start-fails w1 c2
        1.2  probed w1 ok c1
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
            1.000s start w1 c2
              > start w1 c2
            1.100s start-fails w1 c1
                w1 c1 start answered Err("broken pipe")
              > probe w1 list:Always
            1.100s start-fails w1 c2
                w1 c2 start answered Err("broken pipe")
            1.200s probed w1 ok c1
                w1 c1 alive
              > probe w1 list:Always
              > watch w1 [c1]
        "#]],
    );
}

#[test]
fn a_start_that_hangs_counts_as_failed_by_the_clock() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    probed w1 ok
        1    start w1 c1
        10   probed w1 ok
        10.1 started w1 c1
        12.1 probed w1 ok
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
            9.000s tick
                w1 c1 start answered Err("no answer")
              > probe w1 list:Always
            10.000s probed w1 ok
            10.100s started w1 c1
            12.000s tick
              > probe w1 list:Always
            12.100s probed w1 ok
                w1 c1 ended (Unlisted)
                w1 running -> idle: its last container has ended
        "#]],
    );
}

#[test]
fn a_start_is_refused_where_no_work_is_wanted() {
    check(
        "
        0    listed i-1:small:10.0.0.1 i-2:small:10.0.0.2 i-3:small:10.0.0.3
        0    probed w1 ok
        0    probed w2 ok
        0    probed w3 ok c3
        1    hold w1
        1    start w1 c1
        1    drain w3
        1    start w3 c1
        1    start w2 c3
        1    start w2 c1
        1    start w2 c1
        1    start w7 c1
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1 i-2:small:10.0.0.2 i-3:small:10.0.0.3
                w1 adopted, run
                w2 adopted, run
                w3 adopted, run
                surveyed 3
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
              > attach w3 10.0.0.3 without secret
              > probe w3 boot deploy list:Always
            0.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            0.000s probed w2 ok
                w2 boot Success
                w2 unknown -> idle: passed its probes
            0.000s probed w3 ok c3
                w3 c3 alive, found
                w3 boot Success
                w3 unknown -> running: passed its probes
              > watch w3 [c3]
            1.000s hold w1
                w1 run => hold: asked for
              > tag w1 {"PIdleBehavior": "hold"}
            1.000s start w1 c1
                w1 c1 start refused: the worker is idle and takes no work
            1.000s drain w3
                w3 run => drain: asked for
              > tag w3 {"PIdleBehavior": "drain"}
            1.000s start w3 c1
                w3 c1 start refused: the worker is running and takes no work
            1.000s start w2 c3
                w2 c3 start refused: a runner of it is in the books
            1.000s start w2 c1
                w2 idle -> running: has containers
              > start w2 c1
            1.000s start w2 c1
                w2 c1 start refused: a runner of it is in the books
            1.000s start w7 c1
        "#]],
    );
}

#[test]
fn a_start_that_was_not_answered_in_time_may_arrive_late() {
    // A list that does not show it proves nothing before it has had its time once more.
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    probed w1 ok
        1    start w1 c1
        4    start-fails w1 c1
        4.1  probed w1 ok
        4.1  kill c1
        7    show
        7.1  probed w1 ok
        7.1  show
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
            4.000s start-fails w1 c1
                w1 c1 start answered Err("broken pipe")
              > probe w1 list:Always
            4.100s probed w1 ok
            4.100s kill c1
                w1 c1 kill: test
            7.000s tick
              > signal w1 c1 TERM
              > probe w1 list:Always
            7.000s show
                w1 i-1 small running run takes-work known
                c1 on w1: Killing
                limit Some(8)
            7.100s probed w1 ok
                w1 c1 ended (Unlisted)
                w1 running -> idle: its last container has ended
            7.100s show
                w1 i-1 small idle run takes-work known
                c1 on w1: Exited { at: 7.100s }
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_late_start_of_a_dead_daemon_shows_as_a_second_runner() {
    check(
        "
        0    listed i-1:small:10.0.0.1 i-2:small:10.0.0.2
        0    probed w1 ok
        0    probed w2 ok
        1    start w1 c1
        1.1  started w1 c1
        2.2  answers w1 ok c1
        2.2  probed w1 ok c1
        11   probed w2 ok c1
        11   show
        12   kill c1
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
            0.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            0.000s probed w2 ok
                w2 boot Success
                w2 unknown -> idle: passed its probes
            1.000s start w1 c1
                w1 idle -> running: has containers
              > start w1 c1
            1.100s started w1 c1
                w1 c1 start answered Ok(())
              > watch w1 [c1]
            2.100s tick
              > probe w1 list:Always
            2.200s probed w1 ok c1
                w1 c1 alive
            10.302s tick
              > probe w2 list:Always
            11.000s probed w2 ok c1
                w2 c1 alive, found
                w2 idle -> running: has containers
              > watch w2 [c1]
            11.000s show
                w1 i-1 small running run takes-work known
                w2 i-2 small running run takes-work known
                c1 on w1: Alive
                c1 on w2: Alive
                limit Some(8)
            12.000s kill c1
                w1 c1 kill: test
                w2 c1 kill: test
              > signal w1 c1 TERM
              > signal w2 c1 TERM
        "#]],
    );
}
