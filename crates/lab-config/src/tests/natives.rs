//! Problems with the members of built-in services.

use super::*;

#[test]
fn members_that_a_built_in_service_does_not_have_are_told_of_with_the_nearest() {
    let text = "daemons: {default: {classname: LockableDaemon}}\nservices: {s: {native: demo.sine, \
                on_disconnect: [stop, stpo, frequency], \
                read_while_locked: [frequenzy, start, islocked]}}";
    let expected = [
        "2:57 services.s.on_disconnect[1]: `demo.sine` has no method `stpo` (did you mean `stop`?)",
        "2:63 services.s.on_disconnect[2]: `demo.sine` has no method `frequency` (its methods are \
         start, stop)",
        "2:95 services.s.read_while_locked[0]: `demo.sine` has no member `frequenzy` (did you mean \
         `frequency`?)",
    ];
    check(text, &expected);
    // Where it is not known what there is, nothing is said of it.
    let unknown = Surroundings { natives: None, ..surroundings() };
    assert!(Configuration::parse("lab.yaml", text.as_bytes(), &unknown).is_ok());
}
