//! Problems with the members of built-in services.

use super::*;

#[test]
fn members_that_a_built_in_service_does_not_have_are_told_of_with_the_nearest() {
    let text = "daemons: {default: {classname: LockableDaemon}}\nservices: {s: {native: demo.sine, \
                abort: [_stop, sotp], on_disconnect: [stop, stpo, frequency], \
                read_while_locked: [frequenzy, start, islocked]}}";
    let expected = [
        "2:43 services.s.abort[0]: `demo.sine` has no method `_stop` (did you mean `stop`?)",
        "2:50 services.s.abort[1]: `demo.sine` has no method `sotp` (did you mean `stop`?)",
        "2:79 services.s.on_disconnect[1]: `demo.sine` has no method `stpo` (did you mean `stop`?)",
        "2:85 services.s.on_disconnect[2]: `demo.sine` has no method `frequency` (its methods are \
         start, stop)",
        "2:117 services.s.read_while_locked[0]: `demo.sine` has no member `frequenzy` (did you mean \
         `frequency`?)",
    ];
    check(text, &expected);
    // Where it is not known what there is, nothing is said of it.
    let unknown = Surroundings { natives: None, ..surroundings() };
    assert!(Configuration::parse("lab.yaml", text.as_bytes(), &unknown).is_ok());
}
