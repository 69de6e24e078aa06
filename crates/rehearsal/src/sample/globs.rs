//! Keys that a glob matches.

use super::random::Random;

/// A key that `glob` most likely matches: `**` becomes folders, `*` a name, `?` and `[...]` a
/// character, `{...}` one of its choices. Only the selection tells for certain.
///
/// Two calls with different names give different keys, unless the glob has no `*`.
pub(super) fn key_of(glob: &str, name: &str, folders: &str, random: &mut Random) -> String {
    let mut key = String::new();
    let mut rest = glob;
    while let Some(sign) = rest.chars().next() {
        rest = &rest[sign.len_utf8()..];
        match sign {
            '*' if rest.starts_with('*') => {
                rest = rest.trim_start_matches('*');
                // At the end `**` covers all that is below, so it needs a name too.
                key.push_str(folders);
                if !rest.starts_with('/') {
                    key.push('/');
                    key.push_str(name);
                }
            }
            '*' => key.push_str(name),
            '?' => key.push_str(random.of_these(&["a", "b", "c", "d", "e"])),
            '\\' => {
                let literal = rest.chars().next().unwrap_or('\\');
                rest = rest.strip_prefix(literal).unwrap_or(rest);
                key.push(literal);
            }
            '[' => {
                let (class, after) = rest.split_once(']').unwrap_or((rest, ""));
                rest = after;
                // For a negated class, a character that few classes exclude.
                let negated = class.starts_with(['!', '^']);
                key.push(if negated { 'x' } else { class.chars().next().unwrap_or('x') });
            }
            '{' => {
                let end = closing(rest);
                let choices = choices(&rest[..end]);
                rest = rest.get(end + 1..).unwrap_or("");
                let chosen = random.of_these(&choices);
                key.push_str(&key_of(chosen, name, folders, random));
            }
            literal => key.push(literal),
        }
    }
    key
}

/// Whether the glob matches only one key.
pub(super) fn is_literal(glob: &str) -> bool {
    !glob.contains(['*', '?', '[', '{', '\\'])
}

/// The place where the open brace closes; the end of the text if it does not.
fn closing(text: &str) -> usize {
    let mut depth = 1;
    text.find(|sign| {
        depth += i32::from(sign == '{') - i32::from(sign == '}');
        depth == 0
    })
    .unwrap_or(text.len())
}

/// The parts between the commas outside inner braces.
fn choices(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|sign| {
        depth += i32::from(sign == '{') - i32::from(sign == '}');
        sign == ',' && depth == 0
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::plan::Select;

    #[test]
    fn globs_match_the_keys_made_of_them() {
        let mut random = Random::of(1, "globs");
        for glob in [
            "**/*.json",
            "products/**",
            "img/*.svg",
            "img/20[0-9]?/*.{jpg,webp}",
            "{a,b{c,d}e}/**/x-*.csv",
            "[!0-9]*.txt",
            "one/exact.key",
            "a\\*b/*.txt",
            "**",
            "*",
            "a/**/b",
        ] {
            let select = Select::new(&[glob.to_owned()], &[]).unwrap();
            for name in ["0001-chair", "0002-table"] {
                let key = key_of(glob, name, "stock/2026", &mut random);
                assert!(select.holds(&key.as_str().into()), "{glob} does not match {key}");
            }
        }
        assert!(is_literal("one/exact.key") && !is_literal("one/*.key") && !is_literal("a?"));
    }

    #[test]
    fn what_is_no_glob_does_no_harm() {
        let mut random = Random::of(1, "globs");
        for glob in ["", "[", "{", "{a", "\\", "a{b,", "[]", "***", "é{ü,ö}*"] {
            let _ = key_of(glob, "n", "f", &mut random);
        }
        assert_eq!(key_of("a{b", "n", "f", &mut random), "ab");
    }
}
