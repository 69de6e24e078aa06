//! The kind of data that a dataset most likely holds, and the keys of that kind.

use super::random::Random;
use migrate_core::plan::Dataset;

/// A kind of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The pages of a site and what belongs to them.
    Pages,
    /// Pictures of products.
    Images,
    /// Orders, invoices and the like.
    Documents,
    /// What is kept about a customer, one object each.
    Accounts,
    /// Messages, many in an object.
    Messages,
    /// Anything else.
    Generic,
}

/// Beginnings of words that suggest a kind; the first kind that fits wins.
const WORDS: [(Kind, &[&str]); 5] = [
    (Kind::Documents, &["order", "invoice", "document", "receipt", "contract", "report", "billing", "pdf"]),
    (Kind::Images, &["image", "img", "photo", "picture", "thumbnail", "gallery", "media", "catalog", "jpg", "webp"]),
    (Kind::Pages, &["storefront", "static", "site", "web", "page", "html", "asset", "css"]),
    (Kind::Accounts, &["account", "customer", "user", "profile", "member", "identit"]),
    (Kind::Messages, &["messag", "mail", "chat", "notification", "inbox", "event", "ndjson"]),
];

/// Countries, by the codes that begin an account's key.
pub(super) const COUNTRIES: [&str; 8] = ["us", "sg", "in", "br", "ca", "mx", "id", "ph"];

impl Kind {
    /// Guesses from the dataset's name, then from its globs, then from where it lies.
    pub(super) fn guess(dataset: &Dataset) -> Self {
        let place = format!("{}/{}", dataset.source.container, dataset.source.prefix);
        [dataset.name.as_str(), &dataset.select.include().join(" "), &place]
            .into_iter()
            .find_map(Self::of_words)
            .unwrap_or(Kind::Generic)
    }

    fn of_words(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let words: Vec<&str> = text.split(|sign: char| !sign.is_alphanumeric()).collect();
        let told = |stems: &[&str]| words.iter().any(|word| stems.iter().any(|stem| word.starts_with(stem)));
        WORDS.iter().find(|(_, stems)| told(stems)).map(|(kind, _)| *kind)
    }

    /// The `number`th key, different from all others. Below a folder that another dataset reads, it leaves out
    /// what the folder says already.
    pub(super) fn key(self, number: u64, in_folder: bool, random: &mut Random) -> String {
        let name = self.name(number, random);
        let folders = self.folders(in_folder, random);
        let extension = self.extension(random);
        if folders.is_empty() { format!("{name}.{extension}") } else { format!("{folders}/{name}.{extension}") }
    }

    /// A name that only the `number`th object has.
    pub(super) fn name(self, number: u64, random: &mut Random) -> String {
        match self {
            Kind::Pages => format!("{}-{number:04}", random.of_these(&PRODUCTS)),
            Kind::Images => {
                let size = random.of_these(&["original", "1200w", "600w", "thumb"]);
                format!("mi-{number:05}-{}-{size}", random.of_these(&PRODUCTS))
            }
            Kind::Documents => format!("{}-{number:06}", random.of_these(&["order", "invoice", "packing-list"])),
            Kind::Accounts => format!("acct-{:08x}{number:04x}", random.next() >> 32),
            Kind::Messages => format!("part-{number:05}"),
            Kind::Generic => format!("object-{number:05}"),
        }
    }

    /// The folders of a key, without a `/` at the end.
    pub(super) fn folders(self, in_folder: bool, random: &mut Random) -> String {
        let month = format!("{}/{:02}", 2024 + random.below(3), 1 + random.below(12));
        match self {
            Kind::Pages => random.of_these(&["", "category", "product", "help", "zh/product", "assets/v3"]).to_owned(),
            Kind::Images => format!("{}/{month}", random.of_these(&["kitchen", "lighting", "travel", "furniture"])),
            Kind::Accounts if in_folder => format!("{:02x}", random.below(16)),
            Kind::Accounts => format!("{}/{:02x}", random.of_these(&COUNTRIES), random.below(16)),
            Kind::Messages => format!("{month}/{}", random.of_these(&["inbox", "sent", "notifications"])),
            Kind::Documents | Kind::Generic => month,
        }
    }

    pub(super) fn extension(self, random: &mut Random) -> &'static str {
        random.of_these(match self {
            Kind::Pages => &["html", "html", "html", "css", "js", "svg", "json"],
            Kind::Images => &["jpg", "jpg", "webp"],
            Kind::Documents => &["pdf", "json", "csv"],
            Kind::Accounts => &["json"],
            Kind::Messages => &["ndjson"],
            Kind::Generic => &["json", "csv", "txt", "bin"],
        })
    }
}

/// Products.
pub(super) const PRODUCTS: [&str; 12] = [
    "bamboo-tray",
    "tea-pot",
    "desk-lamp",
    "travel-mug",
    "oak-stool",
    "wok",
    "paper-lantern",
    "suitcase",
    "rice-cooker",
    "bookshelf",
    "night-light",
    "umbrella",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_words() {
        for (text, kind) in [
            ("storefront", Kind::Pages),
            ("catalogue-images", Kind::Images),
            ("order-documents", Kind::Documents),
            ("accounts-in", Kind::Accounts),
            ("message-templates", Kind::Messages),
            ("shop-invoices/2026", Kind::Documents),
            ("**/*.html", Kind::Pages),
        ] {
            assert_eq!(Kind::of_words(text), Some(kind), "{text}");
        }
        assert_eq!(Kind::of_words("things"), None);
    }

    #[test]
    fn no_two_numbers_share_a_key() {
        let mut random = Random::of(1, "keys");
        for kind in WORDS.iter().map(|(kind, _)| *kind).chain([Kind::Generic]) {
            let keys: std::collections::BTreeSet<String> = (0..500).map(|n| kind.key(n, false, &mut random)).collect();
            assert_eq!(keys.len(), 500, "{kind:?}");
        }
    }
}
