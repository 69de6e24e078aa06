//! Bytes that look like what a key's extension promises. All of it is invented: names are made of words
//! that no person is called, addresses lie in domains that RFC 2606 reserves for examples, numbers in the
//! range that is never given out.

use std::fmt::Write as _;

use bytes::Bytes;

use super::{
    kind::{COUNTRIES, Kind, PRODUCTS},
    random::{Random, wrapped},
};

/// The traits of an object that its bytes show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) kind: Kind,
    /// Its key in its source.
    pub(super) key: &'a str,
}

/// The extension of a key, in lower case; empty if there is none.
pub(super) fn extension(key: &str) -> String {
    let name = key.rsplit('/').next().unwrap_or(key);
    name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase()).unwrap_or_default()
}

/// The type that a web server would give an extension.
pub(super) fn content_type(extension: &str) -> &'static str {
    match extension {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        "ndjson" | "jsonl" => "application/x-ndjson",
        "csv" => "text/csv; charset=utf-8",
        "txt" | "md" | "log" => "text/plain; charset=utf-8",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        _ => "application/octet-stream",
    }
}

/// The size range of such an object, in bytes: mostly a little above `min`, seldom near `max`.
pub(super) fn sizes(extension: &str) -> (u64, u64) {
    match extension {
        "html" | "htm" | "js" | "mjs" => (2 << 10, 32 << 10),
        "css" | "svg" | "json" | "xml" | "txt" | "md" => (512, 8 << 10),
        "csv" | "ndjson" | "jsonl" | "log" => (1 << 10, 64 << 10),
        _ => (4 << 10, 256 << 10),
    }
}

/// The bytes of an object, of about `size`; none if `size` is 0.
pub(super) fn body(about: Subject<'_>, size: u64, random: &mut Random) -> Bytes {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size == 0 {
        return Bytes::new();
    }
    match extension(about.key).as_str() {
        "html" | "htm" => html(size, random).into(),
        "css" => lines(size, |text, n| writeln!(text, ".mi-{n} {{ margin: {}px; }}", random.below(40))).into(),
        "js" | "mjs" => lines(size, |text, n| writeln!(text, "export const c{n} = {};", random.next())).into(),
        "svg" => svg(size, random).into(),
        "json" if about.kind == Kind::Accounts => account(about.key, size, random).into(),
        "json" => json(size, random).into(),
        "ndjson" | "jsonl" => lines(size, |text, n| writeln!(text, "{}", message(n, random))).into(),
        "csv" => csv(size, random).into(),
        "txt" | "md" | "log" => lines(size, |text, _| writeln!(text, "{}", sentence(random))).into(),
        "xml" => {
            let items = lines(size, |text, n| writeln!(text, "  <item id=\"{n}\">{}</item>", sentence(random)));
            format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<items>\n{items}</items>\n").into()
        }
        "pdf" => wrapped(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", &random.noise(size), b"\n%%EOF\n"),
        "jpg" | "jpeg" => {
            wrapped(b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x02\0\0\x01\0\x01\0\0", &random.noise(size), b"\xff\xd9")
        }
        "png" => wrapped(b"\x89PNG\r\n\x1a\n", &random.noise(size), b"IEND\xaeB`\x82"),
        "webp" => wrapped(b"RIFF\0\0\0\0WEBPVP8L", &random.noise(size), b""),
        _ => random.noise(size).into(),
    }
}

/// Lines until there are `size` bytes, each with its number, from 1.
fn lines(size: usize, mut line: impl FnMut(&mut String, u64) -> std::fmt::Result) -> String {
    let mut text = String::with_capacity(size + 256);
    let mut number = 0;
    while text.len() < size {
        number += 1;
        line(&mut text, number).expect("a string takes all that is written");
    }
    text
}

fn html(size: usize, random: &mut Random) -> String {
    let product = random.of_these(&PRODUCTS);
    let body = lines(size, |text, _| writeln!(text, "<p>{} {}</p>", sentence(random), sentence(random)));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{product} | Mi</title>\n\
         <link rel=\"stylesheet\" href=\"/static/assets/v3/site.css\"></head>\n<body>\n<h1>{product}</h1>\n{body}</body></html>\n"
    )
}

fn svg(size: usize, random: &mut Random) -> String {
    let circles = lines(size, |text, _| {
        let (x, y, r) = (random.below(480), random.below(480), 1 + random.below(60));
        writeln!(text, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/>")
    });
    format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 480 480\">\n{circles}</svg>\n")
}

fn csv(size: usize, random: &mut Random) -> String {
    let rows = lines(size, |text, n| {
        let (product, quantity, cents) = (random.of_these(&PRODUCTS), 1 + random.below(5), 199 + random.below(90_000));
        writeln!(text, "{n},{product},{quantity},{}.{:02},\"{}\"", cents / 100, cents % 100, sentence(random))
    });
    format!("line,product,quantity,price,remark\n{rows}")
}

fn json(size: usize, random: &mut Random) -> String {
    let rows = lines(size, |text, n| {
        let (product, stock) = (random.of_these(&PRODUCTS), random.below(500));
        writeln!(
            text,
            "    {{ \"line\": {n}, \"product\": \"{product}\", \"stock\": {stock}, \"note\": \"{}\" }},",
            sentence(random)
        )
    });
    let rows = rows.trim_end().trim_end_matches(',');
    format!("{{\n  \"version\": 1,\n  \"items\": [\n{rows}\n  ]\n}}\n")
}

/// An invented customer. The country is the one that the key names, if it names one.
fn account(key: &str, size: usize, random: &mut Random) -> String {
    let named = key.split('/').find(|folder| COUNTRIES.contains(folder));
    let country = named.unwrap_or_else(|| random.of_these(&COUNTRIES)).to_uppercase();
    let (first, last) = (random.of_these(&FIRST), random.of_these(&LAST));
    let number = random.below(100_000);
    let line = random.below(100);
    let orders = lines(size.saturating_sub(360), |text, _| {
        writeln!(text, "    \"order-{:06} {}\",", random.below(1_000_000), random.of_these(&PRODUCTS))
    });
    let orders = orders.trim_end().trim_end_matches(',');
    format!(
        "{{\n  \"name\": \"{first} {last}\",\n  \"country\": \"{country}\",\n  \
         \"email\": \"{first}.{last}.{number}@example.com\",\n  \"phone\": \"+1 555 01{line:02}\",\n  \
         \"address\": \"{} Sample Street, Exampletown\",\n  \"orders\": [\n{orders}\n  ]\n}}\n",
        1 + random.below(400),
    )
}

fn message(number: u64, random: &mut Random) -> String {
    let (from, to) = (random.of_these(&FIRST), random.of_these(&FIRST));
    let minute = random.below(60);
    format!(
        "{{\"id\":{number},\"at\":\"2026-03-{:02}T10:{minute:02}:00Z\",\"from\":\"{from}@example.net\",\
         \"to\":\"{to}@example.org\",\"text\":\"{}\"}}",
        1 + random.below(28),
        sentence(random)
    )
}

fn sentence(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..4 + random.below(8) {
        text.push_str(random.of_these(&SYLLABLES));
        text.push_str(random.of_these(&SYLLABLES));
        text.push(' ');
    }
    text.pop();
    text.push('.');
    text
}

const FIRST: [&str; 8] = ["Sample", "Specimen", "Example", "Placeholder", "Test", "Dummy", "Mock", "Fixture"];
const LAST: [&str; 8] = ["Lorem", "Ipsum", "Dolor", "Amet", "Consectetur", "Elit", "Tempor", "Aliqua"];
const SYLLABLES: [&str; 24] = [
    "lo", "rem", "ip", "sum", "do", "lor", "sit", "a", "met", "con", "sec", "te", "tur", "e", "lit", "sed", "ius",
    "mod", "tem", "por", "in", "ci", "di", "dunt",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kind: Kind, key: &str, size: u64) -> Bytes {
        body(Subject { kind, key }, size, &mut Random::of(1, key))
    }

    #[test]
    fn bodies_are_what_their_extension_says() {
        assert!(made(Kind::Images, "a.jpg", 100).starts_with(b"\xff\xd8\xff"));
        assert!(made(Kind::Documents, "a.PDF", 100).starts_with(b"%PDF-"));
        assert!(made(Kind::Pages, "a/b.html", 3000).ends_with(b"</html>\n"));
        assert_eq!(made(Kind::Generic, "a", 1000).len(), 1000);
        for (kind, key) in [(Kind::Accounts, "in/0f/a.json"), (Kind::Accounts, "x.json"), (Kind::Documents, "a.json")] {
            for size in [1, 200, 5000] {
                let body = made(kind, key, size);
                serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_else(|error| panic!("{key}: {error}"));
            }
        }
        let lines = made(Kind::Messages, "a.ndjson", 2000);
        for line in std::str::from_utf8(&lines).unwrap().lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }

    #[test]
    fn an_account_lives_where_its_key_says() {
        let account: serde_json::Value = serde_json::from_slice(&made(Kind::Accounts, "x/in/0f/a.json", 500)).unwrap();
        assert_eq!(account["country"], "IN");
        assert!(account["email"].as_str().unwrap().ends_with("@example.com"));
    }

    #[test]
    fn nothing_is_nothing_and_sizes_are_about_right() {
        assert!(made(Kind::Pages, "a.html", 0).is_empty());
        for key in ["a.html", "a.css", "a.js", "a.svg", "a.json", "a.csv", "a.txt", "a.xml", "a.png", "a.webp", "a.bin"]
        {
            let len = made(Kind::Generic, key, 20_000).len();
            assert!((20_000..21_500).contains(&len), "{key}: {len}");
        }
    }
}
