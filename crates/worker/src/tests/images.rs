//! What an instance was made with, its image and its runners' user, for all its life and over restarts.

use dispatch_model::UserName;
use expect_test::expect;

use crate::tests::{check, check_with, script::Script};

#[test]
fn an_order_with_an_image_is_tagged_with_it_and_keeps_to_it() {
    check(
        "
        0    listed
        0    create small@rocky
        0    create small
        1    created w1 i-1 10.0.0.1
        1    listed i-1:small:10.0.0.1:secret=s1:image=rocky
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small@rocky
              > create w1 small@rocky PInstanceType=small PVMImage=rocky
            0.000s create small
              > create w2 small
            1.000s created w1 i-1 10.0.0.1
                w1 created as i-1 in 1s
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:IfBooted
            1.000s listed i-1:small:10.0.0.1:secret=s1:image=rocky
        "#]],
    );
}

#[test]
fn an_instance_is_found_with_the_image_of_its_tag_and_drained_if_that_is_not_allowed() {
    check(
        "
        0    listed i-1:small:10.0.0.1:image=rocky i-2:small:10.0.0.2 i-3:small:10.0.0.3:image=gone i-4:gone:10.0.0.4:image=rocky
        0    show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1:image=rocky i-2:small:10.0.0.2 i-3:small:10.0.0.3:image=gone i-4:gone:10.0.0.4:image=rocky
                w1 adopted, run
                w2 adopted, run
                w3 adopted, drain: its type small with the image gone is no longer configured (InstanceTypes, AllowedImages); counts $0.100 an hour
                w4 adopted, drain: its type gone with the image rocky is no longer configured (InstanceTypes, AllowedImages); what it costs is not known
                surveyed 4
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
              > attach w3 10.0.0.3 without secret
              > probe w3 boot deploy list:Always
              > attach w4 10.0.0.4 without secret
              > probe w4 boot deploy list:Always
            0.000s show
                w1 i-1 small@rocky unknown run will-take-work
                w2 i-2 small unknown run will-take-work
                w3 i-3 small@gone unknown drain (its type is not configured)
                w4 i-4 gone@rocky unknown drain (its type is not configured)
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_lost_tag_of_the_image_or_the_user_is_written_again() {
    check_with(
        Script::with(|settings| settings.runner_user = UserName::parse("crunch")),
        "
        0    listed
        0    create small@rocky
        1    created w1 i-1 10.0.0.1
        1    answers w1 ok
        1    hold w1
        1    tagged w1
        1    lists i-1:small:10.0.0.1:secret=s1:behavior=hold
        60   tick
        61   tagged w1
        61   lists i-1:small:10.0.0.1:secret=s1:behavior=hold:image=rocky:user=crunch
        130  tick
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small@rocky
              > create w1 small@rocky PInstanceType=small PVMImage=rocky PRunnerUser=crunch
            1.000s created w1 i-1 10.0.0.1
                w1 created as i-1 in 1s
              > attach w1 10.0.0.1 for crunch
              > probe w1 boot deploy list:IfBooted
            1.000s hold w1
                w1 run => hold: asked for
              > tag w1 {"PIdleBehavior": "hold"}
            1.000s tagged w1
            24.000s tick
                w1 connect failed: no answer
            24.000s answer
                w1 ssh up after 23s
                w1 ready after 0ns
                w1 boot Success
                w1 booting -> idle: passed its probes
            60.000s answer
              > tag w1 {"PRunnerUser": "crunch", "PVMImage": "rocky"}
            61.000s tagged w1
        "#]],
    );
}

#[test]
fn runners_keep_the_user_that_their_instance_was_made_for() {
    check_with(
        Script::with(|settings| settings.runner_user = UserName::parse("crunch")),
        "
        0    listed i-1:small:10.0.0.1:secret=a i-2:small:10.0.0.2:secret=b:user=other i-3:small:10.0.0.3:secret=c:user=root i-4:small:10.0.0.4:secret=d:user=;reboot
        0    answers w1 ok
        0    answers w2 ok
        0    answers w3 ok
        0    answers w4 ok
        0    hold w1
        0    hold w2
        0    hold w3
        0    hold w4
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1:secret=a i-2:small:10.0.0.2:secret=b:user=other i-3:small:10.0.0.3:secret=c:user=root i-4:small:10.0.0.4:secret=d:user=;reboot
                w1 adopted, run
                w2 adopted, run
                w3 adopted, run
                w4 adopted, run: its tag RunnerUser is no user's name: its runners are taken for root's
                surveyed 4
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 for other
              > probe w2 boot deploy list:Always
              > attach w3 10.0.0.3
              > probe w3 boot deploy list:Always
              > attach w4 10.0.0.4
              > probe w4 boot deploy list:Always
            0.000s hold w1
                w1 run => hold: asked for
              > tag w1 {"PIdleBehavior": "hold"}
            0.000s hold w2
                w2 run => hold: asked for
              > tag w2 {"PIdleBehavior": "hold"}
            0.000s hold w3
                w3 run => hold: asked for
              > tag w3 {"PIdleBehavior": "hold"}
            0.000s hold w4
                w4 run => hold: asked for
              > tag w4 {"PIdleBehavior": "hold"}
        "#]],
    );
}

#[test]
fn a_tag_of_the_user_that_is_seen_late_still_counts() {
    check_with(
        Script::with(|settings| settings.runner_user = UserName::parse("crunch")),
        "
        0    listed i-1:small:10.0.0.1:secret=a:behavior=hold
        0    answers w1 ok
        0    lists i-1:small:10.0.0.1:secret=a:behavior=hold:user=late
        60   tick
        60   lists i-1:small:10.0.0.1:secret=a:behavior=hold:user=other
        130  tick
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1:secret=a:behavior=hold
                w1 adopted, hold
                surveyed 1
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:Always
            23.000s tick
                w1 connect failed: no answer
            23.000s answer
                w1 boot Success
                w1 unknown -> idle: passed its probes
            60.000s answer
              > attach w1 10.0.0.1 for late
            120.000s answer
              > tag w1 {"PRunnerUser": "late"}
        "#]],
    );
}

#[test]
fn an_image_that_the_cloud_refuses_keeps_no_other_type_from_being_created() {
    check(
        "
        0    listed
        0    create small@rocky
        1    create-fails w1 all-refused
        1    create small@rocky
        1    create big
        1    show
        7    create small@rocky
        8    created w3 i-3 10.0.0.3
        9    died i-3 never-began all-refused
        9    create a1
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small@rocky
              > create w1 small@rocky PInstanceType=small PVMImage=rocky
            1.000s create-fails w1 all-refused
                w1 creation failed: all-refused (Refused, 1s)
                hold small@rocky: create-failing until 6.000s
            1.000s create small@rocky
                create small@rocky refused: create-failing: all-refused
            1.000s create big
              > create w2 big
            1.000s show
                w2 - big booting run will-take-work known
                hold small@rocky: create-failing until Some(6.000s)
                limit Some(8)
            6.000s tick
                hold small@rocky: create-failing ended
            7.000s create small@rocky
              > create w3 small@rocky PInstanceType=small PVMImage=rocky
            8.000s created w3 i-3 10.0.0.3
                w3 created as i-3 in 1s
              > attach w3 10.0.0.3
              > probe w3 boot deploy list:IfBooted
            9.000s died i-3 never-began all-refused
                w3 died (launch failure): Server.Reason: words
                w3 boot Disappeared
                w3 gone, was booting, shutdown took None
                hold small@rocky: create-failing until 14.000s
              > detach w3
            9.000s create a1
              > create w4 a1
        "#]],
    );
}
