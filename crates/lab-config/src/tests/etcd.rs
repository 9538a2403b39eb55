//! Nameservers on etcd.

use super::*;
use crate::Storage;

#[test]
fn a_nameserver_on_etcd_says_where_etcd_is() {
    let right = right(
        "nameservers: {n: {storage: etcd, etcd: {endpoints: [\"https://e:2379\"], user: u, \
         password: p}, replicas: [m, \"m:9091\", \"[::1]:9090\"]}}",
    );
    let nameserver = &right.nameservers[0];
    assert_eq!(nameserver.storage, Storage::Etcd);
    let etcd = nameserver.etcd.as_ref().unwrap();
    assert_eq!((etcd.prefix.as_str(), etcd.endpoints.len()), ("/ferrolab", 1));
    assert_eq!(nameserver.replicas.len(), 3);
    assert!(!format!("{right:?}").contains("\"p\""), "no log shows a password");
    let cases = [
        ("storage: etcd", "1:28 nothing says where etcd is"),
        ("storage: etcd, etcd: {}", "1:40 it has no `endpoints`"),
        ("storage: etcd, etcd: {endpoints: [\"e:2379\"]}", "1:52 no address of a web server"),
        ("storage: etcd, etcd: {endpoints: [\"http://e\"], prefix: /}", "1:74 without a prefix"),
        (
            "storage: etcd, etcd: {endpoints: [\"http://e\"], key: k}",
            "1:71 without its certificate",
        ),
        ("storage: etcd, etcd: {endpoints: [\"http://e\"], user: u}", "1:72 belong together"),
        ("replicas: [\"m:x\"]", "1:30 no address of a nameserver"),
    ];
    for (entry, expected) in cases {
        check(&format!("nameservers: {{n: {{{entry}}}}}"), &[expected]);
    }
    let idle = "nameservers: {n: {etcd: {endpoints: [\"http://e\"]}}}";
    check_warnings(idle, &["1:19 it has no effect"]);
}
