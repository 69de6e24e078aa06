//! Proxies of the environment, on both ways to S3: `HTTP_PROXY` gets whole addresses, `HTTPS_PROXY` is asked for a tunnel,
//! and `NO_PROXY` names who is not asked through them.

use std::{
    collections::BTreeSet,
    io,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use migrate::local_cloud::{S3Server, S3ServerConfig};

use super::*;

const VARIABLES: [&str; 8] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"];
const WIRES: [&str; 2] = ["own", "sdk"];
/// `operator:pass-phrase`, as the variable has it and as a proxy is told.
const USER: &str = "operator:pass-phrase@";
const TOLD: &str = "Basic b3BlcmF0b3I6cGFzcy1waHJhc2U=";

/// The heads of the requests that a proxy got.
type Heads = Arc<Mutex<Vec<String>>>;

/// Passes each request on to a server as it came, and keeps its head. Ends with the process.
fn proxy(to: String) -> (String, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heads = Heads::default();
    let kept = Arc::clone(&heads);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(&to)) else { continue };
            let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let heads = Arc::clone(&kept);
            thread::spawn(move || {
                let _ended = io::copy(&mut answers, &mut back);
                let _closed = back.shutdown(Shutdown::Both);
            });
            thread::spawn(move || {
                let _ended = pass_on(&client, &server, &heads);
                let _closed = server.shutdown(Shutdown::Write);
            });
        }
    });
    (address, heads)
}

/// Reads a head up to its empty line; `None` at the end of the connection.
fn head(client: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn pass_on(client: &TcpStream, mut server: &TcpStream, heads: &Heads) -> io::Result<()> {
    let mut client = BufReader::new(client);
    while let Some(head) = head(&mut client)? {
        let length = value(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        server.write_all(head.as_bytes())?;
        heads.lock().unwrap().push(head);
        io::copy(&mut io::Read::take(&mut client, length), &mut server)?;
    }
    Ok(())
}

fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A plan that copies from one bucket of a server to another.
fn bench(endpoint: &str) -> Bench {
    let bench = Bench { root: tempfile::tempdir().unwrap() };
    let plan = format!(
        "name = \"bench\"\n[sites.far]\ncredentials = {{ env = \"FAR\" }}\n\
         s3 = {{ endpoint = \"{endpoint}\", path_style = true, insecure = true }}\n[[phase]]\nname = \"one\"\n\
         [[phase.dataset]]\nname = \"d\"\nsource = \"s3://far/data\"\ntargets = [\"s3://far/copy\"]\n"
    );
    bench.write("plan.toml", &plan);
    bench
}

/// The program by one of both ways, with these proxies and no others.
fn command(bench: &Bench, args: &[&str], wire: &str, proxies: &[(&str, &str)]) -> Command {
    let mut command = bench.command(args);
    command.args(["--s3-wire", wire, "--log", "trace"]);
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.env("FAR_ACCESS_KEY_ID", "far").env("FAR_SECRET_ACCESS_KEY", "far-secret").envs(proxies.iter().copied());
    command
}

/// A server with three objects, and its address under a name that is not taken for this machine.
async fn server() -> (S3Server, String) {
    let server = S3Server::start(S3ServerConfig::new("far", "far-secret")).await.unwrap();
    for bucket in ["data", "copy"] {
        server.state().create_bucket(bucket);
    }
    (0..3).for_each(|n| server.state().put("data", &format!("{n}"), format!("body {n}")));
    let far = server.endpoint().replace("127.0.0.1", "0.0.0.0");
    (server, far)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_gets_every_request_with_its_whole_address() {
    let mut methods = Vec::new();
    for wire in WIRES {
        let (server, far) = server().await;
        let (proxy, heads) = proxy(server.endpoint().replace("http://", ""));
        let bench = bench(&far);
        let args = ["run", "plan.toml"];
        let ran =
            Ran::of(&mut command(&bench, &args, wire, &[("HTTP_PROXY", &format!("http://{USER}{proxy}"))]), &args);
        assert_eq!(ran.code, 0, "{wire}: {}{}", ran.out, ran.err);
        assert!(!ran.err.contains("pass-phrase"), "{wire}: a secret is in the log");
        assert_eq!(server.state().count("copy"), 3, "{wire}");

        let heads = std::mem::take(&mut *heads.lock().unwrap());
        assert_eq!(heads.len() as u64, server.stats().requests.values().sum::<u64>(), "{wire}: all came by the proxy");
        let mut seen = BTreeSet::new();
        for head in heads {
            let line = head.lines().next().unwrap();
            let (method, asked) = line.split_once(' ').unwrap();
            assert!(asked.starts_with(&format!("{far}/")), "{wire}: {line}");
            assert_eq!(value(&head, "proxy-authorization"), Some(TOLD), "{wire}: {line}");
            seen.insert(method.to_owned());
        }
        methods.push(seen);
        server.stop().await;
    }
    assert_eq!(methods[0], methods[1], "both ways do alike");
    assert!(["GET", "HEAD", "PUT"].iter().all(|method| methods[0].contains(*method)), "{methods:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_to_be_asked_without_a_proxy_is() {
    for wire in WIRES {
        let (server, far) = server().await;
        let (proxy, heads) = proxy(server.endpoint().replace("http://", ""));
        let bench = bench(&far);
        let (proxy, args) = (format!("http://{proxy}"), ["run", "plan.toml"]);
        let proxies = [("HTTP_PROXY", &*proxy), ("HTTPS_PROXY", &proxy), ("NO_PROXY", "example.com,0.0.0.0")];
        let ran = Ran::of(&mut command(&bench, &args, wire, &proxies), &args);
        assert_eq!(ran.code, 0, "{wire}: {}{}", ran.out, ran.err);
        assert_eq!(server.state().count("copy"), 3, "{wire}");
        assert_eq!(*heads.lock().unwrap(), Vec::<String>::new(), "{wire}");
        server.stop().await;
    }
}

/// A name that is never found (RFC 2606): only a proxy could know it.
#[test]
fn a_proxy_is_asked_for_a_tunnel_and_sees_nothing_but_tls_in_it() {
    for wire in WIRES {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = format!("http://{USER}{}", listener.local_addr().unwrap());
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let mut client = BufReader::new(client);
            let head = head(&mut client).unwrap().unwrap();
            client.get_mut().write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
            let mut begin = [0; 3];
            io::Read::read_exact(&mut client, &mut begin).unwrap();
            tell.send((head, begin)).unwrap();
        });
        let bench = bench("https://s3.invalid:8443");
        let mut command = command(&bench, &["plan", "plan.toml", "--no-probe"], wire, &[("HTTPS_PROXY", &proxy)]);
        let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let asked = told.recv_timeout(Duration::from_mins(1));
        running.kill().unwrap();
        running.wait().unwrap();

        let (head, begin) = asked.unwrap_or_else(|_| panic!("{wire}: the proxy was not asked"));
        assert!(head.starts_with("CONNECT s3.invalid:8443 HTTP/1.1\r\n"), "{wire}: {head}");
        assert_eq!(value(&head, "proxy-authorization"), Some(TOLD), "{wire}: {head}");
        assert!(!head.to_ascii_lowercase().contains("authorization: aws4"), "{wire}: {head}");
        assert_eq!(begin[..2], [0x16, 0x03], "{wire}: a handshake of TLS");
    }
}
