//! When a missing tag count means that an object has no tags.
//!
//! HEAD and GET show `x-amz-tagging-count` only if there are tags *and* the identity may read them
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>). So an answer without it means "no tags",
//! "no right to know", or "this server counts none". Some servers never show it, some show it on GET and not on
//! HEAD, or on some versions and not on others. Reading the tags settles it, at the cost of one request per object.
//! This request is saved only if a witness rules the other meanings out:
//!
//! - **a probe** has written a tagged object at this endpoint and saw its count, on GET and on HEAD; or
//! - **AWS itself** answers, which keeps to its documentation, and this identity has already read tags here.
//!   Sources are never written to, so nothing else can be known of them.
//!
//! One tagged object with a count at another server's source proves nothing about the next one: there the tags are
//! always read. The right to read tags is assumed to be the same for all objects of a location.

use std::sync::atomic::{AtomicBool, Ordering};

use migrate_store::{Capabilities, Head};

/// What is known about the tag counts of one store.
#[derive(Debug)]
pub(super) struct TagCounts {
    is_aws: bool,
    /// This identity has read the tags of an object here, even if there were none.
    may_read: AtomicBool,
}

impl TagCounts {
    /// Knows only the endpoint; `None` is AWS's own.
    pub(super) fn new(endpoint: Option<&str>) -> Self {
        Self { is_aws: endpoint.is_none_or(is_aws), may_read: AtomicBool::new(false) }
    }

    /// Notes that the tags of an object were read.
    pub(super) fn were_read(&self) {
        self.may_read.store(true, Ordering::Relaxed);
    }

    /// Sets the tag count to 0 if a missing count can mean nothing else.
    pub(super) fn complete(&self, head: &mut Head, known: &Capabilities) {
        let witnessed = known.tag_count || (self.is_aws && self.may_read.load(Ordering::Relaxed));
        if head.tag_count.is_none() && witnessed {
            head.tag_count = Some(0);
        }
    }
}

/// Whether an endpoint belongs to AWS: TLS, and a host name that only AWS can have.
fn is_aws(url: &str) -> bool {
    let uri = url.parse::<hyper::Uri>();
    uri.as_ref().is_ok_and(|uri| uri.scheme_str() == Some("https"))
        && uri.as_ref().ok().and_then(hyper::Uri::host).is_some_and(|host| {
            let host = host.to_ascii_lowercase();
            [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|domain| host.ends_with(domain))
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use migrate_core::model::{Modified, Token};
    use migrate_store::{Checksums, Properties};

    fn counted(counts: &TagCounts, shown: Option<u32>, known: &Capabilities) -> Option<u32> {
        let mut head = Head {
            token: Token { size: 1, tag: "t".into(), modified: Modified::Unknown },
            properties: Properties { tags: BTreeMap::new(), ..Properties::default() },
            tag_count: shown,
            checksums: Checksums::default(),
            part_size: None,
            left_behind: Vec::new(),
            archived: false,
        };
        counts.complete(&mut head, known);
        head.tag_count
    }

    #[test]
    fn no_count_means_no_tags_only_with_a_witness() {
        let unproved = Capabilities::unproved();
        let probed = Capabilities { tag_count: true, ..Capabilities::unproved() };
        let ours = TagCounts::new(Some("https://s3.example.com"));
        assert_eq!(counted(&ours, None, &unproved), None);
        ours.were_read();
        assert_eq!(counted(&ours, None, &unproved), None, "another server may count none");
        assert_eq!(counted(&ours, None, &probed), Some(0));
        assert_eq!(counted(&ours, Some(2), &probed), Some(2));

        let aws = TagCounts::new(None);
        assert_eq!(counted(&aws, None, &unproved), None, "this identity may have no right to know");
        aws.were_read();
        assert_eq!(counted(&aws, None, &unproved), Some(0));
        assert_eq!(counted(&aws, Some(2), &unproved), Some(2));
    }

    #[test]
    fn aws_is_known_by_its_names() {
        for url in ["https://s3.eu-central-1.amazonaws.com", "https://s3.cn-north-1.amazonaws.com.cn:443/"] {
            assert!(is_aws(url), "{url}");
        }
        for url in ["http://s3.eu-central-1.amazonaws.com", "https://amazonaws.com.example", "https://notamazonaws.com"]
        {
            assert!(!is_aws(url), "{url}");
        }
    }
}
