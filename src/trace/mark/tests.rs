use proptest::prelude::*;

use super::*;

/// Marks of both grammars, as files have them, and what they are.
#[test]
fn marks_are_read_and_written_back() {
    let names = Motors::new(["x", "y"]);
    let begins = |kind, owner| Mark::Begins { id: 7, kind, motors: names.clone(), owner };
    let changed = |change| Mark::changed(7, change, ["x", "y"]);
    for (text, mark) in [
        ("grammar:2", Mark::Grammar(GRAMMAR)),
        ("7:aligned:x,y", begins(MoveKind::Aligned, None)),
        ("7:asap:x,y:client", begins(MoveKind::Asap, Some(Owner::Client))),
        ("7:blend:x,y:program.tour", begins(MoveKind::Blend, Some(Owner::program("tour")))),
        ("7:keyframes:x,y:start-up", begins(MoveKind::Keyframes, Some(Owner::StartUp))),
        ("7:jog:x,y:park", begins(MoveKind::Jog, Some(Owner::Park))),
        ("7:aligned:x,y:procedure.home", begins(MoveKind::Aligned, Some(Owner::procedure("home")))),
        ("7:stream:x,y:stream", begins(MoveKind::Stream, Some(Owner::Stream))),
        ("7:corner:0.1:12.5,-3", Mark::corner(7, 0.1, [12.5, -3.0])),
        ("7:hold:x,y", changed(PlanChange::Hold)),
        ("7:resume:x,y", changed(PlanChange::Resume)),
        ("7:stop:x,y", changed(PlanChange::Stop)),
        ("7:override:x,y", changed(PlanChange::Override)),
        ("7:retarget:x,y", changed(PlanChange::Retarget)),
        ("7:renew:x,y", changed(PlanChange::Renew)),
        ("7:turn:x,y", changed(PlanChange::Turn)),
        ("7:path:x,y", changed(PlanChange::Path)),
        ("7:join:x,y", changed(PlanChange::Join)),
        ("7:held", Mark::Held(7)),
        ("7:ended", Mark::Ended(7)),
        ("set:x", Mark::Set("x".into())),
        ("unknown:x", Mark::Unknown("x".into())),
        ("fault:x", Mark::Fault("x".into())),
        ("release:x", Mark::Release("x".into())),
        ("enable:x", Mark::Enable("x".into())),
        ("7:frame:3", Mark::Reserved(Reserved::Frame, "7:frame:3".into())),
        ("7:phase:latch", Mark::Reserved(Reserved::Phase, "7:phase:latch".into())),
        ("input:stop:on", Mark::Reserved(Reserved::Input, "input:stop:on".into())),
        ("output:lamp", Mark::Reserved(Reserved::Output, "output:lamp".into())),
        ("machine:held", Mark::Reserved(Reserved::Machine, "machine:held".into())),
        ("machine:stopped:x", Mark::Reserved(Reserved::Machine, "machine:stopped:x".into())),
    ] {
        assert_eq!(Mark::parse(text).unwrap(), mark);
        assert_eq!(mark.to_string(), text);
        assert_eq!(mark.clone().into_owned(), mark);
    }
    assert_eq!(names.names().collect::<Vec<_>>(), ["x", "y"]);
}

/// The oldest traces do not name the motors of a move.
#[test]
fn a_move_without_motors_is_read() {
    let Ok(Mark::Begins { id: 1, kind: MoveKind::Aligned, motors, owner: None }) =
        Mark::parse("1:aligned")
    else {
        panic!("{:?}", Mark::parse("1:aligned"))
    };
    assert!(motors.is_empty() && motors.names().next().is_none());
}

#[test]
fn what_is_no_mark_is_an_error() {
    for text in [
        "",
        "7",
        "7:",
        "x",
        "aligned",
        "-1:aligned:x",
        "7:alligned:x",
        "7:jog:x:nobody",
        "7:jog:x:program",
        "7:jog:x:program.",
        "7:jog:x:",
        "grammar",
        "grammar:",
        "grammar:two",
        "7:corner",
        "7:corner:0.1",
        "7:corner:0.1:",
        "7:corner:0.1:a",
        "7:corner:x:1",
        "7:corner:0.1:inf",
        "99999999999999999999:ended",
    ] {
        let error = Mark::parse(text).unwrap_err();
        assert_eq!(error.text, text);
        assert!(error.to_string().starts_with(&format!("`{text}` is no mark of a move: ")));
    }
}

proptest! {
    /// Whatever is read comes out as it was; nothing panics.
    #[test]
    fn any_text_can_be_read(text in "([0-9]{1,3}|set|unknown|grammar|input)(:[a-z0-9.,-]{0,9}){0,4}") {
        if let Ok(mark) = Mark::parse(&text) {
            let again = mark.to_string();
            prop_assert_eq!(Mark::parse(&again).unwrap(), mark);
        }
    }

    /// Vertices come back to the last bit.
    #[test]
    fn vertices_are_exact(blend in 0.0f64..1e6, at in prop::collection::vec(-1e9f64..1e9, 1..5)) {
        let mark = Mark::corner(3, blend, at);
        let text = mark.to_string();
        prop_assert_eq!(Mark::parse(&text).unwrap(), mark);
    }
}
