//! What other users of the machine put into the folders that root and the service use.

use crate::common::{Config, shell};

const SAFE: &str = include_str!("safe.toml");

/// A service's folder, and a file of root's that nobody else may touch.
const FOLDER: &str = "mkdir -m 755 /run/lockstep && chown 9998 /run/lockstep && echo precious >/run/target && \
    chmod 600 /run/target || exit 9\n\
    whole() { [ \"$(cat /run/target) $(stat -c %a%u /run/target)\" = 'precious 6000' ] || exit 5; }\n";

/// Runs a command as that user, with the program where they can reach it.
const AS: &str = "cp $LOCKSTEP /run/program && chmod 755 /run/program || exit 9\n\
    as() { u=$1; shift; setpriv --reuid $u --regid $u --groups $u -- \"$@\"; }\n";

#[test]
fn root_follows_no_link_of_the_folders_owner() {
    let config = Config::new(SAFE);
    let run = shell(
        "--pwm 18",
        &format!(
            "{FOLDER}cd /run/lockstep\nln -s /run/target lock\n\
             lockstep safe --config {0}; [ $? = 3 ] || exit 8\n\
             lockstep run --config {0} --for 100ms; [ $? = 3 ] || exit 7\nwhole\nrm lock\nmkfifo lock\n\
             lockstep safe --config {0}; [ $? = 3 ] || exit 8\nrm lock\n\
             for f in accepted.toml outputs.json changing.toml changing.json; do\n\
             ln -s /run/target $f; ln -s /run/target .$f.new; done\n\
             lockstep safe --config {0} || exit 6\nwhole\n\
             lockstep run --config {0} --for 100ms || exit 4\nwhole\n\
             lockstep safe --config none || exit 6\nwhole",
            config.path
        ),
    )
    .expect_success();
    for part in [
        "/run/lockstep/lock: it is a link: it is what keeps two programs from driving one header",
        "/run/lockstep/lock: it is no regular file",
        "/run/lockstep/accepted.toml does not count: it is a link",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    assert!(run.stdout.contains("config: /run/lockstep/accepted.toml"), "{}", run.stdout);
}

/// The lock is for who may drive the header: nobody else keeps anybody from making it safe.
#[test]
fn a_stranger_keeps_nobody_from_the_header() {
    let config = Config::new(SAFE);
    shell(
        "--pwm 18",
        &format!(
            "{FOLDER}{AS}lockstep safe --config {0} || exit 8\n\
             [ \"$(stat -c %a%u /run/lockstep/lock)\" = 6609998 ] || exit 7\n\
             for how in -x -s; do as 65534 flock -n $how /run/lockstep/lock true && exit 6; done\n\
             as 65534 sh -c 'flock -x /run/lockstep/lock sleep 100' &\nsleep 0.3\n\
             lockstep safe --config {0} || exit 4",
            config.path
        ),
    )
    .expect_success();
}

/// Who can't open the lock is told so before anything of the header is touched.
#[test]
fn who_may_not_lock_may_not_drive() {
    let config = Config::new(SAFE);
    let run = shell(
        "--pwm 18",
        &format!(
            "{FOLDER}{AS}lockstep safe --config {0} || exit 8\nmark stranger\n\
             as 9995 /run/program run --config {0} --for 100ms; [ $? = 3 ] || exit 7",
            config.path
        ),
    )
    .expect_success();
    assert!(run.stderr.contains("may not lock it, and so may not drive"), "{}", run.stderr);
    assert!(run.after("stranger").pwm_writes("").is_empty());
}

/// What a stranger has left is not taken for what was accepted, and never waited for.
#[test]
fn a_strangers_files_do_not_count() {
    let config = Config::new(SAFE);
    let run = shell(
        "--pwm 18",
        &format!(
            "{FOLDER}cd /run/lockstep\necho '[servo.pan]' >accepted.toml\nchown 9995 accepted.toml\n\
             lockstep safe --config {0} || exit 8\nrm accepted.toml\nmkfifo accepted.toml\n\
             lockstep safe --config {0} || exit 7\nrm accepted.toml\n\
             truncate -s 20M accepted.toml\nlockstep safe --config {0} || exit 6",
            config.path
        ),
    )
    .expect_success();
    for why in
        ["it belongs to user 9995", "it is no regular file", "it has more than 16842752 bytes"]
    {
        let said = format!("/run/lockstep/accepted.toml does not count: {why}");
        assert!(run.stderr.contains(&said), "{said}: {}", run.stderr);
    }
}

/// Without a folder of one's own: one in a place for everybody, which a stranger has made, is trusted by neither side.
#[test]
fn a_strangers_folder_is_trusted_by_nobody() {
    let run = shell(
        "",
        &format!(
            "{AS}mkdir -m 1777 /run/tmp\nexport TMPDIR=/run/tmp\n\
             as 9995 mkdir -m 777 /run/tmp/lockstep || exit 9\n\
             echo '[servo.pan]\npwm = {{ gpio = 18 }}' >/run/config.toml\n\
             as 9998 /run/program serve --backend sim --config /run/config.toml; [ $? = 3 ] || exit 8\n\
             setpriv --reuid 9995 --regid 9995 --groups 9995 -- /run/program serve --backend sim \\
             --config /run/config.toml & service=$!\n\
             for n in $(seq 100); do [ -S /run/tmp/lockstep/control.sock ] && break; sleep 0.1; done\n\
             as 9995 /run/program status || exit 7\n\
             chmod 666 /run/tmp/lockstep/control.sock\n\
             as 9998 /run/program stop; [ $? = 3 ] || exit 6\n\
             lockstep stop; [ $? = 3 ] || exit 5\nkill $service\nwait $service"
        ),
    )
    .expect_success();
    let said = run.stderr.matches("/run/tmp/lockstep belongs to user 9995").count();
    assert_eq!(said, 3, "{}", run.stderr);
}
