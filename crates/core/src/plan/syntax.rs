//! The plan's language as types: what a plan may contain, before its meaning is known.
//!
//! These types are the one source of the language. The JSON Schema is derived from them (the doc
//! comments become its descriptions, which editors show), the structural check reads that schema,
//! and serde reads a tree that passed it into a [`PlanFile`]. Sizes, times and locations are still
//! text here: [`check`](crate::plan::check) gives them their meaning.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::{
    choices::{Extra, Fence, FinalVerify, Level, Property, Retire, Tier, Versions},
    patterns,
};

/// A list of one, for examples: the derive macro parses no array.
fn one(text: &'static str) -> [&'static str; 1] {
    [text]
}

/// A migration plan: what must be where, in which order, under which rules.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "migration plan")]
pub struct PlanFile {
    /// Where the JSON Schema is, for editors; in a TOML plan its first line says it.
    #[serde(rename = "$schema")]
    pub schema: Option<String>,
    /// The plan's name: letters, digits, '-' and '_'. It names the state directory too.
    #[schemars(example = "global-expansion")]
    pub name: String,
    /// Whether reports and logs show hashes in place of keys, which may be personal data.
    pub redact_keys: Option<bool>,
    /// The places that hold data, by name.
    #[serde(default)]
    pub sites: BTreeMap<String, Site>,
    /// Data residency: where the records of a class may be.
    #[serde(default)]
    pub policy: Vec<Policy>,
    /// Datasets that move together, and after which others.
    #[schemars(length(min = 1))]
    pub phase: Vec<Phase>,
}

/// A place that holds data: an AWS region, a data center with compatible servers, or a directory.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Whose law holds there; compared with `stays_in` of the policies.
    #[schemars(example = &"SG", length(min = 1))]
    pub jurisdiction: Option<String>,
    /// The AWS region, for a site that is one.
    #[schemars(example = "ap-southeast-1")]
    pub region: Option<String>,
    /// The S3-compatible server, for a site that has one of its own.
    pub s3: Option<Endpoint>,
    /// The DynamoDB-compatible server, for a site that has one of its own.
    pub dynamodb: Option<Endpoint>,
    /// The directory below which `file://` locations lie; relative to the plan file.
    #[schemars(example = "../data/beijing", length(min = 1))]
    pub directory: Option<String>,
    /// Where credentials come from. If left out, the AWS credential chain is used, but only for AWS endpoints.
    pub credentials: Option<Credentials>,
    /// Limits for all work at this site.
    pub limits: Option<SiteLimits>,
    /// The AWS account that must own the buckets: 12 digits.
    #[schemars(example = "111122223333")]
    pub expected_bucket_owner: Option<String>,
}

/// A compatible server.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// `https://host[:port]`.
    #[schemars(example = "https://s3.example.com")]
    #[schemars(regex(pattern = patterns::ENDPOINT))]
    pub endpoint: String,
    /// The region that requests are signed for; the site's region, or "us-east-1", if left out.
    pub region: Option<String>,
    /// Whether the bucket's name goes into the path, not into the host name.
    pub path_style: Option<bool>,
    /// A PEM file with the authorities to trust in place of the system's; relative to the plan file.
    #[schemars(length(min = 1))]
    pub ca_file: Option<String>,
    /// Whether `http://` is acceptable although it is not on this machine.
    pub insecure: Option<bool>,
}

/// Where credentials come from: exactly one of `env`, `profile` and `role_arn`. Never the secrets themselves.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The prefix of environment variables: `PREFIX_ACCESS_KEY_ID`, `PREFIX_SECRET_ACCESS_KEY`, `PREFIX_SESSION_TOKEN`.
    #[schemars(example = &"BEIJING")]
    pub env: Option<String>,
    /// A profile of the AWS configuration files.
    #[schemars(example = &"beijing")]
    pub profile: Option<String>,
    /// A role that the identity of the AWS credential chain assumes.
    #[schemars(example = "arn:aws:iam::111122223333:role/migrator")]
    pub role_arn: Option<String>,
    /// The external id, if the role requires one.
    pub external_id: Option<String>,
}

/// Limits of a site.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteLimits {
    /// Bytes per second, read and written together.
    #[schemars(example = "400MB/s")]
    #[schemars(regex(pattern = patterns::RATE))]
    pub bandwidth: Option<String>,
    /// Requests per second.
    #[schemars(range(min = 1))]
    pub requests_per_second: Option<u32>,
    /// Requests that run at once. Fewer do while they are not worth it.
    #[schemars(range(min = 1))]
    pub requests_at_once: Option<u32>,
    /// The hours of the day when work may be done, and the time zone.
    #[schemars(example = "22:00-07:00 Asia/Shanghai")]
    #[schemars(regex(pattern = patterns::WINDOW))]
    pub window: Option<String>,
}

/// Data residency: records of a class stay in these jurisdictions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The class of datasets that it binds.
    #[schemars(length(min = 1))]
    pub class: String,
    /// A CEL expression over `item` or `object`: which records of the class; all of them if left out.
    #[serde(rename = "where")]
    #[schemars(example = "item.country == \"IN\"")]
    pub filter: Option<String>,
    /// The jurisdictions where they may be.
    #[schemars(length(min = 1))]
    pub stays_in: Vec<String>,
}

/// Datasets that move and cut over together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// The phase's name.
    #[schemars(example = "e-commerce")]
    pub name: String,
    /// The phases that must come first.
    #[serde(default)]
    pub after: Vec<String>,
    /// What moves.
    #[schemars(length(min = 1))]
    pub dataset: Vec<Dataset>,
}

/// One body of data: the objects under a prefix or directory, or one table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// The dataset's name, unique in the plan.
    #[schemars(example = &"storefront")]
    pub name: String,
    /// Its class, for the data residency policies.
    #[schemars(length(min = 1))]
    pub class: Option<String>,
    /// Its parent: this dataset is a part of it that moves on to another place. Not built yet: `run` refuses it.
    pub part_of: Option<String>,
    /// Where it is now: `s3://SITE/BUCKET[/PREFIX]`, `dynamodb://SITE/TABLE` or `file://SITE/PATH`.
    #[schemars(example = "s3://beijing/storefront/static/")]
    #[schemars(regex(pattern = patterns::LOCATION))]
    pub source: String,
    /// Where it must be.
    #[serde(default)]
    #[schemars(example = one("s3://singapore/storefront/static/"))]
    #[schemars(inner(regex(pattern = patterns::LOCATION)))]
    pub targets: Vec<String>,
    /// Where it must be, in the long form: with a partition's rule or options.
    #[serde(default)]
    pub target: Vec<Target>,
    /// The site that leads after the cutover; needed if several targets hold the whole.
    pub lead: Option<String>,
    /// Globs over the key; only keys that match one belong to the dataset. All keys if left out.
    #[serde(default)]
    #[schemars(example = one("**/*.html"))]
    pub include: Vec<String>,
    /// Globs over the key; keys that match one do not belong to the dataset.
    #[serde(default)]
    #[schemars(example = one("**/*.tmp"))]
    pub exclude: Vec<String>,
    /// A CEL expression over `item` (tables) or `object`: which records of the source belong to the dataset.
    #[serde(rename = "where")]
    #[schemars(example = "item.country == \"IN\"")]
    pub filter: Option<String>,
    /// Whether old versions and delete markers are copied too.
    pub versions: Option<Versions>,
    /// What happens to records that only a target has and that were never paired.
    pub extra: Option<Extra>,
    /// Properties that need not survive at any target. Anything else that a target cannot hold blocks the
    /// dataset.
    #[serde(default)]
    pub waive: BTreeSet<Property>,
    /// How a run proves that source and target are equal.
    pub verify: Option<Level>,
    /// What `complete` does with the old lead's copy.
    pub retire: Option<Retire>,
    /// Whether changes at the source are followed while copying.
    pub live: Option<bool>,
    /// Whether the old lead follows the new one until `complete`; without it there is no rollback.
    pub follow_back: Option<bool>,
    /// Limits for this dataset alone.
    pub limits: Option<DatasetLimits>,
    /// How objects in cold storage are restored before they are read. Not built yet: `run` refuses it.
    pub restore: Option<Restore>,
    /// The most that may be deleted at a target without `--force`, as a share of what it holds.
    #[schemars(example = "10%")]
    #[schemars(regex(pattern = patterns::SHARE))]
    pub delete_share: Option<String>,
    /// Whether the lead may move although nothing was there to compare; otherwise 0 records prove nothing.
    pub accept_empty: Option<bool>,
    /// How the lead moves. Without it the dataset is copied and verified, and no route is touched.
    pub cutover: Option<Cutover>,
}

/// A target in the long form.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its location.
    #[schemars(example = "dynamodb://oregon/accounts")]
    #[schemars(regex(pattern = patterns::LOCATION))]
    pub at: String,
    /// A CEL expression: which records go there; or "otherwise", for those that go nowhere else.
    #[serde(rename = "where")]
    #[schemars(example = "item.country in [\"US\", \"CA\"]")]
    pub filter: Option<String>,
    /// How records are encrypted there. Not built yet: `run` refuses it.
    pub encryption: Option<Encryption>,
    /// The storage class of new objects. Not built yet: `run` refuses it.
    #[schemars(example = &"STANDARD_IA", length(min = 1))]
    pub storage_class: Option<String>,
    /// The size of the parts of multipart uploads.
    #[schemars(example = "16MiB")]
    #[schemars(regex(pattern = patterns::SIZE))]
    pub part_size: Option<String>,
    /// Properties that need not survive at this target, beside those that the dataset waives.
    #[serde(default)]
    pub waive: BTreeSet<Property>,
}

/// Encryption at rest.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// The KMS key: its id, ARN or alias.
    #[schemars(length(min = 1))]
    pub kms_key: String,
}

/// Limits for one dataset.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetLimits {
    /// Read capacity of the table: units per second, or a share of what is provisioned.
    pub read_capacity: Option<Capacity>,
    /// Write capacity of the table: units per second, or a share of what is provisioned.
    pub write_capacity: Option<Capacity>,
    /// Bytes per second, read and written together.
    #[schemars(example = "100MB/s")]
    #[schemars(regex(pattern = patterns::RATE))]
    pub bandwidth: Option<String>,
    /// Requests per second.
    #[schemars(range(min = 1))]
    pub requests_per_second: Option<u32>,
}

/// Capacity of a table: units per second, or a share such as "40%".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(example = "40%", example = 8000)]
pub enum Capacity {
    /// Units per second.
    Units(#[schemars(range(min = 1))] u32),
    /// A share, in percent.
    Share(#[schemars(regex(pattern = patterns::SHARE))] String),
}

/// How objects in cold storage are restored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// How many days the restored copy stays.
    #[schemars(range(min = 1))]
    pub days: u32,
    /// How fast, and at what price.
    pub tier: Option<Tier>,
}

/// How the lead moves to the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cutover {
    /// What stops the applications' writes at the old lead.
    pub fence: Fence,
    /// Must be `true` for the fence "none": nothing stops writes at the old lead.
    pub accept_unfenced: Option<bool>,
    /// The application's identity, which proves the fence; needed for policy fences. Not built yet: it needs `--until verified`.
    pub canary: Option<Credentials>,
    /// The document that tells applications the current lead: `file://SITE/PATH`, `s3://SITE/BUCKET/KEY` or
    /// `dynamodb://SITE/TABLE`.
    #[schemars(example = "s3://singapore/control/routes/storefront.json")]
    #[schemars(regex(pattern = patterns::ROUTE))]
    pub route: String,
    /// The age at which applications must have read the route again; the fence outlives the switch by this.
    #[schemars(example = "30s")]
    #[schemars(regex(pattern = patterns::DURATION))]
    pub route_max_age: Option<String>,
    /// How the data is proved equal behind the fence.
    pub final_verify: Option<FinalVerify>,
    /// The time to wait after the last write whose outcome is unknown.
    #[schemars(example = "60s")]
    #[schemars(regex(pattern = patterns::DURATION))]
    pub settle: Option<String>,
    /// The most that a follower may lag behind when the cutover begins. Not built yet for objects: it needs
    /// `--until verified`.
    #[schemars(example = "5s")]
    #[schemars(regex(pattern = patterns::DURATION))]
    pub max_lag: Option<String>,
    /// For the fence "none": how long the old lead must have seen no write.
    #[schemars(example = "2m")]
    #[schemars(regex(pattern = patterns::DURATION))]
    pub quiet: Option<String>,
    /// Programs that run around the steps: argument lists, no shell, relative to the plan file. Not built yet: it needs `--until verified`.
    pub hooks: Option<Hooks>,
    /// The content delivery network in front of the data. Not built yet: it needs `--until verified`.
    pub cdn: Option<Cdn>,
    /// URLs whose status and latency are measured before and after the switch. Not built yet: it needs `--until verified`.
    #[serde(default)]
    #[schemars(example = one("https://www.example.com/health.json"))]
    pub probe: Vec<String>,
}

macro_rules! hooks {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Programs that run around the steps of a cutover, each as an argument list.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Hooks {
            $(
                $(#[$doc])*
                #[schemars(length(min = 1), example = one("./hook.sh"))]
                pub $name: Option<Vec<String>>,
            )*
        }

        impl Hooks {
            /// The hooks that the plan sets, by name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[String])> {
                [$((stringify!($name), self.$name.as_deref()),)*]
                    .into_iter()
                    .filter_map(|(name, arguments)| Some((name, arguments?)))
            }
        }
    };
}

hooks! {
    /// Stops the applications' writes at the old lead, and proves it, for the fence "hook".
    fence,
    /// Lets writes pass again, for the fence "hook".
    unfence,
    /// Runs before the fence goes up; its failure stops the step.
    before_fence,
    /// Runs after the fence is proved.
    after_fence,
    /// Runs before the change streams are drained; its failure stops the step.
    before_drain,
    /// Runs after they are drained.
    after_drain,
    /// Runs before the final verification; its failure stops the step.
    before_final_verify,
    /// Runs after it.
    after_final_verify,
    /// Runs before the route changes; its failure stops the step.
    before_switch,
    /// Runs after the route has changed.
    after_switch,
    /// Runs before the lead moves back; its failure stops the step.
    before_rollback,
    /// Runs after the lead has moved back.
    after_rollback,
    /// Runs before the rollback window ends; its failure stops the step.
    before_complete,
    /// Runs after it has ended.
    after_complete,
}

/// A content delivery network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cdn {
    /// Which one.
    pub kind: CdnKind,
    /// URLs to purge after the switch.
    #[serde(default)]
    pub purge: Vec<String>,
    /// Cache tags to purge after the switch.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Content provider codes to purge after the switch.
    #[serde(default)]
    pub cp_codes: Vec<u32>,
    /// The network to purge; production if left out.
    pub network: Option<CdnNetwork>,
}

/// A content delivery network that the tool can purge itself; for others there are hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CdnKind {
    /// Akamai, by Fast Purge; credentials come from `.edgerc` or the environment.
    Akamai,
}

/// Which of the network's two halves is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CdnNetwork {
    /// What the public sees.
    Production,
    /// What is tried first.
    Staging,
}

impl PlanFile {
    /// The plan as TOML; [`parse`](crate::plan::parse) reads it back as the same plan.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The plan as JSON, without unset keys.
    pub fn to_json(&self) -> serde_json::Value {
        let mut tree = serde_json::to_value(self).expect("a plan has string keys and no fallible parts");
        drop_nulls(&mut tree);
        tree
    }
}

fn drop_nulls(tree: &mut serde_json::Value) {
    match tree {
        serde_json::Value::Object(entries) => {
            entries.retain(|_, value| !value.is_null());
            entries.values_mut().for_each(drop_nulls);
        }
        serde_json::Value::Array(elements) => elements.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
