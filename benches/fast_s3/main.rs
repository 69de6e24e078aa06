//! An S3 server in memory that is not the bottleneck: what `benches/compare` measures against.
//!
//! ```text
//! fast-s3 NAME[:latency=MS][:discard][:BUCKET=COUNTxBYTES]...
//! ```
//!
//! Each argument is an endpoint of its own on a free port of 127.0.0.1, and gets a line `NAME URL`. Buckets are made by
//! the first write. The process ends at the end of its standard input.
//!
//! - `latency` answers each request so many milliseconds later.
//! - `discard` keeps of a written body above 1 KiB its size, tag and checksums only; reading it is refused. It takes bodies
//!   above 1 MiB without hashing them.
//! - `BUCKET=COUNTxBYTES` is a bucket whose keys and bodies follow from their number, so that it needs no memory.
//!
//! It checks what a careless client would get wrong: signatures (version 4), the SHA-256 of signed bodies, the
//! signatures of chunks, `Content-MD5`, `x-amz-checksum-*`, and the conditions of writes, reads and deletes. The keys
//! are `bench` and `bench-secret`. It has no versions, policies, presigned URLs or virtual-hosted buckets.
//!
//! `GET /-/counts` tells what an endpoint was asked, as JSON; `POST /-/counts` sets all to zero; `POST /-/empty` drops
//! all that was written; `POST /-/latency?MS` changes the latency. They need no signature, and are answered at once.

mod answer;
mod bucket;
mod checksum;
mod chunked;
mod configure;
mod counts;
mod endpoint;
mod formula;
mod guard;
mod lists;
mod object;
mod payload;
mod reads;
mod request;
mod routes;
mod signature;
mod uploads;
mod writes;

use std::{convert::Infallible, io::Write as _, sync::Arc};

use anyhow::{Context as _, ensure};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use endpoint::Endpoint;

fn main() -> anyhow::Result<()> {
    let endpoints = std::env::args().skip(1).map(|text| Endpoint::parse(&text)).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(!endpoints.is_empty(), "name at least one endpoint: NAME[:latency=MS][:discard][:BUCKET=COUNTxBYTES]");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        for endpoint in endpoints {
            let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port on 127.0.0.1")?;
            writeln!(std::io::stdout(), "{} http://{}", endpoint.name, listener.local_addr()?)?;
            tokio::spawn(accept(listener, Arc::new(endpoint)));
        }
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())).await??;
        Ok(())
    })
}

/// Serves an endpoint until the process ends.
async fn accept(listener: TcpListener, endpoint: Arc<Endpoint>) {
    loop {
        // A client that is gone before it was accepted is no matter of the others.
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Without it an answer may wait for an acknowledgement; that it cannot be set costs only time.
        let _ = stream.set_nodelay(true);
        let endpoint = Arc::clone(&endpoint);
        tokio::spawn(async move {
            let service = service_fn(|request| async { Ok::<_, Infallible>(routes::answer(&endpoint, request).await) });
            let connection =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            // The client has ended the connection in its own way.
            let _ = connection.await;
        });
    }
}
