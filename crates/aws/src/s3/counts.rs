//! When the lack of a tag count means that an object has no tags.
//!
//! HEAD and GET show `x-amz-tagging-count` only where there are tags *and* the identity may read them
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>). So an answer without it says "no
//! tags", "you may not know", or "this server counts none": seen are servers that never show it, that show
//! it on GET and not on HEAD, and on some versions and not on others. To ask for the tags settles it, and
//! costs a request for each object. It is saved only where a witness rules the other meanings out:
//!
//! - **a probe** has written a tagged object at this endpoint and saw the count of it, on GET and on HEAD; or
//! - **AWS itself** answers, which keeps to its documentation, and this identity has already read tags
//!   here. Sources are never written to, so nothing else can be known of them.
//!
//! One tagged object with a count at another server's source proves nothing of the next one: there the tags
//! are always asked for. The right to read tags is taken to be one for all objects of a location.

use std::sync::atomic::{AtomicBool, Ordering};

use migrate_store::{Capabilities, Head};

/// What is known of one store's counts.
#[derive(Debug)]
pub(super) struct TagCounts {
    is_aws: bool,
    /// This identity has been shown the tags of an object here, even if there were none.
    may_read: AtomicBool,
}

impl TagCounts {
    /// Nothing is known yet but the endpoint; without one it is AWS's own.
    pub(super) fn new(endpoint: Option<&str>) -> Self {
        Self { is_aws: endpoint.is_none_or(is_aws), may_read: AtomicBool::new(false) }
    }

    /// Tags of an object were asked for, and came.
    pub(super) fn were_read(&self) {
        self.may_read.store(true, Ordering::Relaxed);
    }

    /// Says that there are no tags where no count can mean nothing else.
    pub(super) fn complete(&self, head: &mut Head, known: &Capabilities) {
        let witnessed = known.tag_count || (self.is_aws && self.may_read.load(Ordering::Relaxed));
        if head.tag_count.is_none() && witnessed {
            head.tag_count = Some(0);
        }
    }
}

/// Whether an endpoint is AWS's: TLS, and a host name that AWS alone can have.
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
    use migrate_core::model::Token;
    use migrate_store::{Checksums, Properties};

    fn counted(counts: &TagCounts, shown: Option<u32>, known: &Capabilities) -> Option<u32> {
        let mut head = Head {
            token: Token { size: 1, tag: "t".into(), modified_s: None },
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
