//! One connection, driven by the task that asks, so that no request crosses threads.

use std::{pin::Pin, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method,
    client::conn::http1::{self, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::signature::Signer;

/// The SHA-256 of no bytes.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(crate) struct Request<'a> {
    method: Method,
    path_and_query: &'a str,
    range: Option<String>,
    digest: String,
}

impl<'a> Request<'a> {
    pub(crate) fn of(method: Method, path_and_query: &'a str) -> Self {
        Self { method, path_and_query, range: None, digest: EMPTY.to_owned() }
    }

    pub(crate) fn range(self, start: u64, size: u64) -> Self {
        Self { range: Some(format!("bytes={start}-{}", start + size - 1)), ..self }
    }

    /// With the SHA-256 of its body, in hexadecimal digits.
    pub(crate) fn digest(self, digest: String) -> Self {
        Self { digest, ..self }
    }
}

pub(crate) struct Wire {
    signer: Arc<Signer>,
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
}

impl Wire {
    pub(crate) async fn open(signer: Arc<Signer>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(&signer.host).await.with_context(|| signer.host.clone())?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { signer, sender, connection: Box::pin(connection) })
    }

    /// The head and the body of the answer.
    pub(crate) async fn ask(&mut self, request: Request<'_>, body: Bytes) -> anyhow::Result<(HeaderMap, Bytes)> {
        let (head, body) = self.exchange(request, body, BytesMut::new()).await?;
        Ok((head, body.freeze()))
    }

    /// The body of the answer, in `memory`.
    pub(crate) async fn read(&mut self, request: Request<'_>, memory: BytesMut) -> anyhow::Result<BytesMut> {
        Ok(self.exchange(request, Bytes::new(), memory).await?.1)
    }

    async fn exchange(
        &mut self,
        request: Request<'_>,
        body: Bytes,
        mut memory: BytesMut,
    ) -> anyhow::Result<(HeaderMap, BytesMut)> {
        let signer = &self.signer;
        let authorization = signer.sign(request.method.as_str(), request.path_and_query, &request.digest);
        let mut sent = hyper::Request::builder()
            .method(request.method)
            .uri(request.path_and_query)
            .header("host", &signer.host)
            .header("x-amz-date", &signer.time)
            .header("x-amz-content-sha256", request.digest)
            .header("authorization", authorization);
        if let Some(range) = request.range {
            sent = sent.header("range", range);
        }
        let sent = sent.body(Full::new(body))?;
        let answer = async {
            self.sender.ready().await?;
            let (head, mut body) = self.sender.send_request(sent).await?.into_parts();
            memory.clear();
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame?.into_data() {
                    memory.extend_from_slice(&data);
                }
            }
            let told = String::from_utf8_lossy(&memory[..memory.len().min(200)]);
            ensure!(head.status.is_success(), "{}: {told}", head.status);
            anyhow::Ok((head.headers, memory))
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            ended = &mut self.connection => bail!("the connection ended: {ended:?}"),
        }
    }
}
