//! Properties of the language as a whole.

use std::path::Path;

use proptest::{option, prelude::*, sample::select};

use super::syntax::*;
use crate::plan::{
    choices::{Extra, Fence, FinalVerify, Level, Property, Retire, Tier, Versions},
    parse::{parse, read},
};

/// Texts that are difficult for formats; without `/`, so that no URL with a password comes about.
fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 \"'\\\\#={}\\[\\],.:é中\n\t*-]{1,12}"
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(text(), 0..3)
}

fn property() -> impl Strategy<Value = Property> {
    select(vec![Property::Acl, Property::ContentHeaders, Property::Etag, Property::Properties])
}

fn credentials() -> impl Strategy<Value = Credentials> {
    (option::of(text()), option::of(text()), option::of(text()), option::of(text()))
        .prop_map(|(env, profile, role_arn, external_id)| Credentials { env, profile, role_arn, external_id })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (text(), option::of(text()), option::of(any::<bool>()), option::of(text()), option::of(any::<bool>())).prop_map(
        |(endpoint, region, path_style, ca_file, insecure)| Endpoint {
            endpoint,
            region,
            path_style,
            ca_file,
            insecure,
        },
    )
}

fn site() -> impl Strategy<Value = Site> {
    let requests = || option::of(1..u32::MAX);
    let limits = (option::of(text()), requests(), requests(), option::of(text())).prop_map(
        |(bandwidth, requests_per_second, requests_at_once, window)| SiteLimits {
            bandwidth,
            requests_per_second,
            requests_at_once,
            window,
        },
    );
    let places = (option::of(text()), option::of(endpoint()), option::of(endpoint()), option::of(text()));
    (places, option::of(text()), option::of(credentials()), option::of(limits), option::of(text())).prop_map(
        |((region, s3, dynamodb, directory), jurisdiction, credentials, limits, expected_bucket_owner)| Site {
            jurisdiction,
            region,
            s3,
            dynamodb,
            directory,
            credentials,
            limits,
            expected_bucket_owner,
        },
    )
}

fn target() -> impl Strategy<Value = Target> {
    let encryption = option::of(text().prop_map(|kms_key| Encryption { kms_key }));
    let waive = prop::collection::btree_set(property(), 0..3);
    (text(), option::of(text()), encryption, option::of(text()), option::of(text()), waive).prop_map(
        |(at, filter, encryption, storage_class, part_size, waive)| Target {
            at,
            filter,
            encryption,
            storage_class,
            part_size,
            waive,
        },
    )
}

fn cutover() -> impl Strategy<Value = Cutover> {
    let fence = select(vec![Fence::BucketPolicy, Fence::ResourcePolicy, Fence::Hook, Fence::None]);
    let hook = || option::of(prop::collection::vec(text(), 1..3));
    let hooks = (hook(), hook()).prop_map(|(fence, after_switch)| Hooks { fence, after_switch, ..Hooks::default() });
    let network = option::of(select(vec![CdnNetwork::Production, CdnNetwork::Staging]));
    let cdn = (texts(), texts(), prop::collection::vec(any::<u32>(), 0..2), network)
        .prop_map(|(purge, tags, cp_codes, network)| Cdn { kind: CdnKind::Akamai, purge, tags, cp_codes, network });
    let times = (option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    let verify = option::of(select(vec![FinalVerify::Full, FinalVerify::Incremental]));
    (
        (fence, option::of(any::<bool>()), option::of(credentials()), text()),
        times,
        verify,
        option::of(hooks),
        option::of(cdn),
        texts(),
    )
        .prop_map(
            |(
                (fence, accept_unfenced, canary, route),
                (route_max_age, settle, max_lag, quiet),
                final_verify,
                hooks,
                cdn,
                probe,
            )| Cutover {
                fence,
                accept_unfenced,
                canary,
                route,
                route_max_age,
                final_verify,
                settle,
                max_lag,
                quiet,
                hooks,
                cdn,
                probe,
            },
        )
}

fn dataset() -> impl Strategy<Value = Dataset> {
    let capacity =
        || option::of(prop_oneof![(1..u32::MAX).prop_map(Capacity::Units), text().prop_map(Capacity::Share)]);
    let limits = (capacity(), capacity()).prop_map(|(read_capacity, write_capacity)| DatasetLimits {
        read_capacity,
        write_capacity,
        ..DatasetLimits::default()
    });
    let tier = option::of(select(vec![Tier::Bulk, Tier::Standard, Tier::Expedited]));
    let restore = (1..u32::MAX, tier).prop_map(|(days, tier)| Restore { days, tier });
    let choices = (
        option::of(select(vec![Versions::Current, Versions::All])),
        option::of(select(vec![Extra::Keep, Extra::Delete, Extra::Refuse])),
        option::of(select(vec![Level::Listing, Level::Checksum, Level::Bytes])),
        option::of(select(vec![Retire::Keep, Retire::Delete])),
        option::of(any::<bool>()),
    );
    let names = (text(), text(), option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    let lists =
        (texts(), prop::collection::vec(target(), 0..3), texts(), prop::collection::btree_set(property(), 0..3));
    (names, lists, choices, option::of(limits), option::of(restore), option::of(cutover())).prop_map(
        |(
            (name, source, class, part_of, lead, filter),
            (targets, target, exclude, waive),
            choices,
            limits,
            restore,
            cutover,
        )| {
            let (versions, extra, verify, retire, live) = choices;
            Dataset {
                name,
                class,
                part_of,
                source,
                targets,
                target,
                lead,
                exclude,
                filter,
                versions,
                extra,
                waive,
                verify,
                retire,
                live,
                limits,
                restore,
                cutover,
                ..Dataset::default()
            }
        },
    )
}

prop_compose! {
    fn plan_file()(
        name in text(),
        redact_keys in option::of(any::<bool>()),
        sites in prop::collection::btree_map(text(), site(), 0..3),
        policy in prop::collection::vec(
            (text(), option::of(text()), prop::collection::vec(text(), 1..3))
                .prop_map(|(class, filter, stays_in)| Policy { class, filter, stays_in }), 0..2),
        phase in prop::collection::vec(
            (text(), texts(), prop::collection::vec(dataset(), 1..3))
                .prop_map(|(name, after, dataset)| Phase { name, after, dataset }), 1..3),
    ) -> PlanFile {
        PlanFile { schema: None, name, redact_keys, sites, policy, phase }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_printed_is_read_back(plan in plan_file()) {
        let toml = plan.to_toml().unwrap();
        prop_assert_eq!(read(&toml, Path::new("p.toml")).map_err(|wrong| wrong.to_string()), Ok(plan.clone()));
        let json = plan.to_json().to_string();
        prop_assert_eq!(read(&json, Path::new("p.json")).map_err(|wrong| wrong.to_string()), Ok(plan));
    }
}

const EXAMPLE: &str = include_str!("../../../../tests/it/data/global-expansion.toml");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// However a plan is damaged, the answer is a plan or diagnostics that point into it.
    #[test]
    fn a_damaged_plan_is_answered(
        cuts in prop::collection::vec((0.0..1.0_f64, 0..40_usize, "[\"'\\[\\]{}=.\n#0-9a-z中,]{0,4}"), 1..4)
    ) {
        let mut text: Vec<char> = EXAMPLE.chars().collect();
        for (at, length, inserted) in cuts {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a small file")]
            let start = (at * text.len() as f64) as usize;
            let end = (start + length).min(text.len());
            text.splice(start..end, inserted.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(wrong) = parse(&text, Path::new("p.toml")) {
            prop_assert!(!wrong.list().is_empty() && !wrong.to_string().is_empty());
            for one in wrong.list() {
                let line = text.split('\n').nth(one.line - 1);
                prop_assert!(line.is_some_and(|line| one.column <= line.chars().count() + 1), "{:?}", one);
            }
        }
    }
}

fn told(text: &str) -> Vec<String> {
    let wrong = parse(text, Path::new("p.toml")).unwrap_err();
    wrong.to_string().split("\n\n").map(str::to_owned).collect()
}

#[test]
fn a_mark_before_the_text_moves_no_column() {
    for text in ["\u{feff}name = 3\n[[phase]]\n", "\u{feff}{\"name\": 3, \"phase\": []}"] {
        let wrong = parse(text, Path::new("p")).unwrap_err();
        let one = &wrong.list().iter().find(|one| one.path == "name").unwrap();
        assert_eq!((one.line, one.column), (1, if text.contains('{') { 10 } else { 8 }), "{wrong}");
        assert!(!wrong.to_string().contains('\u{feff}'));
    }
    let plan = include_str!("../../../../plans/quickstart.toml");
    assert!(parse(&format!("\u{feff}{plan}"), Path::new("p.toml")).is_ok());
}

#[test]
fn yaml_is_told_once() {
    let all = told("name: shop\nsites:\n  here:\n    directory: x\n");
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].starts_with("p.toml:1:1: this is YAML, and a plan is TOML or JSON\n  | name: shop\n"), "{all:?}");
}

#[test]
fn a_table_in_the_wrong_place_is_told_its_header() {
    let all = told("name = \"p\"\n[[dataset]]\nname = \"d\"\n[[phase]]\nname = \"x\"\n[phase.s3]\nregion = \"r\"\n")
        .join("\n");
    assert!(all.contains("p.toml:2:3: unknown key \"dataset\""), "{all}");
    assert!(all.contains("help: write [[phase.dataset]], below what it belongs to"), "{all}");
    let all = told("name = \"p\"\n[cutover]\nfence = \"none\"\n[[phase]]\n").join("\n");
    assert!(all.contains("help: write [phase.dataset.cutover], below what it belongs to"), "{all}");
}

#[test]
fn the_first_of_two_is_named_with_its_line() {
    let first = |text: &str, at: usize| {
        let wrong = parse(text, Path::new("p")).unwrap_err();
        let all: Vec<_> = wrong.list().iter().map(|one| (one.line, one.message.clone())).collect();
        assert!(
            all.iter().any(|(_, message)| {
                message.contains(&format!("in line {at} already"))
                    || message.ends_with(&format!("already, in line {at}"))
            }),
            "{at}: {all:?}\n{text}"
        );
    };
    first("name = \"a\"\nredact_keys = true\nname = \"b\"\n", 1);
    first("[sites.x]\ndirectory = \"a\"\n[sites.x.s3]\nregion = \"b\"\n[sites.x]\ndirectory = \"c\"\n", 1);
    first("[sites.x]\ndirectory = \"a\"\n[sites.y]\ndirectory = \"b\"\nregion = \"c\"\ndirectory = \"d\"\n", 4);
    first("[sites.x]\ns3 = { endpoint = \"a\", endpoint = \"b\" }\n", 2);
    first("[[phase]]\nname = \"a\"\n[[phase]]\nname = \"b\"\nname = \"c\"\n", 4);
    first("{\n\"name\": \"a\",\n\"name\": \"b\"}", 2);
    let two = "name = \"p\"\n[sites.a]\ndirectory = \"a\"\n[[phase]]\nname = \"x\"\n[[phase.dataset]]\nname = \"d\"\n\
               source = \"file://a/1\"\ntargets = [\"file://a/2\"]\nwaive = [\"properties\"]\n[[phase.dataset]]\n\
               name = \"d\"\nsource = \"file://a/3\"\ntargets = [\"file://a/4\"]\nwaive = [\"properties\"]\n";
    first(two, 7);
    first(&format!("{two}[[phase]]\nname = \"x\"\n"), 5);
}

/// Every key that is not built is marked where an editor shows it.
#[test]
fn the_schema_marks_what_is_not_built() {
    let schema = super::schema();
    let plan = parse(EXAMPLE, Path::new("p.toml")).unwrap();
    let text = EXAMPLE.replacen("versions = \"current\"", "versions = \"all\"", 1);
    assert!(text != EXAMPLE);
    let all = parse(&text, Path::new("p.toml")).unwrap();
    let keys = plan.datasets().chain(all.datasets()).flat_map(|dataset| &dataset.unsupported);
    let defs = schema["$defs"].as_object().unwrap();
    for key in keys.map(|one| one.key.as_str()).filter(|key| !key.ends_with("where")) {
        let name = key.rsplit('.').next().unwrap();
        let properties = defs.values().filter_map(|def| def["properties"].get(name));
        let is_marked = properties.into_iter().any(|property| {
            let named = super::schema::resolve(&schema, property);
            format!("{property}{named}").contains("Not built yet")
        });
        assert!(is_marked, "{key}");
    }
    for key in ["part_of", "restore"] {
        assert!(defs["Dataset"]["properties"][key].to_string().contains("Not built yet"), "{key}");
    }
    for key in ["encryption", "storage_class"] {
        assert!(defs["Target"]["properties"][key].to_string().contains("Not built yet"), "{key}");
    }
    assert!(defs["Dataset"]["properties"]["source"]["pattern"].as_str().unwrap().contains("dynamodb://"));
    assert!(defs["Dataset"]["properties"]["targets"]["items"]["pattern"].is_string());
    assert!(defs["SiteLimits"]["properties"]["bandwidth"]["pattern"].is_string());
    assert!(defs["Cutover"]["properties"]["settle"]["pattern"].is_string());
}
