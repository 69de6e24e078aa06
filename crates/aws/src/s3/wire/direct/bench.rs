//! What the micro-benchmarks reach of a hot request (feature `bench`): the work that is done for it between a caller
//! and a socket.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::identity::Identity as Signer;
use hyper::{Method, header::HeaderName};

use super::{asked::Asked, page::Page, place::Place, signing::Signing};
use crate::s3::{
    convert::{content_type, crc64_header},
    document::check_reading,
};
use migrate_core::digest::Body;
use migrate_store::Properties;

/// A request as it is before it is signed.
#[derive(Debug)]
pub struct Unsigned {
    asked: Asked,
    place: Place,
    signer: Signer,
    signing: Signing,
    time: SystemTime,
}

impl Unsigned {
    fn new(method: Method, query: &str) -> Self {
        let place = Place::at("http://127.0.0.1:9000/data", "us-east-1").expect("it is a URL");
        let asked = Asked::new(method, place.path_of("catalogue/0000000001") + query);
        let signer = Credentials::new("AKIDEXAMPLE", "a-secret", None, None, "bench").into();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        Self { asked, place, signer, signing: Signing::default(), time }
    }

    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        let header = self.asked.header(HeaderName::from_static(name), Some(value.into()));
        header.expect("it is a header");
    }

    /// A GET of a whole object.
    pub fn get() -> Self {
        let mut made = Self::new(Method::GET, "?x-id=GetObject");
        made.set("x-amz-checksum-mode", "ENABLED");
        made
    }

    /// A PUT of a body, whose hash is known.
    pub fn put(body: &Body) -> Self {
        let mut made = Self::new(Method::PUT, "?x-id=PutObject");
        made.set("content-type", content_type(&Properties::default()));
        made.set("content-length", body.size().to_string());
        made.set("x-amz-checksum-crc64nvme", crc64_header(body.crc64nvme()));
        made.asked.body = Some((body.bytes().clone(), body.sha256()));
        made
    }

    /// Signs it, and returns how many headers it is sent with.
    pub fn sign(&self) -> usize {
        let request = self.signing.signed(&self.asked, &self.place, &self.signer, self.time);
        let request = request.expect("the request can be made");
        request.headers().len()
    }
}

/// Finds a page of a listing of objects whole, reads it, and returns how many entries it has.
pub fn listed(document: &[u8]) -> usize {
    let mut page = Page::new();
    check_reading("ListObjectsV2", true, document, &mut page).expect("the page is whole");
    page.listed().expect("the page can be read").entries.len()
}
