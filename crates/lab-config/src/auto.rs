//! Names for entries that are called `auto` or `auto N`.
//!
//! PyroLab draws a new name at each load. Here the name must survive a restart, since clients
//! look services up by it. It is a hash of the host's name, the section, N, and the entry's
//! position among the section's `auto` entries. So it stays when an entry is edited, or when named
//! entries are added or removed. It changes when an `auto` entry before it is added or removed.
//! The host is part of it because two hosts may share one file and one nameserver.

use super::hash::stable_hash;

/// Number of words in a name, unless its key gives one.
const WORDS: usize = 3;
/// Largest number of words that a key can give.
pub(crate) const MAX_WORDS: usize = 8;

/// Whether a key asks for a name.
pub(crate) fn is_auto(key: &str) -> bool {
    key == "auto" || key.starts_with("auto ")
}

/// How many words a key asks for; `None` if it says something else.
pub(crate) fn words(key: &str) -> Option<usize> {
    match key.strip_prefix("auto")?.trim() {
        "" => Some(WORDS),
        count => count.parse().ok().filter(|count| (1..=MAX_WORDS).contains(count)),
    }
}

/// The name of a section's `ordinal`th `auto` entry on a host; `taken` are the names it must
/// not have.
pub(crate) fn name(
    host: &str,
    section: &str,
    ordinal: usize,
    words: usize,
    taken: impl Fn(&str) -> bool,
) -> String {
    let mut attempt: u64 = 0;
    loop {
        let name = draw(&format!("{host}\n{section}\n{ordinal}\n{attempt}"), words);
        // Words run out where hundreds of entries want one word each; then a number helps.
        let name = match attempt {
            0..8 => name,
            8 => format!("{name}-{ordinal}"),
            _ => format!("{name}-{ordinal}-{attempt}"),
        };
        if !taken(&name) {
            return name;
        }
        attempt += 1;
    }
}

fn draw(seed: &str, words: usize) -> String {
    let mut name = String::new();
    for position in 0..words {
        let last = position + 1 == words;
        let list = if last { NOUNS } else { ADJECTIVES };
        let words: Vec<&str> = list.split_ascii_whitespace().collect();
        let hash = stable_hash(format!("{seed}\n{position}").as_bytes());
        let index = usize::try_from(hash % words.len() as u64).unwrap_or(0);
        name.push_str(words.get(index).copied().unwrap_or("thing"));
        if !last {
            name.push('-');
        }
    }
    name
}

/// Never edit these lists: names in use follow from them.
const ADJECTIVES: &str = "\
    able agile airy amber ample apt arctic ashen azure balmy bold bonny brave breezy brief bright \
    brisk broad bronze calm candid careful cheery chilly civil clear clever coastal cool copper \
    coral cosmic cosy crisp cubic curious daring deep deft dense dewy dry dusky eager early easy \
    elder epic even exact fair famous fancy fast fine firm first fleet fluent fond frank free \
    fresh frosty full gallant gentle giant gilded glad glossy golden grand grassy great green \
    hale handy hardy hazel hearty hidden high honest humble hushed icy ideal indigo inner iron \
    ivory jade jolly jovial just keen kind large late leafy level light lilac limber linear live \
    lively local lofty loyal lucid lucky lunar magnetic major maple marble mellow merry mighty \
    mild mint misty modest mossy narrow neat nimble noble northern novel oaken olive opal open \
    optic orderly outer pale patient pearly placid plain polar polite prime proud pure quick \
    quiet radiant rapid rare ready regal rich ripe robust rosy round royal ruby rustic sable \
    sandy sage scarlet serene sharp shiny silent silken silver simple sleek slender slow smooth \
    snowy snug soft solar solid sonic spare speedy spry stable starry steady steep still stout \
    sturdy subtle sunny sure swift tall tame teal tender thorough tidal tidy tiny topaz tranquil \
    trim true trusty upper valiant vast velvet verdant vivid warm wary western whole wide wild \
    willing windy winged wintry wise witty woolly zesty";
const NOUNS: &str = "\
    acorn alder anchor ant antler apple arch arrow ash aspen atlas badger bamboo barley basin bay \
    beacon bear beaver beech bell birch bison bloom boulder bough breeze bridge brook buck burrow \
    cactus camel canyon cape cedar cello cherry clay cliff clover coast comet compass condor coot \
    coral cove crane crater creek crest crow curlew cypress daisy dale dawn deer delta dingo \
    dolphin dove drum dune eagle echo eel egret elk elm ember falcon fen fern field finch fir \
    fjord flint flute forest fossil fox frog garnet gecko geyser glacier glade glen goose gorge \
    granite grove gull harbor hare harp hawk hazel heath heather hedge heron hill hollow ibex ibis \
    inlet iris island ivy jay juniper kestrel kite koala lagoon lake lantern larch lark laurel \
    lemur leopard lichen lily linden lion lizard llama lotus lynx magpie mango maple marsh marten \
    meadow meteor mill mink mole moon moose moss moth nebula nest newt oak oasis ocean orbit \
    orchard orchid osprey otter owl oyster panda panther peak pearl pebble pelican petal pine \
    planet plover plum pond poplar poppy prairie prism puffin quail quarry quartz quill rabbit \
    raven reed reef ridge river robin rowan salmon sand sapling seal sequoia shell shore shrew \
    sparrow spring spruce squid star stork stream summit swallow swan swift tapir tern thistle \
    thrush tide tiger toad torch trout tulip tundra turtle valley vine violet vole walnut walrus \
    wave weasel whale willow wolf wombat wren yak yarrow zebra";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_how_many_words() {
        let cases = [("auto", Some(3)), ("auto 1", Some(1)), ("auto  2", Some(2))];
        let wrong = [("auto 0", None), ("auto 99", None), ("auto x", None), ("auto -1", None)];
        for (key, expected) in cases.into_iter().chain(wrong) {
            assert!(is_auto(key));
            assert_eq!(words(key), expected, "{key}");
        }
        assert!(!is_auto("automatic"));
    }

    #[test]
    fn names_stay_and_differ() {
        let free = |_: &str| false;
        let first = name("lab1", "services", 0, 3, free);
        assert_eq!(first, "snug-jovial-vole", "a new release must not rename services");
        assert_eq!(first.split('-').count(), 3);
        let others = [
            name("lab2", "services", 0, 3, free),
            name("lab1", "daemons", 0, 3, free),
            name("lab1", "services", 1, 3, free),
            name("lab1", "services", 0, 3, |taken| taken == first),
        ];
        assert!(!others.contains(&first), "{others:?}");
        assert_eq!(name("lab1", "services", 0, 8, free).split('-').count(), 8);
    }

    #[test]
    fn names_never_run_out() {
        let mut names = std::collections::HashSet::new();
        for ordinal in 0..2000 {
            let name = name("lab1", "services", ordinal, 1, |name| names.contains(name));
            assert!(names.insert(name));
        }
    }
}
