use std::os::unix::fs::MetadataExt;

use super::*;
use crate::access::code::CodeKeys;
use crate::access::{LoginCode, new_code};

#[tokio::test]
async fn ten_thousand_wrong_codes_are_refused_and_a_good_one_works_once() {
    let folder = tempfile::tempdir().unwrap();
    let service = Arc::new(LoginService::new(folder.path().join("access"), "lab".to_owned(), None));
    let code = new_code(&service.folder).unwrap();
    Users::change(&service.folder, |users| users.add("ada", &[], &code)).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let request =
        |code: &LoginCode| LoginRequest::new(&code.keys(), csr.clone(), "0".repeat(64)).unwrap();
    let ask = |request: LoginRequest| {
        let service = Arc::clone(&service);
        async move { service.serve(request, Peer::Unix { process: None }).await }
    };
    for _ in 0..10_000 {
        let wrong = new_wrong_code();
        assert!(ask(request(&wrong)).await.is_err());
    }
    // The id of a code is public; a proof with another secret does not count.
    let forged = LoginRequest { code: code.keys().id, ..request(&new_wrong_code()) };
    assert!(ask(forged).await.is_err());
    let good = request(&code);
    let answer = ask(good.clone()).await.unwrap();
    assert!(answer.is_proven(&code.keys(), &good) && answer.user == "ada");
    assert!(ask(good).await.is_err(), "a request that is replayed");
}

/// A service with the user ada, her token's keys, and her certificate that ends in 20 days.
fn service_with_login(folder: &std::path::Path) -> (Arc<LoginService>, CodeKeys, String) {
    let service = Arc::new(LoginService::new(folder.join("access"), "lab".to_owned(), None));
    crate::access::users::tests::add(&service.folder, "ada", "token");
    let files = AuthorityFiles::in_folder(service.folder.clone());
    let subject = Subject::Client { name: "ada" };
    let issued = files.open().unwrap().issue_with_key(subject, 20).unwrap();
    let der = remote::certificate_der(&issued.certificate).unwrap();
    let changed = Users::change(&service.folder, |users| {
        let login = &mut users.users.get_mut("ada").unwrap().logins[0];
        login.certificate = hex(&Sha256::digest(&der));
        login.until = Timestamp::now() + jiff::SignedDuration::from_hours(20 * 24);
        Ok(login.token.clone())
    });
    (service, renewal::keys_of(&changed.unwrap().0), issued.certificate)
}

#[tokio::test]
async fn a_renewal_whose_answer_was_lost_is_answered_again_and_a_forged_one_never() {
    let folder = tempfile::tempdir().unwrap();
    let (service, keys, certificate) = service_with_login(folder.path());
    let renew =
        |request: RenewalRequest| Arc::clone(&service).renew(request, Peer::Unix { process: None });
    let stored = || std::fs::read(Users::file(&service.folder)).unwrap();
    let new = |keys: &CodeKeys| RenewalRequest::new(keys, certificate.clone()).unwrap();
    // The login's id is public; a proof with another token does not count.
    let other = renewal::keys_of("other");
    let forged = new(&CodeKeys { id: keys.id.clone(), key: other.key.clone() });
    for wrong in [forged, new(&other)] {
        let before = stored();
        let error = renew(wrong).await.unwrap_err();
        assert!(error.message().contains("not known here"), "{error:?}");
        assert_eq!(stored(), before);
    }
    // A listener replays it; the client, whose answer was lost, asks anew with what it has.
    let first = new(&keys);
    let (_, lost) = renew(first.clone()).await.unwrap();
    let before = stored();
    for request in [first, new(&keys), new(&keys)] {
        let (user, answer) = renew(request.clone()).await.unwrap();
        assert!(user == "ada" && answer.is_proven(&keys, &request));
        assert_eq!((&answer.certificate, &answer.until), (&lost.certificate, &lost.until));
    }
    assert_eq!(stored(), before, "one certificate was issued");
    // The same found under the lock, where another request was first: nothing is written.
    let inode = || std::fs::metadata(Users::file(&service.folder)).unwrap().ino();
    let (written, shown) = (inode(), remote::certificate_der(&certificate).unwrap());
    let reissue =
        |keys: &CodeKeys| service.reissue(&new(keys), &shown, &Peer::Unix { process: None });
    assert_eq!(reissue(&keys).unwrap().1.certificate, lost.certificate);
    assert!(reissue(&other).unwrap_err().message().contains("not known here"));
    assert_eq!(inode(), written);
    crate::files::replace(&Users::file(&service.folder), b"[]").unwrap();
    let error = renew(new(&keys)).await.unwrap_err();
    assert!(error.message().contains("cannot be read"), "{error:?}");
    assert_eq!(stored(), b"[]");
}

#[tokio::test]
async fn a_login_is_carried_out_though_its_connection_ends() {
    let (begun, beginning) = tokio::sync::oneshot::channel();
    let (go_on, turn) = tokio::sync::oneshot::channel::<()>();
    let (done, recorded) = tokio::sync::oneshot::channel();
    let serving = to_the_end(Arc::new(Semaphore::new(1)), async move {
        let _ = begun.send(());
        let _ = turn.await;
        let _ = done.send(());
        Ok(Value::None)
    });
    tokio::select! {
        _ = serving => panic!("it waits for its turn"),
        begun = beginning => begun.unwrap(),
    }
    go_on.send(()).unwrap();
    recorded.await.unwrap();
}

#[tokio::test]
async fn connections_that_end_leave_no_more_logins_than_there_are_places() {
    const MANY: usize = 3 * AT_ONCE;
    let folder = tempfile::tempdir().unwrap();
    let service = LoginService::new(folder.path().join("access"), "lab".to_owned(), None);
    let begun = Arc::new(Semaphore::new(0));
    let go_on = Arc::new(Semaphore::new(0));
    let login = || {
        let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
        to_the_end(Arc::clone(&service.places), async move {
            begun.add_permits(1);
            let _turn = go_on.acquire().await;
            Ok(Value::None)
        })
    };
    let closed: Vec<_> = (0..MANY).map(|_| tokio::spawn(login())).collect();
    let all = begun.acquire_many(u32::try_from(AT_ONCE).unwrap()).await.unwrap();
    for connection in closed {
        connection.abort();
        assert!(connection.await.is_err_and(|error| error.is_cancelled()));
    }
    all.forget();
    // The next one waits for a place, and none of those that were closed takes one.
    let next = tokio::spawn(login());
    go_on.add_permits(1);
    next.await.unwrap().unwrap();
    begun.acquire().await.unwrap().forget();
    assert_eq!(begun.available_permits(), 0, "no other one was begun");
}

#[test]
fn clients_do_not_get_the_id_of_the_lab() {
    let object = LoginObject::new(PathBuf::new(), "8a1f", None);
    assert!(!object.service.lab.contains("8a1f") && object.service.lab.len() == 64);
    assert_eq!(object.service.lab, public_name("8a1f"));
    assert_ne!(object.service.lab, public_name("8a1e"));
}

fn new_wrong_code() -> LoginCode {
    LoginCode::new([0; 16]).unwrap()
}
