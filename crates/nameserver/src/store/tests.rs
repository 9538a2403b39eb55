//! Tests of a store's database: names are kept, undone, set aside, and left to Pyro5.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use super::*;

const URI: &str = "PYRO:o@h:1";

fn set(name: &str, tags: &[&str]) -> Change {
    let name = name.to_owned();
    let metadata = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Box::new(move |names| {
        names.set(&name, Entry::new(URI.into(), metadata));
        Ok(1)
    })
}

async fn change(store: &Store, change: Change) -> Result<usize, Exception> {
    store.change(change).wait().await
}

fn names(store: &Store) -> Vec<String> {
    store.read().with_prefix("").map(|(name, _)| name.to_string()).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy().into_owned()
    };
    let mut files: Vec<String> = std::fs::read_dir(folder).unwrap().map(name).collect();
    files.sort();
    files
}

fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::File::create(file)?.write_all(bytes)
}

fn sql(file: &Path, statements: &str) {
    rusqlite::Connection::open(file).unwrap().execute_batch(statements).unwrap();
}

#[tokio::test]
async fn what_is_acknowledged_is_there_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    let (store, told) = Store::open(&file).unwrap();
    assert_eq!(told, None);
    change(&store, set("a", &["x", "y"])).await.unwrap();
    change(&store, set("b", &[])).await.unwrap();
    change(&store, set("a", &["y", "z"])).await.unwrap();
    change(&store, set("c", &["x"])).await.unwrap();
    let removed = change(&store, Box::new(|names| Ok(usize::from(names.remove("c"))))).await;
    assert_eq!(removed, Ok(1));
    store.close().await;
    assert_eq!(files(folder.path()), ["names.sql"], "closed, it is one file");

    let (store, _) = Store::open(&file).unwrap();
    assert_eq!(names(&store), ["a", "b"]);
    let tags = store.read().get("a").unwrap().tags.clone();
    assert_eq!(*tags, [Arc::from("y"), Arc::from("z")]);
    store.close().await;
}

#[tokio::test]
async fn a_change_that_refuses_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Store::memory(), Store::open(&folder.path().join("x.sql")).unwrap().0] {
        change(&store, set("a", &[])).await.unwrap();
        let refused: Change = Box::new(|names| {
            names.remove("a");
            names.set("b", Entry::new(URI.into(), BTreeSet::new()));
            Err(Exception::naming_error("no"))
        });
        assert_eq!(change(&store, refused).await.unwrap_err().message(), "no");
        assert_eq!(names(&store), ["a"]);
        store.close().await;
    }
}

#[tokio::test]
async fn tags_of_nobody_are_given_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    let (store, _) = Store::open(&file).unwrap();
    change(&store, set("a", &["x"])).await.unwrap();
    store.close().await;
    sql(
        &file,
        "PRAGMA foreign_keys = OFF; INSERT INTO pyro_metadata(object, metadata) VALUES (2, 'ghost')",
    );
    for _ in 0..2 {
        let (store, _) = Store::open(&file).unwrap();
        change(&store, set("b", &[])).await.unwrap();
        assert_eq!(*store.read().get("b").unwrap().tags, []);
        assert_eq!(*store.read().get("a").unwrap().tags, [Arc::from("x")]);
        store.close().await;
    }
}

#[tokio::test]
async fn many_at_once_are_kept_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    let (store, _) = Store::open(&file).unwrap();
    let store = Arc::new(store);
    let mut changes = tokio::task::JoinSet::new();
    for number in 0..2000 {
        let store = Arc::clone(&store);
        changes.spawn(async move { change(&store, set(&format!("n{}", number % 500), &[])).await });
    }
    while let Some(outcome) = changes.join_next().await {
        assert_eq!(outcome.unwrap(), Ok(1));
    }
    store.close().await;
    assert!(change(&store, set("late", &[])).await.is_err(), "closed");
    assert_eq!(names(&Store::open(&file).unwrap().0).len(), 500);
}

#[tokio::test]
async fn a_corrupt_file_is_set_aside() {
    let nonsense: &[(&str, &[u8])] =
        &[("text", b"this is no database at all, and it is long enough"), ("torn", &[0; 5000])];
    for (title, bytes) in nonsense {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("names.sql");
        write(&file, bytes).unwrap();
        let (store, told) = Store::open(&file).unwrap();
        assert!(told.as_ref().unwrap().contains("set aside"), "{title}: {told:?}");
        assert_eq!(names(&store), [""; 0]);
        change(&store, set("a", &[])).await.unwrap();
        store.close().await;
        let kept = files(folder.path());
        assert_eq!(kept.len(), 2, "{title}: {kept:?}");
        let aside = folder.path().join(kept.last().unwrap());
        assert!(kept.last().unwrap().starts_with("names.sql.corrupt-"), "{kept:?}");
        assert_eq!(std::fs::read(aside).unwrap(), *bytes, "{title}: as it was");
    }
}

#[tokio::test]
async fn a_file_with_a_broken_page_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    let (store, _) = Store::open(&file).unwrap();
    for number in 0..300 {
        change(&store, set(&format!("a name that is long enough {number}"), &["x"])).await.unwrap();
    }
    store.close().await;
    let mut bytes = std::fs::read(&file).unwrap();
    let length = bytes.len();
    bytes[4096..length - 4096].fill(0xa5);
    write(&file, &bytes).unwrap();
    let (store, told) = Store::open(&file).unwrap();
    assert!(told.unwrap().contains("corrupt"));
    store.close().await;
}

fn delete_all(folder: &Path) {
    for name in files(folder) {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
}

async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let all = async {
        while !condition() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(120), all).await.expect(what);
}

#[tokio::test]
async fn a_file_that_is_deleted_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    let (store, _) = Store::open(&file).unwrap();
    change(&store, set("a", &["x"])).await.unwrap();
    delete_all(folder.path());
    change(&store, set("b", &[])).await.unwrap();
    store.close().await;
    assert_eq!(names(&Store::open(&file).unwrap().0), ["a", "b"]);
}

#[tokio::test]
async fn a_file_that_is_deleted_is_missed_without_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    let (store, _) = Store::open(&file).unwrap();
    change(&store, set("a", &["x"])).await.unwrap();
    delete_all(folder.path());
    let trouble = store.trouble().unwrap();
    let is_told = || trouble.borrow().as_ref().is_some_and(|told| told.contains("was deleted"));
    wait_for("it is told of", is_told).await;
    assert!(file.exists());
    change(&store, set("b", &[])).await.unwrap();
    assert!(is_told(), "until the end");
    // At the last moment.
    delete_all(folder.path());
    store.close().await;
    assert_eq!(names(&Store::open(&file).unwrap().0), ["a", "b"]);
}

#[tokio::test]
async fn a_file_that_is_replaced_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    let (store, _) = Store::open(&file).unwrap();
    change(&store, set("a", &["x"])).await.unwrap();
    let other = folder.path().join("other");
    write(&other, b"somebody's").unwrap();
    std::fs::rename(&other, &file).unwrap();
    let trouble = store.trouble().unwrap();
    let is_told = || trouble.borrow().as_ref().is_some_and(|told| told.contains("was replaced"));
    wait_for("it is told of", is_told).await;
    store.close().await;
    let aside: Vec<String> =
        files(folder.path()).into_iter().filter(|name| name.contains("replaced-")).collect();
    let contents = |name: &String| std::fs::read(folder.path().join(name)).unwrap();
    assert!(aside.iter().any(|name| contents(name) == b"somebody's"), "{aside:?}");
    assert_eq!(names(&Store::open(&file).unwrap().0), ["a"]);
}

fn names_in(file: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(file).unwrap();
    let mut names = connection.prepare("SELECT name FROM pyro_names ORDER BY name").unwrap();
    names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// A file that another program puts there keeps its content: our log must not be applied to it.
#[tokio::test]
async fn a_database_that_was_put_in_the_place_is_kept_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    let other = folder.path().join("other");
    let (theirs, _) = Store::open(&other).unwrap();
    change(&theirs, set("theirs", &["x"])).await.unwrap();
    theirs.close().await;
    let (store, _) = Store::open(&file).unwrap();
    for number in 0..200 {
        change(&store, set(&format!("ours {number:03}"), &["x"])).await.unwrap();
    }
    std::fs::rename(&other, &file).unwrap();
    change(&store, set("ours last", &[])).await.unwrap();
    store.close().await;
    let beside = files(folder.path());
    let aside: Vec<_> = beside.iter().filter(|name| name.contains(".replaced-")).collect();
    assert_eq!(aside.len(), 1, "{beside:?}");
    for _ in 0..2 {
        assert_eq!(names_in(&folder.path().join(aside[0])), ["theirs"]);
        assert_eq!(names_in(&file).len(), 201);
    }
}

#[tokio::test]
async fn a_log_that_is_deleted_or_replaced_is_missed() {
    for put in [None, Some(&b"somebody's"[..])] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("names.sql");
        let log = folder.path().join("names.sql-wal");
        let (store, _) = Store::open(&file).unwrap();
        change(&store, set("a", &["x"])).await.unwrap();
        std::fs::remove_file(&log).unwrap();
        if let Some(bytes) = put {
            write(&log, bytes).unwrap();
        }
        let trouble = store.trouble().unwrap();
        let is_told = || trouble.borrow().as_ref().is_some_and(|told| told.contains("the log of"));
        wait_for("it is told of", is_told).await;
        // The file that a process which is killed now would leave.
        let copy = folder.path().join("copy.sql");
        std::fs::copy(&file, &copy).unwrap();
        std::fs::copy(&log, folder.path().join("copy.sql-wal")).unwrap();
        assert_eq!(names_in(&copy), ["a"]);
        change(&store, set("b", &[])).await.unwrap();
        store.close().await;
        assert_eq!(names_in(&file), ["a", "b"]);
    }
}

/// The log goes around many times.
#[tokio::test]
async fn checkpoints_are_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    let (store, _) = Store::open(&file).unwrap();
    let trouble = store.trouble().unwrap();
    for round in 0..4 {
        let many: Change = Box::new(move |names| {
            for number in 0..5000 {
                let name = format!("{number:0200}.{round}");
                names.set(&name, Entry::new(URI.into(), BTreeSet::new()));
            }
            Ok(5000)
        });
        change(&store, many).await.unwrap();
        assert_eq!(*trouble.borrow(), None);
    }
    assert!(std::fs::metadata(&file).unwrap().len() > 4_000_000, "checkpoints were made");
    store.close().await;
    assert_eq!(files(folder.path()), ["names.sql"]);
}

#[tokio::test]
async fn a_folder_that_comes_back_has_the_names_again() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("names.sql");
    let (store, _) = Store::open(&file).unwrap();
    change(&store, set("a", &[])).await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let refused = change(&store, set("b", &[])).await.unwrap_err();
    assert!(refused.message().contains("cannot keep this"), "{}", refused.message());
    std::fs::create_dir(&folder).unwrap();
    wait_for("it is there again", || file.exists()).await;
    store.close().await;
    assert_eq!(files(&folder), ["names.sql"], "nothing was set aside");
    assert_eq!(names(&Store::open(&file).unwrap().0), ["a"]);
}

#[tokio::test]
async fn what_cannot_be_kept_is_undone_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    sql(
        &file,
        "CREATE TABLE pyro_names (id integer PRIMARY KEY, name nvarchar NOT NULL UNIQUE, \
         uri nvarchar NOT NULL CHECK(name <> 'full')); \
         CREATE TABLE pyro_metadata (object integer NOT NULL, metadata nvarchar NOT NULL);",
    );
    let (store, _) = Store::open(&file).unwrap();
    let trouble = store.trouble().unwrap();
    change(&store, set("a", &["x"])).await.unwrap();
    let refused = change(&store, set("full", &[])).await.unwrap_err();
    assert_eq!(refused.class, "Pyro5.errors.NamingError");
    assert!(refused.message().contains("cannot keep this"), "{}", refused.message());
    assert!(trouble.borrow().is_some());
    assert_eq!(names(&store), ["a"]);
    change(&store, set("b", &[])).await.unwrap();
    assert!(trouble.borrow().is_none());
    store.close().await;
}

#[tokio::test]
async fn a_file_in_use_or_from_the_future_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    let (store, _) = Store::open(&file).unwrap();
    let refused = Store::open(&file).err().unwrap().to_string();
    assert!(refused.contains("in use by another program"), "{refused}");
    store.close().await;
    sql(&file, "PRAGMA user_version = 99");
    let refused = Store::open(&file).err().unwrap().to_string();
    assert!(refused.contains("format 99"), "{refused}");
    let missing = Store::open(&folder.path().join("no/names.sql")).err().unwrap().to_string();
    assert!(missing.contains("directory must exist"), "{missing}");
    assert_eq!(files(folder.path()), ["names.sql"]);
}

#[tokio::test]
async fn a_file_from_before_metadata_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    sql(
        &file,
        "CREATE TABLE pyro_names (name nvarchar PRIMARY KEY NOT NULL, uri nvarchar NOT NULL); \
         INSERT INTO pyro_names VALUES ('old', 'PYRO:o@h:1');",
    );
    let (store, _) = Store::open(&file).unwrap();
    change(&store, set("new", &["x"])).await.unwrap();
    store.close().await;
    assert_eq!(names(&Store::open(&file).unwrap().0), ["new", "old"]);
}

/// Programs that know no leases (Pyro5's nameserver, Ferrolab 0.1.0) may have had the file
/// meanwhile.
#[tokio::test]
async fn a_lease_is_kept_for_as_long_as_its_name_has_the_uri() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.sql");
    let (store, _) = Store::open(&file).unwrap();
    change(&store, set("stock", &[])).await.unwrap();
    store.close().await;
    // Without a lease there is no table, or this would fail.
    sql(&file, "CREATE TABLE ferrolab_leases (name); DROP TABLE ferrolab_leases");

    let (store, _) = Store::open(&file).unwrap();
    for name in ["endless", "ours", "taken", "removed"] {
        let leased = Box::new(move |names: &mut Transaction<'_>| {
            let entry = Entry::new(URI.into(), BTreeSet::new());
            names.set(name, entry.with_lease(Duration::from_secs(8)));
            Ok(1)
        });
        change(&store, leased).await.unwrap();
    }
    store.close().await;
    sql(
        &file,
        "UPDATE pyro_names SET uri = 'PYRO:other@h:2' WHERE name = 'taken'; \
         DELETE FROM pyro_names WHERE name = 'removed'; \
         UPDATE ferrolab_leases SET seconds = 1e19 WHERE name = 'endless'",
    );
    let (store, told) = Store::open(&file).unwrap();
    assert_eq!(told, None);
    assert_eq!(names(&store), ["endless", "ours", "stock", "taken"]);
    let leased: Vec<_> = store.read().leased().map(|(name, _)| name.to_string()).collect();
    assert_eq!(leased, ["ours"]);
}
