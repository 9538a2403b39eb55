//! Names: the client against Pyro5's own nameserver, in a separate Python process.

use std::time::Duration;

use remote::{Error, Location, NameServer, Proxy, Search, Uri, locate_ns};

use crate::common::{WAIT_DEADLINE, ask, lasting_port};
use crate::python::Python;

/// A nameserver that knows of `lab.probe`, and the UDP port on which it hears the network.
fn start() -> Option<(Python, u16)> {
    let port = lasting_port();
    Some((Python::start(&format!(r#"{{"nameserver": {port}}}"#))?, port))
}

fn location(uri: &str) -> Location {
    match uri.parse().unwrap() {
        Uri::Pyro { location, .. } => location,
        other => panic!("{other}"),
    }
}

async fn names(nameserver: &mut NameServer) -> Vec<String> {
    let listed = nameserver.list(Some("lab.")).await.unwrap();
    listed.into_iter().map(|registration| registration.name).collect()
}

#[tokio::test]
async fn a_nameserver_is_found_by_its_address_and_by_asking_the_network() {
    let Some((python, broadcast_port)) = start() else { return };
    let Location::Tcp { host, port } = location(&python.nameserver) else { panic!("TCP only") };
    let timeout = Some(WAIT_DEADLINE);
    let told = Search { host: Some(host), port, timeout, ..Search::default() };
    let asking = Search { this_host: false, broadcast_port, timeout, ..Search::default() };
    for search in [told, asking] {
        let mut found = locate_ns(&search).await.unwrap();
        let told = found.location();
        assert!(matches!(told, Location::Tcp { port: its, .. } if *its == port), "{told}");
        assert_eq!(names(&mut found).await, ["lab.probe"]);
    }
    drop(python);
    let search = Search { this_host: false, broadcast: false, ..Search::default() };
    assert!(matches!(locate_ns(&search).await, Err(Error::NoNameserver { .. })));
}

#[tokio::test]
async fn a_name_and_its_tags_lead_to_an_object() {
    let Some((python, _)) = start() else { return };
    let at = location(&python.nameserver);
    for name in ["PYRONAME:lab.probe", "PYROMETA:fast,optical"] {
        let mut proxy = Proxy::new(&format!("{name}@{at}")).unwrap().with_timeout(WAIT_DEADLINE);
        assert_eq!(ask(&mut proxy, "echo").await.to_string(), "[[], {}]", "{name}");
    }
    for (unknown, says) in [
        ("PYRONAME:lab.prode", "unknown name: lab.prode"),
        ("PYROMETA:fast,slow", "no registrations available"),
    ] {
        let mut proxy = Proxy::new(&format!("{unknown}@{at}")).unwrap().with_timeout(WAIT_DEADLINE);
        let Err(Error::Remote(raised)) = proxy.connect().await else { panic!("{unknown}") };
        assert_eq!(raised.class, "Pyro5.errors.NamingError");
        assert!(raised.message().starts_with(says), "{raised}");
    }
}

#[tokio::test]
async fn names_are_registered_changed_and_removed() {
    let Some((python, _)) = start() else { return };
    let at = location(&python.nameserver);
    let mut nameserver = NameServer::at(at.clone(), Some(WAIT_DEADLINE));
    let uri: Uri = python.uri.parse().unwrap();
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    nameserver.register_new("lab.other", &uri, &tags(&["slow"])).await.unwrap();
    let taken = nameserver.register_new("lab.other", &uri, &[]).await;
    assert!(matches!(taken, Err(Error::Remote(_))), "{taken:?}");
    nameserver.register("lab.other", &uri, &tags(&["b", "a"])).await.unwrap();
    let found = nameserver.lookup_with_tags("lab.other").await.unwrap();
    assert_eq!((found.0.to_string(), found.1), (python.uri.clone(), tags(&["a", "b"])));
    nameserver.set_metadata("lab.other", &tags(&["fast"])).await.unwrap();
    assert_eq!(nameserver.with_tags(&tags(&["fast"])).await.unwrap().len(), 2);
    assert_eq!(nameserver.with_any_tag(&tags(&["optical", "none"])).await.unwrap().len(), 1);
    assert_eq!(nameserver.matching("lab.o.*").await.unwrap().len(), 1);
    assert!(nameserver.remove("lab.other").await.unwrap());
    assert!(!nameserver.remove("lab.other").await.unwrap());
    assert_eq!(names(&mut nameserver).await, ["lab.probe"]);
}

#[tokio::test]
async fn a_name_that_has_moved_is_found_again() {
    let Some((python, _)) = start() else { return };
    let Some(moved) = Python::start("{}") else { return };
    let at = location(&python.nameserver);
    let mut proxy =
        Proxy::new(&format!("PYRONAME:lab.probe@{at}")).unwrap().with_timeout(WAIT_DEADLINE);
    proxy.call("note", vec!["here".into()], Vec::new()).await.unwrap();
    let mut nameserver = NameServer::at(at, Some(WAIT_DEADLINE));
    nameserver.register("lab.probe", &moved.uri.parse().unwrap(), &[]).await.unwrap();
    proxy.reconnect(1, Duration::ZERO).await.unwrap();
    assert_eq!(ask(&mut proxy, "notes").await.as_list().unwrap().len(), 0);
}
