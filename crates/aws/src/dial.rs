//! How a connection to a server is made: directly or through a proxy, in the clear or behind TLS.

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Uri,
    client::conn::http1::{self, SendRequest},
    header::{HeaderValue, PROXY_AUTHORIZATION},
    http::uri::Scheme,
    rt::{Read, Write},
};
use hyper_rustls::HttpsConnector;
use hyper_util::client::{
    legacy::connect::{HttpConnector, proxy::Tunnel},
    proxy::matcher::Matcher,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::task::JoinHandle;
use tower_service::Service;

use crate::failed::Cause;

/// Makes connections; cheap to clone.
///
/// An answer has at most 100 header lines, for which `hyper` needs no memory of its own, until one has more: S3 allows 2 KB of
/// metadata, which can be a thousand entries.
#[derive(Clone)]
pub(crate) struct Dialer {
    proxies: Option<Arc<Matcher>>,
    /// With the system's authorities if it is not set at first: to read them takes some milliseconds.
    tls: Arc<OnceLock<Arc<ClientConfig>>>,
    takes_long_heads: Arc<AtomicBool>,
}

/// More than an object with 2 KB of metadata, and the headers of S3, can have.
const HEADERS_MAX: usize = 1500;

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("asks_proxies", &self.proxies.is_some()).finish_non_exhaustive()
    }
}

/// One connection, which takes one request after the other.
pub(crate) struct Line {
    pub(crate) sender: SendRequest<Full<Bytes>>,
    forwarded: Option<Forwarded>,
    /// What reads and writes at the socket: it ends with the line, whatever it is about.
    _driver: Driver,
}

/// The task of a connection.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A proxy passes the requests on: it must be told the server, and perhaps who asks.
struct Forwarded {
    server: Uri,
    authorization: Option<HeaderValue>,
}

impl Dialer {
    /// The system's authorities are trusted, or those of a PEM file; proxies are those of the usual environment
    /// variables, if any are asked.
    pub(crate) fn new(ca_pem: Option<&[u8]>, asks_proxies: bool) -> Result<Self, Cause> {
        let tls = OnceLock::new();
        if let Some(pem) = ca_pem {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate?)?;
            }
            tls.get_or_init(|| client_config(roots));
        }
        let proxies = asks_proxies.then(|| Arc::new(Matcher::from_env()));
        Ok(Self { proxies, tls: Arc::new(tls), takes_long_heads: Arc::default() })
    }

    /// Later connections take answers with more headers.
    pub(crate) fn take_long_heads(&self) {
        self.takes_long_heads.store(true, Relaxed);
    }

    /// Connects to a server, which is the scheme and the authority of its URLs.
    pub(crate) async fn dial(&self, server: &Uri) -> Result<Line, Cause> {
        let proxy = self.proxies.as_ref().and_then(|proxies| proxies.intercept(server));
        let Some(proxy) = proxy else { return self.direct(server, None).await };
        let authorization = proxy.basic_auth().cloned();
        if !is_https(server) {
            let forwarded = Forwarded { server: server.clone(), authorization };
            return self.direct(proxy.uri(), Some(forwarded)).await;
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), HttpsConnector::from((tcp(), self.tls()?)));
        if let Some(authorization) = authorization {
            tunnel = tunnel.with_auth(authorization);
        }
        self.open(connected(HttpsConnector::from((tunnel, self.tls()?)), server).await?, None).await
    }

    async fn direct(&self, to: &Uri, forwarded: Option<Forwarded>) -> Result<Line, Cause> {
        if is_https(to) {
            return self.open(connected(HttpsConnector::from((tcp(), self.tls()?)), to).await?, forwarded).await;
        }
        self.open(connected(tcp(), to).await?, forwarded).await
    }

    async fn open<S>(&self, stream: S, forwarded: Option<Forwarded>) -> Result<Line, Cause>
    where
        S: Read + Write + Send + Unpin + 'static,
    {
        let mut protocol = http1::Builder::new();
        if self.takes_long_heads.load(Relaxed) {
            protocol.max_headers(HEADERS_MAX);
        }
        let (sender, connection) = protocol.handshake(stream).await?;
        let driver = tokio::spawn(async move {
            // Whoever waits for an answer has the error too.
            if let Err(error) = connection.await {
                tracing::trace!(error = &error as &dyn std::error::Error, "a connection ended");
            }
        });
        Ok(Line { sender, forwarded, _driver: Driver(driver) })
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, Cause> {
        if let Some(config) = self.tls.get() {
            return Ok(Arc::clone(config));
        }
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (valid, _) = roots.add_parsable_certificates(found.certs);
        if valid == 0 {
            let first = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            return Err(format!("the system has no certificates of authorities{first}").into());
        }
        Ok(Arc::clone(self.tls.get_or_init(|| client_config(roots))))
    }
}

impl Line {
    /// Adds what a request must tell to whom it goes to.
    pub(crate) fn address(&self, request: &mut Request<Full<Bytes>>) {
        let Some(Forwarded { server, authorization }) = &self.forwarded else { return };
        let mut parts = server.clone().into_parts();
        parts.path_and_query = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from_parts(parts).expect("a server and a path are a URL");
        if let Some(authorization) = authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
    }
}

fn is_https(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTPS)
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp
}

/// Only HTTP/1.1 is offered: each request then has a connection, and its windows, for itself.
fn client_config(roots: RootCertStore) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for the usual versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

async fn connected<C>(mut connector: C, to: &Uri) -> Result<C::Response, Cause>
where
    C: Service<Uri>,
    C::Error: Into<Cause>,
{
    poll_fn(|context| connector.poll_ready(context)).await.map_err(Into::into)?;
    connector.call(to.clone()).await.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http_body_util::BodyExt as _;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
    use rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    };
    use tokio::{
        io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
        net::{TcpListener, TcpStream},
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    async fn listening() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(stream.read_u8().await.unwrap_or(b'\n')));
        }
        head
    }

    /// Answers one request with its own head.
    async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let head = head(&mut stream).await;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }

    /// A server on this machine that an authority vouches for.
    async fn server(authority: &Authority) -> Uri {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, authority);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.unwrap().der().clone()], key);
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let (listener, address) = listening().await;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not trust it goes.
                if let Ok(stream) = acceptor.accept(stream).await {
                    echo(stream).await;
                }
            }
        });
        format!("https://localhost:{}/", address.port()).parse().unwrap()
    }

    /// What the server has got of a request.
    async fn asked(dialer: &Dialer, server: &Uri) -> Result<String, Cause> {
        let mut line = dialer.dial(server).await?;
        let mut request = Request::builder().uri("/data/k?tagging").body(Full::default()).unwrap();
        line.address(&mut request);
        let answer = line.sender.send_request(request).await?;
        Ok(String::from_utf8(answer.into_body().collect().await?.to_bytes().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_server_is_believed_by_its_own_authority_and_by_no_other() {
        let (trusted, other) = (authority("one"), authority("another"));
        let server = server(&trusted).await;
        let by = |authority: &Authority| Dialer::new(Some(authority.pem().as_bytes()), false).unwrap();
        assert!(asked(&by(&trusted), &server).await.unwrap().starts_with("GET /data/k?tagging HTTP/1.1\r\n"));
        let both = Dialer::new(Some((other.pem() + &trusted.pem()).as_bytes()), false).unwrap();
        assert!(asked(&both, &server).await.is_ok());
        let refused = asked(&by(&other), &server).await.unwrap_err();
        assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
        let elsewhere = server.to_string().replace("localhost", "127.0.0.1").parse().unwrap();
        let refused = asked(&by(&trusted), &elsewhere).await.unwrap_err();
        assert!(refused.to_string().contains("not valid for name"), "{refused}");
    }

    #[tokio::test]
    async fn a_tunnel_leads_to_a_server_that_is_believed_by_its_own_authority() {
        let (trusted, other) = (authority("one"), authority("another"));
        let server = server(&trusted).await;
        let port = server.port_u16().unwrap();
        let (listener, address) = listening().await;
        let proxy = tokio::spawn(async move {
            let mut heads = Vec::new();
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                heads.push(head(&mut stream).await);
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            }
            heads
        });
        let by = |authority: &Authority| Dialer {
            proxies: Some(Arc::new(Matcher::builder().https(format!("http://ann:secret@{address}")).build())),
            ..Dialer::new(Some(authority.pem().as_bytes()), false).unwrap()
        };
        assert!(asked(&by(&trusted), &server).await.unwrap().starts_with("GET /data/k?tagging HTTP/1.1\r\n"));
        let refused = asked(&by(&other), &server).await.unwrap_err();
        assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
        for head in proxy.await.unwrap() {
            assert!(head.starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")), "{head}");
            assert!(head.to_lowercase().contains("proxy-authorization: basic yw5uonnly3jlda=="), "{head}");
        }
    }

    #[tokio::test]
    async fn a_proxy_that_passes_requests_on_is_told_the_server_and_who_asks() {
        let (listener, address) = listening().await;
        tokio::spawn(async move { echo(listener.accept().await.unwrap().0).await });
        let dialer = Dialer {
            proxies: Some(Arc::new(Matcher::builder().http(format!("http://ann:secret@{address}")).build())),
            ..Dialer::new(None, false).unwrap()
        };
        let got = asked(&dialer, &"http://s3.example.com:9000/".parse().unwrap()).await.unwrap();
        assert!(got.starts_with("GET http://s3.example.com:9000/data/k?tagging HTTP/1.1\r\n"), "{got}");
        assert!(got.contains("proxy-authorization: Basic YW5uOnNlY3JldA=="), "{got}");
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for pem in ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n!"]
        {
            assert!(Dialer::new(Some(pem.as_bytes()), false).is_err(), "{pem}");
        }
    }
}
