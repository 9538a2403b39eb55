//! The card of a running service, from its daemon.

use std::time::Duration;

use remote::card::{Card, Member, MemberKind};
use remote::{Error, Metadata, Proxy, Uri, Value, resolve};

use super::described::DescribedService;

/// Timeout of a daemon's answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The card of the object at a URI; with names only where its daemon has none.
///
/// # Errors
/// The object cannot be reached.
pub(crate) async fn fetch(name: &str, uri: Uri) -> Result<DescribedService, Error> {
    let uri = resolve(&uri, Some(TIMEOUT)).await?;
    let object = match &uri {
        Uri::Pyro { object, .. } => object.clone(),
        Uri::PyroName { .. } | Uri::PyroMeta { .. } => String::new(),
    };
    let mut proxy = Proxy::from(uri.clone()).with_timeout(TIMEOUT);
    let card = fetch_from(&mut proxy, &object).await?;
    Ok(DescribedService { name: name.to_owned(), uri, card })
}

/// The same over a proxy of the object.
///
/// # Errors
/// The object cannot be reached.
pub(crate) async fn fetch_from(proxy: &mut Proxy, object: &str) -> Result<Card, Error> {
    let names = proxy.metadata().await?;
    let answer = proxy.call_daemon("get_metadata", vec![Value::from(object)]).await;
    let card = answer.ok().and_then(|answer| Card::from_value(answer.as_dict()?.get("ferrolab")?));
    Ok(complete(card.unwrap_or_default(), &names))
}

/// A card that has each member that clients may use.
fn complete(mut card: Card, names: &Metadata) -> Card {
    let kinds = [(&names.methods, MemberKind::Method), (&names.attrs, MemberKind::Property)];
    for (names, kind) in kinds {
        for name in names.iter() {
            if card.member(name).is_none() {
                let is_property = kind == MemberKind::Property;
                card.members.push(Member {
                    name: name.clone(),
                    kind,
                    readable: is_property,
                    writable: is_property,
                    ..Member::default()
                });
            }
        }
    }
    card
}
