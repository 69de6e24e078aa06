//! The properties of a sample: headers, metadata and tags.

use super::{body, random::Random};
use migrate_store::{Header, Properties};

/// The properties that a shop's uploader would set.
pub(super) fn properties(key: &str, extension: &str, random: &mut Random) -> Properties {
    let mut found = Properties::default();
    found.headers.insert(Header::ContentType, body::content_type(extension).to_owned());
    match extension {
        "html" | "htm" => {
            let language = if key.contains("zh/") { "zh" } else { "en" };
            found.headers.insert(Header::ContentLanguage, language.to_owned());
            found.headers.insert(Header::CacheControl, "public, max-age=300".to_owned());
        }
        "css" | "js" | "mjs" | "svg" | "jpg" | "jpeg" | "png" | "webp" => {
            found.headers.insert(Header::CacheControl, "public, max-age=31536000, immutable".to_owned());
        }
        "pdf" | "csv" => {
            let shown = format!("attachment; filename=\"document.{extension}\"");
            found.headers.insert(Header::ContentDisposition, shown);
        }
        _ => {}
    }
    if random.chance(500) {
        found.metadata.insert("uploaded-by".to_owned(), format!("batch-{}", random.below(40)));
        found.metadata.insert("sku".to_owned(), format!("MI-{:06}", random.below(1_000_000)));
    }
    if random.chance(250) {
        found.tags.insert("team".to_owned(), random.of_these(&["shop", "care", "logistics"]).to_owned());
        found.tags.insert("keep".to_owned(), random.of_these(&["1 year", "7 years", "always"]).to_owned());
    }
    found
}
