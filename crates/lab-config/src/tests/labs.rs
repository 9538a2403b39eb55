//! Other labs: their addresses, and names that read as names in them.

use super::*;

#[test]
fn other_labs_have_names_and_addresses() {
    let labs = right(&format!(
        "{LAB}labs: {{optics: {{host: opticspc}}, cold: {{host: coldpc, port: 9190}}}}\n"
    ))
    .labs;
    let found: Vec<_> = labs.iter().map(|lab| (lab.name.as_str(), lab.port, lab.ssl)).collect();
    assert_eq!(found, [("optics", 9090, false), ("cold", 9190, false)]);
    assert_eq!(labs[0].qualify("lab.laser"), "optics/lab.laser");
    for (name, expected) in [
        ("optics/lab.laser", Some("lab.laser")),
        ("optics/a/b", Some("a/b")),
        ("opticslab.laser", None),
        ("cold/lab.laser", None),
        ("optics", None),
    ] {
        assert_eq!(labs[0].unqualify(name), expected, "{name}");
    }
}

#[test]
fn what_cannot_be_another_lab_is_told() {
    for (text, expected) in [
        ("labs: [optics]", "11:7 labs: expected a mapping from names to labs"),
        ("labs: {optics: {hots: x}}", "11:17 labs.optics.hots: another lab has no key"),
        ("labs: {optics: {ns_port: 1}}", "11:17 labs.optics.ns_port: another lab has no key"),
        ("labs: {optics: {host: public}}", "11:23 labs.optics.host: another lab is at one address"),
        ("labs: {optics: {host: x, port: 0}}", "11:32 labs.optics.port: with port 0"),
        ("labs: {a/b: {host: x}}", "11:8 labs.a/b: `a/b` cannot be the name of a lab"),
        (
            "labs: {optics: {host: x, ssl_cacerts: ca.pem}}",
            "11:39 labs.optics.ssl_cacerts: `ssl_cacerts` does nothing without `ssl`",
        ),
        (
            "labs: {optics: {host: x, ssl: true, ssl_clientkey: k.pem}}",
            "11:52 labs.optics.ssl_clientkey: `ssl_clientkey` does nothing without",
        ),
        (
            "labs: {lab: {host: x}}\naccess: {grants: [{who: ada, what: lab/laser, role: view}]}",
            "12:36 access.grants[0].what[0]: `lab/laser` is in the lab `lab`",
        ),
    ] {
        check(&format!("{LAB}{text}\n"), &[expected]);
    }
}

#[test]
fn a_service_never_reads_as_one_of_another_lab() {
    let text = "daemons: {bench: {}}\nservices: {optics/laser: {native: demo.clock, daemon: bench, nameservers: []}}\n\
                labs: {optics: {host: x}}\n";
    check(text, &["2:12 services.optics/laser: `optics/laser` reads as a name in the lab"]);
}

#[test]
fn a_page_that_shows_other_labs_to_everybody_is_told() {
    let labs = "labs: {optics: {host: x}}\n";
    let told = "1:1 labs: without `access`, the page shows these labs to everybody";
    for (rest, expected) in [
        ("web: {host: public}", &[told][..]),
        ("web: {host: localhost}", &[]),
        ("web: {host: public}\naccess: {}", &[]),
        ("", &[]),
    ] {
        check_warnings(&format!("{labs}{rest}\n"), expected);
    }
}
