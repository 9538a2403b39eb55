//! The card of a running service, from its daemon.

use remote::card::{Card, Member, MemberKind};
use remote::{Error, Metadata, Proxy, Value};

/// The card of a proxy's object; with names only where its daemon has none.
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
